//! The configuration read again while nodes run.
//!
//! It is read, checked and compared as a whole. What can change does, in all nodes or in none; what
//! cannot is named and stays as it is; a file with a mistake changes nothing.

use std::collections::BTreeSet;
use std::mem::swap;

use peerage::core::{Detail, Kind, PeerText, Stage};
use peerage::node::Changed;
use peerage::node::book::{PinWish, Wishes};
use peerage::node::peers::Limits;
use peerage::node::store::Realm;
use peerage::{Reason, Tables};
use serde_json::json;

use super::Args;
use super::config::Place;
use super::plan::{Keys, NodePlan, Plan, plan};
use super::show::Log;
use super::start::{Running, customary};
use crate::args::destination;
use crate::data::{key_of, place};
use crate::output::{Exit, Failed, reason_json, usage};

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Reloaded {
    /// What is different now.
    changed: Vec<String>,
    /// What is different in the file and counts after a restart.
    restart: Vec<String>,
    /// What it did to each node.
    nodes: Vec<(Realm, Changed)>,
}

/// A node and what is to become of it.
struct Step {
    at: usize,
    wanted: NodePlan,
    /// The way there.
    go: Turn,
    /// And back.
    back: Turn,
}

/// The part of a change that says what is different.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn {
    pub(super) limits: Option<Limits>,
    pub(super) wishes: Wishes,
}

/// Reads the configuration again and applies what can be applied.
pub(super) async fn reload(
    current: &mut Plan,
    nodes: &mut [Running],
    args: &Args,
    tables: &Tables,
) -> Result<Reloaded, Failed> {
    let mut wanted = plan(args, tables, Keys::Passing)?;
    let mut told = Reloaded::default();
    if wanted.data != current.data {
        told.restart.push("data".into());
    }
    if wanted.api != current.api {
        told.restart.push("api".into());
    }
    let mut steps = Vec::new();
    for (at, old) in current.nodes.iter().enumerate() {
        let realm = old.realm();
        let found = wanted.nodes.iter().position(|new| new.realm() == realm);
        let Some(found) = found else {
            told.restart.push(format!("{realm} left out"));
            continue;
        };
        let mut new = wanted.nodes.remove(found);
        let same_data = wanted.data == current.data;
        let fixed = fix(old, &mut new, same_data);
        let name = |key: &&str| format!("{realm}: {key}");
        told.restart.extend(fixed.iter().map(name));
        told.changed.extend(differences(old, &new).iter().map(name));
        steps.push(Step {
            at,
            go: turn(old, &new)?,
            back: turn(&new, old)?,
            wanted: new,
        });
    }
    let added = wanted
        .nodes
        .iter()
        .map(|new| format!("{} added", new.realm()));
    told.restart.extend(added);
    // All that can be wrong with tables is found before anything is done.
    let mut renewals = Vec::new();
    for step in &steps {
        let claims = current.nodes[step.at].setup.options != step.wanted.setup.options;
        renewals.push(nodes[step.at].prepare(&step.wanted, claims)?);
    }
    for (done, step) in steps.iter().enumerate() {
        match nodes[step.at].grant(step.go.clone()).await {
            Ok(changed) => told.nodes.push((step.wanted.realm(), changed)),
            Err(error) => {
                for step in &steps[..done] {
                    // It was so a moment ago, so it can be again.
                    drop(nodes[step.at].grant(step.back.clone()).await);
                }
                return Err(error.within(step.wanted.realm().to_string()));
            }
        }
    }
    // From here on nothing fails.
    for ((step, renewal), of) in steps.into_iter().zip(renewals).zip(&mut told.nodes) {
        if renewal.differ {
            told.changed.push(format!("{}: tables", of.0));
        }
        of.1.incompatible = nodes[step.at].renew(renewal).await.incompatible;
        current.nodes[step.at] = step.wanted;
    }
    for (key, differs) in [
        ("status", wanted.status != current.status),
        ("log.level", wanted.level != current.level),
        ("log.format", wanted.format != current.format),
    ] {
        if differs {
            told.changed.push(key.into());
        }
    }
    current.status = wanted.status;
    current.level = wanted.level;
    current.format = wanted.format;
    Ok(told)
}

/// Brings what cannot change back to what it was, and says what that is.
fn fix(old: &NodePlan, new: &mut NodePlan, same_data: bool) -> Vec<&'static str> {
    let mut fixed = Vec::new();
    let mut note = |key, differs| {
        if differs {
            fixed.push(key);
        }
    };
    note("listen", old.listen != new.listen);
    // Another data directory may have another key, and is named itself.
    let keys = old.key.secret_bytes() != new.key.secret_bytes();
    note("key", keys && same_data);
    note("isolated", old.setup.isolated != new.setup.isolated);
    note("proxy", old.proxy != new.proxy);
    note("local", old.local != new.local);
    note("ping", old.ping != new.ping);
    note("seeds", old.seeds != new.seeds);
    note("discovery", old.discovery != new.discovery);
    note("outside", old.truth != new.truth);
    new.listen.clone_from(&old.listen);
    new.key = old.key.clone();
    new.proxy.clone_from(&old.proxy);
    new.local = old.local;
    new.ping = old.ping;
    new.seeds = old.seeds.clone();
    new.discovery.clone_from(&old.discovery);
    new.truth = old.truth.clone();
    // A route is itself only: its peers are kept apart under a key of its own.
    let mut setup = old.setup.clone();
    swap(&mut setup.options, &mut new.setup.options);
    new.setup = setup;
    fixed
}

