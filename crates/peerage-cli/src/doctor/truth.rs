//! Where a node says that it is, and why: arguments, lines, and the file that `why --self` reads.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use peerage::core::nat::NetworkType;
use peerage::outside::{self, Advertise, Told};
use peerage::{Endpoint, UnixTime};
use serde_json::{Value, json};

use super::{network, show};
use crate::output::{Failed, Out, environment, reason_json};

/// How a node learns where it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct TruthArgs {
    /// Where others reach the node, whatever else says so: an address, or one with a port; once for
    /// each family.
    #[arg(long = "external", value_name = "ADDR[:PORT]", value_parser = external)]
    pub(crate) external: Vec<Endpoint>,

    /// A STUN server to ask where the node is seen, and how its NAT behaves; may be given several
    /// times.
    #[arg(long = "stun", value_name = "HOST[:PORT]")]
    pub(crate) stun: Vec<String>,

    /// Ask the router for the node's ports, and give them back at the end.
    #[arg(long)]
    pub(crate) map_ports: bool,

    /// The kind of network, where the system does not tell: wired, wifi or mobile.
    #[arg(long, value_name = "KIND", value_parser = network)]
    pub(crate) on_network: Option<NetworkType>,
}

/// An address, with port 0 where none is given.
pub(crate) fn external(text: &str) -> Result<Endpoint, String> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let at = match (bare.parse::<IpAddr>(), text.parse::<SocketAddr>()) {
        (Ok(ip), _) => Endpoint::new(ip, 0),
        (_, Ok(at)) => at.into(),
        _ => return Err("expected an address, or an address and a port".into()),
    };
    if at.ip().is_unspecified() || at.ip().is_multicast() {
        return Err("nobody can reach that".into());
    }
    Ok(at)
}

impl TruthArgs {
    /// Whether anything is said at all.
    pub(crate) fn is_any_given(&self) -> bool {
        *self != Self::default()
    }

    /// What the node is to do.
    pub(crate) fn advertise(&self, tcp: Option<u16>) -> Advertise {
        let observe = (!self.stun.is_empty()).then(|| {
            let mut plan = outside::plan(self.stun.clone());
            plan.network = self.on_network;
            plan
        });
        Advertise {
            configured: self.external.clone(),
            map: self.map_ports,
            observe,
            tcp,
        }
    }
}

/// What is told and why, as JSON.
pub(crate) fn told_json(told: &Told) -> Value {
    let decisions = told.decisions.iter().map(show::decision_json);
    let mapped = told.mappings.mapped().map(|(wanted, mapped)| {
        json!({
            "port": wanted.to_string(),
            "external": mapped.external.to_string(),
            "method": mapped.method.name(),
        })
    });
    let nats = [&told.observed.v4, &told.observed.v6].map(|seen| {
        let report = seen.report.as_ref();
        report.map(|report| json!({ "family": report.family.name(), "name": report.name() }))
    });
    json!({
        "decisions": decisions.collect::<Vec<_>>(),
        "mapped": mapped.collect::<Vec<_>>(),
        "nat": nats.into_iter().flatten().collect::<Vec<_>>(),
        "trouble": told.trouble.as_ref().map(reason_json),
    })
}

/// The same in words, families without anything to say left out.
pub(crate) fn told_words(told: &Told) -> String {
    let silent = |decision: &&outside::nat::Decision| {
        decision.chosen.is_some() || !decision.set_aside.is_empty()
    };
    let mut words: Vec<_> = told
        .decisions
        .iter()
        .filter(silent)
        .map(ToString::to_string)
        .collect();
    for (wanted, mapped) in told.mappings.mapped() {
        let (external, method) = (mapped.external, mapped.method.name());
        words.push(format!("port {wanted} is {external} by {method}"));
    }
    if words.is_empty() {
        words.push("nobody has said where we are".into());
    }
    words.join("\n")
}

/// The file of a data directory that says what its nodes tell of themselves.
const FILE: &str = "self.json";

/// A node by its name, and what it tells of itself, as JSON and in words.
pub(crate) type Line = (String, Value, String);

/// Writes it: beside, then in its place, so that nobody reads half of it.
pub(crate) fn remember(folder: &Path, at: UnixTime, nodes: &[Line]) -> Result<(), Failed> {
    let nodes = nodes
        .iter()
        .map(|(name, told, words)| json!({ "node": name, "told": told, "words": words }));
    let body = json!({ "v": 1, "at": at.0, "nodes": nodes.collect::<Vec<_>>() });
    let beside = folder.join(format!("{FILE}.part"));
    let written = fs::write(&beside, body.to_string());
    let written = written.and_then(|()| fs::rename(&beside, folder.join(FILE)));
    written.map_err(|error| environment(error, "cannot write what the node tells of itself"))
}

/// The end of a node: what it told is told no more.
pub(crate) fn forget(folder: &Path) {
    // It may never have been written.
    drop(fs::remove_file(folder.join(FILE)));
}

/// Shows it; false if no node runs there that tells anything.
pub(crate) fn recall(
    folder: &Path,
    now: UnixTime,
    json: bool,
    out: &mut Out,
) -> Result<bool, Failed> {
    let text = match fs::read_to_string(folder.join(FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => {
            return Err(environment(
                error,
                "cannot read what the node tells of itself",
            ));
        }
    };
    let body: Value = serde_json::from_str(&text)
        .map_err(|error| environment(error, format!("{FILE} is damaged: remove it")))?;
    let age = now.0 - body["at"].as_i64().unwrap_or_default();
    for node in body["nodes"].as_array().into_iter().flatten() {
        let name = node["node"].as_str().unwrap_or_default();
        if json {
            let told = &node["told"];
            out.json("self", json!({ "node": name, "age_s": age, "told": told }))?;
        } else {
            out.line(format!("{name}, as of {age} s ago"))?;
            for line in node["words"].as_str().unwrap_or_default().lines() {
                out.line(format!("  {line}"))?;
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_external_address_may_leave_out_the_port() {
        for (text, expected) in [
            ("192.0.2.1", Some("192.0.2.1:0")),
            ("192.0.2.1:9", Some("192.0.2.1:9")),
            ("2001:db8::1", Some("[2001:db8::1]:0")),
            ("[2001:db8::1]:9", Some("[2001:db8::1]:9")),
            ("0.0.0.0:9", None),
            ("example.org", None),
        ] {
            let read = external(text).ok().map(|at| at.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }
}
