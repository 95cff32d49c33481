//! Chains as data: ids, genesis, forks and where to begin, in one TOML file.
//!
//! The file is compiled in; a file of the same shape replaces it at run time, so a new fork needs
//! no release and a private chain no code. A table is a value: load a new one, hand its
//! [`Schedule`] to [`ForkFilter::set_schedule`](crate::fork::ForkFilter::set_schedule) and the rest
//! to new handshakes.

use std::sync::Arc;

use peerage_core::text::Place;
use peerage_core::{Chain, Network};
use serde::Deserialize;
use toml::Spanned;

use crate::enode::{Enode, EnodeError};
use crate::fork::{Activation, Fork, ForkFilter, ForkHash, Head, Schedule};
use crate::hex::unhex;

/// Ethereum.
pub const NETWORK: Network = Network("ethereum");

/// The port of a node that names none, for sessions and for discovery.
pub const DEFAULT_PORT: u16 = 30303;

const BUILTIN: &str = include_str!("tables/ethereum.toml");

/// The chains of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The chains, in the order of the file; the first is the main one.
    pub chains: Vec<Arc<ChainTable>>,
}

/// One chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainTable {
    /// Its name.
    pub name: Chain,
    /// What its nodes state in Status.
    pub network_id: u64,
    /// What its transactions are signed for.
    pub chain_id: u64,
    /// The hash of its block 0.
    pub genesis_hash: [u8; 32],
    /// Its customary port.
    pub port: u16,
    /// Nodes to ask first.
    pub boot_nodes: Vec<Enode>,
    /// Lists of nodes in DNS, `enrtree://…`.
    pub dns_lists: Vec<Box<str>>,
    /// Node records to ask first over discovery v5, `enr:…`.
    pub discv5_records: Vec<Box<str>>,
    /// Its forks, with the hash after each.
    pub schedule: Arc<Schedule>,
}

impl ChainTable {
    /// A fork filter for a node of this chain with this head.
    pub fn fork_filter(&self, head: Head) -> ForkFilter {
        ForkFilter::new(Arc::clone(&self.schedule), head)
    }

    /// A filter for a node that knows no block at this time, in seconds since 1970: it has passed every
    /// fork by block, and those whose time has come.
    pub fn forks_by_the_clock(&self, time: u64) -> ForkFilter {
        let number = self.schedule.last_block();
        self.fork_filter(Head { number, time })
    }
}

impl Table {
    /// The table compiled in.
    ///
    /// # Panics
    /// Never: a test reads it.
    #[expect(clippy::expect_used, reason = "compiled in, and read by a test")]
    pub fn builtin() -> Self {
        Self::parse(NETWORK, BUILTIN).expect("the compiled-in table is sound")
    }

    /// Reads a table from TOML text, which must be about `network`.
    ///
    /// # Errors
    /// When the text is no such table; the message says where.
    pub fn parse(network: Network, text: &str) -> Result<Self, TableError> {
        let file: File = toml::from_str(text).map_err(|error| TableError::Syntax {
            network,
            at: error.span().map(|span| Place::of(text, span.start)),
            problem: one_line(error.message()),
        })?;
        let source = Source { network, text };
        if file.network.get_ref() != network.0 {
            return Err(TableError::OtherNetwork {
                network,
                at: source.place(&file.network),
                got: file.network.into_inner().into(),
            });
        }
        if file.chain.is_empty() {
            return Err(TableError::NoChain { network });
        }
        let mut chains: Vec<Arc<ChainTable>> = Vec::with_capacity(file.chain.len());
        for entry in file.chain {
            let name = entry.name.get_ref();
            if chains.iter().any(|chain| chain.name.as_str() == &**name) {
                return Err(TableError::ChainTwice {
                    network,
                    at: source.place(&entry.name),
                    chain: name.clone(),
                });
            }
            chains.push(Arc::new(entry.check(&source)?));
        }
        Ok(Self { chains })
    }

    /// The chain of that name.
    pub fn chain(&self, name: &str) -> Option<&Arc<ChainTable>> {
        self.chains.iter().find(|chain| chain.name.as_str() == name)
    }

