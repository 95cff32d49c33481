//! How a node is to be, as far as every network can be asked.

use std::fmt;

use peerage_core::{Detail, Failure, Kind, Network, PeerText, Stage};
use peerage_net::Route;

use super::{AnyNetwork, NETWORKS};
use crate::dial::UnknownChain;
use crate::identity::NodeKey;
use crate::tables::{Tables, TablesError};

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
    /// How the node dials.
    pub route: Route,
    /// What only some networks have.
    pub options: Options,
}

impl Setup {
    /// A node on `chain` with a fresh key that claims nothing.
    pub fn new(chain: &str) -> Self {
        Self {
            chain: chain.to_owned(),
            tables: Tables::builtin(),
            key: None,
            isolated: false,
            route: Route::Direct,
            options: Options::NONE,
        }
    }
}

/// Options of a node that only some networks have. What is not given is as the network has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Service bits to claim.
    pub services: Option<u64>,
    /// Our best block by its height, to claim and to judge versions by.
    pub height: Option<u32>,
    /// The protocol version to speak instead of the table's.
    pub protocol_version: Option<u32>,
    /// Our best block by its number and time, to choose the fork by.
    pub head: Option<Head>,
    /// The capabilities to offer; none means the network's usual ones.
    pub capabilities: Vec<Capability>,
}

/// A block by its number, and its time where forks are ordered by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub number: u64,
    /// Its time, in seconds since 1970.
    pub time: Option<u64>,
}

/// A protocol spoken over a shared connection: `eth/69`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its name.
    pub name: Box<str>,
    /// Its version.
    pub version: u32,
}

/// One of the [`Options`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeOption {
    /// [`Options::services`].
    Services,
    /// [`Options::height`].
    Height,
    /// [`Options::protocol_version`].
    ProtocolVersion,
    /// [`Options::head`].
    Head,
    /// [`Options::capabilities`].
    Capabilities,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.version)
    }
}

impl NodeOption {
    /// Its name, lower-case words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::Height => "height",
            Self::ProtocolVersion => "protocol version",
            Self::Head => "head",
            Self::Capabilities => "capability",
        }
    }
}

impl Options {
    /// No option given.
    pub const NONE: Self = Self {
        services: None,
        height: None,
        protocol_version: None,
        head: None,
        capabilities: Vec::new(),
    };

    /// The options that are given.
    pub fn given(&self) -> impl Iterator<Item = NodeOption> + use<> {
        let rows = [
            (NodeOption::Services, self.services.is_some()),
            (NodeOption::Height, self.height.is_some()),
            (NodeOption::ProtocolVersion, self.protocol_version.is_some()),
            (NodeOption::Head, self.head.is_some()),
            (NodeOption::Capabilities, !self.capabilities.is_empty()),
        ];
        let given = rows.into_iter().filter(|(_, given)| *given);
        given.map(|(option, _)| option)
    }

    /// # Errors
    /// At the first option given that `network` does not have.
    pub(super) fn check(&self, network: &dyn AnyNetwork) -> Result<(), SetupError> {
        let has = |network: &dyn AnyNetwork, option| network.options().contains(&option);
        let Some(option) = self.given().find(|option| !has(network, *option)) else {
            return Ok(());
        };
        let others = NETWORKS.iter().filter(|other| has(**other, option));
        let others: Vec<_> = others.map(|other| other.network().0).collect();
        Err(SetupError::Option {
            network: network.network(),
            option,
            known_by: match &others[..] {
                [] => "no network does".into(),
                [one] => format!("{one} does").into(),
                others => format!("{} do", others.join(", ")).into(),
            },
        })
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
    /// An option whose value makes no sense.
    #[error(transparent)]
    Value(#[from] BadOption),
    /// An option that the network does not have.
    #[error("{network} does not know the option {}; {known_by}: leave it out", option.name())]
    Option {
        /// The network.
        network: Network,
        /// The option.
        option: NodeOption,
        /// Which networks know it, in words.
        known_by: Box<str>,
    },
}

/// An option whose value makes no sense to its network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{got} is no {} here: {expected}", option.name())]
pub struct BadOption {
    /// The option.
    pub option: NodeOption,
    /// Its value.
    pub got: PeerText,
    /// What there is, in words.
    pub expected: String,
}

impl Failure for SetupError {
    fn stage(&self) -> Stage {
        match self {
            Self::Chain(error) => error.stage(),
            Self::Tables(error) => error.stage(),
            Self::Value(_) | Self::Option { .. } => Stage::Input,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Chain(error) => error.kind(),
            Self::Tables(error) => error.kind(),
            Self::Value(_) | Self::Option { .. } => Kind::Usage,
        }
    }

    fn detail(&self) -> Detail {
        match self {
            Self::Chain(error) => error.detail(),
            Self::Tables(error) => error.detail(),
            Self::Value(error) => Detail::none()
                .with("option", error.option.name())
                .with("got", error.got.clone()),
            Self::Option {
                network, option, ..
            } => Detail::none()
                .with("network", network.0)
                .with("option", option.name()),
        }
    }
}
