//! How a node ends.

use peerage_book::Role;
use peerage_node::{Event, Stopped};
use peerage_peers::Phase;
use tokio::time::Instant;

use crate::common::{node, secs};
use crate::stranger::{Waiting, greeted, line};

#[tokio::test(start_paused = true)]
async fn a_node_that_stops_says_goodbye_within_its_limit() {
    let mut node = node(|_| ());
    let (silent, at) = Waiting::new().await;
    node.pin(at, Role::Static).await;
    let mut lines = greeted(node.at, "-").await;
    let id = node.established().await;
    let before = Instant::now();
    node.handle.stop().await;
    assert!(
        before.elapsed() < secs(3),
        "a silent handshake holds nobody up"
    );
    assert_eq!(line(&mut lines).await.as_deref(), Some("bye quitting"));
    assert_eq!(line(&mut lines).await, None);
    // Every session has its end, also when the node is gone.
    let mut ends = Vec::new();
    while let Some(event) = node.events.next().await {
        if let Event::Closed(closed) = event {
            ends.push((closed.id, closed.phase == Phase::Active));
        }
    }
    assert!(ends.contains(&(id, true)), "{ends:?}");
    assert_eq!(ends.len(), 2);
    assert!(matches!(node.handle.peers().await, Err(Stopped)));
    node.handle.stop().await;
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn a_node_stops_when_its_last_handle_is_dropped() {
    let mut node = node(|_| ());
    let mut lines = greeted(node.at, "-").await;
    node.established().await;
    let clone = node.handle.clone();
    drop(node.handle);
    assert_eq!(clone.peers().await.unwrap().len(), 1);
    drop(clone);
    assert_eq!(line(&mut lines).await.as_deref(), Some("bye quitting"));
    while node.events.next().await.is_some() {}
}

/// Nobody takes its events; it stops all the same.
#[tokio::test(start_paused = true)]
async fn a_deaf_application_does_not_keep_it_from_stopping() {
    let node = node(|_| ());
    let mut lines = greeted(node.at, "-").await;
    for at in 0..2_000 {
        lines.say(&format!("say {at}")).await.unwrap();
    }
    tokio::time::sleep(secs(1)).await;
    let before = Instant::now();
    node.handle.stop().await;
    assert!(before.elapsed() < secs(8));
}
