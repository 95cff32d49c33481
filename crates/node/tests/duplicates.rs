//! Two connections with one peer.

use peerage_book::{Address, Identity, Role};
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

#[tokio::test(start_paused = true)]
async fn two_that_dial_each_other_keep_one_connection() {
    for _ in 0..20 {
        let (one, two) = (named("one", |_| ()), named("two", |_| ()));
        tokio::join!(pin(&one, "two", &two), pin(&two, "one", &one));
        tokio::time::sleep(secs(120)).await;
        for (node, other) in [(&one, "two"), (&two, "one")] {
            let peers = node.handle.peers().await.unwrap();
            assert_eq!(peers.len(), 1, "{peers:?}");
            // The book knows of it, or at least that there is nobody to be dialled.
            let key = Identity::new(other.as_bytes()).unwrap().into();
            let story = &node.handle.why(key).await.unwrap()[0];
            assert!(story.entry.attempts <= 2, "{story}");
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
