//! What a node keeps of the good, and what it says of the others.

use std::time::Duration;

use peerage::discv5::curve::SecretKey;
use peerage::discv5::record::Builder;
use peerage::faults::Fault;
use peerage::find::{Candidate, Claims, Finder, List};
use peerage::net::{Connection, Listener};
use peerage::networks::Described;
use peerage::node::book::{Address, Identity, Key, Role, Standing, Story};
use peerage::node::{HandleOf, Keeps, Node};
use peerage::{Decred, Endpoint, Ethereum, Greeter, Kind, NodeKey, Zcash};
use tokio::time::Instant;

/// A peer with this fault: where it is, and who.
fn faulty<N: Keeps + Described>(chain: &'static str, fault: Fault) -> (Endpoint, Option<Identity>) {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let at = listener.local_endpoint().unwrap();
    let greeter = Greeter::<N>::new(chain).unwrap();
    let found_at = N::found_at(greeter.local(), at);
    let identity = found_at.key.map(|key| Identity::new(&key.0).unwrap());
    let table = N::builtin_table();
    tokio::spawn(async move {
        loop {
            let connection: Connection<_> = listener.accept().await.unwrap();
            let deadline = Instant::now() + Duration::from_secs(300);
            let table = &table;
            N::misbehave(&greeter, table, fault, connection, deadline).await;
        }
    });
    (at, identity)
}

/// What a node that pins a peer with each fault says of it after a while.
async fn explains<N: Keeps + Described>(chain: &'static str) {
    for fault in N::FAULTS {
        let (at, identity) = faulty::<N>(chain, *fault);
        let node = Node::new(Greeter::<N>::new(chain).unwrap());
        let (handle, events) = node.start().unwrap();
        drop(events);
        let pinned = handle.pin(identity, Address::At(at), Role::Static).await;
        let key = pinned.unwrap().unwrap();
        let story = story(&handle, key).await;
        let cause = story.last_cause().unwrap();
        assert_eq!(cause.kind, fault.expected(), "{fault:?}: {story}");
        assert_eq!(story.entry.successes, 0, "{fault:?}: {story}");
        handle.stop().await;
    }
}

/// The story of a peer once something went wrong.
async fn story<N: Keeps>(handle: &HandleOf<N>, key: Key) -> Story {
    loop {
        let mut stories = handle.why(key.clone()).await.unwrap();
        if stories
            .first()
            .is_some_and(|story| story.last_cause().is_some())
        {
            return stories.remove(0);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_fault_of_a_peer_is_named_by_its_story() {
    explains::<Zcash>("regtest").await;
    explains::<Decred>("simnet").await;
    explains::<Ethereum>("hoodi").await;
}

/// A record with this `eth` entry, and a candidate of it.
fn found(key: &NodeKey, at: Endpoint, eth: Option<Vec<u8>>) -> Candidate {
    let key = SecretKey::from_bytes(*key.secret_bytes()).unwrap();
    let mut record = Builder::new(1).ip(at.ip()).tcp4(at.port());
    record = match eth {
        Some(entry) => record.raw("eth", entry),
        None => record.raw("eth2", vec![0x80]),
    };
    let record = record.sign(&key).unwrap();
    Candidate {
        network: peerage::Network("ethereum"),
        endpoints: vec![at],
        public_key: Some(record.uncompressed_public_key().unwrap()),
        source: peerage::find::SOURCE,
        told_by: None,
        claims: Claims::Record(record),
    }
}

/// Consensus-layer nodes and those of other forks share the discovery network with us.
#[tokio::test(start_paused = true)]
async fn records_of_other_chains_are_never_dialled_and_their_stories_say_why() {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let at = listener.local_endpoint().unwrap();
    // [[hash, next]], EIP-868 and EIP-2124, of a fork that is nobody's.
    let foreign = vec![0xc7, 0xc6, 0x84, 1, 2, 3, 4, 0x80];
    let candidates = [None, Some(foreign)].map(|eth| found(&NodeKey::generate(), at, eth));
    let keys = candidates.each_ref().map(|it| {
        let key: Key = Identity::new(&it.public_key.unwrap()).unwrap().into();
        key
    });
    let finder: Box<dyn Finder> = Box::new(List::new(candidates));
    let mut node = Node::new(Greeter::<Ethereum>::new("hoodi").unwrap()).with_finders([finder]);
    node.setup_mut().book.local = true;
    let (handle, events) = node.start().unwrap();
    drop(events);
    let dialled = tokio::time::timeout(Duration::from_secs(3_600), listener.accept()).await;
    assert!(dialled.is_err(), "somebody was dialled");
    for key in keys {
        let story = &handle.why(key).await.unwrap()[0];
        assert!(matches!(story.standing, Standing::Unfit(_)), "{story}");
        assert_eq!(story.last_cause().unwrap().kind, Kind::WrongFork);
        assert_eq!(story.entry.attempts, 0);
    }
}

/// Of three nodes of Zcash the third knows only the first, and hears of the second.
#[tokio::test(start_paused = true)]
async fn addresses_travel_by_gossip() {
    let start = |finders: Vec<Box<dyn Finder>>| {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let at = listener.local_endpoint().unwrap();
        let mut greeter = Greeter::<Zcash>::new("regtest").unwrap();
        Zcash::set_listen_addr(greeter.local_mut(), Some(at));
        let mut node = Node::new(greeter)
            .with_listener(listener)
            .with_finders(finders);
        node.setup_mut().book.local = true;
        let (handle, events) = node.start().unwrap();
        drop(events);
        (handle, at)
    };
    let knows = |at: &[Endpoint]| -> Vec<Box<dyn Finder>> {
        let candidates = at.iter().map(|at| Candidate {
            network: peerage::Network("zcash"),
            endpoints: vec![*at],
            public_key: None,
            source: peerage::find::SOURCE,
            told_by: None,
            claims: Claims::None,
        });
        vec![Box::new(List::new(candidates.collect::<Vec<_>>()))]
    };
    let (_second, second_at) = start(Vec::new());
    let (_more, more_at) = start(Vec::new());
    let (first, first_at) = start(knows(&[second_at, more_at]));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(first.overview().await.unwrap().peers.established, 2);
    let (third, _) = start(knows(&[first_at]));
    tokio::time::sleep(Duration::from_secs(600)).await;
    // An answer is a share of what is known: one of the two.
    let told = [second_at, more_at].map(|at| third.why(at.into()));
    let [second, more] = told;
    let heard = second.await.unwrap().len() + more.await.unwrap().len();
    assert_eq!(heard, 1, "one of them was told of");
    assert_eq!(third.overview().await.unwrap().peers.established, 2);
}
