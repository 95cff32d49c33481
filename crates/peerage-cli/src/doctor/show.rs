//! How it is shown.

use std::time::Instant;

use peerage::core::nat::{Behaviour, Class, NatType, NetworkType};
use peerage::outside::Observed;
use peerage::outside::mapping::{Mappings, State, Wanted};
use peerage::outside::nat::survey::{Finding, Outcome, Trial};
use peerage::outside::nat::{Decision, Family, Report};
use peerage::{Endpoint, Failure as _, Reason};
use serde_json::{Value, json};

use crate::output::{Failed, Out, Tone, millis, millis_json, reason_json};
use crate::probe::{extend, why};

/// Names of STUN servers without an address.
pub(super) fn unresolved(out: &mut Out, json: bool, reasons: &[Reason]) -> Result<(), Failed> {
    for reason in reasons {
        if json {
            out.json(
                "failed",
                json!({ "doing": "resolve", "reason": reason_json(reason) }),
            )?;
        } else {
            let mark = out.tone(Tone::Bad, "failed");
            out.line(format!("{mark}  {}", why(reason)))?;
        }
    }
    Ok(())
}

/// What is known of a family.
pub(super) fn family(
    out: &mut Out,
    json: bool,
    family: Family,
    observed: &Observed,
    mappings: &Mappings,
) -> Result<(), Failed> {
    let seen = observed.of(family);
    let kinds = match family {
        Family::V4 => mappings.kinds(),
        // Ports are asked for in IPv4 only.
        Family::V6 => Mappings::default().kinds(),
    };
    let effective = observed.effective(family, kinds);
    if json {
        let attached = seen.attachment.map(|at| {
            let gateway = at.gateway.map(|ip| ip.to_string());
            json!({ "local": at.local.to_string(), "router": gateway })
        });
        let mut body = json!({
            "family": family.name(),
            "attached": attached,
            "network": network_name(observed.network),
            "effective": nat_json(effective),
            "why": seen.due.map(|due| due.words()),
        });
        extend(&mut body, seen.report.as_ref().map(report_json));
        out.json("nat", body)?;
        return Ok(());
    }
    let head = out.tone(Tone::Strong, family.name());
    let (Some(at), Some(report)) = (seen.attachment, &seen.report) else {
        let state = if seen.attachment.is_some() {
            "not known yet"
        } else {
            "no way out"
        };
        out.line(format!("{head}  {state}"))?;
        return Ok(());
    };
    let external = report.external.map(|at| format!(", seen at {at}"));
    let name = out.tone(tone(report), report.name());
    out.line(format!("{head}  {name}{}", external.unwrap_or_default()))?;
    let router = at.gateway.map(|ip| format!(", router {ip}"));
    row(
        out,
        "attached",
        &format!("{}{}", at.local, router.unwrap_or_default()),
    )?;
    row(out, "network", network_name(observed.network))?;
    row(out, "mapping", &finding(report.mapping))?;
    row(out, "filtering", &finding(report.filtering))?;
    if let Some(hairpin) = report.hairpin {
        row(out, "hairpin", if hairpin { "yes" } else { "no" })?;
    }
    row(out, "class", &class_words(effective))?;
    let age = report.age(Instant::now()).as_secs();
    row(out, "age", &format!("{age} s"))?;
    for trial in &report.trials {
        let question = trial.question.words();
        let came = outcome(trial);
        out.line(format!(
            "    {question:<46} {:<22} {came}",
            trial.to.to_string()
        ))?;
    }
    Ok(())
}

fn row(out: &mut Out, name: &str, value: &str) -> Result<(), Failed> {
    let name = out.tone(Tone::Quiet, format!("{name:<10}"));
    Ok(out.line(format!("  {name} {value}"))?)
}

const fn tone(report: &Report) -> Tone {
    match (report.mapping, report.filtering) {
        (Ok(_), Ok(_)) => Tone::Good,
        _ => Tone::Bad,
    }
}

fn finding(finding: Finding) -> String {
    match finding {
        Ok(behaviour) => behaviour.name().to_owned(),
        Err(unknown) => format!("unknown: {unknown}"),
    }
}

/// A class, and whom it gets along with.
fn class_words(nat: NatType) -> String {
    let class = nat.class();
    let with = Class::ALL
        .into_iter()
        .filter(|other| class.is_compatible(*other));
    let with: Vec<_> = with.map(Class::name).collect();
    format!("{}, connects with {}", class.name(), with.join(", "))
}

fn outcome(trial: &Trial) -> String {
    match &trial.outcome {
        Some(Outcome::Answered { mapped, after }) => {
            let at = mapped.map(|at| format!(" at {at}"));
            format!("yes{} after {}", at.unwrap_or_default(), millis(*after))
        }
        Some(Outcome::Silent) => format!("no, asked {} times", trial.sent),
        Some(Outcome::Unmoved) => "the answer came from where it was asked".into(),
        Some(Outcome::Refused { code, reason }) => format!("refused: {code} {reason}"),
        Some(Outcome::Useless) => "an answer that says nothing".into(),
        None => "open".into(),
    }
}