    /// The chain that starts with this block, to name the one a foreign peer is on.
    pub fn by_genesis(&self, genesis_hash: &[u8; 32]) -> Option<&Arc<ChainTable>> {
        self.chains
            .iter()
            .find(|chain| chain.genesis_hash == *genesis_hash)
    }

    /// The chain that has this fork hash, and the name of the last fork passed there: where a
    /// foreign peer stands.
    pub fn find_fork(&self, hash: ForkHash) -> Option<(&Arc<ChainTable>, &str)> {
        self.chains.iter().find_map(|chain| {
            let passed = chain.schedule.find(hash)?;
            Some((chain, chain.schedule.name(passed)))
        })
    }
}

/// Why a table cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// Not TOML, or a key that is unknown, missing or of the wrong type.
    #[error("the table of {network} cannot be read{}: {problem}", at_shown(at.as_ref()))]
    Syntax {
        /// The network.
        network: Network,
        /// Where, if it can be told.
        at: Option<Place>,
        /// Why, in one line; for an unknown key, with the keys there are.
        problem: Box<str>,
    },
    /// A table of another network.
    #[error("{at}: expected the table of {network}, this one is of {got:?}")]
    OtherNetwork {
        /// The network expected.
        network: Network,
        /// Where.
        at: Place,
        /// The name in the file.
        got: Box<str>,
    },
    /// No chain at all.
    #[error("the table of {network} lists no chain: add a [[chain]]")]
    NoChain {
        /// The network.
        network: Network,
    },
    /// Two chains of one name.
    #[error("{at}: {network} has two chains named {chain}: rename or remove one")]
    ChainTwice {
        /// The network.
        network: Network,
        /// Where the second stands.
        at: Place,
        /// The name.
        chain: Box<str>,
    },
    /// A value that is not hexadecimal of the right length.
    #[error("{at}: {network} {chain}: {key} must be {digits} hexadecimal digits, not {got:?}")]
    NotHex {
        /// The network.
        network: Network,
        /// Where.
        at: Place,
        /// The chain.
        chain: Box<str>,
        /// The key.
        key: &'static str,
        /// How many digits it takes.
        digits: usize,
        /// What stands there.
        got: Box<str>,
    },
    /// A boot node that is no enode address.
    #[error("{at}: {network} {chain}: this boot node is no enode address")]
    BootNode {
        /// The network.
        network: Network,
        /// Where.
        at: Place,
        /// The chain.
        chain: Box<str>,
        /// Why.
        #[source]
        error: EnodeError,
    },
    /// An address that does not begin as its kind does.
    #[error("{at}: {network} {chain}: an entry of {key} begins with {prefix}")]
    Prefix {
        /// The network.
        network: Network,
        /// Where.
        at: Place,
        /// The chain.
        chain: Box<str>,
        /// The key.
        key: &'static str,
        /// What it must begin with.
        prefix: &'static str,
    },
    /// A fork with no activation, or two.
    #[error("{at}: {network} {chain}: fork {fork} needs either a block or a time")]
    Activation {
        /// The network.
        network: Network,
        /// Where.
        at: Place,
        /// The chain.
        chain: Box<str>,
        /// The fork.
        fork: Box<str>,
    },
    /// Forks out of order.
    #[error(
        "{at}: {network} {chain}: fork {fork} is before the one above it: first those by block, then those by time, each in order"
    )]
    NotAscending {
        /// The network.
        network: Network,
        /// Where.
        at: Place,
        /// The chain.
        chain: Box<str>,
        /// The first fork out of order.
        fork: Box<str>,
    },
}

fn at_shown(at: Option<&Place>) -> String {
    at.map(|place| format!(" at {place}")).unwrap_or_default()
}

/// The words of a message of several lines, in one.
fn one_line(message: &str) -> Box<str> {
    let lines = message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("; ").into()
}

/// The text being read.
struct Source<'a> {
    network: Network,
    text: &'a str,
}

