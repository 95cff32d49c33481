//! Whom a node dials, and what the book learns of it.

use peerage_book::{Key, Role, Standing};
use peerage_core::{Kind, Stage};
use peerage_node::Event;
use peerage_peers::{Parting, Phase};

use crate::common::{node, nowhere, secs};
use crate::finding::list;
use crate::stranger::{Waiting, lives};

#[tokio::test(start_paused = true)]
async fn no_more_peers_are_dialled_than_wanted() {
    let others: Vec<_> = (0..8).map(|_| node(|_| ())).collect();
    let found: Vec<_> = others.iter().map(|other| other.at).collect();
    let mut node = node(|setup| {
        setup.peers.limits.active_out = 3;
        setup.peers.limits.pending_out = 2;
        setup.peers.limits.spare_dials = 1;
        setup.finders = vec![list(found)];
    });
    let mut active = 0;
    loop {
        let Ok(event) = tokio::time::timeout(secs(60), node.events.next()).await else {
            break;
        };
        match event.unwrap() {
            Event::Established { .. } => active += 1,
            Event::Closed(closed) if closed.phase == Phase::Active => active -= 1,
            _ => {}
        }
        assert!(active <= 3);
        let peers = node.handle.overview().await.unwrap().peers;
        assert!(peers.pending[1] <= 2, "{peers:?}");
    }
    assert_eq!(active, 3);
    let report = &node.handle.finders().await.unwrap()[0];
    assert_eq!((report.report.gave, report.taken), (8, 8));
    assert_eq!(report.lived, 3);
    // Whoever is connected is known in the book as such, and nobody else is.
    let mut connected = 0;
    for other in &others {
        let story = &node.handle.why(other.at.into()).await.unwrap()[0];
        connected += usize::from(story.standing == Standing::Connected);
        assert_ne!(story.standing, Standing::Dialling, "{story}");
    }
    assert_eq!(connected, 3);
}

#[tokio::test(start_paused = true)]
async fn a_dead_candidate_backs_off_and_its_story_says_why() {
    let dead = nowhere();
    let mut node = node(|setup| setup.finders = vec![list([dead])]);
    let (_, reason) = node.closed().await;
    assert_eq!(reason.stage, Stage::Reach);
    tokio::time::sleep(secs(3_600)).await;
    let story = &node.handle.why(dead.into()).await.unwrap()[0];
    assert_eq!(story.entry.failures, story.entry.attempts, "{story}");
    assert!((2..=12).contains(&story.entry.attempts), "{story}");
    assert_eq!(story.last_cause().unwrap().kind, Kind::Unreachable);
    assert!(matches!(story.standing, Standing::Waiting { .. }));
}

/// The table may close a connection without the time for a goodbye; the book must hear of it, or it
/// takes the peer for connected for ever.
#[tokio::test(start_paused = true)]
async fn a_peer_dropped_without_a_goodbye_is_dialled_again() {
    let mut other = node(|_| ());
    let mut node = node(|setup| setup.peers.limits.closing = 0);
    node.pin(other.at, Role::Static).await;
    for _ in 0..3 {
        let id = node.established().await;
        other.established().await;
        let ended = node.handle.disconnect(id, Parting::Requested).await;
        ended.unwrap().unwrap();
        assert_eq!(node.closed().await.0, id);
    }
}

/// A handshake under way has nobody to say goodbye to: it ends at once, and its slot is free.
#[tokio::test(start_paused = true)]
async fn an_attempt_called_off_ends_at_once() {
    let (silent, at) = Waiting::new().await;
    let node = node(|_| ());
    let key = node.pin(at, Role::Static).await;
    tokio::time::sleep(secs(1)).await;
    let pending = node.handle.peers().await.unwrap();
    assert_eq!(pending.len(), 1);
    assert!(matches!(pending[0].phase, Phase::Pending(_)));
    node.handle.unpin(key).await.unwrap();
    let ended = node.handle.disconnect(pending[0].id, Parting::Requested);
    ended.await.unwrap().unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    let overview = node.handle.overview().await.unwrap();
    assert_eq!(overview.peers.closing, 0, "nobody waits for a goodbye");
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn messages_that_came_with_the_hello_come_first() {
    let (waiting, at) = Waiting::new().await;
    let mut node = node(|_| ());
    let key: Key = node.pin(at, Role::Static).await;
    let lines = waiting.greeted("\nsay one\nsay two\nask 5").await;
    let lives = lives(lines);
    let mut seen = Vec::new();
    let first = node.events.next().await.unwrap();
    assert!(matches!(first, Event::Dialling { why: "static", .. }));
    while seen.len() < 4 {
        seen.push(match node.events.next().await.unwrap() {
            Event::Established { key: who, .. } => {
                assert_eq!(who, key);
                "established".to_owned()
            }
            Event::Message { message, .. } | Event::Request { message, .. } => message,
            other => panic!("{other:?}"),
        });
    }
    // A question is told before gossip; gossip keeps its order.
    assert_eq!(seen[0], "established");
    let gossip: Vec<_> = seen.iter().filter(|it| it.starts_with("say")).collect();
    assert_eq!(gossip, ["say one", "say two"]);
    assert!(seen.contains(&"ask 5".to_owned()));
    lives.abort();
}

/// The stage of the handshake knows what did not come; the table's own deadline lies behind it, even
/// if nobody looked at either for a while.
#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_told_by_what_did_not_come() {
    for jump in [secs(0), secs(4), secs(9)] {
        let (waiting, at) = Waiting::new().await;
        let mut node = node(|setup| setup.finders = vec![crate::finding::list([at])]);
        let started = tokio::time::Instant::now();
        let silent = waiting.silent().await;
        let visitor = crate::stranger::connect(node.at, "127.0.0.1").await;
        if !jump.is_zero() {
            tokio::time::sleep_until(started + secs(9)).await;
            tokio::time::advance(jump).await;
        }
        for _ in 0..2 {
            let (_, reason) = node.closed().await;
            assert_eq!((reason.kind, &*reason.message), (Kind::Timeout, "silent"));
        }
        let took = started.elapsed();
        assert!(took >= secs(10) && took < secs(19), "{took:?}");
        drop((silent, visitor));
    }
}
