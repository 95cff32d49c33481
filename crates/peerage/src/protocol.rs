//! What a network has to offer so that its peers can be greeted, typed.
//!
//! [`Greeter`](crate::Greeter), [`Peer`](crate::Peer), [`BlockingPeer`](crate::BlockingPeer) and
//! [`probe`](fn@crate::probe) are written once over this contract.

use std::convert::Infallible;
use std::fmt::{self, Debug, Display};

use peerage_core::{
    AcceptAll, ConnectedAddr, Failure, Handshake, Network, Policy, Session, Stage, UnixTime,
};

use crate::destination::{AddressError, Destination};
use crate::dial::UnknownChain;
use crate::identity::NodeKey;
use crate::tables::TableFile;

/// A network whose peers can be greeted; a marker type such as [`Zcash`](crate::Zcash).
pub trait Protocol: Copy + Debug + Send + Sync + 'static {
    /// The network's name.
    const NETWORK: Network;
    /// What its addresses begin with, the usual one first: `zec://`.
    const SCHEMES: &'static [&'static str];
    /// The stages of a probe.
    const STAGES: Stages;

    /// Its chains as data.
    type Table: TableFile + Debug + Send + Sync;
    /// What a node says of itself on one chain: what lives as long as the node. Clones are the same
    /// node.
    type Local: Clone + Debug + Send + Sync;
    /// What may be relied on about a peer when a policy is asked.
    type View;
    /// What is known of a peer since its handshake.
    type Info: Clone + Debug + Send + Sync;
    /// The messages of an established peer.
    type Session: Session<Message: Send + Sync, Error: Send + Sync + 'static> + Debug + Send;
    /// Why a handshake failed. `R` is what the caller's policy rejects with.
    type Error<R: Debug + Display>: Failure;
    /// What a handshake yields; [`Protocol::take_apart`] opens it.
    type Finished: Send;
    /// A handshake under way.
    type Greeting<P: Policy<Self::View>>: Handshake<Peer = Self::Finished, Error = Self::Error<P::Rejection>>;

    /// The compiled-in table.
    fn builtin_table() -> Self::Table;

    /// A node on a chain of `table`.
    ///
    /// # Errors
    /// When the table has no such chain.
    fn local(table: &Self::Table, chain: &str, key: &NodeKey) -> Result<Self::Local, UnknownChain>;

    /// Puts the node under another key.
    fn set_key(local: &mut Self::Local, key: &NodeKey);

    /// The chain's customary TCP port.
    fn port(local: &Self::Local) -> u16;

    /// Reads the address of a peer, with or without its scheme; the chain's customary port fills in a
    /// missing one.
    ///
    /// # Errors
    /// When the text is no address of this network, or says of itself that its peer is not for us.
    fn destination(local: &Self::Local, text: &str) -> Result<Destination, AddressError>;

    /// Begins a handshake. The same arguments and the same bytes heard give the same bytes said.
    ///
    /// # Errors
    /// When it cannot even begin: the attempt lacks what the protocol needs.
    fn greeting<P: Policy<Self::View>>(
        local: &Self::Local,
        attempt: &Attempt,
        policy: P,
    ) -> Result<Self::Greeting<P>, Self::Error<P::Rejection>>;

    /// The stage that a handshake is in, one of [`Stages::greet`].
    fn stage<P: Policy<Self::View>>(greeting: &Self::Greeting<P>) -> Stage;

    /// Opens what a handshake yielded.
    fn take_apart(finished: Self::Finished) -> Parts<Self>;
}

/// A [`Protocol`] whose plain handshakes may wander between threads, as probes do.
///
/// Every network is one by itself.
pub trait Wandering:
    Protocol<Greeting<AcceptAll>: Send, Error<Infallible>: Send + Sync + 'static>
{
}

impl<N> Wandering for N where
    N: Protocol<Greeting<AcceptAll>: Send, Error<Infallible>: Send + Sync + 'static>
{
}

/// What a finished handshake leaves.
#[derive(Debug)]
pub struct Parts<N: Protocol> {
    /// What is known of the peer.
    pub info: N::Info,
    /// How many messages came before the end of the handshake and wait to be received.
    pub early: usize,
    /// The codec of its messages, early ones first.
    pub session: N::Session,
}

/// The names of a probe's stages, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stages {
    /// Turning a name into addresses.
    pub resolve: &'static str,
    /// Turning an address into a connection.
    pub reach: &'static str,
    /// The steps of the handshake, by the names in [`Stage::Greet`].
    pub greet: &'static [&'static str],
    /// The first word with an established peer.
    pub keep: &'static str,
}

impl Stages {
    /// All of them.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        let greet = self.greet.iter().copied();
        [self.resolve, self.reach]
            .into_iter()
            .chain(greet)
            .chain([self.keep])
    }

    /// Which step of the handshake a stage is.
    pub(crate) fn step(&self, stage: Stage) -> Option<usize> {
        let Stage::Greet(step) = stage else {
            return None;
        };
        self.greet.iter().position(|name| *name == step)
    }
}

/// What lives as long as one attempt at a handshake. With the node itself it is all that a handshake
/// starts from, so it can be played again.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What is connected; isolated where the node is.
    pub addr: ConnectedAddr,
    /// Whom we dialled; `None` when we were dialled, or only the connection is known.
    pub to: Option<Destination>,
    /// Wall-clock time.
    pub time: UnixTime,
    /// All the randomness of the attempt.
    pub seed: Seed,
}

/// 32 fresh random bytes, from which an attempt derives everything random.
///
/// # Security
/// On an encrypted network whoever has them can read the dialogue. They are never shown, and live
/// as long as the attempt, or the [`Dialogue`](crate::Dialogue) that remembers it.
#[derive(Clone)]
pub struct Seed([u8; 32]);

impl Seed {
    /// A seed from its bytes, which must be unpredictable and never used before.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret bytes.
    pub const fn secret_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_does_not_show_itself() {
        assert_eq!(format!("{:?}", Seed::new([0xab; 32])), "Seed(secret)");
    }
}
