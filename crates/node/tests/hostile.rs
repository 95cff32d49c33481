//! Sockets with bad intentions, a few hundred of them, and peers that must not notice. `bench/run
//! --only keep` does the same with ten thousand, by the clock.
//!
//! Time stands still while anybody has something to do, so what takes no time waited for nobody.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use peerage_book::Role;
use peerage_core::{Endpoint, Kind, UnixTime};
use peerage_node::Event;
use peerage_peers::{Groups, Rate};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::common::{Lines, Running, node, secs};
use crate::stranger::{connect, greeted, line, lives};

/// What the hostile do once they have connected, until they are shown the door.
#[derive(Clone, Copy, Debug)]
enum Way {
    Silent,
    Trickle,
    Garbage,
    Repeat,
    Churn,
    Deaf,
}

const WAYS: [Way; 6] = [
    Way::Silent,
    Way::Trickle,
    Way::Garbage,
    Way::Repeat,
    Way::Churn,
    Way::Deaf,
];

async fn hostile(lines: &mut Lines, way: Way) -> std::io::Result<()> {
    match way {
        Way::Silent => {}
        Way::Trickle => {
            for byte in b"hello - 7" {
                lines.bytes(&[*byte]).await?;
                tokio::time::sleep(secs(1)).await;
            }
        }
        Way::Garbage => lines.bytes(&[b'\n'; 1024]).await?,
        Way::Repeat => {
            for _ in 0..100 {
                lines.say("hello - 7").await?;
            }
        }
        Way::Churn => return Ok(()),
        Way::Deaf => {
            lines.say("hello - 7").await?;
            loop {
                lines.say("ping 5").await?;
                tokio::time::sleep(secs(1)).await;
            }
        }
    }
    while lines.line().await.is_some() {}
    Ok(())
}

/// Many of each kind, four of each address group; each comes again a second after it had to go.
fn crowd(at: Endpoint, count: u8) -> JoinSet<()> {
    let mut all = JoinSet::new();
    for number in 0..count {
        let from = format!("127.1.{}.{}", number / 4, 1 + number % 4);
        let way = WAYS[usize::from(number) % WAYS.len()];
        all.spawn(async move {
            loop {
                let mut lines = connect(at, &from).await;
                // However it ends.
                drop(hostile(&mut lines, way).await);
                drop(lines);
                tokio::time::sleep(secs(1)).await;
            }
        });
    }
    all
}

/// A node to which loopback is the world, with few places before the handshake.
fn worldly() -> Running {
    node(|setup| {
        setup.admission.groups = Groups::strict();
        setup.admission.sockets = 16;
        setup.admission.total = Rate {
            burst: 100,
            every: Duration::from_millis(50),
        };
        setup.peers.groups = Groups::strict();
        setup.peers.limits.active_in = 1_000;
    })
}

