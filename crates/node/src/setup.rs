//! Starting a node.

use std::sync::Arc;

use peerage_book::{Book, ConfigError};
use peerage_core::UnixTime;
use peerage_find::Finder;
use peerage_net::Listener;
use peerage_peers::{AdmissionRules, Types};
use peerage_store::{Realm, Store};
use tokio::sync::mpsc;

use crate::events::Events;
use crate::handle::Handle;
use crate::network::Network;
use crate::owner::Owner;

/// How many events wait for the application, at the most.
const EVENTS: usize = 256;

/// How many commands wait for the node.
const COMMANDS: usize = 64;

/// What a node starts from.
pub struct Setup<N: Network> {
    /// The network, with its keys and its route.
    pub network: N,
    /// Limits and deadlines of sessions. How many handshakes others may have begun, `admission`
    /// decides: it makes room where the table could only refuse.
    pub peers: peerage_peers::Config,
    /// Our side of the judgement of peers.
    pub status: <N::Types as Types>::Status,
    /// What to remember, and for how long.
    pub book: peerage_book::Config,
    /// Who may knock.
    pub admission: AdmissionRules,
    /// Where others can dial us; nowhere if there is none.
    pub listeners: Vec<Listener>,
    /// Where candidates come from.
    pub finders: Vec<Box<dyn Finder>>,
    /// Where the book is kept over restarts.
    pub store: Option<(Arc<Store>, Realm)>,
    /// The wall clock.
    pub wall: fn() -> UnixTime,
    /// Unpredictable bytes.
    pub seed: [u8; 32],
}

/// Starts a node on the caller's runtime. It runs until [`Handle::stop`], or until every handle is
/// dropped.
///
/// A book in the store is read first, so this blocks for as long as that takes; what cannot be read
/// is an error, and the file is left as it is.
///
/// # Errors
/// When the configuration makes no sense, or the stored book cannot be read.
pub fn start<N: Network>(mut setup: Setup<N>) -> Result<(Handle<N>, Events<N>), StartError> {
    let pending_in = &mut setup.peers.limits.pending_in;
    *pending_in = setup.admission.sockets.max(*pending_in);
    let (events, heard) = mpsc::channel(EVENTS);
    let (commands, orders) = mpsc::channel(COMMANDS);
    let owner = Owner::new(setup, orders, events)?;
    drop(tokio::spawn(owner.run()));
    Ok((Handle::new(commands), Events(heard)))
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration of the book makes no sense.
    #[error("the configuration of the book makes no sense")]
    Book(#[from] ConfigError),
    /// The configuration of the peer table makes no sense.
    #[error("the configuration of sessions makes no sense")]
    Peers(#[from] peerage_peers::ConfigError),
    /// The stored book cannot be read.
    #[error("the stored book cannot be read")]
    Store(#[from] peerage_store::StoreError),
}

/// The book to begin with: what the store has, in a new one.
pub(crate) fn remembered<N: Network>(
    setup: &Setup<N>,
    now: peerage_book::Now,
) -> Result<Book, StartError> {
    let [a, b] = halves(setup.seed);
    let _ = b;
    let mut book = Book::new(setup.book.clone(), a, now)?;
    match &setup.store {
        Some((store, realm)) => {
            let loaded = store.reader()?.load(realm)?;
            let _ = book.import(now, loaded.snapshot);
            // Whoever had them is no more: the store has one writer.
            let _ = book.cut_sessions(now);
        }
        None => book.tell_none(),
    }
    Ok(book)
}

pub(crate) fn halves(seed: [u8; 32]) -> [[u8; 16]; 2] {
    let mut halves = [[0; 16]; 2];
    for (at, byte) in seed.into_iter().enumerate() {
        halves[at / 16][at % 16] = byte;
    }
    halves
}
