//! Candidates.

use peerage_core::Network;
use peerage_find::{Claims, Finder, SOURCE, Search};

use crate::common::{id, node, record, setup};

const NETWORK: Network = Network("test");

#[tokio::test]
async fn a_finder_tells_each_node_once_and_again_when_it_has_a_newer_record() {
    let (boot, far) = (node(1), node(3));
    let known = record(&boot).await;
    far.handle.ping(&known).await.unwrap();
    boot.handle.ping(&record(&far).await).await.unwrap();
    let (mut setup, sockets) = setup(2);
    setup.boot = vec![known];
    let one = peerage_find::start(setup, sockets).unwrap();
    let search = Search::wanting(|_| true).pause(std::time::Duration::from_millis(1));
    let mut finder = one.handle.finder(NETWORK, search).await.unwrap();
    assert_eq!(finder.source(), SOURCE);
    let mut found = Vec::new();
    for _ in 0..2 {
        let candidate = finder.next().await.unwrap();
        assert_eq!((candidate.network, candidate.source), (NETWORK, SOURCE));
        assert!(candidate.public_key.is_some());
        found.push(candidate.claims.record().unwrap().node_id());
    }
    found.sort();
    let mut both = [id(1), id(3)];
    both.sort();
    assert_eq!(found, both, "each once");

    // Its next record is news, and nothing else is.
    let newer = far.handle.update_record(|record| record.tcp4(30303)).await;
    let newer = newer.unwrap().unwrap();
    one.handle.resolve(id(3)).await.unwrap();
    let candidate = finder.next().await.unwrap();
    assert_eq!(candidate.claims, Claims::Record(newer.clone()));
    assert_eq!(candidate.endpoints, [newer.tcp4_endpoint().unwrap()]);
}

#[tokio::test]
async fn a_finder_wants_what_it_is_told_to_want_and_ends_with_its_service() {
    let (one, two) = (node(1), node(2));
    one.handle.ping(&record(&two).await).await.unwrap();
    let dialable = one
        .handle
        .finder(NETWORK, Search::dialable())
        .await
        .unwrap();
    // The one node there is has no place to dial.
    let mut dyn_finder: Box<dyn Finder> = Box::new(dialable);
    let handle = one.handle.clone();
    let waiting = tokio::spawn(async move { dyn_finder.next().await });
    tokio::task::yield_now().await;
    handle.close().await;
    assert_eq!(waiting.await.unwrap(), None);
}
