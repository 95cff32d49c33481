//! The configuration of `peerage serve`: TOML, every mistake named with its place.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use peerage::Endpoint;
use peerage::core::nat::NetworkType;
use peerage::discv5::Record;
use peerage::networks::{Capability, Head, NodeOption};
use peerage::node::book::Prefix;
use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use super::api::Wanted;
use super::level::{Format, Level};
use super::plan::Field;
use crate::args::{self, NetworkArg};
use crate::doctor::{self, truth};
use crate::nearest;
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
    /// Where programs speak with the daemon.
    #[serde(default)]
    pub(super) api: Wanted,
    /// The log.
    #[serde(default)]
    pub(super) log: LogKeys,
    /// The networks.
    #[serde(rename = "node", default)]
    pub(super) nodes: Vec<Spanned<Node>>,
}

/// The log on stderr.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LogKeys {
    /// The least that matters enough.
    pub(super) level: Option<Read<Level>>,
    /// How it is written.
    pub(super) format: Option<Read<Format>>,
}

/// One network and chain.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Node {
    pub(super) network: Spanned<Read<NetworkArg>>,
    pub(super) chain: Option<Spanned<String>>,
    pub(super) listen: Option<Vec<SocketAddr>>,
    pub(super) key: Option<Spanned<PathBuf>>,
    pub(super) isolated: Option<Spanned<bool>>,
    pub(super) proxy: Option<Spanned<String>>,
    /// Whether strangers may tell of local addresses.
    pub(super) local: Option<bool>,
    pub(super) services: Option<Spanned<u64>>,
    pub(super) height: Option<Spanned<u32>>,
    pub(super) head: Option<Spanned<Read<HeadText>>>,
    pub(super) capabilities: Option<Spanned<Vec<Read<CapabilityText>>>>,
    #[serde(default, rename = "static")]
    pub(super) static_peers: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) trusted: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) bans: Vec<Spanned<Ban>>,
    #[serde(default)]
    pub(super) limits: Limits,
    pub(super) ping: Option<Often>,
    #[serde(default)]
    pub(super) seeds: Seeds,
    pub(super) discovery: Option<Spanned<Discovery>>,
    /// How it learns where it is.
    pub(super) outside: Option<Spanned<Outside>>,
}

impl Node {
    /// Where in the text a field is; `None` where it is not given.
    pub(super) fn place(&self, field: Field) -> Option<Range<usize>> {
        fn of<T>(value: &Option<Spanned<T>>) -> Option<Range<usize>> {
            value.as_ref().map(Spanned::span)
        }
        fn at<T>(values: &[Spanned<T>], at: usize) -> Option<Range<usize>> {
            values.get(at).map(Spanned::span)
        }
        match field {
            Field::Chain => of(&self.chain),
            Field::Key => of(&self.key),
            Field::Proxy => of(&self.proxy),
            Field::Isolated => of(&self.isolated),
            Field::Discovery => of(&self.discovery),
            Field::Outside => of(&self.outside),
            Field::Option(NodeOption::Services) => of(&self.services),
            Field::Option(NodeOption::Height) => of(&self.height),
            Field::Option(NodeOption::Head) => of(&self.head),
            Field::Option(NodeOption::Capabilities) => of(&self.capabilities),
            Field::Pin(pin) => {
                let others = pin.checked_sub(self.static_peers.len());
                others.map_or_else(
                    || at(&self.static_peers, pin),
                    |other| at(&self.trusted, other),
                )
            }
            Field::Ban(ban) => at(&self.bans, ban),
            Field::Dns(seed) => at(&self.seeds.dns, seed),
            Field::Https(seed) => at(&self.seeds.https, seed),
            Field::SeedPeer(peer) => at(&self.seeds.peers, peer),
            Field::Option(_) | Field::Node => None,
        }
    }

    /// The chain's name.
    pub(super) fn chain(&self) -> &str {
        self.chain
            .as_ref()
            .map_or("mainnet", |chain| chain.get_ref())
    }
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
    pub(super) dns: Vec<Spanned<Box<str>>>,
    /// Seeders.
    pub(super) https: Vec<Spanned<Box<str>>>,
    /// Peers that are asked for others.
    pub(super) peers: Vec<Spanned<String>>,
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

/// How a node learns where it is.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Outside {
    /// Where others reach it, whatever else says so.
    pub(super) external: Vec<Read<ExternalText>>,
    /// STUN servers to ask.
    pub(super) stun: Vec<String>,
    /// Whether the router is asked for its ports.
    pub(super) map_ports: bool,
    /// The kind of network, where the system does not tell.
    pub(super) network: Option<Read<NetworkText>>,
}

impl Outside {
    /// The same as if they were arguments.
    pub(super) fn args(&self) -> truth::TruthArgs {
        truth::TruthArgs {
            external: self.external.iter().map(|at| at.0.0).collect(),
            stun: self.stun.clone(),
            map_ports: self.map_ports,
            on_network: self.network.as_ref().map(|kind| kind.0.0),
        }
    }
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
    RecordText(Record) by args::record,
    ExternalText(Endpoint) by truth::external,
    NetworkText(NetworkType) by doctor::network
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

/// Where in a file something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    /// From 1.
    pub(super) line: usize,
    /// In characters, from 1.
    pub(super) column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column } = self;
        write!(f, "{}:{line}:{column}", file.display())
    }
}

/// The text of a configuration, to say where something in it is wrong.
#[derive(Debug)]
pub(super) struct Source {
    /// The file, as it was named.
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl Source {
    /// The mistake, with its place before it.
    pub(super) fn wrong(&self, at: Range<usize>, error: Failed) -> Failed {
        let (line, column) = place(&self.text, at.start);
        let file = self.path.clone();
        error.within(Place { file, line, column })
    }
}

/// Reads the text of a configuration.
pub(super) fn source(path: &Path) -> Result<Source, Failed> {
    let shown = path.display();
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            misused(format!("there is no {shown}"))
        } else {
            environment(error, format!("cannot read {shown}"))
        }
    })?;
    let path = path.to_owned();
    Ok(Source { path, text })
}

/// Reads a configuration. It may name no network, where another names some.
pub(super) fn parse(source: &Source) -> Result<File, Failed> {
    let file: File = toml::from_str(&source.text).map_err(|error| {
        let what = error.message().trim_end();
        let what = misused(format!("{what}{}", hint(what)));
        source.wrong(error.span().unwrap_or_default(), what)
    })?;
    let mut seen = BTreeSet::new();
    for node in &file.nodes {
        let node = node.get_ref();
        let (network, chain) = (node.network.get_ref().0.0.network(), node.chain());
        if !seen.insert((network, chain)) {
            let error = misused(format!(
                "a second node on {network} {chain}: a book has one owner, so join them"
            ));
            return Err(source.wrong(node.network.span(), error));
        }
    }
    drop(seen);
    Ok(file)
}

/// The line and column of a byte, from 1.
pub(super) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[start..].chars().count() + 1)
}

/// What might have been meant, from the words of a mistake that names what there is.
fn hint(what: &str) -> String {
    let unknown = what.strip_prefix("unknown field `");
    let unknown = unknown.and_then(|rest| rest.split_once('`'));
    unknown.map_or_else(String::new, |(wrong, known)| {
        nearest::hint(wrong, known.split('`').skip(1).step_by(2))
    })
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
        assert_eq!(hint(what), "; did you mean listen?");
        assert_eq!(
            hint("unknown field `quux`, expected `network` or `limits`"),
            ""
        );
    }
}