const fn network_name(network: NetworkType) -> &'static str {
    match network {
        NetworkType::Unknown => "unknown",
        NetworkType::Wired => "wired",
        NetworkType::Wifi => "wifi",
        NetworkType::Mobile => "mobile",
    }
}

fn nat_json(nat: NatType) -> Value {
    json!({
        "mapping": nat.mapping.name(),
        "filtering": nat.filtering.name(),
        "value": nat.value(),
        "class": nat.class().name(),
    })
}

fn shown(at: Option<Endpoint>) -> Option<String> {
    at.map(|at| at.to_string())
}

fn report_json(report: &Report) -> Value {
    let unknown = |finding: Finding| finding.err().map(|unknown| reason_json(&unknown.reason()));
    let behaviour = |finding: Finding| finding.unwrap_or(Behaviour::Unknown).name();
    let servers = report.servers.iter().map(|server| {
        json!({
            "addr": server.at.to_string(),
            "other": shown(server.other),
            "software": server.software.as_ref().map(ToString::to_string),
            "filtering": behaviour(server.filtering),
            "filtering_unknown": unknown(server.filtering),
        })
    });
    json!({
        "name": report.name(),
        "nat": nat_json(report.nat()),
        "mapping_unknown": unknown(report.mapping),
        "filtering_unknown": unknown(report.filtering),
        "translated": report.is_translated(),
        "local": shown(report.local),
        "external": shown(report.external),
        "externals": report.externals.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "hairpin": report.hairpin,
        "took_ms": millis_json(report.ended_at.saturating_duration_since(report.started_at)),
        "age_s": report.age(Instant::now()).as_secs(),
        "servers": servers.collect::<Vec<_>>(),
        "evidence": report.trials.iter().map(trial_json).collect::<Vec<_>>(),
    })
}

fn trial_json(trial: &Trial) -> Value {
    let (outcome, about) = match &trial.outcome {
        Some(Outcome::Answered { mapped, after }) => {
            let body = json!({ "mapped": shown(*mapped), "after_ms": millis_json(*after) });
            ("answered", body)
        }
        Some(Outcome::Silent) => ("silent", json!({})),
        Some(Outcome::Unmoved) => ("unmoved", json!({})),
        Some(Outcome::Refused { code, reason }) => (
            "refused",
            json!({ "code": code, "reason": reason.to_string() }),
        ),
        Some(Outcome::Useless) => ("useless", json!({})),
        None => ("open", json!({})),
    };
    let mut body = json!({
        "question": trial.question.name(),
        "server": trial.server,
        "socket": trial.socket.0,
        "to": trial.to.to_string(),
        "sent": trial.sent,
        "outcome": outcome,
    });
    extend(&mut body, Some(about));
    body
}

/// The ports of the router.
pub(super) fn mappings(out: &mut Out, json: bool, mappings: &Mappings) -> Result<(), Failed> {
    for (wanted, state) in &mappings.0 {
        let port = wanted.to_string();
        if json {
            let body = match state {
                State::Asking => json!({ "port": port, "state": "asking" }),
                State::Mapped(mapped) => json!({
                    "port": port,
                    "state": "mapped",
                    "external": mapped.external.to_string(),
                    "method": mapped.method.name(),
                    "lifetime_s": mapped.lifetime.as_secs(),
                }),
                State::Failed(reason) => {
                    json!({ "port": port, "state": "failed", "reason": reason_json(reason) })
                }
            };
            out.json("mapping", body)?;
            continue;
        }
        let head = out.tone(Tone::Strong, format!("port {port}"));
        match state {
            State::Asking => out.line(format!("{head}  the router is being asked"))?,
            State::Mapped(mapped) => out.line(format!(
                "{head}  {} by {}, for {} s",
                mapped.external,
                mapped.method.name(),
                mapped.lifetime.as_secs()
            ))?,
            State::Failed(reason) => out.line(format!("{head}  {}", why(reason)))?,
        }
    }
    Ok(())
}

/// Which address to tell of a port, and why.
pub(super) fn decision(
    out: &mut Out,
    json: bool,
    wanted: Wanted,
    decision: &Decision,
) -> Result<(), Failed> {
    if json {
        let mut body = decision_json(decision);
        extend(&mut body, Some(json!({ "port": wanted.to_string() })));
        out.json("external", body)?;
    } else {
        out.line(format!("to tell of {wanted}: {decision}"))?;
    }
    Ok(())
}

/// A decision as JSON.
pub(crate) fn decision_json(decision: &Decision) -> Value {
    let set_aside = decision.set_aside.iter().map(|(claim, why)| {
        json!({
            "source": claim.source.name(),
            "addr": claim.endpoint.to_string(),
            "why": why.to_string(),
        })
    });
    let confirmed = decision.confirmed_by.iter().map(|source| source.name());
    json!({
        "family": decision.family.name(),
        "addr": decision.chosen.map(|chosen| chosen.endpoint.to_string()),
        "source": decision.chosen.map(|chosen| chosen.source.name()),
        "confirmed_by": confirmed.collect::<Vec<_>>(),
        "disputed": decision.is_disputed(),
        "set_aside": set_aside.collect::<Vec<_>>(),
    })
}
