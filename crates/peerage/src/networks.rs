//! The networks there are, behind one face, for programs that choose one at run time.
//!
//! A library user who knows the network uses [`Greeter`] and loses no type. The command line, and
//! whatever else takes a network's name from a person, uses [`NETWORKS`]. A new network is one
//! folder and one line here.

use std::future::Future;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use peerage_core::{Detail, Endpoint, Failure, Kind, Network, PeerText, Reason, Stage};
use peerage_net::{Connection, ProxyUrlError, Route, Socks5, Target};
use peerage_verack::dissect::{dissect, dissect_stream};
use peerage_verack::policy::AcceptAll;
use peerage_verack::{Dialect, Height, ProtocolVersion, Services, Table, decred, zcash};
use tokio::net::TcpStream;
use tokio::time::Instant;

pub use crate::address::{PeerAddress, UnknownScheme};
pub use crate::builtin::Builtin;
pub use crate::explain::{ExplainError, Explained, ExplainedField};
pub use crate::facts::PeerFacts;
use crate::faults::{self, Act, Fault};
use crate::greeter::{Greeter, Peer, UnknownChain};
use crate::identity::NodeKey;
use crate::os;
use crate::probe::{self, Probe, ProbeOptions};
use crate::tables::{Tables, TablesError};

/// Every network that peerage speaks.
pub const NETWORKS: &[&dyn AnyNetwork] = &[
    &Family::<zcash::Zcash>(PhantomData),
    &Family::<decred::Decred>(PhantomData),
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

/// The network of that address scheme: `zec`, `dcr`.
pub fn by_scheme(scheme: &str) -> Option<&'static dyn AnyNetwork> {
    NETWORKS
        .iter()
        .copied()
        .find(|network| network.scheme() == scheme)
}

/// One network.
pub trait AnyNetwork: Sync {
    /// Its name.
    fn network(&self) -> Network;

    /// The scheme of its addresses, `zec` in `zec://host:port`.
    fn scheme(&self) -> &'static str;

    /// Its chains: name, customary port, magic.
    ///
    /// # Errors
    /// When a table replaces the compiled-in one and cannot be used.
    fn chains(&self, tables: &Tables) -> Result<Vec<ChainFacts>, TablesError>;

    /// A node on one of its chains.
    ///
    /// # Errors
    /// When there is no such chain or no usable table.
    fn node(&self, setup: &Setup) -> Result<Box<dyn AnyNode>, SetupError>;
}

/// One chain in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainFacts {
    /// Its name.
    pub name: Box<str>,
    /// Its customary TCP port.
    pub port: u16,
    /// What its messages begin with.
    pub magic: [u8; 4],
}

/// How a node is to be.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The chain's name. There is no default.
    pub chain: String,
    /// Where tables come from.
    pub tables: Tables,
    /// The node's key; a fresh one when there is none.
    pub key: Option<NodeKey>,
    /// Whether nothing at all is told about the node.
    pub isolated: bool,
    /// Service bits to claim.
    pub services: u64,
    /// Our best block, if known.
    pub height: Option<u32>,
    /// How the node dials.
    pub route: Route,
}

impl Setup {
    /// A node on `chain` with a fresh key that claims nothing.
    pub fn new(chain: &str) -> Self {
        Self {
            chain: chain.to_owned(),
            tables: Tables::builtin(),
            key: None,
            isolated: false,
            services: 0,
            height: None,
            route: Route::Direct,
        }
    }
}