#[tokio::test(start_paused = true)]
async fn honest_peers_are_served_while_hundreds_of_hostile_sockets_try() {
    let mut node = worldly();
    let hostile = crowd(node.at, 240);
    tokio::spawn(async move { while node.events.next().await.is_some() {} });
    tokio::time::sleep(secs(20)).await;
    let before = node.handle.overview().await.unwrap().counters;
    let mut kept = Vec::new();
    for host in 0..100 {
        let mut lines = connect(node.at, &format!("127.2.{host}.1")).await;
        let begun = Instant::now();
        lines.say("hello - 7").await.unwrap();
        let said = lines.line().await.expect("an answer");
        assert!(said.starts_with("hello "), "{said}");
        lines.say("ping 77").await.unwrap();
        assert_eq!(line(&mut lines).await.as_deref(), Some("pong 77"), "{host}");
        // It waited for none of those that take seconds.
        assert!(begun.elapsed() < Duration::from_millis(500), "{host}");
        kept.push(lives(lines));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // They did try: many more than the door lets in.
    let after = node.handle.overview().await.unwrap().counters;
    let turned_away = after.not_admitted - before.not_admitted;
    assert!(turned_away > 1_000, "{turned_away}");
    assert_eq!(after.accept_failed, 0);
    assert!(kept.iter().all(|lives| !lives.is_finished()));
    drop(hostile);
    kept.iter().for_each(|lives| lives.abort());
}

#[tokio::test(start_paused = true)]
async fn a_stranger_that_is_slow_never_delays_another() {
    let mut node = node(|_| ());
    let begun = Instant::now();
    let mut slow = connect(node.at, "127.0.0.1").await;
    for (second, byte) in b"hello - 7".iter().enumerate() {
        slow.bytes(&[*byte]).await.unwrap();
        // Five others come in the middle of each of its seconds.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let before = Instant::now();
        for _ in 0..5 {
            let mut other = greeted(node.at, "-").await;
            other.say("say hello").await.unwrap();
            assert_eq!(node.message().await, "say hello");
            lives(other);
        }
        assert_eq!(before.elapsed(), Duration::ZERO, "in second {second}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // It was heard out all the same.
    slow.bytes(b"\n").await.unwrap();
    assert!(slow.line().await.unwrap().starts_with("hello "));
    assert!(begun.elapsed() >= secs(9));
    while node.active().await.len() < 46 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_delays_nothing_that_is_said_to_all() {
    let mut node = node(|_| ());
    let deaf = greeted(node.at, "-").await;
    let deaf_id = node.established().await;
    let mut readers = Vec::new();
    for _ in 0..2 {
        readers.push(greeted(node.at, "-").await);
        node.established().await;
    }
    let long = "x".repeat(32 << 10);
    for number in 0..800 {
        let sent = node.handle.broadcast(format!("say {number} {long}")).await;
        sent.unwrap();
        let before = Instant::now();
        for reader in &mut readers {
            let heard = line(reader).await.expect("it is kept");
            assert!(heard.starts_with(&format!("say {number} ")), "{number}");
        }
        assert_eq!(before.elapsed(), Duration::ZERO, "{number}");
    }
    // What was not read is bounded, and the oldest of it was given up.
    let peers = node.handle.peers().await.unwrap();
    let shown = peers.iter().find(|peer| peer.id == deaf_id).unwrap();
    assert!(shown.tally.gossip_dropped > 10, "{:?}", shown.tally);
    let (closed, reason) = node.closed().await;
    assert_eq!((closed, reason.kind), (deaf_id, Kind::Timeout));
    assert!(
        reason.message.contains("took nothing"),
        "{}",
        reason.message
    );
    drop(deaf);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_reads_its_control_lane_is_dropped_with_a_reason() {
    let mut node = node(|setup| setup.peers.budgets.control.messages = 8);
    let deaf = greeted(node.at, "-").await;
    let id = node.established().await;
    let other = lives(greeted(node.at, "-").await);
    let kept = node.established().await;
    // A system holds some of it for the peer; no system holds all of it.
    let long = "x".repeat(1 << 20);
    let mut sent = 0;
    while node.handle.send(id, format!("say {long}")).await.unwrap() == Ok(()) {
        sent += 1;
        assert!(sent < 60, "its lane has no end");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(sent >= 8, "{sent}");
    let (closed, reason) = node.closed().await;
    assert_eq!((closed, reason.kind), (id, Kind::Timeout));
    let words = "more than 8 control messages wait for it";
    assert_eq!(&*reason.message, words);
    assert_eq!(node.handle.overview().await.unwrap().peers.sending, 0);
    assert_eq!(node.active().await, [kept]);
    drop(deaf);
    other.abort();
}

/// Requests whose answers it does not take: it is asked no further than its own answers are read.
#[tokio::test(start_paused = true)]
async fn a_peer_that_asks_and_never_reads_is_let_go() {
    let mut node = node(|_| ());
    let mut deaf = greeted(node.at, "-").await;
    let id = node.established().await;
    let asking = tokio::spawn(async move {
        let mut key = 0;
        while deaf.say(&format!("ask {key}")).await.is_ok() {
            key += 1;
        }
    });
    let long = "x".repeat(1 << 20);
    let mut answered = 0;
    let reason = loop {
        match tokio::time::timeout(secs(3_600), node.events.next()).await {
            Ok(Some(Event::Request { token, .. })) => {
                answered += 1;
                let _it_may_be_over = node.handle.respond(token, format!("ans 1 {long}")).await;
            }
            Ok(Some(Event::Closed(closed))) => {
                assert_eq!(closed.id, id);
                break closed.reason;
            }
            Ok(Some(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(reason.kind, Kind::Timeout, "{}", reason.message);
    // 40 MiB of answers at the most, and what the system holds.
    assert!((1..80).contains(&answered), "{answered}");
    asking.abort();
}

/// The calendar is set ten years ahead, then twenty back. Sessions and dials know another clock.
#[tokio::test(start_paused = true)]
async fn a_calendar_that_jumps_costs_no_peer_and_stops_no_dial() {
    static WALL: AtomicI64 = AtomicI64::new(1_800_000_000);
    let wall = || UnixTime(WALL.load(Ordering::Relaxed));
    let mut node = node(|setup| setup.wall = wall);
    let kept = lives(greeted(node.at, "-").await);
    let id = node.established().await;
    for years in [10, -20, 10] {
        WALL.fetch_add(years * 365 * 86_400, Ordering::Relaxed);
        tokio::time::sleep(secs(300)).await;
        let before = Instant::now();
        let other = crate::common::node(|_| ());
        let key = node.pin(other.at, Role::Static).await;
        let dialled = node.established().await;
        assert!(before.elapsed() < secs(60), "{:?}", before.elapsed());
        assert_eq!(node.active().await, [id, dialled], "after {years} years");
        node.handle.unpin(key).await.unwrap();
        other.handle.stop().await;
        assert_eq!(node.closed().await.0, dialled);
    }
    assert!(!kept.is_finished());
    kept.abort();
}

/// Neither reads only while it has nothing to say, so neither waits for the other, however much both
/// have to say: here more than any system holds for them.
#[tokio::test(start_paused = true)]
async fn two_nodes_with_much_to_say_hear_each_other_meanwhile() {
    const COUNT: usize = 2;
    let (mut one, mut two) = (node(|_| ()), node(|_| ()));
    one.pin(two.at, Role::Static).await;
    let ids = [one.established().await, two.established().await];
    let long = "x".repeat(16 << 20);
    let side = async |node: &mut Running, id| {
        for _ in 0..COUNT {
            let sent = node.handle.send(id, format!("say {long}")).await;
            assert_eq!(sent.unwrap(), Ok(()));
        }
        for _ in 0..COUNT {
            let heard = node.until(|event| match event {
                Event::Message { message, .. } => message.starts_with("say ").then_some(None),
                Event::Closed(closed) => Some(Some(closed.reason.clone())),
                _ => None,
            });
            assert_eq!(heard.await, None);
        }
    };
    tokio::join!(side(&mut one, ids[0]), side(&mut two, ids[1]));
    assert_eq!((one.active().await.len(), two.active().await.len()), (1, 1));
}

/// Whoever has finished its handshake has no place at the door any more, however many come at once:
/// what sessions tell is heard before the next are let in.
#[tokio::test(start_paused = true)]
async fn nobody_who_has_greeted_makes_room_for_newcomers() {
    const AT_ONCE: u8 = 80;
    const TIMES: u8 = 3;
    let mut node = node(|setup| {
        setup.admission.groups = Groups::strict();
        // More than are let in before sessions get their turn, fewer than come.
        setup.admission.sockets = 150;
        setup.peers.groups = Groups::strict();
        setup.peers.limits.active_in = 1_000;
        setup.peers.limits.pending_in = 1_000;
    });
    let at = node.at;
    let mut all = JoinSet::new();
    for time in 0..TIMES {
        for number in 0..AT_ONCE {
            let from = format!("127.3.{}.1", time * AT_ONCE + number);
            all.spawn(async move {
                let mut lines = connect(at, &from).await;
                lines.say("hello - 7").await.unwrap();
                lives(lines).await
            });
        }
        // Those before have come and said their words, and the next do.
        for _ in 0..2 {
            tokio::task::yield_now().await;
        }
    }
    for _ in 0..usize::from(AT_ONCE) * usize::from(TIMES) {
        node.established().await;
    }
}
