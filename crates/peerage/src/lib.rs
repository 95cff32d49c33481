#![doc = include_str!("../README.md")]

mod destination;
mod dial;
mod dialogue;
mod ethereum;
mod explain;
mod facts;
mod family;
pub mod faults;
pub mod find;
mod greeter;
mod hex;
mod identity;
#[cfg(feature = "inproxy")]
pub mod inproxy;
pub mod networks;
pub mod node;
mod os;
pub mod outside;
mod peer;
mod probe;
pub mod protocol;
mod tables;

pub use destination::{AddressError, BadRecord, Destination, PeerKey};
pub use dial::{DialError, UnknownChain};
pub use dialogue::Dialogue;
pub use greeter::{DialErrorOf, Greeter};
pub use identity::{KeyError, NodeKey};
pub use peer::{BlockingPeer, LinkErrorOf, MessageOf, Peer};
pub use probe::{Outcome, Probe, ProbeOptions, StageReport, probe};
pub use protocol::Protocol;
pub use tables::{TableFile, Tables, TablesError};

pub use ethereum::Ethereum;
pub use peerage_core as core;
pub use peerage_core::{
    Blame, ConnectedAddr, Detail, Direction, Endpoint, Failure, Kind, Network, PeerText, Reason,
    Retry, Stage, UnixTime,
};
pub use peerage_discv5 as discv5;
pub use peerage_ethereum as devp2p;
pub use peerage_net as net;
pub use peerage_net::{Route, Socks5};
pub use peerage_verack as verack;
pub use peerage_verack::decred::{self, Decred};
pub use peerage_verack::zcash::{self, Zcash};

/// The example of the repository's README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct RepositoryReadme;
