//! `p2p_handshake` and `p2p_invalid_messages`: probes, and a flood beside a good peer.

use super::*;

/// What a probe opens it closes as soon as it knows. Over a real socket.
#[tokio::test]
async fn p2p_handshake_a_probe_closes_at_once() {
    async fn check<D: Net>() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let target = listener.local_endpoint().unwrap().into();
        let deadline = Instant::now() + seconds(20);
        let served = tokio::spawn(async move {
            let connection = listener.accept().await.unwrap();
            let mut peer = node::<D>()
                .greet(connection, AcceptAll, deadline)
                .await
                .unwrap();
            peer.link_mut().serve_pings(drop).await
        });
        let probe = peerage::probe(&node::<D>(), &target, &ProbeOptions::default()).await;
        assert!(probe.verdict.is_ok(), "{:?}", probe.verdict);
        let ended = timeout(seconds(20), served).await.unwrap().unwrap();
        assert!(matches!(ended, LinkError::Closed { .. }), "{ended:?}");
    }
    check::<Zcash>().await;
    check::<Decred>().await;
}

/// One peer floods, before and after its handshake; another of the same node is served meanwhile.
#[tokio::test(start_paused = true)]
async fn p2p_invalid_messages_a_flood_of_junk_leaves_other_peers_served() {
    async fn check<D: Net>(junk: Bytes) {
        let served = node::<D>();
        let (near, far) = duplex(ROOMY);
        let deadline = Instant::now() + LONG;
        let (good, other) = (served.clone(), node::<D>());
        let (good, other) = tokio::join!(
            good.greet(connection(near, Direction::Inbound), AcceptAll, deadline),
            other.greet(connection(far, Direction::Outbound), AcceptAll, deadline),
        );
        let mut good = good.unwrap();
        let serving = tokio::spawn(async move { good.link_mut().serve_pings(drop).await });
        let mut other = other.unwrap();
        for greeted in [false, true] {
            for _ in 0..20 {
                let (near, mut far) = duplex(4096);
                let victim = served.clone();
                let ended = tokio::spawn(async move {
                    let inbound = connection(near, Direction::Inbound);
                    match victim.greet(inbound, AcceptAll, deadline).await {
                        Ok(mut peer) => loop {
                            if let Err(error) = peer.recv().await {
                                return error.kind();
                            }
                        },
                        Err(error) => error.kind(),
                    }
                });
                if greeted {
                    let good = [version::<D>(), verack::<D>()].concat();
                    far.write_all(&good).await.unwrap();
                }
                // Until it hangs up: long before a megabyte.
                let mut sent = 0;
                while far.write_all(&junk).await.is_ok() {
                    sent += junk.len();
                    assert!(sent < 1 << 20, "it takes everything");
                }
                assert_ne!(ended.await.unwrap(), Kind::Timeout);
                other.ping(seconds(1)).await.unwrap();
            }
        }
        drop(other);
        let ended = serving.await.unwrap();
        assert!(matches!(ended, LinkError::Closed { .. }), "{ended:?}");
    }
    // No envelope at all; and sound envelopes of another chain.
    check::<Zcash>(Bytes::from_static(&[0xa5; 1000])).await;
    check::<Decred>(Bytes::from_static(&[0xa5; 1000])).await;
    check::<Zcash>(message::<Decred>("ping", &[1; 8])).await;
    check::<Decred>(message::<Zcash>("ping", &[1; 8])).await;
    // Sound ones of its own that nobody knows.
    check::<Decred>(message::<Decred>("nobodyknows", &[1; 100])).await;
}
