//! `p2p_net_deadlock`.

use super::*;

/// Two nodes that say something huge at the same moment through a pipe that holds next to nothing.
async fn p2p_net_deadlock<D: Net>(huge: D::Message) {
    let [mut one, mut two] = two_peers::<D>(64).await;
    let (huge_one, huge_two) = (huge.clone(), huge.clone());
    let side = |mut peer: Peer<D, DuplexStream>, huge: D::Message| async move {
        for _ in 0..2 {
            peer.send(&huge).await.unwrap();
            assert!(peer.recv().await.unwrap() == huge);
        }
        peer
    };
    // Something small is already on its way.
    tokio::join!(
        async { one.send(&D::Message::pong(1)).await.unwrap() },
        async { assert_eq!(two.recv().await.unwrap(), D::Message::pong(1)) },
    );
    let both = async { tokio::join!(side(one, huge_one), side(two, huge_two)) };
    let (mut one, mut two) = timeout(LONG, both).await.expect("both are stuck");
    let (pinged, _) = tokio::join!(one.ping(LONG), async {
        timeout(seconds(1), two.link_mut().serve_pings(drop)).await
    });
    pinged.unwrap();
}

#[tokio::test(start_paused = true)]
async fn p2p_net_deadlock_zcash() {
    p2p_net_deadlock::<Zcash>(zcash::Message::Opaque {
        command: Command::from_static("block"),
        payload: vec![7; 2_000_000].into(),
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn p2p_net_deadlock_decred() {
    p2p_net_deadlock::<Decred>(decred::Message::Opaque {
        command: Command::from_static("block"),
        payload: vec![7; 1_310_720].into(),
    })
    .await;
}

/// What is read while something waits to be written is bounded: a peer that talks and never
/// listens fills one message's worth, and then the pipe.
#[tokio::test(start_paused = true)]
async fn p2p_net_deadlock_reading_ahead_has_an_end() {
    let (mut peer, mut far) = peer_and_far_end::<Zcash>().await;
    let sender = tokio::spawn(async move {
        let mut sent = 0;
        let ping = message::<Zcash>("ping", &[1; 8]);
        let pings = ping.repeat(1000);
        while let Ok(written) = timeout(LONG, far.write(&pings)).await {
            sent += written.unwrap();
        }
        (sent, far)
    });
    let huge = zcash::Message::Opaque {
        command: Command::from_static("tx"),
        payload: vec![7; 200_000].into(),
    };
    let stuck = timeout(LONG * 2, peer.send(&huge)).await;
    assert!(stuck.is_err(), "nobody reads what we say");
    let (sent, _far) = sender.await.unwrap();
    let longest = 24 + 2_097_152;
    assert!(
        (longest..longest + ROOMY + 32 * 1024).contains(&sent),
        "{sent}"
    );
    // Nothing of it is lost.
    assert_eq!(
        peer.recv().await,
        Ok(zcash::Message::Ping(u64::from_le_bytes([1; 8])))
    );
}
