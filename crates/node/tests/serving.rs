//! Connections that others open.

use std::time::Duration;

use peerage_book::{Role, Subject};
use peerage_core::Kind;
use peerage_peers::{Groups, Phase};

use crate::common::{node, secs};
use crate::stranger::{connect, greeted, line, lives};

#[tokio::test(start_paused = true)]
async fn a_ban_of_an_address_ends_its_sessions_and_shuts_the_door() {
    let mut node = node(|_| ());
    let mut other = crate::common::node(|_| ());
    other.pin(node.at, Role::Static).await;
    let id = node.established().await;
    let subject = Subject::Net("127.0.0.0/8".parse().unwrap());
    let banned = node
        .handle
        .ban(subject.clone(), Some(secs(3_600)), "enough")
        .await;
    banned.unwrap().unwrap();
    let (closed, reason) = node.closed().await;
    assert_eq!((closed, reason.kind), (id, Kind::Rejected));
    other.closed().await;
    tokio::time::sleep(secs(1_800)).await;
    let overview = node.handle.overview().await.unwrap();
    assert!(overview.counters.banned > 0);
    assert_eq!((overview.bans, overview.peers.established), (1, 0));
    // It ends by itself, or at a word.
    assert!(node.handle.unban(subject).await.unwrap());
    node.established().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_when_all_slots_are_taken_is_told_so() {
    let mut node = node(|setup| {
        setup.peers.limits.active_in = 1;
        setup.peers.evict = None;
    });
    let first = lives(greeted(node.at, "-").await);
    node.established().await;
    let mut second = greeted(node.at, "-").await;
    assert_eq!(line(&mut second).await.as_deref(), Some("bye full"));
    assert_eq!(line(&mut second).await, None);
    assert_eq!(node.closed().await.1.kind, Kind::Full);
    first.abort();
    node.closed().await;
    let third = lives(greeted(node.at, "-").await);
    node.established().await;
    third.abort();
}

/// One that says nothing is a socket, not a slot: the crowded group makes room, and its connection
/// is closed there and then.
#[tokio::test(start_paused = true)]
async fn silent_strangers_make_room_for_one_who_speaks() {
    let mut node = node(|setup| {
        setup.admission.groups = Groups::strict();
        setup.admission.sockets = 4;
        setup.admission.sockets_per_group = 4;
        setup.admission.group.burst = 100;
        setup.peers.limits.pending_in = 2;
    });
    let mut silent = Vec::new();
    for host in 1..=4 {
        silent.push(connect(node.at, &format!("127.0.1.{host}")).await);
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    let mut honest = connect(node.at, "127.0.2.1").await;
    honest.say("hello - 7").await.unwrap();
    let id = node.established().await;
    let peers = node.handle.peers().await.unwrap();
    assert!(
        peers
            .iter()
            .any(|peer| peer.id == id && peer.phase == Phase::Active)
    );
    // The oldest of the silent ones is gone, without a wait for its goodbye.
    let oldest = &mut silent[0];
    assert!(oldest.line().await.unwrap().starts_with("hello"));
    let gone = tokio::time::timeout(Duration::from_millis(100), oldest.line()).await;
    assert_eq!(gone, Ok(None));
    // The others are heard out until their time is over, and the one who spoke stays.
    let honest = lives(honest);
    tokio::time::sleep(secs(60)).await;
    assert_eq!(node.active().await, [id]);
    assert_eq!(node.handle.peers().await.unwrap().len(), 1);
    honest.abort();
}

#[tokio::test(start_paused = true)]
async fn rates_at_the_door_are_counted() {
    let node = node(|setup| setup.admission.total.burst = 2);
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(connect(node.at, "127.0.0.1").await);
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    let counters = node.handle.overview().await.unwrap().counters;
    assert!(counters.not_admitted >= 1, "{counters:?}");
    assert_eq!(counters.accept_failed, 0);
}
