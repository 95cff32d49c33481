//! The networks there are, behind one face, for programs that choose one at run time.
//!
//! A library user who knows the network uses [`Greeter`](crate::Greeter) and loses no type. The
//! command line, and whatever else takes a network's name from a person, uses [`NETWORKS`]. A new
//! network is one folder that implements [`Protocol`](crate::Protocol) and [`Described`], and one
//! line here.

mod address;
mod described;
mod setup;
mod typed;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use peerage_core::{Endpoint, Network, PeerText, Reason};
use peerage_net::{Connection, ProxyUrlError, Socks5};
use tokio::net::TcpStream;
use tokio::time::Instant;

pub use self::address::PeerAddress;
pub use self::described::Described;
pub use self::setup::{BadOption, Capability, Head, NodeOption, Options, Setup, SetupError};
pub use self::typed::Typed;
pub use crate::destination::{AddressError, Destination, NotAPeerKey, PeerKey, UnknownScheme};
pub use crate::dialogue::{Dialogue, Stream};
pub use crate::ethereum::EthereumFacts;
pub use crate::explain::{ExplainError, Explained, ExplainedField, Line};
pub use crate::facts::{About, Fact, PeerFacts};
pub use crate::family::{Builtin, VersionFacts};
use crate::faults::Fault;
use crate::os;
use crate::probe::{Probe, ProbeOptions};
use crate::tables::{Tables, TablesError};

/// Every network that peerage speaks.
pub const NETWORKS: &[&dyn AnyNetwork] = &[
    &Typed::<crate::Ethereum>::new(),
    &Typed::<crate::Zcash>::new(),
    &Typed::<crate::Decred>::new(),
];

/// A future whose type is forgotten.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The network of that name.
pub fn by_name(name: &str) -> Option<&'static dyn AnyNetwork> {
    NETWORKS
        .iter()
        .copied()
        .find(|network| network.network().0 == name)
}

/// The network whose addresses begin as `address` does, with `zec://` or `dcr://`.
pub fn by_scheme(address: &str) -> Option<&'static dyn AnyNetwork> {
    let begins = |scheme: &&str| address.starts_with(scheme);
    NETWORKS
        .iter()
        .copied()
        .find(|network| network.schemes().iter().any(begins))
}

/// One network.
pub trait AnyNetwork: Sync {
    /// Its name.
    fn network(&self) -> Network;

    /// What its addresses begin with, the usual one first: `zec://`.
    fn schemes(&self) -> &'static [&'static str];

    /// How the address of a peer at `host` is written, `zec://host`; a form where more is needed
    /// than the host.
    fn address_of(&self, host: &str) -> String;

    /// How a destination is shown: `zec://host:port`.
    fn shown(&self, destination: &Destination) -> String;

    /// The options of a node that it has.
    fn options(&self) -> &'static [NodeOption];

    /// Its chains: name, customary port, magic.
    ///
    /// # Errors
    /// When a table replaces the compiled-in one and cannot be used.
    fn chains(&self, tables: &Tables) -> Result<Vec<ChainFacts>, TablesError>;

    /// A node on one of its chains.
    ///
    /// # Errors
    /// When there is no such chain, no usable table, or an option that the network does not have.
    fn node(&self, setup: &Setup) -> Result<Box<dyn AnyNode>, SetupError>;
}

/// One chain in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainFacts {
    /// Its name.
    pub name: Box<str>,
    /// Its customary TCP port.
    pub port: u16,
    /// What its messages begin with, where they do.
    pub magic: Option<[u8; 4]>,
}

/// A node on one chain.
pub trait AnyNode: Send + Sync {
    /// Its network.
    fn network(&self) -> Network;

    /// The name of its chain.
    fn chain(&self) -> &str;

    /// The chain's customary port.
    fn port(&self) -> u16;

    /// Where the node can be reached, told to direct peers where the network does that.
    fn set_listen_addr(&mut self, addr: Option<Endpoint>);

    /// The software the node claims to be, in the network's own form: `/name:1.2.3/` in BIP 14's.
    fn set_agent(&mut self, agent: PeerText);

    /// Reads the address of a peer, with or without its scheme; the chain's customary port where
    /// none is given.
    ///
    /// # Errors
    /// When the text is no address of this network.
    fn destination(&self, text: &str) -> Result<Destination, AddressError>;

    /// Whom others dial when this node listens at `endpoint`.
    fn found_at(&self, endpoint: Endpoint) -> Destination;

    /// Dials a peer and says how each stage went.
    fn probe<'a>(&'a self, to: &'a Destination, options: &'a ProbeOptions) -> BoxFuture<'a, Probe>;

    /// Dials a peer and greets it.
    fn dial<'a>(&'a self, to: &'a Destination, deadline: Instant) -> BoxFuture<'a, Greeted>;

    /// Greets whoever is at the other end of `connection`. Where peers have keys, only a peer that
    /// dialled us can be greeted so.
    fn greet(&self, connection: Connection<TcpStream>, deadline: Instant)
    -> BoxFuture<'_, Greeted>;

    /// Takes one frame apart, as peers who agreed on `version` read it; on ours when `None`.
    fn explain(&self, version: Option<u32>, frame: &[u8]) -> Explained;

    /// Takes a recorded dialogue apart: the messages of both directions in the order in which they
    /// were complete. `facts` are what came of it, if anything.
    fn explain_dialogue(&self, dialogue: &Dialogue, facts: Option<&PeerFacts>) -> Vec<Line>;

    /// The ways in which a peer of this network can be broken.
    fn faults(&self) -> &'static [Fault];

    /// Treats whoever is at the other end of `connection` as a peer with this fault does, until it
    /// closes, or by `deadline`. A fault that is none of [`AnyNode::faults`] hangs up at once, and so
    /// does one that is played inside a cipher, where peers have keys, to whom we dialled ourselves.
    fn misbehave(
        &self,
        fault: Fault,
        connection: Connection<TcpStream>,
        deadline: Instant,
    ) -> BoxFuture<'_, ()>;
}

/// A greeted peer, or why there is none.
pub type Greeted = Result<Box<dyn AnyPeer>, Reason>;

/// A greeted peer.
pub trait AnyPeer: Send {
    /// What is known of it.
    fn facts(&self) -> &PeerFacts;

    /// Measures the round trip and keeps it among the facts.
    fn ping(&mut self, limit: Duration) -> BoxFuture<'_, Result<Duration, Reason>>;

    /// Answers its pings until it goes, and says why it went.
    fn serve_pings(&mut self) -> BoxFuture<'_, Reason>;
}

/// The folder that replaces the compiled-in tables, or those.
///
/// # Errors
/// When there is no such folder.
pub fn tables(folder: Option<PathBuf>) -> Result<Tables, TablesError> {
    folder.map_or_else(
        || Ok(Tables::builtin()),
        |folder| Tables::from_folder(&folder),
    )
}

/// A proxy from `socks5h://[user:password@]host:port`; peers are kept apart under a fresh key.
///
/// # Errors
/// When the text is not of that form.
pub fn socks5(url: &str) -> Result<Socks5, ProxyUrlError> {
    Socks5::parse(url, os::random())
}