/// What is different and can be.
fn differences(old: &NodePlan, new: &NodePlan) -> Vec<&'static str> {
    let (ours, theirs) = (&old.setup.options, &new.setup.options);
    let pins = |plan: &NodePlan| plan.pins.iter().cloned().collect::<BTreeSet<_>>();
    [
        ("services", ours.services != theirs.services),
        ("height", ours.height != theirs.height),
        ("head", ours.head != theirs.head),
        ("capabilities", ours.capabilities != theirs.capabilities),
        ("static and trusted", pins(old) != pins(new)),
        ("bans", old.bans != new.bans),
        ("limits.inbound", old.inbound != new.inbound),
        ("limits.outbound", old.outbound != new.outbound),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect()
}

/// The way from one plan to another. What the file had and has no longer is given up.
fn turn(from: &NodePlan, to: &NodePlan) -> Result<Turn, Failed> {
    let mut wishes = Wishes::default();
    for ban in &from.bans {
        if !to.bans.iter().any(|other| other.subject == ban.subject) {
            wishes.lift.push(ban.subject.clone());
        }
    }
    // An end that was set before is not moved.
    let fresh = to.bans.iter().filter(|ban| !from.bans.contains(ban));
    wishes.ban.extend(fresh.cloned());
    let (before, after) = (pins(from)?, pins(to)?);
    let stays: BTreeSet<_> = after.iter().map(PinWish::key).collect();
    let gone = before.iter().map(PinWish::key);
    wishes.unpin.extend(gone.filter(|key| !stays.contains(key)));
    wishes
        .pin
        .extend(after.into_iter().filter(|pin| !before.contains(pin)));
    let same = (from.inbound, from.outbound) == (to.inbound, to.outbound);
    let limits = customary(to.network.network()).filter(|_| !same);
    let limits = limits.map(|usual| Limits {
        active_in: to.inbound.map_or(usual.active_in, usize::from),
        active_out: to.outbound.map_or(usual.active_out, usize::from),
        ..usual
    });
    Ok(Turn { limits, wishes })
}

fn pins(plan: &NodePlan) -> Result<Vec<PinWish>, Failed> {
    let node = plan.network.node(&plan.setup).map_err(usage)?;
    let pins = plan.pins.iter().map(|(peer, role)| {
        let to = destination(peer, &*node)?;
        let (identity, address) = place(&to)?;
        // Whatever has no name in the book cannot be pinned either.
        let _key = key_of(&to)?;
        Ok(PinWish {
            identity,
            address,
            role: *role,
        })
    });
    pins.collect()
}

/// Tells what came of it: `reloaded`, before it `restart_needed` if that is so, or `reload_failed`.
pub(super) fn tell(log: &mut Log<'_>, result: &Result<Reloaded, Failed>) -> Result<(), Failed> {
    let told = match result {
        Ok(told) => told,
        Err(error) => {
            let words = format!("everything stays as it was: {error}");
            let reason = reason_json(&reason(error));
            return log.line(None, "reload_failed", &words, json!({ "reason": reason }));
        }
    };
    let Reloaded {
        changed,
        restart,
        nodes,
    } = told;
    if !restart.is_empty() {
        let words = format!("counts after a restart only: {}", restart.join(", "));
        log.line(None, "restart_needed", &words, json!({ "keys": restart }))?;
    }
    let of_nodes = nodes.iter().map(|(realm, changed)| {
        json!({
            "network": &*realm.network,
            "chain": &*realm.chain,
            "banned": changed.banned.len(),
            "incompatible": changed.incompatible.len(),
            "surplus_in": changed.surplus[0],
            "surplus_out": changed.surplus[1],
        })
    });
    let of_nodes: Vec<_> = of_nodes.collect();
    let mut words = match &changed[..] {
        [] => "nothing has changed".to_owned(),
        changed => changed.join(", "),
    };
    let sum = |of: fn(&Changed) -> usize| nodes.iter().map(|(_, node)| of(node)).sum::<usize>();
    for (count, what) in [
        (sum(|node| node.banned.len()), "banned"),
        (sum(|node| node.incompatible.len()), "incompatible"),
        (
            sum(|node| node.surplus.iter().sum()),
            "too many, which go one by one",
        ),
    ] {
        if count > 0 {
            words = format!("{words}; {count} {what}");
        }
    }
    log.line(
        None,
        "reloaded",
        &words,
        json!({ "changed": changed, "nodes": of_nodes }),
    )
}

/// A failure as others are told.
fn reason(error: &Failed) -> Reason {
    let mut detail = Detail::none();
    if let Some(place) = error.cause::<Place>() {
        detail = detail
            .with("file", PeerText::from(&*place.file.to_string_lossy()))
            .with("line", place.line)
            .with("column", place.column);
    }
    let kind = if error.exit() == Exit::Usage {
        Kind::Usage
    } else {
        Kind::Transport
    };
    Reason {
        stage: Stage::Input,
        kind,
        blame: kind.blame(),
        retry: kind.retry(),
        detail,
        message: error.to_string().into(),
    }
}
