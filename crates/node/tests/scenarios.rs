//! Scenarios of Bitcoin Core's functional tests that a whole node plays. `docs/scenarios.md` lists them
//! all.

use std::collections::BTreeSet;
use std::time::Duration;

use peerage_book::Role;
use peerage_core::Kind;
use peerage_node::Event;
use peerage_peers::{EvictRules, Groups, Phase};
use tokio::time::Instant;

use crate::common::{node, secs};
use crate::finding::list;
use crate::stranger::{connect, line, lives};

/// At the limit of inbound peers one without protection goes for a newcomer; whoever is new stays,
/// and so do those that we dialled.
#[tokio::test(start_paused = true)]
async fn p2p_eviction_one_makes_room_for_a_newcomer() {
    let rules = EvictRules {
        by_group: 2,
        by_rtt: 2,
        by_use: 2,
        ..EvictRules::default()
    };
    let mut node = node(|setup| {
        setup.admission.groups = Groups::strict();
        setup.peers.groups = Groups::strict();
        setup.peers.limits.active_in = 12;
        setup.peers.evict = Some(rules);
    });
    let friend = crate::common::node(|_| ());
    node.pin(friend.at, Role::Static).await;
    let dialled = node.established().await;
    let (mut talks, mut inbound) = (Vec::new(), BTreeSet::new());
    let at = node.at;
    let newcomer = async |host: u8, talks: &mut Vec<_>| {
        let mut lines = connect(at, &format!("127.3.{host}.1")).await;
        lines.say("hello - 7").await.unwrap();
        assert!(line(&mut lines).await.unwrap().starts_with("hello"));
        talks.push(lives(lines));
    };
    for host in 0..12 {
        newcomer(host, &mut talks).await;
    }
    // All too young to go: who comes is told that there is no room.
    newcomer(50, &mut talks).await;
    for _ in 0..12 {
        inbound.insert(node.established().await);
    }
    assert_eq!(node.closed().await.1.kind, Kind::Full);
    tokio::time::sleep(secs(60)).await;
    for host in 100..110 {
        newcomer(host, &mut talks).await;
        let mut both = (None, None);
        while both.0.is_none() || both.1.is_none() {
            let next = node.until(|event| match event {
                Event::Established { id, .. } => Some((Some(*id), None)),
                Event::Closed(closed) => Some((None, Some((closed.id, closed.reason.clone())))),
                _ => None,
            });
            let next = next.await;
            both = (next.0.or(both.0), next.1.or(both.1));
        }
        let (Some(new), Some((gone, reason))) = both else {
            unreachable!("both have happened");
        };
        assert!(inbound.remove(&gone), "{gone} of {inbound:?}");
        assert_eq!(reason.kind, Kind::Full, "{}", reason.message);
        assert!(reason.message.contains("made room"), "{}", reason.message);
        inbound.insert(new);
        let active: BTreeSet<_> = node.active().await.into_iter().collect();
        let expected = inbound.iter().copied().chain([dialled]).collect();
        assert_eq!(active, expected);
        tokio::time::sleep(secs(31)).await;
    }
    talks.iter().for_each(|talk| talk.abort());
}

/// Peers that fall behind what is asked of them now go, and others take their places; the rest stay.
#[tokio::test(start_paused = true)]
async fn p2p_outbound_eviction_whoever_falls_behind_is_replaced() {
    let of = |version| crate::common::node(|setup| setup.network.version = version);
    let (old, new): (Vec<_>, Vec<_>) = (
        (0..2).map(|_| of(3)).collect(),
        (0..4).map(|_| of(9)).collect(),
    );
    let found: Vec<_> = old.iter().chain(&new).map(|other| other.at).collect();
    let mut node = node(|setup| {
        setup.peers.limits.active_out = 5;
        setup.peers.limits.spare_dials = 0;
        setup.finders = vec![list(found)];
    });
    for _ in 0..5 {
        node.established().await;
    }
    let before: BTreeSet<_> = node.active().await.into_iter().collect();
    let behind = node.handle.set_status(5).await.unwrap();
    // Two of six, and five are wanted: at least one of them was dialled.
    assert!(!behind.is_empty());
    let stay: BTreeSet<_> = before
        .iter()
        .filter(|id| !behind.contains(id))
        .copied()
        .collect();
    assert!(stay.len() >= 3);
    tokio::time::sleep(secs(120)).await;
    let after: BTreeSet<_> = node.active().await.into_iter().collect();
    assert!(after.is_superset(&stay), "{after:?} {stay:?}");
    assert_eq!(after.len(), 4, "all that are of use");
    for other in &old {
        assert!(other.active().await.is_empty());
    }
}

/// Ten minutes without a network: nobody is blamed, and the full set is back within a minute.
#[tokio::test(start_paused = true)]
async fn after_an_outage_of_ten_minutes_the_full_set_is_back_within_a_minute() {
    let others: Vec<_> = (0..6).map(|_| crate::common::node(|_| ())).collect();
    let found: Vec<_> = others.iter().map(|other| other.at).collect();
    let mut node = node(|setup| {
        setup.peers.limits.active_out = 6;
        setup.finders = vec![list(found.clone())];
    });
    for _ in 0..6 {
        node.established().await;
    }
    // They have proven themselves.
    tokio::time::sleep(secs(300)).await;
    let at: Vec<_> = found
        .iter()
        .map(|at| std::net::SocketAddr::new(at.ip(), at.port()))
        .collect();
    for other in others {
        other.handle.stop().await;
        drop(other);
    }
    tokio::time::sleep(secs(600)).await;
    assert!(node.active().await.is_empty());
    let back = Instant::now();
    let others: Vec<_> = at
        .into_iter()
        .map(|at| {
            crate::common::node(|setup| {
                setup.listeners = vec![peerage_net::Listener::bind(at).unwrap()];
            })
        })
        .collect();
    let mut active = 0;
    while active < 6 {
        active += node
            .until(|event| match event {
                Event::Established { .. } => Some(1),
                Event::Closed(closed) if closed.phase == Phase::Active => Some(0),
                _ => None,
            })
            .await;
    }
    assert!(
        back.elapsed() <= Duration::from_secs(60),
        "{:?}",
        back.elapsed()
    );
    for at in found {
        let story = &node.handle.why(at.into()).await.unwrap()[0];
        assert_eq!(story.entry.failures, 0, "{story}");
    }
    drop(others);
}
