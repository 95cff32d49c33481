//! A node that is changed while its peers are here.

use std::net::Ipv4Addr;

use peerage_book::{BanWish, PinWish, Role, Subject, WishError, Wishes};
use peerage_core::Kind;
use peerage_node::{Change, Event};
use peerage_peers::{AdmissionRules, Config, Limits};

use crate::common::{Running, Toy, node, nowhere, secs};
use crate::stranger::{connect, greeted, line, lives};

/// A node with so many peers that live, from each of these addresses.
async fn crowd(from: &[(&str, usize)]) -> (Running, Vec<tokio::task::JoinHandle<()>>) {
    let mut node = node(|setup| {
        setup.peers.limits.active_in = 100;
        setup.admission.sockets_per_group = 100;
    });
    let mut all = Vec::new();
    for (ip, count) in from {
        for _ in 0..*count {
            let mut lines = connect(node.at, ip).await;
            lines.say("hello - 7").await.unwrap();
            node.established().await;
            all.push(lives(lines));
        }
    }
    (node, all)
}

fn ban(range: &str) -> BanWish {
    BanWish {
        subject: Subject::Net(range.parse().unwrap()),
        term: None,
        words: "it lies".into(),
    }
}

const fn with(wishes: Wishes) -> Change<Toy> {
    Change {
        limits: None,
        admission: None,
        network: None,
        wishes,
    }
}

fn limits(active_in: usize) -> Option<Limits> {
    let limits = Config::zcash().limits;
    Some(Limits {
        active_in,
        ..limits
    })
}

/// The kinds of reasons with which sessions ended by now.
async fn ends(node: &mut Running) -> Vec<Kind> {
    let mut ends = Vec::new();
    while let Ok(event) = tokio::time::timeout(secs(1), node.events.next()).await {
        if let Event::Closed(closed) = event.unwrap() {
            ends.push(closed.reason.kind);
        }
    }
    ends
}

#[tokio::test(start_paused = true)]
async fn limits_change_under_load_and_whoever_fits_stays() {
    let (mut node, all) = crowd(&[("127.0.0.1", 30)]).await;
    let higher = Change {
        limits: limits(40),
        ..Change::default()
    };
    let changed = node.handle.reconfigure(higher).await.unwrap().unwrap();
    assert_eq!(changed.surplus, [0, 0]);
    tokio::time::sleep(secs(60)).await;
    assert_eq!(node.active().await.len(), 30);
    let lower = Change {
        limits: limits(12),
        ..Change::default()
    };
    let changed = node.handle.reconfigure(lower).await.unwrap().unwrap();
    assert_eq!(changed.surplus, [18, 0]);
    assert_eq!(node.active().await.len(), 30, "nobody goes at once");
    tokio::time::sleep(secs(300)).await;
    let stay = node.active().await;
    assert_eq!(stay.len(), 12);
    assert_eq!(ends(&mut node).await, [Kind::Full; 18]);
    // Nobody else went, and the limit holds for newcomers.
    tokio::time::sleep(secs(600)).await;
    assert_eq!(node.active().await, stay);
    let mut late = greeted(node.at, "-").await;
    assert_eq!(line(&mut late).await.as_deref(), Some("bye full"));
    all.into_iter().for_each(|one| one.abort());
}

#[tokio::test(start_paused = true)]
async fn a_new_ban_ends_the_sessions_it_concerns_and_no_other() {
    let (mut node, all) = crowd(&[("127.0.0.1", 5), ("127.0.0.2", 3)]).await;
    let change = with(Wishes {
        ban: vec![ban("127.0.0.2/32"), ban("198.51.100.0/24")],
        ..Wishes::default()
    });
    let changed = node.handle.reconfigure(change).await.unwrap().unwrap();
    assert_eq!(changed.banned.len(), 3);
    assert_eq!(node.active().await.len(), 5);
    for _ in 0..3 {
        let (id, reason) = node.closed().await;
        assert!(changed.banned.contains(&id));
        assert_eq!(reason.kind, Kind::Rejected);
        assert!(reason.message.contains("it lies"), "{}", reason.message);
    }
    // It is lifted again, and the same host is let in.
    let lift = with(Wishes {
        lift: vec![Subject::Net("127.0.0.2/32".parse().unwrap())],
        ..Wishes::default()
    });
    node.handle.reconfigure(lift).await.unwrap().unwrap();
    let mut back = connect(node.at, "127.0.0.2").await;
    back.say("hello - 7").await.unwrap();
    node.established().await;
    all.into_iter().for_each(|one| one.abort());
}

