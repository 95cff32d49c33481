//! Two connections with one peer.

use peerage_book::{Address, Identity, Role, Standing};
use peerage_core::Kind;

use crate::common::{Running, named, node, secs};
use crate::stranger::{greeted, line, lives};

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
