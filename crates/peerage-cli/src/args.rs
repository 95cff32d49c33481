//! Arguments that several commands share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use peerage::devp2p::table::{ChainTable, NETWORK};
use peerage::devp2p::{ForkFilter, Table};
use peerage::discv5::discovery::Filter;
use peerage::discv5::record::Unverified;
use peerage::discv5::{NodeId, Record};
use peerage::networks::{
    AnyNetwork, AnyNode, Capability, Head, NETWORKS, Options, PeerAddress, Setup, by_name,
};
use peerage::{Destination, NodeKey, Route, Tables};

use crate::nearest;
use crate::output::{Failed, misused, usage};

/// Which node we are.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodeArgs {
    /// The chain of the network.
    #[arg(long, default_value = "mainnet")]
    pub(crate) chain: String,

    /// The key file of the node; a fresh key when none is given.
    #[arg(long, value_name = "FILE", env = "PEERAGE_KEY_FILE")]
    pub(crate) key: Option<PathBuf>,

    /// Tell nothing at all about this node.
    #[arg(long)]
    pub(crate) isolated: bool,

    /// Service bits to claim, decimal or 0x…; none when not given.
    #[arg(long, value_name = "BITS", value_parser = bits)]
    pub(crate) services: Option<u64>,

    /// The height of the best block, to claim and to judge versions by.
    #[arg(long, value_name = "HEIGHT")]
    pub(crate) height: Option<u32>,

    /// The best block to judge forks by: its number, and its time in seconds since 1970 where that
    /// is not now. Without it, every fork whose time has come counts as passed.
    #[arg(long, value_name = "NUMBER[:TIME]", value_parser = head)]
    pub(crate) head: Option<Head>,

    /// A capability to offer instead of the usual ones; may be given several times.
    #[arg(long = "capability", value_name = "NAME/VERSION", value_parser = capability)]
    pub(crate) capabilities: Vec<Capability>,
}

impl NodeArgs {
    /// A node on the chosen chain of `network`.
    pub(crate) fn node(
        &self,
        network: &dyn AnyNetwork,
        tables: &Tables,
        route: Route,
    ) -> Result<Box<dyn AnyNode>, Failed> {
        network.node(&self.setup(tables, route)?).map_err(usage)
    }

    /// Whether anything was said about the node.
    pub(crate) fn is_any_given(&self) -> bool {
        let options = self.services.is_some() || self.height.is_some() || self.head.is_some();
        let chain = self.chain != "mainnet";
        chain || self.isolated || options || !self.capabilities.is_empty()
    }

    /// How the node is to be; whatever is made of it is the same node.
    pub(crate) fn setup(&self, tables: &Tables, route: Route) -> Result<Setup, Failed> {
        let key = match &self.key {
            Some(file) => crate::data::key_at(file)?,
            None => NodeKey::generate(),
        };
        Ok(Setup {
            chain: self.chain.clone(),
            tables: tables.clone(),
            key: Some(key),
            isolated: self.isolated,
            route,
            options: Options {
                services: self.services,
                height: self.height,
                head: self.head,
                capabilities: self.capabilities.clone(),
                ..Options::NONE
            },
        })
    }
}

/// A network by its name.
pub(crate) fn network(name: &str) -> Result<&'static dyn AnyNetwork, String> {
    by_name(name).ok_or_else(|| {
        let known = NETWORKS.iter().map(|network| network.network().0);
        format!("there are {}{}", names(), nearest::hint(name, known))
    })
}

fn names() -> String {
    NETWORKS
        .iter()
        .map(|network| network.network().0)
        .collect::<Vec<_>>()
        .join(", ")
}

/// A network's name that is known to be one; for clap, which keeps values that can be cloned.
#[derive(Clone, Copy)]
pub(crate) struct NetworkArg(pub(crate) &'static dyn AnyNetwork);

impl std::fmt::Debug for NetworkArg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.network())
    }
}

impl std::str::FromStr for NetworkArg {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        network(name).map(Self)
    }
}

/// The network of a peer, from its address or the one chosen.
pub(crate) fn network_of(
    text: &str,
    chosen: Option<NetworkArg>,
) -> Result<&'static dyn AnyNetwork, Failed> {
    let address = PeerAddress::parse(text).map_err(usage)?;
    let named = address.network.and_then(|network| by_name(network.0));
    match (named, chosen) {
        (Some(named), Some(chosen)) if named.network() != chosen.0.network() => {
            Err(misused(format!(
                "{text} is an address of {}, not of {chosen:?}",
                named.network()
            )))
        }
        (Some(network), _) => Ok(network),
        (None, Some(chosen)) => Ok(chosen.0),
        (None, None) => Err(misused(format!(
            "{text} names no network: write {} or add -n NETWORK ({})",
            NETWORKS
                .iter()
                .map(|network| network.address_of(text))
                .collect::<Vec<_>>()
                .join(" or "),
            names()
        ))),
    }
}

/// Whom to dial, with the node's customary port where none is given.
pub(crate) fn destination(text: &str, node: &dyn AnyNode) -> Result<Destination, Failed> {
    node.destination(text)
        .map_err(|error| misused(format!("{text:?} is no address: {error}")))
}

/// A node's record in text, verified.
pub(crate) fn record(text: &str) -> Result<Record, String> {
    let read = text.trim().parse::<Unverified>();
    read.and_then(Unverified::verify)
        .map_err(|error| match std::error::Error::source(&error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        })
}

