//! `peerage sim keep`: a town of nodes that keep peers.

use std::time::{Duration, Instant};

use clap::ValueEnum;
use peerage_sim::keep::{
    Ethereum, MAX_DAYS, MAX_NODES, Net, Plan, PlanError, Progress, Report, Town,
};
use peerage_sim::{Chance, Seed};
use serde_json::{Value, json};

use super::{Host, chance, millis, seconds};
use crate::output::{Exit, Failed, Out, environment, progress, usage};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Of {
    Zcash,
    Decred,
    Ethereum,
}

impl Of {
    const fn name(self) -> &'static str {
        match self {
            Self::Zcash => "zcash",
            Self::Decred => "decred",
            Self::Ethereum => "ethereum",
        }
    }
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct KeepArgs {
    /// The network whose nodes they are.
    #[arg(long, value_name = "NETWORK", default_value = "zcash")]
    network: Of,

    /// How many nodes.
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = nodes)]
    nodes: usize,

    /// For how many days.
    #[arg(long, value_name = "D", default_value = "7", value_parser = days)]
    days: f64,

    /// The share of nodes that is faulty, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "0.25", value_parser = chance)]
    faulty: Chance,

    /// How many outbound peers each wants; it takes twice as many inbound ones.
    #[arg(long, value_name = "PEERS", default_value_t = 8, value_parser = target)]
    target: usize,

    /// Where all randomness comes from.
    #[arg(long, value_name = "S", default_value_t = 1, env = "PEERAGE_SIM_SEED")]
    seed: u64,

    /// One JSON object.
    #[arg(long)]
    json: bool,
}

fn nodes(text: &str) -> Result<usize, String> {
    let count = text.parse().ok();
    count
        .filter(|count| (1..=MAX_NODES).contains(count))
        .ok_or_else(|| format!("expected a number from 1 to {MAX_NODES}"))
}

fn target(text: &str) -> Result<usize, String> {
    let count = text.parse().ok();
    count
        .filter(|count| (1..=100).contains(count))
        .ok_or_else(|| "expected a number from 1 to 100".into())
}

fn days(text: &str) -> Result<f64, String> {
    let days: Option<f64> = text.parse().ok();
    days.filter(|days| *days > 0.0 && *days <= f64::from(MAX_DAYS))
        .ok_or_else(|| format!("expected a number of days, at most {MAX_DAYS}"))
}

pub(crate) async fn run(args: KeepArgs, out: &mut Out) -> Result<Exit, Failed> {
    let plan = Plan {
        nodes: args.nodes,
        span: Duration::from_secs_f64(args.days * 86_400.0),
        faulty: args.faulty,
        target: args.target,
        inbound: 2 * args.target,
        seed: Seed(args.seed),
        ..Plan::default()
    };
    plan.check().map_err(usage)?;
    let begun = Instant::now();
    let of = args.network;
    // Off the async threads, so that an interrupt is heard at once.
    let work = tokio::task::spawn_blocking(move || match of {
        Of::Zcash => live::<peerage_sim::keep::Zcash>(&plan),
        Of::Decred => live::<peerage_sim::keep::Decred>(&plan),
        Of::Ethereum => live::<Ethereum>(&plan),
    });
    let report = work.await.map_err(|error| environment(error, "the run"))?;
    let report = report.map_err(usage)?;
    let host = Host::measure(begun.elapsed());
    if args.json {
        out.json("sim.keep", as_json(&args, &report, &host))?;
    } else {
        text(out, &args, &report, &host)?;
    }
    Ok(if report.violated == 0 {
        Exit::Yes
    } else {
        Exit::No
    })
}

fn live<N: Net>(plan: &Plan) -> Result<Report, PlanError> {
    Ok(Town::<N>::new(plan)?.run(|step| progress(&told(&step))))
}

/// A moment, for people.
fn moment(at: Duration) -> String {
    let secs = at.as_secs();
    let (days, hours, minutes) = (secs / 86_400, secs / 3_600 % 24, secs / 60 % 60);
    format!("{days:>4}d {hours:02}:{minutes:02}:{:02}", secs % 60)
}

/// A step of the run, for stderr.
fn told(step: &Progress) -> String {
    match step {
        Progress::Day {
            day,
            peers: (least, mean),
            dials,
            violations,
        } => {
            let at = moment(Duration::from_secs(day * 86_400));
            format!(
                "{at}  peers {least} at least, {mean:.1} on average; {dials} dials, {violations} violations"
            )
        }
        Progress::Incident { at, incident, host } => {
            let host = host.map_or(String::new(), |host| format!(" of node {host}"));
            format!("{}  {incident}{host}", moment(*at))
        }
        Progress::Recovered { host, took } => {
            format!("{:>14}  node {host} is whole after {}", "", seconds(*took))
        }
        Progress::Violation(violation) => format!(
            "{}  VIOLATION at node {}: {}",
            moment(violation.at),
            violation.host,
            violation.what
        ),
    }
}

fn shown<K: std::fmt::Display>(counts: impl IntoIterator<Item = (K, u64)>) -> String {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let counts = counts.iter().map(|(what, count)| format!("{what} {count}"));
    counts.collect::<Vec<_>>().join(", ")
}