/// Why there is no such node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The network has no chain of that name.
    #[error(transparent)]
    Chain(#[from] UnknownChain),
    /// A table that replaces the compiled-in one cannot be used.
    #[error("the table folder cannot be used")]
    Tables(#[from] TablesError),
}

impl Failure for SetupError {
    fn stage(&self) -> Stage {
        match self {
            Self::Chain(error) => error.stage(),
            Self::Tables(error) => error.stage(),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Chain(error) => error.kind(),
            Self::Tables(error) => error.kind(),
        }
    }

    fn detail(&self) -> Detail {
        match self {
            Self::Chain(error) => error.detail(),
            Self::Tables(error) => error.detail(),
        }
    }
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

    /// The software the node claims to be, in the form of BIP 14: `/name:1.2.3/`.
    fn set_agent(&mut self, agent: PeerText);

    /// The protocol version the node speaks; the table's own unless this changes it.
    fn set_protocol_version(&mut self, version: u32);

    /// Dials a target and says how each stage went.
    fn probe<'a>(&'a self, target: &'a Target, options: &'a ProbeOptions) -> BoxFuture<'a, Probe>;

    /// Greets whoever is at the other end of `connection`.
    fn greet(
        &self,
        connection: Connection<TcpStream>,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Box<dyn AnyPeer>, Reason>>;

    /// Takes one frame apart, as peers who agreed on `version` read it; on ours when `None`.
    fn explain(&self, version: Option<u32>, frame: &[u8]) -> Explained;

    /// Takes apart what one side sent, frame by frame with its offset.
    fn explain_stream(&self, version: Option<u32>, stream: &[u8]) -> Vec<(usize, Explained)>;

    /// What a peer with this fault does.
    fn fault(&self, fault: Fault) -> Vec<Act>;
}

/// A greeted peer.
pub trait AnyPeer: Send {
    /// What is known of it.
    fn facts(&self) -> &PeerFacts;

    /// Measures the round trip and keeps it among the facts.
    fn ping(&mut self, limit: Duration) -> BoxFuture<'_, Result<Duration, Reason>>;

    /// Answers its pings until it goes, and says why it went.
    fn serve_pings(&mut self) -> BoxFuture<'_, Reason>;
}

/// A network of the version/verack family.
struct Family<D>(PhantomData<D>);

impl<D: Builtin> AnyNetwork for Family<D> {
    fn network(&self) -> Network {
        D::NETWORK
    }

    fn scheme(&self) -> &'static str {
        D::SCHEME
    }

    fn chains(&self, tables: &Tables) -> Result<Vec<ChainFacts>, TablesError> {
        let table = tables.load(D::NETWORK, D::builtin_table)?;
        let facts = |chain: &std::sync::Arc<peerage_verack::ChainTable>| ChainFacts {
            name: chain.name.as_str().into(),
            port: chain.port,
            magic: chain.magic,
        };
        Ok(table.chains.iter().map(facts).collect())
    }

    fn node(&self, setup: &Setup) -> Result<Box<dyn AnyNode>, SetupError> {
        let table = setup.tables.load(D::NETWORK, D::builtin_table)?;
        let mut greeter = Greeter::<D>::on(&table, &setup.chain)?.through(setup.route.clone());
        if let Some(key) = &setup.key {
            greeter = greeter.with_key(key);
        }
        if setup.isolated {
            greeter = greeter.isolated();
        }
        let local = greeter.local_mut();
        local.services = Services(setup.services);
        local.tip.set(setup.height.map(Height));
        Ok(Box::new(FamilyNode { greeter, table }))
    }
}

struct FamilyNode<D: Dialect> {
    greeter: Greeter<D>,
    table: Table,
}

impl<D: Dialect> AnyNode for FamilyNode<D> {
    fn network(&self) -> Network {
        D::NETWORK
    }

    fn chain(&self) -> &str {
        self.greeter.local().chain.name.as_str()
    }

    fn port(&self) -> u16 {
        self.greeter.local().chain.port
    }

    fn set_listen_addr(&mut self, addr: Option<Endpoint>) {
        self.greeter.local_mut().listen_addr = addr;
    }

    fn set_agent(&mut self, agent: PeerText) {
        self.greeter.local_mut().user_agent = agent;
    }

    fn set_protocol_version(&mut self, version: u32) {
        self.greeter.local_mut().protocol_version = ProtocolVersion(version);
    }

    fn probe<'a>(&'a self, target: &'a Target, options: &'a ProbeOptions) -> BoxFuture<'a, Probe> {
        Box::pin(probe::probe(&self.greeter, target, options))
    }

    fn greet(
        &self,
        connection: Connection<TcpStream>,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Box<dyn AnyPeer>, Reason>> {
        Box::pin(async move {
            let greeted = self.greeter.greet(connection, AcceptAll, deadline).await;
            let peer = greeted.map_err(|error| error.reason())?;
            let early = peer.early();
            let facts = PeerFacts::new::<D>(peer.info(), early);
            Ok(Box::new(FamilyPeer { peer, facts }) as Box<dyn AnyPeer>)
        })
    }

    fn explain(&self, version: Option<u32>, frame: &[u8]) -> Explained {
        let chain = &self.greeter.local().chain;
        let found = dissect::<D>(chain, self.version(version), frame);
        Explained::new::<D>(chain, &found)
    }

    fn explain_stream(&self, version: Option<u32>, stream: &[u8]) -> Vec<(usize, Explained)> {
        let chain = &self.greeter.local().chain;
        let found = dissect_stream::<D>(chain, self.version(version), stream);
        found
            .iter()
            .map(|(offset, found)| (*offset, Explained::new::<D>(chain, found)))
            .collect()
    }

    fn fault(&self, fault: Fault) -> Vec<Act> {
        faults::script::<D>(fault, self.greeter.local(), &self.table)
    }
}

impl<D: Dialect> FamilyNode<D> {
    fn version(&self, asked: Option<u32>) -> ProtocolVersion {
        asked.map_or(self.greeter.local().protocol_version, ProtocolVersion)
    }
}

struct FamilyPeer<D: Dialect> {
    peer: Peer<D>,
    facts: PeerFacts,
}

impl<D: Dialect> AnyPeer for FamilyPeer<D> {
    fn facts(&self) -> &PeerFacts {
        &self.facts
    }

    fn ping(&mut self, limit: Duration) -> BoxFuture<'_, Result<Duration, Reason>> {
        Box::pin(async move {
            let rtt = self
                .peer
                .ping(limit)
                .await
                .map_err(|error| error.reason())?;
            self.facts.rtt = Some(rtt);
            Ok(rtt)
        })
    }

    fn serve_pings(&mut self) -> BoxFuture<'_, Reason> {
        Box::pin(async move { self.peer.link_mut().serve_pings(drop).await.reason() })
    }
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
