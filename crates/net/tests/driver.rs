//! What the asynchronous driver promises for every handshake.

use std::time::Instant as StdInstant;

use bytes::{Bytes, BytesMut};
use peerage_core::{
    ConnectedAddr, Direction, Failed, Failure, Handshake, Interruption, Kind, Session, Stage, Step,
    Wakeup,
};
use peerage_net::{Link, greet};
use peerage_verack::HandshakeError;
use peerage_verack::decred::{self, Decred};
use peerage_verack::dialect::Message as _;
use peerage_verack::zcash::Zcash;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::time::{Duration, Instant, sleep, timeout};

use crate::common::conns::Tireless;
use crate::common::{
    BOTH, Net, commands, concat, current, direct, endpoint, frames, greeting, join, message, never,
    ours, ping, say_and_hear, theirs, verack, version_frame,
};

const LIMIT: Duration = Duration::from_secs(20);

/// Timers of the runtime have a resolution of a millisecond.
const TICK: Duration = Duration::from_millis(2);

fn assert_took(start: Instant, expected: Duration) {
    let took = start.elapsed();
    assert!(took >= expected && took <= expected + TICK, "{took:?}");
}

async fn silent_peer<D: Net>() {
    for direction in BOTH {
        let start = Instant::now();
        let (near, _silent) = tokio::io::duplex(1024);
        let error = greet(near, ours::<D>(direction), start + LIMIT).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout);
        assert_eq!(error.stage(), Stage::Greet("version"));
        assert_took(start, LIMIT);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_costs_the_deadline_and_no_more() {
    silent_peer::<Zcash>().await;
    silent_peer::<Decred>().await;
}

async fn trickling_peer<D: Net>() {
    for direction in BOTH {
        let start = Instant::now();
        let (near, mut far) = tokio::io::duplex(1024);
        let trickle = async {
            for byte in version_frame::<D>(current::<D>()) {
                sleep(Duration::from_secs(1)).await;
                far.write_all(&[byte]).await?;
            }
            Ok::<_, std::io::Error>(())
        };
        let greeting = greet(near, ours::<D>(direction), start + LIMIT);
        let error = tokio::select! {
            biased;
            greeted = greeting => greeted.unwrap_err(),
            _ = trickle => panic!("the driver outlived its deadline"),
        };
        let HandshakeError::TimedOut { received, .. } = error else {
            panic!("{error:?}");
        };
        assert!((19..=20).contains(&received), "{received} bytes");
        assert_took(start, LIMIT);
    }
}

#[tokio::test(start_paused = true)]
async fn a_byte_a_second_does_not_move_the_deadline() {
    trickling_peer::<Zcash>().await;
    trickling_peer::<Decred>().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_reads_meets_the_deadline() {
    // Outbound we are stuck in our version, inbound in the answer to theirs.
    for direction in BOTH {
        let start = Instant::now();
        let (near, mut far) = tokio::io::duplex(1);
        let talks = async {
            far.write_all(&version_frame::<Zcash>(current::<Zcash>()))
                .await
                .unwrap();
            std::future::pending::<()>().await;
        };
        let greeting = greet(near, ours::<Zcash>(direction), start + LIMIT);
        let error = tokio::select! {
            greeted = greeting => greeted.unwrap_err(),
            () = talks => unreachable!(),
        };
        assert_eq!(error.kind(), Kind::Timeout, "{direction}");
        assert_took(start, LIMIT);
    }
}

#[tokio::test(start_paused = true)]
async fn last_words_nobody_reads_take_a_quarter_of_a_second_and_no_more() {
    let start = Instant::now();
    let (near, mut far) = tokio::io::duplex(150);
    let version = version_frame::<Zcash>(1);
    assert!(
        version.len() < 150,
        "it fits, the reject beside ours does not"
    );
    far.write_all(&version).await.unwrap();
    let error = greet(near, ours::<Zcash>(Direction::Outbound), never()).await;
    assert_eq!(error.unwrap_err().kind(), Kind::Obsolete);
    assert_took(start, Duration::from_millis(250));
}

/// What a peer that speaks version 1 reads from us until we close.
async fn heard_by_an_obsolete_peer<D: Net>(addr: ConnectedAddr) -> Vec<(String, Bytes)> {
    let (near, far) = tokio::io::duplex(64);
    let version = version_frame::<D>(1);
    let far = say_and_hear(far, &version);
    let (greeted, heard) = join(greet(near, greeting::<D>(1, addr), never()), far).await;
    assert_eq!(greeted.unwrap_err().kind(), Kind::Obsolete);
    frames::<D>(&heard)
}

#[tokio::test(start_paused = true)]
async fn an_obsolete_zcash_peer_is_told_so_on_direct_connections_only() {
    for direction in BOTH {
        let heard = heard_by_an_obsolete_peer::<Zcash>(direct(direction)).await;
        let (command, payload) = heard.last().unwrap();
        assert_eq!(command, "reject", "{direction}");
        let said = String::from_utf8_lossy(payload);
        assert!(said.contains("Version must be 170150 or greater"), "{said}");
        let isolated = ConnectedAddr::Isolated { direction };
        let transient = endpoint("127.0.0.1:51515");
        for quiet in [isolated, ConnectedAddr::InboundProxy { transient }] {
            let heard = heard_by_an_obsolete_peer::<Zcash>(quiet).await;
            assert!(heard.iter().all(|(command, _)| command != "reject"));
        }
        let heard = heard_by_an_obsolete_peer::<Decred>(direct(direction)).await;
        assert!(heard.iter().all(|(command, _)| command == "version"));
    }
}

/// All that a peer says at once: its handshake, then `behind`, the last frame of it only in half.
async fn pipelined<D: Net>(direction: Direction, version: u32, early: &[Bytes], behind: &[Bytes]) {
    let (near, mut far) = tokio::io::duplex(8192);
    let (last, whole) = behind.split_last().unwrap();
    let (half, rest) = last.split_at(last.len() / 2);
    let mut said = version_frame::<D>(version).to_vec();
    said.extend(concat(early));
    said.extend_from_slice(&verack::<D>());
    said.extend(concat(whole));
    said.extend_from_slice(half);
    far.write_all(&said).await.unwrap();

    let greeted = greet(near, ours::<D>(direction), never()).await.unwrap();
    assert_eq!(greeted.peer.early().len(), early.len());
    assert_eq!(&greeted.leftover[..], &[&concat(whole), half].concat());
    let (_, codec) = greeted.peer.into_parts();
    let mut link = Link::new(greeted.conn, codec, greeted.leftover);
    far.write_all(rest).await.unwrap();
    drop(far);
    let mut heard = Vec::new();
    while let Ok(message) = link.recv().await {
        heard.push(message.ping_nonce().unwrap());
    }
    let expected = 1..=(early.len() + behind.len()) as u64;
    assert_eq!(heard, expected.collect::<Vec<_>>(), "in order, each once");
}

#[tokio::test(start_paused = true)]
async fn what_comes_right_behind_the_handshake_is_the_first_to_be_received() {
    for direction in BOTH {
        let behind: Vec<_> = (1..=3).map(ping::<Zcash>).collect();
        pipelined::<Zcash>(direction, current::<Zcash>(), &[], &behind).await;
        let behind: Vec<_> = (1..=3).map(ping::<Decred>).collect();
        pipelined::<Decred>(direction, current::<Decred>(), &[], &behind).await;
    }
}

#[tokio::test(start_paused = true)]
async fn early_messages_come_before_what_was_behind_the_handshake_and_once() {
    for direction in BOTH {
        let early: Vec<_> = (1..=3).map(ping::<Decred>).collect();
        let behind: Vec<_> = (4..=6).map(ping::<Decred>).collect();
        pipelined::<Decred>(direction, 11, &early, &behind).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_early_message_of_any_kind_is_handed_over_as_it_came() {
    let (near, mut far) = tokio::io::duplex(8192);
    let early = message::<Decred>("tx", &[7; 37]);
    let said = [version_frame::<Decred>(9), early, verack::<Decred>()];
    far.write_all(&concat(&said)).await.unwrap();
    let greeted = greet(near, ours::<Decred>(Direction::Inbound), never()).await;
    let greeted = greeted.unwrap();
    let (_, codec) = greeted.peer.into_parts();
    let mut link = Link::new(greeted.conn, codec, greeted.leftover);
    let decred::Message::Opaque { command, payload } = link.recv().await.unwrap() else {
        panic!("an opaque message was sent");
    };
    assert_eq!((command.name(), &payload[..]), ("tx", &[7; 37][..]));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_buffers_what_is_written_is_flushed() {
    for direction in BOTH {
        let (near, far) = tokio::io::duplex(1024);
        let (near, far) = join(
            greet(BufStream::new(near), ours::<Decred>(direction), never()),
            greet(BufStream::new(far), theirs::<Decred>(direction), never()),
        )
        .await;
        let (near, far) = (near.unwrap(), far.unwrap());
        let (_, codec) = near.peer.into_parts();
        let mut link = Link::new(near.conn, codec, near.leftover);
        let (_, codec) = far.peer.into_parts();
        let mut other = Link::new(far.conn, codec, far.leftover);
        let sends = timeout(LIMIT, link.send(&decred::Message::GetAddr));
        let (sent, heard) = join(sends, timeout(LIMIT, other.recv())).await;
        let (sent, heard) = (sent.unwrap(), heard.expect("it is flushed"));
        sent.unwrap();
        assert_eq!(heard.unwrap(), decred::Message::GetAddr);
    }
}

#[tokio::test]
async fn a_broken_connection_is_a_transport_failure_and_a_reset_one_is_closed() {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, HostUnreachable, Other};
    for (error, kind) in [
        (Other, Kind::Transport),
        (HostUnreachable, Kind::Transport),
        (ConnectionReset, Kind::Closed),
        (BrokenPipe, Kind::Closed),
    ] {
        for direction in BOTH {
            let conn = Tireless::failing(error);
            let failed = greet(conn, ours::<Zcash>(direction), never()).await;
            assert_eq!(failed.unwrap_err().kind(), kind, "{direction} {error}");
        }
    }
}

/// Swallows what it hears and never has enough, unless it was woken `wakeups` times, a minute apart.
struct Insatiable {
    wakeups: u32,
    next: Option<StdInstant>,
}

impl Handshake for Insatiable {
    type Peer = ();
    type Error = Interruption;

    fn poll_transmit(&mut self) -> Option<Bytes> {
        None
    }

    fn advance(mut self, now: StdInstant, input: &mut BytesMut) -> Step<Self> {
        input.clear();
        if self.next.is_some_and(|next| now >= next) {
            self.wakeups -= 1;
            self.next = None;
        }
        if self.wakeups == 0 {
            return Step::Done(());
        }
        let at = *self.next.get_or_insert(now + Duration::from_secs(60));
        Step::More(self, Some(Wakeup { at, why: "test" }))
    }

    fn interrupt(self, cause: Interruption) -> Failed<Interruption> {
        Failed::silent(cause)
    }
}

/// One that has already been asked once.
fn insatiable(wakeups: u32) -> Insatiable {
    let next = None;
    Insatiable { wakeups, next }
}

#[tokio::test(start_paused = true)]
async fn a_wakeup_is_a_call_and_no_deadline() {
    let start = Instant::now();
    let (near, mut far) = tokio::io::duplex(64);
    far.write_all(b"something to begin with").await.unwrap();
    greet(near, insatiable(3), never()).await.unwrap();
    assert_took(start, Duration::from_secs(180));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_before_the_wakeup_comes_first() {
    let start = Instant::now();
    let (near, mut far) = tokio::io::duplex(64);
    far.write_all(b"x").await.unwrap();
    let failed = greet(near, insatiable(1), start + LIMIT).await;
    assert_eq!(failed.unwrap_err(), Interruption::DeadlinePassed);
    assert_took(start, LIMIT);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_in_the_past_is_heard_beside_a_peer_that_never_pauses() {
    let conn = Tireless::saying(b"and then, and then, ");
    let failed = greet(conn, insatiable(1), Instant::now()).await;
    assert_eq!(failed.unwrap_err(), Interruption::DeadlinePassed);
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_timed_out_by_itself_is_no_wakeup() {
    let conn = Tireless::failing(std::io::ErrorKind::TimedOut);
    let failed = greet(conn, insatiable(1), never()).await;
    assert_eq!(failed.unwrap_err(), Interruption::DeadlinePassed);
}

#[tokio::test(start_paused = true)]
async fn a_healthy_pair_says_version_and_verack_and_no_more() {
    for direction in BOTH {
        let (near, mut far) = tokio::io::duplex(8192);
        let said = [
            version_frame::<Zcash>(current::<Zcash>()),
            verack::<Zcash>(),
        ];
        far.write_all(&concat(&said)).await.unwrap();
        let greeted = greet(near, ours::<Zcash>(direction), never())
            .await
            .unwrap();
        let (_, mut codec) = greeted.peer.into_parts();
        assert!(codec.decode(&mut BytesMut::new()).unwrap().is_none());
        drop(greeted.conn);
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).await.unwrap();
        assert_eq!(commands::<Zcash>(&heard), ["version", "verack"]);
    }
}
