//! `p2p_timeouts` and `p2p_leak`: what a peer may wait for, and what it hears meanwhile.

use super::*;

/// Lives until `limit` and no longer, whatever it sends: `before` at once and `every` each second.
async fn lives_until_the_deadline<D: Net>(
    direction: Direction,
    before: &[Bytes],
    every: &[u8],
    awaited: Awaited,
) {
    let limit = D::RULES.handshake_timeout;
    let (near, mut far) = duplex(ROOMY);
    let start = Instant::now();
    let handshake = tokio::spawn(async move {
        let ended = node::<D>()
            .greet(connection(near, direction), AcceptAll, start + limit)
            .await;
        (ended.map(drop), start.elapsed())
    });
    far.write_all(&before.concat()).await.unwrap();
    while start.elapsed() + seconds(1) < limit {
        sleep(seconds(1)).await;
        assert!(!handshake.is_finished(), "it lives");
        far.write_all(every).await.unwrap();
    }
    let (ended, took) = handshake.await.unwrap();
    assert_eq!(took, limit, "{direction}");
    let Err(HandshakeError::TimedOut { awaited: at, .. }) = ended else {
        panic!("{ended:?}")
    };
    assert_eq!(at, awaited);
    // The connection is closed, and only version and verack ever went over it.
    let said = commands::<D>(&rest(&mut far).await);
    let lawful: &[&[&str]] = match (direction, awaited) {
        (Direction::Inbound, Awaited::Version) => &[&[]],
        (Direction::Inbound, Awaited::Verack) => &[&["version", "verack"]],
        (Direction::Outbound, _) => &[&["version"], &["version", "verack"]],
    };
    assert!(lawful.iter().any(|lawful| said == *lawful), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn p2p_timeouts_a_peer_that_says_nothing_lives_until_the_deadline() {
    for direction in BOTH {
        lives_until_the_deadline::<Zcash>(direction, &[], &[], Awaited::Version).await;
        lives_until_the_deadline::<Decred>(direction, &[], &[], Awaited::Version).await;
    }
}

#[tokio::test(start_paused = true)]
async fn p2p_timeouts_a_version_without_verack_lives_until_the_deadline() {
    for direction in BOTH {
        let before = [version::<Zcash>()];
        lives_until_the_deadline::<Zcash>(direction, &before, &[], Awaited::Verack).await;
        let before = [version::<Decred>()];
        lives_until_the_deadline::<Decred>(direction, &before, &[], Awaited::Verack).await;
    }
}

/// Zcash drops a few pings; they buy no time. Decred allows none.
#[tokio::test(start_paused = true)]
async fn p2p_timeouts_a_peer_that_only_pings_lives_no_longer() {
    let ping = message::<Zcash>("ping", &[1; 8]);
    for direction in BOTH {
        lives_until_the_deadline::<Zcash>(direction, &[], &ping, Awaited::Version).await;
        let before = [version::<Zcash>()];
        lives_until_the_deadline::<Zcash>(direction, &before, &ping, Awaited::Verack).await;

        let (near, mut far) = duplex(ROOMY);
        let start = Instant::now();
        far.write_all(&message::<Decred>("ping", &[1; 8]))
            .await
            .unwrap();
        let ended = node::<Decred>()
            .greet(connection(near, direction), AcceptAll, start + LONG)
            .await;
        assert_eq!(ended.unwrap_err().kind(), Kind::Violation);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}

/// One byte a second keeps nothing alive.
#[tokio::test(start_paused = true)]
async fn p2p_timeouts_a_trickle_of_bytes_buys_no_time() {
    async fn check<D: Net>(direction: Direction) {
        let (near, mut far) = duplex(ROOMY);
        let (start, limit) = (Instant::now(), D::RULES.handshake_timeout);
        let trickle = async {
            for byte in version::<D>() {
                if far.write_all(&[byte]).await.is_err() {
                    return;
                }
                sleep(seconds(1)).await;
            }
            panic!("it heard the whole version");
        };
        let greeter = node::<D>();
        let greet = greeter.greet(connection(near, direction), AcceptAll, start + limit);
        let (ended, ()) = tokio::join!(greet, trickle);
        let Err(HandshakeError::TimedOut { awaited, received }) = ended else {
            panic!("{:?}", ended.map(drop))
        };
        assert_eq!(awaited, Awaited::Version);
        assert_eq!(received as u64, limit.as_secs(), "{direction}");
    }
    for direction in BOTH {
        check::<Zcash>(direction).await;
        check::<Decred>(direction).await;
    }
}

/// A peer that waits and asks hears version and verack, and nothing more before its own verack.
#[tokio::test(start_paused = true)]
async fn p2p_leak_a_peer_without_verack_is_told_nothing_else() {
    async fn check<D: Net>(asks: &[Bytes], direction: Direction) {
        let (near, mut far) = duplex(ROOMY);
        let deadline = Instant::now() + D::RULES.handshake_timeout;
        far.write_all(&version::<D>()).await.unwrap();
        far.write_all(&asks.concat()).await.unwrap();
        let ended = node::<D>()
            .greet(connection(near, direction), AcceptAll, deadline)
            .await;
        assert_eq!(ended.unwrap_err().kind(), Kind::Timeout);
        let said = commands::<D>(&rest(&mut far).await);
        assert!(
            said.iter()
                .all(|name| name == "version" || name == "verack"),
            "{said:?}"
        );
    }
    let asks = [
        message::<Zcash>("getaddr", &[]),
        message::<Zcash>("ping", &[1; 8]),
        message::<Zcash>("mempool", &[]),
        message::<Zcash>("getheaders", &[0; 37]),
    ];
    for direction in BOTH {
        check::<Zcash>(&asks, direction).await;
        check::<Decred>(&[], direction).await;
    }
}
