//! Nodes of Ethereum that know one boot node, find each other by discovery v5 over loopback and end
//! in sessions with each other.

use std::collections::BTreeSet;
use std::time::Duration;

use peerage::find::{self, Bind, Search, Sockets};
use peerage::net::Listener;
use peerage::networks::Described;
use peerage::node::book::{Identity, Key, Source, Standing};
use peerage::node::peers::Phase;
use peerage::node::{Event, EventsOf, HandleOf, Node};
use peerage::{Ethereum, Greeter, Kind, NodeKey, Protocol, UnixTime};

/// A node of `chain` and its discovery under one key.
struct Running {
    key: Key,
    node: HandleOf<Ethereum>,
    events: EventsOf<Ethereum>,
    discovery: find::Handle,
}

async fn start(chain: &str, boot: &[&Running]) -> Running {
    let key = NodeKey::generate();
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let at = listener.local_endpoint().unwrap();
    let greeter = Greeter::<Ethereum>::new(chain).unwrap().with_key(&key);
    let sockets = Sockets::bind(&Bind::at("127.0.0.1:0".parse().unwrap())).unwrap();
    let mut setup = find::setup(&key, &sockets);
    let forks = greeter.local().forks(UnixTime(1_800_000_000));
    let record = setup.record.raw("eth", forks.record_entry());
    setup.record = record.tcp4(at.port());
    for node in boot {
        setup.boot.push(node.discovery.record().await.unwrap());
    }
    let discovery = find::start(setup, sockets).unwrap().handle;
    let search = Search::dialable().pause(Duration::from_millis(50));
    let finder = discovery.finder(Ethereum::NETWORK, search).await.unwrap();
    let id = Ethereum::found_at(greeter.local(), at).key.unwrap();
    let mut node = Node::new(greeter)
        .with_listener(listener)
        .with_finders([Box::new(finder) as Box<dyn find::Finder>]);
    node.setup_mut().book.local = true;
    let (node, events) = node.start().unwrap();
    Running {
        key: Identity::new(&id.0).unwrap().into(),
        node,
        events,
        discovery,
    }
}

impl Running {
    /// Whom it has sessions with.
    async fn peers(&self) -> Vec<Key> {
        let peers = self.node.peers().await.unwrap().into_iter();
        let active = peers.filter(|peer| peer.phase == Phase::Active);
        active.filter_map(|peer| peer.identity).collect()
    }

    /// Until it has a session with each of these.
    async fn meets(&mut self, all: &BTreeSet<Key>) {
        let mut others = all.clone();
        others.remove(&self.key);
        while self.peers().await.into_iter().collect::<BTreeSet<_>>() != others {
            self.events.next().await.unwrap();
        }
    }
}

/// Whether each has one session with each of the others, and its book says so.
async fn are_settled(all: &[Running]) -> bool {
    for node in all {
        if node.peers().await.len() != all.len() - 1 {
            return false;
        }
        for other in all.iter().filter(|other| other.key != node.key) {
            let stories = node.node.why(other.key.clone()).await.unwrap();
            if stories[0].standing != Standing::Connected {
                return false;
            }
        }
    }
    true
}

const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test]
async fn nodes_that_find_each_other_by_discovery_keep_each_other() {
    let mut all = vec![start("hoodi", &[]).await];
    for _ in 0..3 {
        all.push(start("hoodi", &[&all[0]]).await);
    }
    // Found as well, and never dialled: it follows other forks.
    let stranger = start("mainnet", &[&all[0]]).await;
    let keys: BTreeSet<_> = all.iter().map(|node| node.key.clone()).collect();
    let meet = async {
        // Of two that dialled each other one connection goes, a moment after both have come about.
        loop {
            for node in &mut all {
                node.meets(&keys).await;
            }
            if are_settled(&all).await {
                break;
            }
        }
    };
    tokio::time::timeout(LIMIT, meet).await.unwrap();

    let mut lived = 0;
    for node in &mut all {
        let reports = node.node.finders().await.unwrap();
        assert_eq!(reports[0].report.source, find::SOURCE);
        assert!(!reports[0].is_over);
        lived += reports[0].lived;
        let counters = node.node.overview().await.unwrap().counters;
        assert!(counters.taken <= counters.found);
        for key in keys.iter().filter(|key| **key != node.key) {
            let story = &node.node.why(key.clone()).await.unwrap()[0];
            // Whoever only dialled us is known by that.
            let told = |source: &Source| {
                matches!(source, Source::Discovery(None) | Source::Inbound(Some(_)))
            };
            assert!(story.entry.sources.iter().all(told), "{story}");
        }
    }
    assert!(lived >= 6, "each pair came about by somebody's search");

    // What was found of the stranger is told, with why it is left alone.
    let finds = async {
        loop {
            for node in &mut all {
                if let Some(story) = node.node.why(stranger.key.clone()).await.unwrap().first() {
                    return story.clone();
                }
            }
            let found = all[0].events.next().await.unwrap();
            assert!(!matches!(found, Event::Stalled { .. }));
        }
    };
    let story = tokio::time::timeout(LIMIT, finds).await.unwrap();
    let Standing::Unfit(cause) = &story.standing else {
        panic!("{story}");
    };
    assert_eq!((cause.kind, story.entry.attempts), (Kind::WrongFork, 0));
    for node in all.iter().chain([&stranger]) {
        node.discovery.close().await;
        node.node.stop().await;
    }
}
