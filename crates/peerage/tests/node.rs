//! Nodes that find, dial and keep each other.

use std::time::Duration;

use peerage::net::Listener;
use peerage::networks::Described;
use peerage::node::book::{Address, Identity, Key, Role, Source, Standing, Tip};
use peerage::node::peers::{Parting, SessionId};
use peerage::node::{Event, EventsOf, HandleOf, Keeps, Node};
use peerage::{Decred, Endpoint, Ethereum, Greeter, Kind, Stage, Zcash};

const CHAINS: [&str; 3] = ["regtest", "simnet", "hoodi"];

struct Running<N: Keeps> {
    handle: HandleOf<N>,
    events: EventsOf<N>,
    at: Endpoint,
    identity: Option<Identity>,
}

fn start<N: Keeps + Described>(chain: &str) -> Running<N> {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let at = listener.local_endpoint().unwrap();
    let mut greeter = Greeter::<N>::new(chain).unwrap();
    N::set_listen_addr(greeter.local_mut(), Some(at));
    let found_at = N::found_at(greeter.local(), at);
    let identity = found_at.key.map(|key| Identity::new(&key.0).unwrap());
    let (handle, events) = Node::new(greeter).with_listener(listener).start().unwrap();
    Running {
        handle,
        events,
        at,
        identity,
    }
}

impl<N: Keeps> Running<N> {
    async fn established(&mut self) -> (SessionId, Key) {
        loop {
            let event = self.events.next().await.unwrap();
            if let Event::Established { id, key, .. } = event {
                return (id, key);
            }
            assert!(!matches!(event, Event::Closed(_)), "{event:?}");
        }
    }

    async fn closed(&mut self) -> peerage::Reason {
        loop {
            if let Event::Closed(closed) = self.events.next().await.unwrap() {
                return closed.reason;
            }
        }
    }

    async fn pin(&self, other: &Self) -> Key {
        let (identity, address) = (other.identity.clone(), Address::At(other.at));
        let pinned = self.handle.pin(identity, address, Role::Static).await;
        pinned.unwrap().unwrap()
    }
}

async fn keeps<N: Keeps + Described>(chain: &str) {
    let (mut one, mut two) = (start::<N>(chain), start::<N>(chain));
    let key = one.pin(&two).await;
    let (id, known_as) = one.established().await;
    assert_eq!(known_as, key);
    two.established().await;
    let peers = one.handle.peers().await.unwrap();
    assert_eq!(peers.len(), 1);
    assert_eq!(peers[0].identity.as_ref(), Some(&key));
    let story = &one.handle.why(key.clone()).await.unwrap()[0];
    assert_eq!(story.entry.successes, 1, "{story}");

    // A static peer is dialled again after it was sent away.
    one.handle
        .disconnect(id, Parting::Requested)
        .await
        .unwrap()
        .unwrap();
    one.closed().await;
    two.closed().await;
    tokio::time::timeout(Duration::from_secs(120), one.established())
        .await
        .unwrap();
    one.handle.stop().await;
    two.established().await;
    let reason = two.closed().await;
    assert!(!reason.message.is_empty());
    two.handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn two_nodes_of_each_network_keep_each_other() {
    keeps::<Zcash>(CHAINS[0]).await;
    keeps::<Decred>(CHAINS[1]).await;
    keeps::<Ethereum>(CHAINS[2]).await;
}

/// Somebody accepts and says nothing; somebody dials and says nothing.
async fn tells_silence<N: Keeps + Described>(chain: &str) -> Vec<(Stage, Kind, String)> {
    let mut node = start::<N>(chain);
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let identity = node.identity.clone().map(|_| {
        let key = Greeter::<N>::new(chain).unwrap();
        let found_at = N::found_at(key.local(), node.at);
        Identity::new(&found_at.key.unwrap().0).unwrap()
    });
    let address = Address::At(mute.local_addr().unwrap().into());
    let pinned = node.handle.pin(identity, address, Role::Static).await;
    pinned.unwrap().unwrap();
    let (silent, _) = mute.accept().await.unwrap();
    let at = std::net::SocketAddr::new(node.at.ip(), node.at.port());
    let visitor = tokio::net::TcpStream::connect(at).await.unwrap();
    let mut told = Vec::new();
    for _ in 0..2 {
        let reason = node.closed().await;
        told.push((reason.stage, reason.kind, reason.message.to_string()));
    }
    drop((silent, visitor));
    node.handle.stop().await;
    told.sort();
    told
}

#[tokio::test(start_paused = true)]
async fn silence_is_told_by_what_did_not_come() {
    let all = [
        (tells_silence::<Zcash>(CHAINS[0]).await, "version"),
        (tells_silence::<Decred>(CHAINS[1]).await, "version"),
        (tells_silence::<Ethereum>(CHAINS[2]).await, "rlpx"),
    ];
    let mut words = Vec::new();
    for (told, expected) in all {
        for (stage, kind, message) in told {
            assert_eq!(stage, Stage::Greet(expected), "{message}");
            assert_eq!(kind, Kind::Timeout, "{message}");
            let what = message.split(" came").next().unwrap();
            words.push(what.to_owned());
        }
    }
    let [v, ack, auth] = ["no version", "no ack", "no auth"];
    assert_eq!(words, [v, v, v, v, ack, auth]);
}

/// A node that is told of its own address.
async fn meets_itself<N: Keeps + Described>(chain: &str) {
    let node = start::<N>(chain);
    let key = match &node.identity {
        Some(identity) => Tip::of(identity.clone(), vec![node.at], Source::Operator),
        None => Tip::at(node.at, Source::Operator),
    };
    let key = (key.key.clone(), node.handle.add(key).await.unwrap()).0;
    // Longer than any backoff but that of a reason that says never.
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    let overview = node.handle.overview().await.unwrap();
    assert_eq!(overview.counters.dialled, 1, "{}", N::NETWORK);
    assert_eq!(overview.book.own, 1, "{}", N::NETWORK);
    let story = &node.handle.why(key).await.unwrap()[0];
    let standing = &story.standing;
    assert!(matches!(standing, Standing::Ourselves { .. }), "{story}");
    assert!(story.to_string().contains("this node itself"), "{story}");
    assert!(story.is_ourselves(), "{story}");
    node.handle.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_dialled_itself_does_not_do_so_again_and_why_says_so() {
    meets_itself::<Zcash>(CHAINS[0]).await;
    meets_itself::<Decred>(CHAINS[1]).await;
    meets_itself::<Ethereum>(CHAINS[2]).await;
}
