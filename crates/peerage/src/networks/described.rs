//! What a network adds to its protocol so that it can be chosen at run time.

use peerage_core::{Endpoint, PeerText};
use peerage_net::Connection;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{BadOption, BoxFuture, ChainFacts, NodeOption, Options};
use crate::destination::Destination;
use crate::dialogue::Dialogue;
use crate::explain::{Explained, Line};
use crate::facts::PeerFacts;
use crate::faults::Fault;
use crate::greeter::Greeter;
use crate::protocol::Wandering;

/// A [`Protocol`](crate::Protocol) in terms that every network shares.
///
/// A network that implements it is an [`AnyNetwork`](super::AnyNetwork) without further words.
pub trait Described: Wandering {
    /// The options of a node that the network has.
    const OPTIONS: &'static [NodeOption];
    /// The ways in which its peers can be broken, see [`Described::misbehave`].
    const FAULTS: &'static [Fault];

    /// The chains of a table, in its order.
    fn chains(table: &Self::Table) -> Vec<ChainFacts>;

    /// The name of a node's chain.
    fn chain(local: &Self::Local) -> &str;

    /// See [`AnyNetwork::address_of`](super::AnyNetwork::address_of).
    fn address_of(host: &str) -> String;

    /// How a destination is shown.
    fn shown(destination: &Destination) -> String;

    /// Whom others dial when the node listens at `endpoint`.
    fn found_at(local: &Self::Local, endpoint: Endpoint) -> Destination;

    /// Sets the node's options. Only those of [`Described::OPTIONS`] are given.
    ///
    /// # Errors
    /// When a value makes no sense.
    fn apply(local: &mut Self::Local, options: &Options) -> Result<(), BadOption>;

    /// See [`AnyNode::set_listen_addr`](super::AnyNode::set_listen_addr).
    fn set_listen_addr(local: &mut Self::Local, addr: Option<Endpoint>);

    /// See [`AnyNode::set_agent`](super::AnyNode::set_agent).
    fn set_agent(local: &mut Self::Local, agent: PeerText);

    /// What is known of a peer since its handshake, of whose messages `early` came before its end.
    fn facts(info: &Self::Info, early: usize) -> PeerFacts;

    /// See [`AnyNode::explain`](super::AnyNode::explain).
    fn explain(local: &Self::Local, version: Option<u32>, frame: &[u8]) -> Explained;

    /// See [`AnyNode::explain_dialogue`](super::AnyNode::explain_dialogue).
    fn explain_dialogue(
        local: &Self::Local,
        dialogue: &Dialogue,
        facts: Option<&PeerFacts>,
    ) -> Vec<Line>;

    /// See [`AnyNode::misbehave`](super::AnyNode::misbehave).
    fn misbehave<'a>(
        node: &'a Greeter<Self>,
        table: &'a Self::Table,
        fault: Fault,
        connection: Connection<TcpStream>,
        deadline: Instant,
    ) -> BoxFuture<'a, ()>;
}
