#![doc = include_str!("../README.md")]

mod address;
mod builtin;
mod explain;
mod facts;
pub mod faults;
mod greeter;
mod identity;
pub mod networks;
mod os;
mod probe;
mod tables;

pub use greeter::{BlockingPeer, DialError, Greeter, Peer, UnknownChain};
pub use identity::{KeyError, NodeKey};
pub use probe::{Outcome, Probe, ProbeOptions, StageReport, probe};
pub use tables::{Tables, TablesError};

pub use peerage_core as core;
pub use peerage_core::{
    Blame, ConnectedAddr, Detail, Direction, Endpoint, Failure, Kind, Network, PeerText, Reason,
    Retry, Stage, UnixTime,
};
pub use peerage_net as net;
pub use peerage_net::{Route, Socks5};
pub use peerage_verack as verack;
pub use peerage_verack::decred::{self, Decred};
pub use peerage_verack::zcash::{self, Zcash};

/// The example of the repository's README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct RepositoryReadme;
