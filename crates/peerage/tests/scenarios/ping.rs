//! `p2p_ping`.

use super::*;

/// Hears a ping and answers it with `answer`, made from its nonce, after a while.
async fn answered<D: Net>(
    answer: impl FnOnce(u64) -> Bytes,
    after: Duration,
    limit: Duration,
) -> (Result<Duration, LinkError<SessionError>>, usize) {
    let (mut peer, mut far) = peer_and_far_end::<D>().await;
    let far_end = async {
        let mut ping = [0; 24 + 8];
        far.read_exact(&mut ping).await.unwrap();
        assert_eq!(commands::<D>(&ping), ["ping"]);
        let nonce = u64::from_le_bytes(ping[24..].try_into().unwrap());
        sleep(after).await;
        far.write_all(&answer(nonce)).await.unwrap();
        far
    };
    let deadline = Instant::now() + limit;
    let (result, far) = tokio::join!(
        peer.link_mut().ping(0x1122_3344_5566_7788, deadline),
        far_end
    );
    drop(far);
    // What came instead of the pong is still there for the user.
    let mut left = 0;
    while peer.recv().await.is_ok() {
        left += 1;
    }
    (result, left)
}

fn pong<D: Net>(nonce: u64) -> Bytes {
    message::<D>("pong", &nonce.to_le_bytes())
}

async fn p2p_ping<D: Net>() {
    let timed_out = |result: &Result<_, LinkError<SessionError>>| {
        matches!(result, Err(LinkError::TimedOut { .. }))
    };
    let (second, limit) = (seconds(1), seconds(20));
    let (rtt, left) = answered::<D>(pong::<D>, seconds(7), limit).await;
    assert_eq!((rtt.unwrap(), left), (seconds(7), 0), "the time reported");

    // A wrong nonce, and zero, are no answers; the right one after them is.
    for wrong in [1, 0, u64::MAX] {
        let (rtt, left) = answered::<D>(|_| pong::<D>(wrong), second, limit).await;
        assert!(timed_out(&rtt), "{rtt:?}");
        assert_eq!(left, 1);
        let both = |nonce| [pong::<D>(wrong), pong::<D>(nonce)].concat().into();
        let (rtt, left) = answered::<D>(both, second, limit).await;
        assert_eq!((rtt.unwrap(), left), (second, 1));
    }
    // The last moment counts, the moment after does not.
    let almost = limit - Duration::from_millis(1);
    assert_eq!(answered::<D>(pong::<D>, almost, limit).await.0, Ok(almost));
    let late = limit + Duration::from_millis(1);
    assert!(timed_out(&answered::<D>(pong::<D>, late, limit).await.0));

    // A nonce that is missing, short or long is no message.
    for len in [0, 1, 7, 9] {
        let answer = move |_| message::<D>("pong", &vec![0; len]);
        let (rtt, _) = answered::<D>(answer, second, limit).await;
        let error = rtt.unwrap_err();
        assert_eq!(error.kind(), Kind::Malformed, "{len}: {error:?}");
    }
    // Nobody is asked to set aside more than a few hundred other messages.
    let flood = |_| vec![pong::<D>(5); 300].concat().into();
    let (rtt, _) = answered::<D>(flood, second, limit).await;
    assert_eq!(rtt.unwrap_err().kind(), Kind::Flood);
}

#[tokio::test(start_paused = true)]
async fn p2p_ping_zcash() {
    p2p_ping::<Zcash>().await;
}

#[tokio::test(start_paused = true)]
async fn p2p_ping_decred() {
    p2p_ping::<Decred>().await;
}

#[tokio::test(start_paused = true)]
async fn p2p_ping_is_answered_with_its_own_nonce_zero_included() {
    async fn check<D: Net>() {
        let (mut peer, mut far) = peer_and_far_end::<D>().await;
        let serving = tokio::spawn(async move { peer.link_mut().serve_pings(drop).await });
        for nonce in [0, 1, u64::MAX] {
            far.write_all(&message::<D>("ping", &nonce.to_le_bytes()))
                .await
                .unwrap();
            let mut heard = [0; 24 + 8];
            far.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard[..], pong::<D>(nonce)[..]);
        }
        // A ping without a nonce is none since version 60001 of the parent protocol.
        far.write_all(&message::<D>("ping", &[])).await.unwrap();
        let ended = serving.await.unwrap();
        assert_eq!(ended.kind(), Kind::Malformed);
        assert_eq!(rest(&mut far).await, b"", "it is closed without a word");
    }
    check::<Zcash>().await;
    check::<Decred>().await;
}
