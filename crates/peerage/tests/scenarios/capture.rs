//! `p2p_message_capture`.

use super::*;

/// What a tape holds is both sides' words, to the byte, and can be parsed back.
#[tokio::test(start_paused = true)]
async fn p2p_message_capture_a_tape_can_be_parsed_back() {
    async fn check<D: Net>() {
        let (near, far) = duplex(50);
        let tape = Tape::new(1 << 20);
        let (one, two) = (node::<D>(), node::<D>());
        let deadline = Instant::now() + LONG;
        let near = connection(near, Direction::Outbound).map(|io| Tapped::new(io, tape.clone()));
        let (near, far) = tokio::join!(
            one.greet(near, AcceptAll, deadline),
            two.greet(connection(far, Direction::Inbound), AcceptAll, deadline),
        );
        let (mut near, mut far) = (near.unwrap(), far.unwrap());
        let info = near.info().clone();
        let (pinged, _) = tokio::join!(near.link_mut().ping(77, deadline), async {
            timeout(seconds(1), far.link_mut().serve_pings(drop)).await
        });
        pinged.unwrap();

        let (chunks, cut) = tape.recorded();
        assert!(!cut);
        let said_by = |direction| {
            let chunks = chunks.iter().filter(|chunk| chunk.direction == direction);
            chunks
                .flat_map(|chunk| chunk.bytes.clone())
                .collect::<Vec<_>>()
        };
        let (ours, theirs) = (said_by(Direction::Outbound), said_by(Direction::Inbound));
        assert_eq!(commands::<D>(&ours), ["version", "verack", "ping"]);
        assert_eq!(commands::<D>(&theirs), ["version", "verack", "pong"]);
        let times: Vec<_> = chunks.iter().map(|chunk| chunk.at).collect();
        assert!(times.is_sorted());

        // The fields come back too: the versions are those that the handshake took in.
        for (stream, version) in [(&ours, &info.ours), (&theirs, &info.theirs)] {
            let chain = &one.local().chain;
            let found = dissect_stream::<D>(chain, info.negotiated, stream);
            let mut reader = peerage::core::wire::Reader::new(&found[0].1.payload);
            assert_eq!(&D::read_version(&mut reader).unwrap(), version);
            let last = &found[2].1;
            assert_eq!(last.payload, 77_u64.to_le_bytes()[..]);
        }
    }
    check::<Zcash>().await;
    check::<Decred>().await;
}

/// A tape that was cut is parsed up to the cut.
#[tokio::test(start_paused = true)]
async fn p2p_message_capture_a_tape_that_was_cut_says_so() {
    let (near, mut far) = duplex(ROOMY);
    let limit = version::<Zcash>().len() + 10;
    let tape = Tape::new(limit);
    far.write_all(&[version::<Zcash>(), verack::<Zcash>()].concat())
        .await
        .unwrap();
    let near = connection(near, Direction::Inbound).map(|io| Tapped::new(io, tape.clone()));
    node::<Zcash>()
        .greet(near, AcceptAll, Instant::now() + LONG)
        .await
        .unwrap();
    let (chunks, cut) = tape.recorded();
    assert!(cut);
    let stream: BytesMut = chunks
        .iter()
        .flat_map(|chunk| chunk.bytes.clone())
        .collect();
    assert_eq!(stream.len(), limit);
    let node = node::<Zcash>();
    let local = node.local();
    let found = dissect_stream::<Zcash>(&local.chain, local.protocol_version, &stream);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].1.error, None);
    assert_eq!(found[1].1.error.as_ref().unwrap().kind(), "incomplete");
}
