//! A node: finds, dials, greets and keeps peers of one network and chain.
//!
//! ```no_run
//! use peerage::node::{Event, Node};
//! use peerage::{Greeter, Zcash, find};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let greeter = Greeter::<Zcash>::new("mainnet")?;
//! let finders = find::seeds(&greeter)?;
//! let (node, mut events) = Node::new(greeter).with_finders(finders).start()?;
//! while let Some(event) = events.next().await {
//!     match event {
//!         Event::Established { id, profile, .. } => {
//!             println!("{id}: {}", profile.theirs.user_agent);
//!         }
//!         Event::Closed(closed) => println!("{}: {}", closed.id, closed.reason),
//!         _ => {}
//!     }
//! }
//! node.stop().await;
//! # Ok(())
//! # }
//! ```

mod ethereum;
mod family;
mod kept;
mod wired;

use std::sync::Arc;

use peerage_core::Endpoint;
use peerage_find::Finder;
use peerage_net::{Listener, Route};
use peerage_peers::AdmissionRules;

pub use peerage_book as book;
pub use peerage_node::{
    Asked, Audience, Change, Changed, Counters, Ended, Events, FinderReport, Handle, Notice,
    Overview, Peer, Removed, RequestError, StartError, Stopped, Subscription, Wants,
};
pub use peerage_peers as peers;
pub use peerage_store as store;

pub use self::family::Customs;
pub use self::kept::{Keeper, Keeps, Kept, KeptLink};
pub use self::wired::{Asked as WhatWasAsked, NoMessage, Payload, Question, Wired};

use crate::greeter::Greeter;
use crate::os;

/// What happens in a node of `N`.
pub type Event<N> = peerage_node::Event<Keeper<N>>;

/// Talks to a node of `N`.
pub type HandleOf<N> = Handle<Keeper<N>>;

/// The events of a node of `N`.
pub type EventsOf<N> = Events<Keeper<N>>;

/// The events of a node of `N`, for somebody who may be slow.
pub type SubscriptionOf<N> = Subscription<Keeper<N>>;

/// A peer of a node of `N`. [`Described::facts`](crate::networks::Described::facts) says what its
/// profile tells in terms that all networks share: software, version, height or head.
pub type PeerOf<N> = Peer<Keeper<N>>;

/// A node of `N` before it starts.
pub struct Node<N: Keeps> {
    setup: peerage_node::Setup<Keeper<N>>,
}

impl<N: Keeps> Node<N> {
    /// A node that greets as `greeter` does, by the customs of its network. It knows nobody, looks
    /// for nobody and cannot be dialled yet.
    pub fn new(greeter: Greeter<N>) -> Self {
        let mut book = book::Config::default();
        if !matches!(greeter.route(), Route::Direct) {
            book.names = book::config::Names::Dial;
        }
        let setup = peerage_node::Setup {
            status: N::status(greeter.local()),
            network: Keeper(greeter),
            peers: N::customs(),
            book,
            admission: AdmissionRules::default(),
            listeners: Vec::new(),
            finders: Vec::new(),
            store: None,
            wall: os::wall_clock,
            seed: os::random(),
        };
        Self { setup }
    }

    /// Everything that can be set: limits, deadlines, rules.
    pub const fn setup_mut(&mut self) -> &mut peerage_node::Setup<Keeper<N>> {
        &mut self.setup
    }

    /// Takes connections at `listener` as well.
    #[must_use]
    pub fn with_listener(mut self, listener: Listener) -> Self {
        self.setup.listeners.push(listener);
        self
    }

    /// Looks for peers by these as well.
    #[must_use]
    pub fn with_finders(mut self, finders: impl IntoIterator<Item = Box<dyn Finder>>) -> Self {
        self.setup.finders.extend(finders);
        self
    }

    /// Keeps its book in `store`, as that of its network and chain.
    #[must_use]
    pub fn with_store(mut self, store: Arc<store::Store>, realm: store::Realm) -> Self {
        self.setup.store = Some((store, realm));
        self
    }

    /// Where its listeners are reached; without an answer from the system, nothing.
    pub fn listens_at(&self) -> Vec<Endpoint> {
        let at = self.setup.listeners.iter();
        at.filter_map(|listener| listener.local_endpoint().ok())
            .collect()
    }

    /// Starts it on the caller's runtime.
    ///
    /// # Errors
    /// When the configuration makes no sense, or the stored book cannot be read.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start(self) -> Result<(HandleOf<N>, EventsOf<N>), StartError> {
        peerage_node::start(self.setup)
    }
}

impl<N: Keeps> std::fmt::Debug for Node<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("network", &N::NETWORK)
            .field("finders", &self.setup.finders.len())
            .finish_non_exhaustive()
    }
}