/// An entry of a record: `KEY`, or `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntryArg {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

impl EntryArg {
    /// The filter that wants this entry.
    pub(crate) fn filter(&self) -> Filter {
        Filter {
            key: self.key.clone(),
            value: self.value.clone(),
        }
    }
}

/// An entry: its value is bytes as `0x…`, a number, or else text.
pub(crate) fn entry(text: &str) -> Result<EntryArg, String> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (text, None),
    };
    if key.is_empty() {
        return Err("expected KEY or KEY=VALUE".into());
    }
    let value = value.map(|value| match value.strip_prefix("0x") {
        Some(digits) => hex::decode(digits).map_err(|error| error.to_string()),
        None => Ok(match value.parse::<u64>() {
            Ok(number) => {
                let bytes = number.to_be_bytes();
                let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                bytes[zeros..].to_vec()
            }
            Err(_) => value.into(),
        }),
    });
    Ok(EntryArg {
        key: key.into(),
        value: value.transpose()?,
    })
}

/// A node's id: 64 hexadecimal digits.
pub(crate) fn node_id(text: &str) -> Result<NodeId, String> {
    NodeId::from_hex(text).ok_or_else(|| "expected the 64 hexadecimal digits of a node id".into())
}

/// A chain of Ethereum in the tables.
pub(crate) fn ethereum_chain(tables: &Tables, name: &str) -> Result<Arc<ChainTable>, Failed> {
    let table = tables.load(NETWORK, Table::builtin).map_err(usage)?;
    table.chain(name).cloned().ok_or_else(|| {
        let known = table.chains.iter().map(|chain| chain.name.as_str());
        let known: Vec<_> = known.collect();
        let known = known.join(", ");
        misused(format!("{NETWORK} has no chain {name}; it has {known}"))
    })
}

/// What a node of this chain judges by that knows no block: the wall clock.
pub(crate) fn forks_now(chain: &ChainTable) -> ForkFilter {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    chain.forks_by_the_clock(now.map_or(0, |now| now.as_secs()))
}

/// A span of time: `500ms`, `20s`, `5m`, `2h`, or plain seconds.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: f64 = number.parse().map_err(|_| expected_span())?;
    let seconds = match unit {
        "ms" => number / 1e3,
        "" | "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return Err(expected_span()),
    };
    // A year is more than any command runs, and keeps every sum of times in range.
    let sound = seconds > 0.0 && seconds <= 366.0 * 86_400.0;
    sound
        .then(|| Duration::from_secs_f64(seconds))
        .ok_or_else(expected_span)
}

fn expected_span() -> String {
    "expected a span of time above zero such as 500ms, 20s, 5m or 2h".into()
}

/// A block: `22000000`, or `22000000:1740000000` with its time.
pub(crate) fn head(text: &str) -> Result<Head, String> {
    let wrong = || "expected a block's number, or number:time".to_owned();
    let number = |text: &str| text.parse().map_err(|_| wrong());
    Ok(match text.split_once(':') {
        None => Head {
            number: number(text)?,
            time: None,
        },
        Some((block, time)) => Head {
            number: number(block)?,
            time: Some(number(time)?),
        },
    })
}

/// A capability: `eth/69`.
pub(crate) fn capability(text: &str) -> Result<Capability, String> {
    let parts = text.split_once('/');
    let parts = parts.and_then(|(name, version)| Some((name, version.parse().ok()?)));
    let (name, version) = parts.ok_or("expected a name and a version such as eth/69")?;
    Ok(Capability {
        name: name.into(),
        version,
    })
}

/// Service bits.
fn bits(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_units() {
        assert_eq!(span("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(span("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(span("20"), Ok(Duration::from_secs(20)));
        assert_eq!(span("2h"), Ok(Duration::from_secs(7200)));
        for wrong in ["", "0", "-1s", "3d", "s", "1e9h", "nan", "9999999h"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn entries_are_text_numbers_or_bytes() {
        let read = |text: &str| entry(text).map(|entry| (entry.key, entry.value));
        assert_eq!(read("eth"), Ok((b"eth".to_vec(), None)));
        assert_eq!(read("x=ab"), Ok((b"x".to_vec(), Some(b"ab".to_vec()))));
        assert_eq!(read("x=0xab01"), Ok((b"x".to_vec(), Some(vec![0xab, 1]))));
        assert_eq!(read("x=258"), Ok((b"x".to_vec(), Some(vec![1, 2]))));
        assert_eq!(read("x=0"), Ok((b"x".to_vec(), Some(vec![]))));
        assert_eq!(read("x="), Ok((b"x".to_vec(), Some(vec![]))));
        assert!(read("=1").is_err() && read("x=0xq").is_err());
    }

    #[test]
    fn a_peer_needs_one_network_and_only_one() {
        let zcash: NetworkArg = "zcash".parse().unwrap();
        let network = |text, chosen| network_of(text, chosen).map(|network| network.network().0);
        assert_eq!(network("zec://h:1", None).ok(), Some("zcash"));
        assert_eq!(network("dcr://h", None).ok(), Some("decred"));
        assert_eq!(network("h:1", Some(zcash)).ok(), Some("zcash"));
        assert!(network("h:1", None).is_err());
        assert!(network("dcr://h:1", Some(zcash)).is_err());
        assert!(network("btc://h:1", None).is_err());
    }
}
