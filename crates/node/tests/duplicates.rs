//! Two connections with one peer.

use std::net::Ipv4Addr;

use peerage_book::{Address, Identity, Role, Source, Standing, Tip};
use peerage_core::Kind;
use peerage_peers::Groups;

use crate::common::{Running, listener_at, named, node, node_at, secs};
use crate::finding::list;
use crate::stranger::{Waiting, greeted, line, lives};

async fn pin(node: &Running, name: &str, other: &Running) {
    let identity = Some(Identity::new(name.as_bytes()).unwrap());
    let pinned = node
        .handle
        .pin(identity, Address::At(other.at), Role::Static);
    pinned.await.unwrap().unwrap();
}

/// Both dial at once, or one a little later, as far apart as an attempt has stages.
#[tokio::test(start_paused = true)]
async fn two_that_dial_each_other_keep_one_connection() {
    for round in 0..24 {
        let (one, two) = (named("one", |_| ()), named("two", |_| ()));
        if round % 3 == 0 {
            tokio::join!(pin(&one, "two", &two), pin(&two, "one", &one));
        } else {
            pin(&one, "two", &two).await;
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            pin(&two, "one", &one).await;
        }
        tokio::time::sleep(secs(120)).await;
        let mut told = Vec::new();
        for (node, other) in [(&one, "two"), (&two, "one")] {
            let peers = node.handle.peers().await.unwrap();
            assert_eq!(peers.len(), 1, "{peers:?}");
            told.push(peers[0].direction);
            let key = Identity::new(other.as_bytes()).unwrap().into();
            let story = &node.handle.why(key).await.unwrap()[0];
            assert_eq!(story.standing, Standing::Connected, "{story}");
            assert!(story.entry.attempts <= 1, "{story}");
            assert_eq!(story.entry.failures, 0, "{story}");
            // Whatever went has gone long ago: it was one connection at the most.
            let over = node.handle.overview().await.unwrap();
            let ended: u64 = over.ended.iter().map(|(_, count)| count).sum();
            assert!(ended <= 1, "{:?}", over.ended);
        }
        assert_ne!(told[0], told[1], "both ends kept the same one");
        tokio::time::sleep(secs(600)).await;
        for node in [&one, &two] {
            let of = node.handle.overview().await.unwrap();
            assert_eq!(of.peers.established, 1);
            let begun = of.counters.dialled + of.counters.accepted;
            assert!(begun <= 2, "nothing is tried again: {:?}", of.counters);
        }
    }
}

/// The same where peers have no identity: the two addresses decide, and whoever lost its dial knows
/// that its peer is here. With and without a limit that would have decided instead.
#[tokio::test(start_paused = true)]
async fn two_hosts_that_dial_each_other_keep_one_connection() {
    for round in 0..24 {
        let hosts = [1, 2].map(|last| Ipv4Addr::new(127, 0, 0, last));
        let listeners = hosts.map(listener_at);
        let at = [listeners[0].1, listeners[1].1];
        let mut nodes = Vec::new();
        for (n, listener) in listeners.into_iter().enumerate() {
            nodes.push(node_at(listener, |setup| {
                setup.network.host = hosts[n];
                setup.peers.groups = Groups::strict();
                setup.peers.limits.per_group = 1 + round % 2;
                setup.finders = vec![list([at[1 - n]])];
            }));
            for _ in 0..(round / 2 * n) {
                tokio::task::yield_now().await;
            }
        }
        tokio::time::sleep(secs(120)).await;
        let mut directions = Vec::new();
        for (n, node) in nodes.iter().enumerate() {
            let peers = node.handle.peers().await.unwrap();
            assert_eq!(peers.len(), 1, "{peers:?}");
            directions.push(peers[0].direction);
            let story = &node.handle.why(at[1 - n].into()).await.unwrap()[0];
            // Whoever was quick enough to be dialled before it dials does not know whom.
            if story.entry.attempts > 0 {
                assert_eq!(story.standing, Standing::Connected, "{story}");
            }
            assert!(story.entry.attempts <= 1, "{story}");
            assert_eq!(story.entry.failures, 0, "{story}");
        }
        assert_ne!(directions[0], directions[1], "both ends kept the same one");
        tokio::time::sleep(secs(600)).await;
        for node in &nodes {
            let of = node.handle.overview().await.unwrap();
            assert_eq!(of.peers.established, 1);
            assert!(of.counters.dialled <= 1, "{:?}", of.counters);
        }
    }
}

/// It comes from where a session with us comes from, and is dialled again when that is over.
#[tokio::test(start_paused = true)]
async fn a_host_that_is_here_is_not_dialled_until_it_leaves() {
    let (waiting, at) = Waiting::new().await;
    let mut node = node(|setup| setup.peers.groups = Groups::strict());
    let visitor = greeted(node.at, "-").await;
    let id = node.established().await;
    let tip = Tip::at(at, Source::Operator);
    node.handle.add(tip).await.unwrap().unwrap();
    let visitor = lives(visitor);
    tokio::time::sleep(secs(600)).await;
    assert_eq!(node.active().await, [id]);
    let dialled = node.handle.overview().await.unwrap().counters.dialled;
    assert_eq!(dialled, 0);
    visitor.abort();
    let _lines = waiting.greeted("").await;
    node.established().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_connection_of_one_identity_is_told_so() {
    let mut node = node(|_| ());
    let first = lives(greeted(node.at, "anna").await);
    let id = node.established().await;
    let mut second = greeted(node.at, "anna").await;
    let said = line(&mut second).await;
    assert_eq!(said.as_deref(), Some("bye already connected"));
    assert_eq!(node.closed().await.1.kind, Kind::AlreadyConnected);
    assert_eq!(node.active().await, [id]);
    // It comes and goes as often as it likes: nothing of it stays behind.
    first.abort();
    node.closed().await;
    let again = lives(greeted(node.at, "anna").await);
    node.established().await;
    again.abort();
}
