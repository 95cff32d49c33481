//! Our own nodes, one on each network, without the types in which networks differ.

use std::time::Duration;

use peerage::find::Finder;
use peerage::net::Listener;
use peerage::networks::{BoxFuture, Described, PeerFacts};
use peerage::node::book::{Key, Role, Story};
use peerage::node::peers::{Phase, Snapshot};
use peerage::node::{
    Event, EventsOf, FinderReport, HandleOf, Keeps, Node, Overview, Stopped, Wired,
};
use peerage::{Direction, Endpoint, Greeter, Reason};
use tokio::sync::mpsc;

use crate::output::{Failed, usage};
use crate::serve::api::{Feed, Gate, Shown};

/// The longest a dial with its handshake may take, in seconds: a thousand times what a healthy
/// neighbour needs, and yet nobody gets bored while the silent one is waited for.
pub(super) const LIMIT: Duration = Duration::from_secs(6);

/// How long somebody who failed is left alone, whatever the reason asks for: the world has no time
/// for the hours that are customary.
const WAIT: Duration = Duration::from_secs(3);

/// The pause between two dials.
const SPACING: Duration = Duration::from_millis(10);

/// How often peers are pinged.
const PING_EVERY: Duration = Duration::from_secs(1);

/// More peers than there are, so that whoever is there is wanted.
const ROOM: usize = 100;

/// How many news wait to be read.
const NEWS: usize = 1024;

/// What a node of ours tells.
#[derive(Debug)]
pub(super) enum News {
    /// A peer is established.
    Established { key: Key, facts: Box<PeerFacts> },
    /// An attempt or a session is over.
    Closed {
        key: Option<Key>,
        direction: Direction,
        was_peer: bool,
        reason: Box<Reason>,
        lasted: Duration,
    },
}

/// What nodes tell, each with its place among ours.
pub(super) type Told = mpsc::Receiver<(usize, News)>;
pub(super) type Tell = mpsc::Sender<(usize, News)>;

pub(super) fn news() -> (Tell, Told) {
    mpsc::channel(NEWS)
}

/// A node of ours that runs, until this is dropped.
pub(super) trait Ours: Send + Sync {
    fn overview(&self) -> BoxFuture<'_, Result<Overview, Stopped>>;
    fn peers(&self) -> BoxFuture<'_, Result<Vec<Snapshot<Key>>, Stopped>>;
    fn finders(&self) -> BoxFuture<'_, Result<Vec<FinderReport>, Stopped>>;
    fn why(&self, key: Key) -> BoxFuture<'_, Result<Vec<Story>, Stopped>>;
    /// Dials it, whoever else told of it.
    fn pin(&self, key: Key, at: peerage::Endpoint) -> BoxFuture<'_, Result<(), Stopped>>;
}

impl<N: Keeps> Ours for HandleOf<N> {
    fn overview(&self) -> BoxFuture<'_, Result<Overview, Stopped>> {
        Box::pin(Self::overview(self))
    }

    fn peers(&self) -> BoxFuture<'_, Result<Vec<Snapshot<Key>>, Stopped>> {
        Box::pin(Self::peers(self))
    }

    fn finders(&self) -> BoxFuture<'_, Result<Vec<FinderReport>, Stopped>> {
        Box::pin(Self::finders(self))
    }

    fn why(&self, key: Key) -> BoxFuture<'_, Result<Vec<Story>, Stopped>> {
        Box::pin(Self::why(self, key))
    }

    fn pin(&self, key: Key, at: peerage::Endpoint) -> BoxFuture<'_, Result<(), Stopped>> {
        let identity = match key {
            Key::Identity(identity) => Some(identity),
            Key::Address(_) => None,
        };
        Box::pin(async move {
            // That the book does not take it shows when nobody dials it.
            let pinned = Self::pin(self, identity, at.into(), Role::Static).await;
            pinned.map(drop)
        })
    }
}

/// To whom a node of ours tells what happens.
pub(super) struct To<'a> {
    pub(super) tell: Tell,
    /// Its place among ours.
    pub(super) place: usize,
    pub(super) gate: &'a mut Gate,
}

/// Starts a node of ours. It is an ordinary one, but for the size of its world: all of that is at
/// one address, and has little time.
pub(super) fn start<N: Wired + Described>(
    greeter: Greeter<N>,
    listener: Listener,
    finders: Vec<Box<dyn Finder>>,
    to: To<'_>,
) -> Result<Box<dyn Ours>, Failed> {
    let at: Vec<_> = listener.local_endpoint().into_iter().collect();
    let found_at = |at: &Endpoint| N::shown(&N::found_at(greeter.local(), *at));
    let shown = Shown {
        network: N::NETWORK.0.to_owned(),
        chain: N::chain(greeter.local()).to_owned(),
        listens: at.iter().map(ToString::to_string).collect(),
        addresses: at.iter().map(found_at).collect(),
        record: String::new(),
    };
    let mut node = Node::new(greeter.clone())
        .with_listener(listener)
        .with_finders(finders);
    let setup = node.setup_mut();
    setup.book.local = true;
    setup.book.spacing = SPACING;
    setup.book.backoff.least = WAIT / 3;
    setup.book.backoff.most = WAIT;
    setup.book.backoff.most_pinned = WAIT;
    setup.book.backoff.never = WAIT;
    let peers = &mut setup.peers;
    peers.limits.pending_out = ROOM;
    peers.limits.active_out = ROOM;
    peers.deadlines.attempt = LIMIT;
    peers.deadlines.stage = LIMIT;
    peers.keepalive.first = PING_EVERY;
    peers.keepalive.interval = PING_EVERY;
    let (handle, events) = node.start().map_err(usage)?;
    let feed = to.gate.add(handle.clone(), greeter, shown);
    tokio::spawn(pass_on::<N>(events, feed, to.tell, to.place));
    Ok(Box::new(handle))
}

/// Passes on what matters here, until the node has stopped or nobody listens.
async fn pass_on<N: Wired + Described>(
    mut events: EventsOf<N>,
    feed: Feed<N>,
    tell: Tell,
    place: usize,
) {
    while let Some(event) = events.next().await {
        // A peer's question that no program takes is given up by the node.
        let _taken = feed.tell(&event);
        #[expect(clippy::wildcard_enum_match_arm, reason = "messages are no news here")]
        let news = match event {
            Event::Established { key, profile, .. } => News::Established {
                key,
                facts: Box::new(N::facts(&profile, 0)),
            },
            Event::Closed(closed) => News::Closed {
                key: closed.identity,
                direction: closed.direction,
                was_peer: closed.phase == Phase::Active,
                reason: Box::new(closed.reason),
                lasted: closed.lasted,
            },
            _ => continue,
        };
        if tell.send((place, news)).await.is_err() {
            return;
        }
    }
}
