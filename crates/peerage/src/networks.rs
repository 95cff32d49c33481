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

use peerage_core::{Detail, Endpoint, Failure, Kind, Network, PeerText, Reason, Stage, UnixTime};
use peerage_net::{Connection, ProxyUrlError, Route, Socks5, Target};
use peerage_verack::dissect::{
    Dissection, dissect, dissect_stream, meaning, services_shown, shown,
};
use peerage_verack::policy::AcceptAll;
use peerage_verack::{Dialect, Height, PeerInfo, ProtocolVersion, Services, Table, decred, zcash};
use tokio::net::TcpStream;
use tokio::time::Instant;

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

/// What is known of a greeted peer, in terms that every network shares.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerFacts {
    /// The peer itself: whom we dialled, by address or name, or where it dialled from. Never a
    /// proxy.
    pub addr: String,
    /// Its software.
    pub agent: PeerText,
    /// The protocol version it claims.
    pub protocol_version: u32,
    /// The protocol version agreed on.
    pub negotiated: u32,
    /// Its service bits.
    pub services: u64,
    /// Their names.
    pub services_shown: String,
    /// The height it claims.
    pub height: u32,
    /// Its clock.
    pub time: UnixTime,
    /// Whether it wants transactions announced.
    pub relay: bool,
    /// Messages it sent too early that the network ignores.
    pub dropped: u32,
    /// Messages it sent early that are kept.
    pub early: usize,
    /// The last round trip measured.
    pub rtt: Option<Duration>,
}

impl PeerFacts {
    pub(crate) fn new<D: Dialect>(info: &PeerInfo, early: usize) -> Self {
        let theirs = &info.theirs;
        Self {
            addr: info.addr.to_string(),
            agent: theirs.user_agent.clone(),
            protocol_version: theirs.protocol_version.0,
            negotiated: info.negotiated.0,
            services: theirs.services.0,
            services_shown: services_shown::<D>(theirs.services.0),
            height: theirs.height.0,
            time: theirs.time,
            relay: theirs.relay,
            dropped: info.dropped,
            early,
            rtt: None,
        }
    }
}

/// One frame explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The command, where it is one.
    pub command: Option<String>,
    /// The whole frame's length as declared, in bytes; `None` without a sound envelope.
    pub frame_len: Option<usize>,
    /// Declared payload length, in bytes.
    pub payload_len: Option<usize>,
    /// The payload's fields; on error those before it.
    pub fields: Vec<ExplainedField>,
    /// Whether encoding the decoded message again gives the same bytes.
    pub canonical: bool,
    /// Why it is no sound message.
    pub error: Option<ExplainError>,
}

/// One field explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedField {
    /// Its name, with the group it stands in: `addr_from.port`.
    pub path: String,
    /// Offset in the frame, in bytes.
    pub offset: usize,
    /// Length, in bytes.
    pub len: usize,
    /// Its value, shown.
    pub value: String,
    /// Its value as a number, where it is one.
    pub number: Option<i128>,
    /// What it means, where more can be said.
    pub meaning: Option<String>,
}

/// Why a frame is no sound message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainError {
    /// Stable snake-case name.
    pub kind: &'static str,
    /// Where it shows, in bytes from the start of the frame.
    pub offset: usize,
    /// In words.
    pub message: String,
}

/// A network of the version/verack family with a compiled-in table.
pub trait Builtin: Dialect {
    /// The scheme of its addresses.
    const SCHEME: &'static str;

    /// The compiled-in table.
    fn builtin_table() -> Table;
}

impl Builtin for zcash::Zcash {
    const SCHEME: &'static str = "zec";

    fn builtin_table() -> Table {
        zcash::builtin_table()
    }
}

impl Builtin for decred::Decred {
    const SCHEME: &'static str = "dcr";

    fn builtin_table() -> Table {
        decred::builtin_table()
    }
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
        self.in_words(&found)
    }

    fn explain_stream(&self, version: Option<u32>, stream: &[u8]) -> Vec<(usize, Explained)> {
        let chain = &self.greeter.local().chain;
        let found = dissect_stream::<D>(chain, self.version(version), stream);
        found
            .iter()
            .map(|(offset, found)| (*offset, self.in_words(found)))
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

    fn in_words(&self, found: &Dissection) -> Explained {
        use peerage_core::wire::FieldValue;
        use peerage_verack::envelope::HEADER_LEN;

        let chain = &self.greeter.local().chain;
        let fields = found.fields.iter().map(|field| ExplainedField {
            path: field.path(),
            offset: HEADER_LEN + field.offset,
            len: field.len,
            value: shown(field),
            number: match field.value {
                FieldValue::Uint(value) => Some(value.into()),
                FieldValue::Int(value) => Some(value.into()),
                FieldValue::Ip(_) | FieldValue::Text(_) | FieldValue::Bytes(_) => None,
            },
            meaning: meaning::<D>(chain, field),
        });
        let header = found.header;
        Explained {
            command: header
                .and_then(|header| header.command)
                .map(|command| command.to_string()),
            frame_len: header.map(|header| header.wire_len()),
            payload_len: header.map(|header| header.len),
            fields: fields.collect(),
            canonical: found.canonical,
            error: found.error.map(|error| ExplainError {
                kind: error.kind(),
                offset: error.offset(),
                message: with_cause(&error),
            }),
        }
    }
}

fn with_cause(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        message.push_str(": ");
        message.push_str(&error.to_string());
        cause = error.source();
    }
    message
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

/// Where somebody asked to go, with the network where the text names one.
#[derive(Clone, Debug)]
pub struct PeerAddress {
    /// The network, from the scheme.
    pub network: Option<&'static str>,
    /// The rest of the text.
    pub target: String,
}

impl PeerAddress {
    /// Splits `zec://host:port` into its parts; text without a scheme is a target alone.
    ///
    /// # Errors
    /// When the scheme is none that we know.
    pub fn parse(text: &str) -> Result<Self, UnknownScheme> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self {
                network: None,
                target: text.to_owned(),
            });
        };
        let network = by_scheme(scheme).ok_or_else(|| UnknownScheme {
            got: scheme.into(),
            known: known_schemes(),
        })?;
        let target = rest.strip_suffix('/').unwrap_or(rest).to_owned();
        Ok(Self {
            network: Some(network.network().0),
            target,
        })
    }
}

/// A scheme that belongs to no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{got}:// belongs to no network; there are {known}")]
pub struct UnknownScheme {
    /// The scheme.
    pub got: PeerText,
    /// Those there are.
    pub known: String,
}

impl Failure for UnknownScheme {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn detail(&self) -> Detail {
        Detail::none()
            .with("got", self.got.clone())
            .with("known", PeerText::from(&*self.known))
    }
}

fn known_schemes() -> String {
    let schemes: Vec<_> = NETWORKS
        .iter()
        .map(|n| format!("{}://", n.scheme()))
        .collect();
    schemes.join(", ")
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
