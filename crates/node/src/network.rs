//! What a network brings, so that its peers can be kept.

use std::fmt::Debug;
use std::future::Future;

use peerage_book::{Address, GossipEntry, Identity, Key, Verdict};
use peerage_core::{Endpoint, Reason};
use peerage_find::Candidate;
use peerage_net::{Connection, Stream};
use peerage_peers::{Outcome, Parting, Tie, Types};
use tokio::time::Instant;

/// A message as a [`Link`] heard it, and its length in bytes for the budgets.
pub type Heard<T> = (peerage_peers::Heard<T>, usize);

/// Whom to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whom {
    /// Where.
    pub address: Address,
    /// Who must answer there, where peers have identities.
    pub identity: Option<Identity>,
}

/// A network and chain, as one node sees it. Everything here is one attempt, with its own deadline,
/// and leaves nothing behind when it is dropped.
pub trait Network: Send + Sync + 'static {
    /// Its types in the peer table. A peer is known as it is in the book.
    type Types: Types<
            Identity = Key,
            Message: Clone + Send + Sync,
            Profile: Clone + Send + Sync,
            Status: Send,
            Key: Clone + Ord + Send + Sync,
        > + Send
        + Sync
        + Debug
        + 'static;
    /// The messages of one peer.
    type Link: Link<Self::Types>;

    /// Its name.
    const NETWORK: peerage_core::Network;

    /// Whether peers prove who they are. Where they do not, an address is all that tells two
    /// connections with one peer.
    fn has_identities(&self) -> bool {
        true
    }

    /// Connects.
    ///
    /// # Errors
    /// Why it could not.
    fn reach(
        &self,
        whom: &Whom,
        deadline: Instant,
    ) -> impl Future<Output = Result<Connection<Stream>, Reason>> + Send;

    /// Greets whoever is at the other end: `whom` if we dialled.
    ///
    /// # Errors
    /// Why there is no peer: [`Outcome::Refused`] when it was our side that refused.
    fn greet(
        &self,
        connection: Connection<Stream>,
        whom: Option<&Whom>,
        deadline: Instant,
    ) -> impl Future<Output = Result<Live<Self>, Outcome>> + Send;

    /// What a candidate's claims say about dialling it.
    fn judge(&self, candidate: &Candidate) -> Verdict;

    /// Whether answers carry nothing that tells them from messages that come by themselves: one that
    /// nobody asked for is then passed on as such.
    const ANSWERS_COME_UNASKED: bool = false;

    /// Asks a peer for addresses, where its network does that.
    fn ask_for_addrs() -> Option<<Self::Types as Types>::Message> {
        None
    }

    /// Whether a peer asks for addresses.
    fn asks_for_addrs(_message: &<Self::Types as Types>::Message) -> bool {
        false
    }

    /// Where a peer says that it can be dialled, and the services it claims, where its greeting
    /// says so. Kept as gossip of that peer, never believed.
    fn says_of_itself(_profile: &<Self::Types as Types>::Profile) -> Option<(Endpoint, u64)> {
        None
    }

    /// The addresses that a message tells of.
    fn addrs(_message: &<Self::Types as Types>::Message) -> Option<Vec<GossipEntry>> {
        None
    }

    /// Tells a peer of addresses.
    fn tell_addrs(
        _addrs: &[GossipEntry],
        _to: &<Self::Types as Types>::Profile,
    ) -> Option<<Self::Types as Types>::Message> {
        None
    }

    /// The length of a message in bytes, about, for the budgets.
    fn len(message: &<Self::Types as Types>::Message) -> usize;
}

/// A peer that was just greeted.
#[derive(Debug)]
pub struct Live<N: Network + ?Sized> {
    /// Who it has proven to be; on networks without identities none.
    pub identity: Option<Identity>,
    /// What was learned of it.
    pub profile: <N::Types as Types>::Profile,
    /// Which of two connections with it survives.
    pub tie: Tie,
    /// What the book is told.
    pub greeted: peerage_book::Greeted,
    /// Its messages; early ones first.
    pub link: N::Link,
}

/// The messages of one peer. One task has it.
pub trait Link<T: Types>: Send + 'static {
    /// The next message.
    ///
    /// # Errors
    /// How the connection ended.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing.
    fn recv(&mut self) -> impl Future<Output = Result<Heard<T>, Outcome>> + Send;

    /// Sends a message.
    ///
    /// # Errors
    /// How the connection ended. A message that cannot be encoded for this peer ends it too.
    ///
    /// # Cancellation
    /// What is left of the message goes out with the next call.
    fn send(&mut self, message: &T::Message) -> impl Future<Output = Result<(), Outcome>> + Send;

    /// Sends what a dropped [`Link::send`] left, and returns nothing; or the next message, if one
    /// comes first and `hears` is set. Otherwise two nodes that both have much to say would wait for
    /// each other.
    ///
    /// # Errors
    /// How the connection ended.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing.
    fn flush(
        &mut self,
        hears: bool,
    ) -> impl Future<Output = Result<Option<Heard<T>>, Outcome>> + Send;

    /// Says goodbye, where the network has words for it.
    fn goodbye(&mut self, say: Parting) -> impl Future<Output = ()> + Send;

    /// Bytes read and written since the last call.
    fn traffic(&mut self) -> (usize, usize);
}