#[tokio::test(start_paused = true)]
async fn a_change_with_a_wish_that_cannot_be_granted_changes_nothing() {
    let (mut node, all) = crowd(&[("127.0.0.1", 6)]).await;
    let unspecified = peerage_core::Endpoint::unspecified(1);
    let pin = |at| PinWish {
        identity: None,
        address: peerage_book::Address::At(at),
        role: Role::Static,
    };
    let change = Change {
        limits: limits(0),
        admission: Some(AdmissionRules {
            sockets: 0,
            ..AdmissionRules::default()
        }),
        network: Some((
            Toy {
                host: Ipv4Addr::LOCALHOST,
                name: "new",
                version: 9,
            },
            9,
        )),
        wishes: Wishes {
            ban: vec![ban("127.0.0.0/8")],
            pin: vec![pin(nowhere()), pin(unspecified)],
            ..Wishes::default()
        },
    };
    let refused = node.handle.reconfigure(change).await.unwrap();
    assert!(matches!(refused, Err(WishError::Pin { .. })), "{refused:?}");
    tokio::time::sleep(secs(300)).await;
    assert_eq!(node.active().await.len(), 6);
    let overview = node.handle.overview().await.unwrap();
    assert_eq!((overview.bans, overview.known), (0, 0));
    assert!(ends(&mut node).await.is_empty());
    let mut late = connect(node.at, "127.0.0.1").await;
    late.say("hello - 7").await.unwrap();
    assert_eq!(line(&mut late).await.as_deref(), Some("hello - 7"));
    node.established().await;
    all.into_iter().for_each(|one| one.abort());
}

#[tokio::test(start_paused = true)]
async fn new_tables_judge_those_who_are_here_and_greet_those_who_come() {
    let mut node = node(|_| ());
    let mut old = greeted(node.at, "-").await;
    let first = node.established().await;
    let mut new = connect(node.at, "127.0.0.1").await;
    new.say("hello nina 9").await.unwrap();
    let stays = node.established().await;
    let new = lives(new);
    let network = Toy {
        host: Ipv4Addr::LOCALHOST,
        name: "-",
        version: 8,
    };
    let change = Change {
        network: Some((network, 8)),
        ..Change::default()
    };
    let changed = node.handle.reconfigure(change).await.unwrap().unwrap();
    assert_eq!(changed.incompatible, [first]);
    assert_eq!(line(&mut old).await.as_deref(), Some("bye incompatible"));
    assert_eq!(node.active().await, [stays]);
    let mut late = connect(node.at, "127.0.0.1").await;
    assert_eq!(line(&mut late).await.as_deref(), Some("hello - 8"));
    new.abort();
}

/// Nobody has to be lost to become a friend.
#[tokio::test(start_paused = true)]
async fn a_peer_that_becomes_static_is_no_longer_counted_nor_evicted() {
    let other = node(|_| ());
    let mut node = node(|setup| setup.finders = vec![crate::finding::list([other.at])]);
    let id = node.established().await;
    let change = Change {
        limits: Some(Limits {
            active_in: 0,
            active_out: 0,
            ..Config::zcash().limits
        }),
        ..with(Wishes {
            pin: vec![PinWish {
                identity: None,
                address: other.at.into(),
                role: Role::Static,
            }],
            ..Wishes::default()
        })
    };
    let changed = node.handle.reconfigure(change).await.unwrap().unwrap();
    assert_eq!(changed.surplus, [0, 0]);
    tokio::time::sleep(secs(300)).await;
    assert_eq!(node.active().await, [id]);
    assert!(node.handle.unpin(other.at.into()).await.unwrap());
    assert_eq!(node.closed().await.0, id);
    drop(other);
}
