//! Too much of something.

use std::time::Duration;

use peerage_core::Kind;
use peerage_node::Event;
use peerage_peers::Phase;

use crate::common::{Lines, Running, node, secs};
use crate::stranger::{greeted, line, lives};

/// Says this until the node takes no more; how many bytes it took.
async fn flood(lines: &mut Lines, line: &str) -> usize {
    let mut taken = 0;
    while tokio::time::timeout(secs(1), lines.say(line))
        .await
        .is_ok_and(|it| it.is_ok())
    {
        taken += line.len() + 1;
        assert!(taken < 256 << 20, "it is read without end");
    }
    taken
}

async fn flooded() -> (Running, Lines) {
    let mut node = node(|setup| setup.peers.keepalive.first = secs(3_000));
    let mut lines = greeted(node.at, "-").await;
    node.established().await;
    flood(&mut lines, &format!("say {}", "x".repeat(60_000))).await;
    (node, lines)
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_not_read_while_nobody_takes_it_and_others_are_served() {
    let (mut node, flooding) = flooded().await;
    let overview = node.handle.overview().await.unwrap();
    // The inbox, and what was read ahead.
    assert!(
        overview.peers.unread <= (4 << 20) + (1 << 20),
        "{overview:?}"
    );
    let mut other = greeted(node.at, "-").await;
    other.say("ping 77").await.unwrap();
    assert_eq!(line(&mut other).await.as_deref(), Some("pong 77"));
    // Once it is taken, reading goes on, and the others have their turn.
    other.say("say hello").await.unwrap();
    let mut flood = 0;
    while node.message().await != "say hello" {
        flood += 1;
    }
    assert!(flood < 1_000, "{flood} before anyone else");
    drop(flooding);
}

/// What was read before the pause took hold is neither lost nor put in another order.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_when_reading_pauses() {
    let mut node = node(|setup| setup.peers.budgets.inbox.messages = 4);
    let lines = greeted(node.at, "-").await;
    node.established().await;
    let talk = tokio::spawn(async move {
        let mut lines = lines;
        for at in 0..3_000 {
            lines.say(&format!("say {at}")).await.unwrap();
        }
        lines
    });
    tokio::time::sleep(secs(10)).await;
    for at in 0..3_000 {
        assert_eq!(node.message().await, format!("say {at}"));
    }
    drop(talk);
}

#[tokio::test(start_paused = true)]
async fn a_deaf_application_loses_no_session() {
    let mut node = node(|setup| setup.peers.keepalive = peerage_peers::Keepalive::ETHEREUM);
    let mut all = Vec::new();
    for _ in 0..3 {
        let mut lines = greeted(node.at, "-").await;
        node.established().await;
        for at in 0..500 {
            lines.say(&format!("say {at}")).await.unwrap();
        }
        all.push(tokio::spawn(async move {
            // Talks on, and answers.
            let mut talk = tokio::time::interval(secs(5));
            loop {
                tokio::select! {
                    _ = talk.tick() => lines.say("say more").await.unwrap(),
                    line = lines.line() => {
                        let line = line.expect("no goodbye");
                        let nonce = line.strip_prefix("ping ").expect(&line);
                        lines.say(&format!("pong {}", nonce)).await.unwrap();
                    }
                }
            }
        }));
    }
    tokio::time::sleep(secs(3_600)).await;
    assert_eq!(node.active().await.len(), 3);
    for talk in all {
        assert!(!talk.is_finished());
        talk.abort();
    }
}

/// Requests are given up after a minute, and then more are read; all of them wait for the
/// application, so there is an end to it.
#[tokio::test(start_paused = true)]
async fn requests_do_not_pile_up_before_a_deaf_application() {
    let node = node(|setup| setup.peers.backlog = 64);
    let mut lines = greeted(node.at, "-").await;
    for at in 0..20_000 {
        lines.say(&format!("ask {at}")).await.unwrap();
    }
    let lives = lives(lines);
    let taken = async || node.handle.peers().await.unwrap()[0].tally.messages_in;
    tokio::time::sleep(secs(6 * 3_600)).await;
    let before = taken().await;
    tokio::time::sleep(secs(6 * 3_600)).await;
    // Only pongs came.
    let (after, hours) = (taken().await, 6);
    assert!(after - before <= hours * 62, "{before}, {after}");
    assert!(before < 256 + 64 + 100 + hours * 62, "{before}");
    lives.abort();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_let_go() {
    let mut node = node(|_| ());
    let lines = greeted(node.at, "-").await;
    let id = node.established().await;
    let long = "x".repeat(1 << 20);
    for _ in 0..30 {
        let _full = node.handle.send(id, format!("say {long}")).await.unwrap();
    }
    let (closed, reason) = node.closed().await;
    assert_eq!((closed, reason.kind), (id, Kind::Timeout));
    assert!(
        reason.message.contains("took nothing"),
        "{}",
        reason.message
    );
    assert_eq!(node.handle.overview().await.unwrap().peers.sending, 0);
    drop(lines);
}

/// We stood still: nobody else is to blame for it.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_costs_no_peer() {
    let mut node = node(|_| ());
    let lives = lives(greeted(node.at, "-").await);
    let id = node.established().await;
    tokio::time::sleep(secs(30)).await;
    tokio::time::advance(secs(3_600)).await;
    let lost = node
        .until(|event| match event {
            Event::Stalled { lost } => Some(*lost),
            _ => None,
        })
        .await;
    assert!(lost > secs(3_000), "{lost:?}");
    tokio::time::sleep(secs(300)).await;
    let peers = node.handle.peers().await.unwrap();
    assert_eq!((peers[0].id, peers[0].phase), (id, Phase::Active));
    assert!(
        peers[0].age < Duration::from_secs(1_000),
        "stalls are left out"
    );
    lives.abort();
}
