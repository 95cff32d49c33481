//! `peerage sim discv5`: a swarm of discovery nodes.

use peerage_sim::discv5::{MAX_NODES, Plan, Progress, Report, Round};
use peerage_sim::{Chance, Seed, Weather};
use serde_json::{Value, json};

use super::{Host, chance, millis, seconds};
use crate::output::{Exit, Failed, Out, environment, progress, usage};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Discv5Args {
    /// How many nodes.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = nodes)]
    nodes: usize,

    /// The share of datagrams that is lost, 0 to 1.
    #[arg(long, value_name = "P", default_value = "0", value_parser = chance)]
    loss: Chance,

    /// The share of nodes that is behind a translator, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = chance)]
    nat: Chance,

    /// Where all randomness comes from.
    #[arg(long, value_name = "S", default_value_t = 1, env = "PEERAGE_SIM_SEED")]
    seed: u64,

    /// How many lookups each node makes.
    #[arg(long, value_name = "R", default_value_t = 2)]
    rounds: u16,

    /// The recall to expect of the last round, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value = "0.9", value_parser = chance)]
    expect: Chance,

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

pub(crate) async fn run(args: Discv5Args, out: &mut Out) -> Result<Exit, Failed> {
    let plan = Plan {
        nodes: args.nodes,
        nat: args.nat,
        weather: Weather::INTERNET.with_loss(args.loss),
        seed: Seed(args.seed),
        ..Plan::default()
    };
    plan.check().map_err(usage)?;
    let rounds = usize::from(args.rounds);
    let begun = std::time::Instant::now();
    // Off the async threads, so that an interrupt is heard at once.
    let work = tokio::task::spawn_blocking(move || {
        peerage_sim::discv5::run(&plan, rounds, |step| progress(&told(&step)))
    });
    let report = work.await.map_err(|error| environment(error, "the run"))?;
    let report = report.map_err(usage)?;
    let host = Host::measure(begun.elapsed());
    if args.json {
        out.json("sim.discv5", as_json(&args, &report, &host))?;
    } else {
        text(out, &args, &report, &host)?;
    }
    let recall = report.rounds.last().map(Round::recall);
    Ok(
        if recall.is_none_or(|recall| recall >= args.expect.share()) {
            Exit::Yes
        } else {
            Exit::No
        },
    )
}

/// A step of the run, for stderr.
fn told(step: &Progress) -> String {
    match step {
        Progress::Joining { at, arrived, sent } => {
            format!("{:>8}  {arrived} nodes, {sent} datagrams", seconds(*at))
        }
        Progress::Joined {
            at,
            neighbours,
            table,
        } => format!(
            "{:>8}  settled: neighbours {neighbours:.3}, {table:.1} nodes in a table",
            seconds(*at)
        ),
        Progress::Round(number, round) => format!(
            "round {number}   recall {:.4}, {} lookups",
            round.recall(),
            round.lookups
        ),
    }
}

fn text(out: &mut Out, args: &Discv5Args, report: &Report, host: &Host) -> Result<(), Failed> {
    let traffic = report.traffic;
    let per_node = |count: u64| count as f64 / args.nodes as f64;
    let mut row = |name: &str, value: String| out.line(format!("{name:<13} {value}"));
    row(
        "nodes",
        format!("{}, {} behind NAT", args.nodes, report.behind_nat),
    )?;
    row(
        "settled",
        format!(
            "after {}: neighbours {:.3}, {:.1} nodes in a table",
            seconds(report.joined_at),
            report.neighbours,
            report.table
        ),
    )?;
    for (round, number) in report.rounds.iter().zip(1..) {
        row(
            &format!("round {number}"),
            format!(
                "recall {:.4}, public recall {:.4}, half within {}, 95 % within {}, {} unmade",
                round.recall(),
                round.public_recall(),
                seconds(round.took(0.5)),
                seconds(round.took(0.95)),
                round.unmade
            ),
        )?;
    }
    row(
        "traffic",
        format!(
            "{} datagrams, {:.1} MB; a node {:.0} and {:.0} kB; lost {}, blocked {}",
            traffic.sent,
            traffic.bytes_sent as f64 / 1e6,
            per_node(traffic.sent),
            per_node(traffic.bytes_sent) / 1e3,
            traffic.lost,
            traffic.blocked
        ),
    )?;
    row(
        "work",
        format!(
            "a node {:.1} handshakes, {:.1} records verified, {:.1} requests, {:.1} unanswered",
            per_node(report.handshakes),
            per_node(report.records_verified),
            per_node(report.requests),
            per_node(report.unanswered)
        ),
    )?;
    row("virtual time", seconds(report.elapsed))?;
    row(
        "seed",
        format!("{}, trace {:032x}", args.seed, report.trace),
    )?;
    row("this machine", host.to_string_for(args.nodes))?;
    Ok(())
}

fn as_json(args: &Discv5Args, report: &Report, host: &Host) -> Value {
    let rounds: Vec<_> = report
        .rounds
        .iter()
        .map(|round| {
            json!({
                "lookups": round.lookups,
                "unmade": round.unmade,
                "reachable": round.reachable,
                "recall": round.recall(),
                "public_recall": round.public_recall(),
                "lookup_p50_ms": millis(round.took(0.5)),
                "lookup_p95_ms": millis(round.took(0.95)),
            })
        })
        .collect();
    let traffic = report.traffic;
    json!({
        "nodes": args.nodes,
        "behind_nat": report.behind_nat,
        "loss": args.loss.share(),
        "nat": args.nat.share(),
        "seed": args.seed,
        "settled": {
            "at_ms": millis(report.joined_at),
            "neighbours": report.neighbours,
            "table": report.table,
        },
        "rounds": rounds,
        "recall": report.rounds.last().map(Round::recall),
        "traffic": {
            "datagrams": traffic.sent,
            "bytes": traffic.bytes_sent,
            "delivered": traffic.delivered,
            "lost": traffic.lost,
            "blocked": traffic.blocked,
            "unroutable": traffic.unroutable,
            "under_way": traffic.under_way,
        },
        "handshakes": report.handshakes,
        "records_verified": report.records_verified,
        "requests": report.requests,
        "unanswered": report.unanswered,
        "virtual_ms": millis(report.elapsed),
        "trace": format!("{:032x}", report.trace),
        "host": host.as_json(args.nodes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_nodes_have_bounds() {
        assert_eq!(nodes("60"), Ok(60));
        for wrong in ["0", "100001", "-1", "many"] {
            assert!(nodes(wrong).is_err(), "{wrong}");
        }
    }
}