impl Source<'_> {
    fn place<T>(&self, value: &Spanned<T>) -> Place {
        Place::of(self.text, value.span().start)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    network: Spanned<String>,
    #[serde(default)]
    chain: Vec<ChainEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChainEntry {
    name: Spanned<Box<str>>,
    network_id: u64,
    chain_id: u64,
    genesis_hash: Spanned<Box<str>>,
    #[serde(default)]
    genesis_time: u64,
    #[serde(default = "default_port")]
    port: u16,
    #[serde(default)]
    boot_nodes: Vec<Spanned<Box<str>>>,
    #[serde(default)]
    dns_lists: Vec<Spanned<Box<str>>>,
    #[serde(default)]
    discv5_records: Vec<Spanned<Box<str>>>,
    #[serde(default)]
    fork: Vec<ForkEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForkEntry {
    name: Spanned<Box<str>>,
    block: Option<u64>,
    time: Option<u64>,
}

const fn default_port() -> u16 {
    DEFAULT_PORT
}

impl ChainEntry {
    fn check(self, source: &Source<'_>) -> Result<ChainTable, TableError> {
        let network = source.network;
        let chain = self.name.into_inner();
        // "0x" in front is how other programs write hashes.
        let genesis = self.genesis_hash.get_ref();
        let digits = genesis.strip_prefix("0x").unwrap_or(genesis);
        let genesis_hash = unhex(digits).ok_or_else(|| TableError::NotHex {
            network,
            at: source.place(&self.genesis_hash),
            chain: chain.clone(),
            key: "genesis_hash",
            digits: 64,
            got: genesis.clone(),
        })?;
        let boot_nodes = self.boot_nodes.iter().map(|node| {
            node.get_ref()
                .parse()
                .map_err(|error| TableError::BootNode {
                    network,
                    at: source.place(node),
                    chain: chain.clone(),
                    error,
                })
        });
        let boot_nodes = boot_nodes.collect::<Result<_, _>>()?;
        let prefixed = |key, prefix: &'static str, entries: Vec<Spanned<Box<str>>>| {
            let entries = entries.into_iter().map(|entry| {
                if entry.get_ref().starts_with(prefix) {
                    return Ok(entry.into_inner());
                }
                Err(TableError::Prefix {
                    network,
                    at: source.place(&entry),
                    chain: chain.clone(),
                    key,
                    prefix,
                })
            });
            entries.collect::<Result<Vec<_>, _>>()
        };
        let dns_lists = prefixed("dns_lists", "enrtree://", self.dns_lists)?;
        let discv5_records = prefixed("discv5_records", "enr:", self.discv5_records)?;
        let forks = check_forks(source, &chain, self.fork)?;
        Ok(ChainTable {
            schedule: Arc::new(Schedule::new(&genesis_hash, self.genesis_time, &forks)),
            name: Chain(chain),
            network_id: self.network_id,
            chain_id: self.chain_id,
            genesis_hash,
            port: self.port,
            boot_nodes,
            dns_lists,
            discv5_records,
        })
    }
}

/// Forks sort themselves, so an order that makes no sense would pass unnoticed; it is most often a
/// digit that slipped.
fn check_forks(
    source: &Source<'_>,
    chain: &str,
    entries: Vec<ForkEntry>,
) -> Result<Vec<Fork>, TableError> {
    let network = source.network;
    let mut forks: Vec<Fork> = Vec::with_capacity(entries.len());
    for entry in entries {
        let place = source.place(&entry.name);
        let name = entry.name.into_inner();
        let at = match (entry.block, entry.time) {
            (Some(block), None) => Activation::Block(block),
            (None, Some(time)) => Activation::Time(time),
            (None, None) | (Some(_), Some(_)) => {
                return Err(TableError::Activation {
                    network,
                    at: place,
                    chain: chain.into(),
                    fork: name,
                });
            }
        };
        if forks.last().is_some_and(|last| last.at > at) {
            return Err(TableError::NotAscending {
                network,
                at: place,
                chain: chain.into(),
                fork: name,
            });
        }
        forks.push(Fork { name, at });
    }
    Ok(forks)
}