fn text(out: &mut Out, args: &KeepArgs, report: &Report, host: &Host) -> Result<(), Failed> {
    let tally = &report.tally;
    let mut row = |name: &str, value: String| out.line(format!("{name:<13} {value}"));
    let faults = report.faults.iter().map(|(fault, n)| (fault, *n as u64));
    row(
        "nodes",
        format!(
            "{} of {}: {} keepers; {}",
            args.nodes,
            args.network.name(),
            report.keepers,
            shown(faults)
        ),
    )?;
    row("virtual time", moment(report.elapsed).trim().to_owned())?;
    let incidents = report.incidents.iter().map(|(what, n)| (what, *n));
    row("happened", shown(incidents))?;
    row(
        "peers",
        format!(
            "target {}; {:.2} on average, {} at least, whole {:.2} % of the time, below half for {} at most",
            args.target,
            report.mean_peers,
            report.least_peers,
            report.full_share * 100.0,
            seconds(report.longest_below)
        ),
    )?;
    let recovered = |quantile| {
        let within = report.recovered_within(quantile);
        within.map_or("-".into(), seconds)
    };
    row(
        "outages",
        format!(
            "{}: whole after {} (half), {} (all)",
            report.recoveries.len(),
            recovered(0.5),
            recovered(1.0)
        ),
    )?;
    row(
        "dials",
        format!(
            "{}: {} greeted, {} failed: {}",
            tally.dials,
            tally.greeted_out,
            tally.failed_dials(),
            shown(tally.failures.iter().map(|(kind, n)| (kind, *n)))
        ),
    )?;
    let ends = tally.ends.iter();
    row(
        "sessions",
        format!(
            "{} out, {} in; ended: {}",
            tally.greeted_out,
            tally.greeted_in,
            shown(ends.map(|((whose, kind), n)| (format!("{whose} ({kind})"), *n)))
        ),
    )?;
    row(
        "bounds",
        format!(
            "{} candidates, {} sessions, {} bytes in one stream at most; {} audits",
            report.most_known, report.most_sessions, report.streams.most_held, report.audits
        ),
    )?;
    row(
        "traffic",
        format!(
            "{} streams, {} packets, {:.1} MB, {} sent again; {} datagrams",
            report.streams.opened,
            report.streams.packets,
            report.streams.bytes as f64 / 1e6,
            report.streams.resent,
            report.traffic.sent
        ),
    )?;
    row("violations", report.violated.to_string())?;
    row(
        "seed",
        format!("{}, trace {:032x}", args.seed, report.trace),
    )?;
    row("this machine", host.to_string_for(args.nodes))?;
    Ok(())
}

fn as_json(args: &KeepArgs, report: &Report, host: &Host) -> Value {
    let tally = &report.tally;
    let counts = |counts: Vec<(String, u64)>| -> Value {
        counts
            .into_iter()
            .map(|(name, n)| (name, json!(n)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let ends: Vec<_> = tally
        .ends
        .iter()
        .map(|((whose, kind), n)| json!({"whose": whose, "kind": kind, "count": n}))
        .collect();
    let violations: Vec<_> = report
        .violations
        .iter()
        .map(|it| json!({"at_ms": millis(it.at), "node": it.host, "what": it.what}))
        .collect();
    let named = |(name, n): (&&str, &u64)| ((*name).to_owned(), *n);
    json!({
        "network": args.network.name(),
        "nodes": args.nodes,
        "days": args.days,
        "faulty": args.faulty.share(),
        "target": args.target,
        "seed": args.seed,
        "keepers": report.keepers,
        "faults": counts(report.faults.iter().map(|(it, n)| (it.name().to_owned(), *n as u64)).collect()),
        "incidents": counts(report.incidents.iter().map(|(it, n)| (it.name().to_owned(), *n)).collect()),
        "peers": {
            "mean": report.mean_peers,
            "least": report.least_peers,
            "whole_share": report.full_share,
            "longest_below_ms": millis(report.longest_below),
        },
        "recoveries_ms": report.recoveries.iter().copied().map(millis).collect::<Vec<_>>(),
        "dials": tally.dials,
        "greeted_out": tally.greeted_out,
        "greeted_in": tally.greeted_in,
        "failures": counts(tally.failures.iter().map(named).collect()),
        "unexplained": report.unexplained(),
        "ends": ends,
        "misdeeds": tally.misdeeds,
        "stalls": tally.stalls,
        "turned_away": tally.turned_away,
        "most_known": report.most_known,
        "most_sessions": report.most_sessions,
        "audits": report.audits,
        "streams": {
            "dialled": report.streams.dialled,
            "opened": report.streams.opened,
            "refused": report.streams.refused,
            "unanswered": report.streams.unanswered,
            "reset": report.streams.reset,
            "timed_out": report.streams.timed_out,
            "packets": report.streams.packets,
            "bytes": report.streams.bytes,
            "resent": report.streams.resent,
            "most_held_bytes": report.streams.most_held,
        },
        "datagrams": report.traffic.sent,
        "violated": report.violated,
        "violations": violations,
        "virtual_ms": millis(report.elapsed),
        "trace": format!("{:032x}", report.trace),
        "host": host.as_json(args.nodes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_numbers_of_nodes_have_bounds() {
        assert_eq!(days("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "4000", "nan", "inf", "week"] {
            assert!(days(wrong).is_err(), "{wrong}");
        }
        assert_eq!(nodes("40"), Ok(40));
        for wrong in ["0", "2001", "many"] {
            assert!(nodes(wrong).is_err(), "{wrong}");
        }
    }
}
