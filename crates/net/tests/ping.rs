//! Measuring the round trip beside everything else a peer may say.

use bytes::Bytes;
use bytes::BytesMut;
use peerage_core::{Failure, Kind, Stage};
use peerage_net::{Link, LinkError};
use peerage_verack::decred::Decred;
use peerage_verack::dialect::Message as _;
use peerage_verack::zcash::Zcash;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Duration, Instant, sleep};

use crate::common::conns::Tireless;
use crate::common::pairs::{greeted, linked};
use crate::common::{Net, commands, frames, join, message, never, ping, pong};

/// The length of a ping and of a pong, in bytes.
const PING_LEN: usize = 32;

/// Waits for our ping and returns its nonce.
async fn hear_ping<D: Net>(far: &mut DuplexStream) -> u64 {
    let mut heard = [0; PING_LEN];
    far.read_exact(&mut heard).await.unwrap();
    let (command, payload) = frames::<D>(&heard).remove(0);
    assert_eq!(command, "ping");
    u64::from_le_bytes(payload[..].try_into().unwrap())
}

async fn round_trip<D: Net>() {
    let (mut link, mut far) = linked::<D>(4096).await;
    let peer = async {
        let nonce = hear_ping::<D>(&mut far).await;
        sleep(Duration::from_secs(3)).await;
        far.write_all(&pong::<D>(nonce)).await.unwrap();
    };
    let (rtt, ()) = join(link.ping(0x0123_4567_89ab_cdef, never()), peer).await;
    let rtt = rtt.unwrap();
    assert!(
        rtt >= Duration::from_secs(3) && rtt < Duration::from_secs(4),
        "{rtt:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_round_trip_is_what_the_peer_took() {
    round_trip::<Zcash>().await;
    round_trip::<Decred>().await;
}

async fn answers_meanwhile<D: Net>() {
    let (mut link, mut far) = linked::<D>(4096).await;
    let peer = async {
        let nonce = hear_ping::<D>(&mut far).await;
        let said = [
            ping::<D>(70),
            message::<D>("getaddr", &[]),
            pong::<D>(nonce ^ 1),
            message::<D>("mempool", &[]),
            ping::<D>(71),
            pong::<D>(nonce),
            message::<D>("inv", &[0]),
        ];
        far.write_all(&said.concat()).await.unwrap();
        let mut heard = [0; 2 * PING_LEN];
        far.read_exact(&mut heard).await.unwrap();
        frames::<D>(&heard)
    };
    let (rtt, heard) = join(link.ping(5, never()), peer).await;
    rtt.unwrap();
    let answer = |n: u64| ("pong".to_owned(), Bytes::from(n.to_le_bytes().to_vec()));
    assert_eq!(
        heard,
        [answer(70), answer(71)],
        "their pings are answered meanwhile"
    );
    for expected in ["getaddr", "pong", "mempool", "inv"] {
        let received = link.recv().await.unwrap();
        assert_eq!(received.command().name(), expected, "set aside in order");
    }
}

#[tokio::test(start_paused = true)]
async fn a_ping_answers_theirs_and_sets_everything_else_aside_in_order() {
    answers_meanwhile::<Zcash>().await;
    answers_meanwhile::<Decred>().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_ping_set_aside_comes_before_what_a_later_one_does() {
    let (mut link, mut far) = linked::<Zcash>(4096).await;
    let peer = async {
        for other in ["getaddr", "mempool"] {
            let nonce = hear_ping::<Zcash>(&mut far).await;
            let said = [message::<Zcash>(other, &[]), pong::<Zcash>(nonce)].concat();
            far.write_all(&said).await.unwrap();
        }
    };
    let pings = async {
        link.ping(1, never()).await.unwrap();
        link.ping(2, never()).await.unwrap();
    };
    join(pings, peer).await;
    let mut received = Vec::new();
    for _ in 0..2 {
        received.push(link.recv().await.unwrap().command().to_string());
    }
    assert_eq!(received, ["getaddr", "mempool"]);
}

#[tokio::test(start_paused = true)]
async fn a_pong_to_another_ping_is_no_answer() {
    let (mut link, mut far) = linked::<Decred>(4096).await;
    far.write_all(&pong::<Decred>(6)).await.unwrap();
    let start = Instant::now();
    let error = link.ping(5, start + Duration::from_secs(7)).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    assert_eq!(error.stage(), Stage::Keep("ping"));
    assert_eq!(start.elapsed().as_secs(), 7);
    assert_eq!(link.recv().await.unwrap().pong_nonce(), Some(6), "kept");
}

#[tokio::test(start_paused = true)]
async fn a_link_is_as_good_as_before_after_a_ping_that_timed_out() {
    let (mut link, mut far) = linked::<Zcash>(4096).await;
    let soon = Instant::now() + Duration::from_secs(1);
    assert_eq!(link.ping(1, soon).await.unwrap_err().kind(), Kind::Timeout);
    let peer = async {
        // The late answer comes before the right one.
        for _ in 0..2 {
            let nonce = hear_ping::<Zcash>(&mut far).await;
            far.write_all(&pong::<Zcash>(nonce)).await.unwrap();
        }
    };
    let (rtt, ()) = join(link.ping(2, never()), peer).await;
    rtt.unwrap();
    assert_eq!(link.recv().await.unwrap().pong_nonce(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_ping_sets_256_messages_aside_and_not_one_more() {
    for (count, fits) in [(256, true), (257, false)] {
        let (mut link, mut far) = linked::<Zcash>(16_384).await;
        let mut said = message::<Zcash>("getaddr", &[]).repeat(count);
        said.extend_from_slice(&pong::<Zcash>(5));
        far.write_all(&said).await.unwrap();
        let result = link.ping(5, never()).await;
        if fits {
            result.unwrap();
            for _ in 0..count {
                assert_eq!(link.recv().await.unwrap().command().name(), "getaddr");
            }
            continue;
        }
        let error = result.unwrap_err();
        let doing = Stage::Keep("ping");
        let limit = 256;
        assert_eq!(error, LinkError::Flood { doing, limit });
        assert_eq!(error.kind(), Kind::Flood);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_set_aside_is_bounded_over_several_pings_too() {
    let (mut link, mut far) = linked::<Zcash>(16_384).await;
    let said = message::<Zcash>("getaddr", &[]).repeat(200);
    for nonce in 1..=2_u64 {
        far.write_all(&said).await.unwrap();
        far.write_all(&pong::<Zcash>(nonce)).await.unwrap();
        let result = link.ping(nonce, never()).await;
        assert_eq!(result.is_ok(), nonce == 1, "200 fit, 400 do not");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_only_pings_does_not_outlive_the_deadline() {
    let (mut link, far) = linked::<Zcash>(64).await;
    let (mut hears, mut says) = tokio::io::split(far);
    let pings = ping::<Zcash>(9);
    let talks = async { while says.write_all(&pings).await.is_ok() {} };
    let listens = async { while hears.read(&mut [0; 64]).await.is_ok_and(|n| n > 0) {} };
    let past = Instant::now();
    let error = tokio::select! {
        biased;
        result = link.ping(5, past) => result.unwrap_err(),
        () = talks => unreachable!(),
        () = listens => unreachable!(),
    };
    assert_eq!(error.kind(), Kind::Timeout);

    // The same where nothing ever waits.
    let (codec, ..) = greeted::<Zcash>(64).await;
    let mut link = Link::new(Tireless::saying(&pings), codec, BytesMut::new());
    let error = link.ping(5, Instant::now()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_ping_nobody_reads_meets_its_deadline() {
    let (mut link, far) = linked::<Decred>(1).await;
    let start = Instant::now();
    let error = link.ping(1, start + Duration::from_secs(2)).await;
    assert_eq!(error.unwrap_err().kind(), Kind::Timeout);
    assert_eq!(start.elapsed().as_secs(), 2);
    drop(far);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_leaves_instead_of_answering_is_closed_at_the_ping() {
    let (mut link, mut far) = linked::<Decred>(4096).await;
    let leaves = async {
        hear_ping::<Decred>(&mut far).await;
        drop(far);
    };
    let (result, ()) = join(link.ping(1, never()), leaves).await;
    let error = result.unwrap_err();
    assert_eq!(
        (error.kind(), error.stage()),
        (Kind::Closed, Stage::Keep("ping"))
    );
}

#[tokio::test(start_paused = true)]
async fn an_early_ping_is_answered_by_a_ping_of_ours() {
    use crate::common::{direct, greeting, verack, version_frame};
    let (near, mut far) = tokio::io::duplex(4096);
    let handshake = [
        version_frame::<Decred>(11),
        ping::<Decred>(70),
        verack::<Decred>(),
        pong::<Decred>(5),
    ];
    far.write_all(&handshake.concat()).await.unwrap();
    let inbound = direct(peerage_core::Direction::Inbound);
    let greeted = peerage_net::greet(near, greeting::<Decred>(1, inbound), never()).await;
    let greeted = greeted.unwrap();
    let (_, codec) = greeted.peer.into_parts();
    let mut link = Link::new(greeted.conn, codec, greeted.leftover);
    link.ping(5, never()).await.unwrap();
    drop(link);
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).await.unwrap();
    let expected = ["version", "verack", "ping", "pong"];
    assert_eq!(commands::<Decred>(&heard), expected);
}
