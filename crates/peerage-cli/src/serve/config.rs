//! The configuration of `peerage serve`: TOML, every mistake named with its place.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use peerage::discv5::Record;
use peerage::networks::{Capability, Head};
use peerage::node::book::Prefix;
use serde::{Deserialize, Deserializer, de};

use crate::args::{self, NetworkArg};
use crate::output::{Failed, environment, misused};

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// The data directory.
    pub(super) data: Option<PathBuf>,
    /// How often figures are told.
    #[serde(default)]
    pub(super) status: Option<Span>,
    /// The networks.
    #[serde(rename = "node", default)]
    pub(super) nodes: Vec<Node>,
}

/// One network and chain.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Node {
    pub(super) network: Read<NetworkArg>,
    #[serde(default = "mainnet")]
    pub(super) chain: String,
    pub(super) listen: Option<Vec<SocketAddr>>,
    pub(super) key: Option<PathBuf>,
    #[serde(default)]
    pub(super) isolated: bool,
    pub(super) proxy: Option<String>,
    /// Whether strangers may tell of local addresses.
    pub(super) local: Option<bool>,
    pub(super) services: Option<u64>,
    pub(super) height: Option<u32>,
    pub(super) head: Option<Read<HeadText>>,
    #[serde(default)]
    pub(super) capabilities: Vec<Read<CapabilityText>>,
    #[serde(default, rename = "static")]
    pub(super) static_peers: Vec<String>,
    #[serde(default)]
    pub(super) trusted: Vec<String>,
    #[serde(default)]
    pub(super) bans: Vec<Ban>,
    #[serde(default)]
    pub(super) limits: Limits,
    pub(super) ping: Option<Often>,
    #[serde(default)]
    pub(super) seeds: Seeds,
    #[serde(default)]
    pub(super) discovery: Discovery,
}

fn mainnet() -> String {
    "mainnet".into()
}

/// A ban: whom alone, or with its end and words.
#[derive(Debug)]
pub(super) struct Ban {
    pub(super) of: String,
    pub(super) term: Option<Duration>,
    pub(super) why: String,
}

/// How many peers.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// Who dialled us.
    pub(super) inbound: Option<u16>,
    /// Whom we dial.
    pub(super) outbound: Option<u16>,
}

/// Whom to ask for peers at the beginning.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Seeds {
    /// Those of the chain's table.
    pub(super) table: bool,
    /// Hosts whose addresses are peers.
    pub(super) dns: Vec<Box<str>>,
    /// Seeders.
    pub(super) https: Vec<Box<str>>,
    /// Peers that are asked for others.
    pub(super) peers: Vec<String>,
}

impl Default for Seeds {
    fn default() -> Self {
        Self {
            table: true,
            dns: Vec::new(),
            https: Vec::new(),
            peers: Vec::new(),
        }
    }
}

/// Discovery v5, on Ethereum.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Discovery {
    /// Whether; where not said, if there is no proxy.
    pub(super) on: Option<bool>,
    /// UDP sockets; those of the listeners' addresses and ports when not given.
    pub(super) bind: Vec<SocketAddr>,
    /// Nodes to ask first; those of the chain's table when not given.
    pub(super) boot: Option<Vec<Read<RecordText>>>,
}

/// A value that is written as text.
#[derive(Debug)]
pub(super) struct Read<T>(pub(super) T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Read<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = text.parse();
        let wrong = |error| de::Error::custom(format_args!("{text:?} cannot be used: {error}"));
        read.map(Self).map_err(wrong)
    }
}

/// A span of time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        args::span(&text).map(Self).map_err(de::Error::custom)
    }
}

/// How often peers are pinged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Often(pub(super) Duration);

impl<'de> Deserialize<'de> for Often {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::often(&text).map(Self).map_err(de::Error::custom)
    }
}

macro_rules! texts {
    ($($name:ident($of:ty) by $read:path),+) => {$(
        #[derive(Debug)]
        pub(super) struct $name(pub(super) $of);

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                $read(text).map(Self)
            }
        }
    )+};
}

texts!(
    HeadText(Head) by args::head,
    CapabilityText(Capability) by args::capability,
    RecordText(Record) by args::record
);

impl<'de> Deserialize<'de> for Ban {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Ban;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("whom to ban, or { of = \"…\", for = \"24h\", why = \"…\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Ban, E> {
                Ban::new(text.into(), None, None).map_err(E::custom)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Ban, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Whole {
                    of: String,
                    #[serde(rename = "for")]
                    term: Option<Span>,
                    why: Option<String>,
                }
                let whole = Whole::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ban::new(whole.of, whole.term, whole.why).map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Ban {
    fn new(of: String, term: Option<Span>, why: Option<String>) -> Result<Self, String> {
        if of.contains('/') && !of.contains("://") {
            let range = of.parse::<Prefix>();
            range.map_err(|error| format!("{of:?} is no range: {error}"))?;
        }
        Ok(Self {
            of,
            term: term.map(|span| span.0),
            why: why.unwrap_or_else(|| "by configuration".into()),
        })
    }
}

/// Reads a configuration.
pub(super) fn read(path: &Path) -> Result<File, Failed> {
    let shown = path.display();
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            misused(format!("there is no {shown}"))
        } else {
            environment(error, format!("cannot read {shown}"))
        }
    })?;
    let file: File = toml::from_str(&text).map_err(|error| {
        let (line, column) = place(&text, error.span().map_or(0, |span| span.start));
        let what = error.message().trim_end();
        let hint = hint(what).map_or_else(String::new, |hint| format!("; {hint}"));
        misused(format!("{shown}:{line}:{column}: {what}{hint}"))
    })?;
    if file.nodes.is_empty() {
        let hint = "begin with [[node]] and network = \"zcash\"";
        return Err(misused(format!("{shown} names no network: {hint}")));
    }
    let mut seen = BTreeMap::new();
    for node in &file.nodes {
        let realm = (node.network.0.0.network(), &*node.chain);
        if seen.insert(realm, ()).is_some() {
            let (network, chain) = realm;
            return Err(misused(format!(
                "{shown} has two nodes on {network} {chain}: a book has one owner, so join them"
            )));
        }
    }
    Ok(file)
}

/// The line and column of a byte, from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[start..].chars().count() + 1)
}

/// What might have been meant, from the words of a mistake that names what there is.
fn hint(what: &str) -> Option<String> {
    let rest = what.strip_prefix("unknown field `")?;
    let (wrong, known) = rest.split_once('`')?;
    let known = known.split('`').skip(1).step_by(2);
    let nearest = known.min_by_key(|name| distance(wrong, name))?;
    let near = distance(wrong, nearest) <= wrong.len().div_ceil(2);
    near.then(|| format!("did you mean {nearest}?"))
}

/// How many letters must be changed, added or left out (Levenshtein's distance).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.chars().enumerate() {
            let change = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_has_a_place_and_what_was_meant() {
        assert_eq!(place("a\nbc\nd", 0), (1, 1));
        assert_eq!(place("a\nbc\nd", 3), (2, 2));
        assert_eq!(place("a\nbc\nd", 99), (3, 2));
        let what = "unknown field `lisen`, expected one of `network`, `listen`, `limits`";
        assert_eq!(hint(what).unwrap(), "did you mean listen?");
        assert!(hint("unknown field `quux`, expected `network` or `limits`").is_none());
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
