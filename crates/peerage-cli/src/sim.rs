//! `peerage sim`: networks of many nodes in virtual time.

use std::time::{Duration, Instant};

use clap::Subcommand;
use peerage_sim::discv5::{MAX_NODES, Plan, Progress, Report, Round};
use peerage_sim::{Chance, Seed, Weather};
use serde_json::{Value, json};

use crate::output::{Exit, Failed, Out, environment, progress, usage};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Nodes of discovery v5 that know one boot node, join, and look things up.
    ///
    /// Nodes arrive within 10 ms times their number, are left alone for 30 s, and then each looks
    /// for a random target once in every round. They are the nodes that run outside; latencies (5 to
    /// 150 ms by place, up to 10 ms of jitter), losses and translators are made up from the seed.
    /// Of the nodes behind a translator, a fifth each has a full cone, restricted or symmetric
    /// one, two fifths a port-restricted one; their records name no address until others agree on
    /// one.
    ///
    /// What is measured:
    ///
    /// recall: of the 16 nodes nearest to the target that the searcher can reach at the address that
    /// their record names, the share that its lookup returned; on average over the round.
    ///
    /// public recall: the same with only those that anybody can reach. A node behind a translator
    /// that the searcher has lately been in touch with takes the place of one of them.
    ///
    /// neighbours: of the 16 reachable nodes nearest to each node, the share in its table when all
    /// have settled.
    ///
    /// It exits with 1 if the last round's recall is below --expect. In JSON, all but "host" repeats
    /// exactly with the same arguments.
    Discv5(Discv5Args),
}

#[derive(Debug, Clone, clap::Args)]
struct Discv5Args {
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

fn chance(text: &str) -> Result<Chance, String> {
    let share = text.parse().ok().and_then(Chance::new);
    share.ok_or_else(|| "expected a share from 0 to 1 such as 0.05".into())
}

pub(crate) async fn run(args: Args, out: &mut Out) -> Result<Exit, Failed> {
    let What::Discv5(args) = args.what;
    let plan = Plan {
        nodes: args.nodes,
        nat: args.nat,
        weather: Weather::INTERNET.with_loss(args.loss),
        seed: Seed(args.seed),
        ..Plan::default()
    };
    plan.check().map_err(usage)?;
    let rounds = usize::from(args.rounds);
    let begun = Instant::now();
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

fn seconds(span: Duration) -> String {
    format!("{:.1} s", span.as_secs_f64())
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
    let cpu = host.cpu.map_or("unknown".into(), |cpu| {
        let each = cpu.as_secs_f64() * 1e3 / args.nodes as f64;
        format!("{}, {each:.1} ms a node", seconds(cpu))
    });
    let memory = host.peak_memory.map_or("unknown".into(), |bytes| {
        format!("{:.0} MiB", bytes as f64 / 1_048_576.0)
    });
    row(
        "this machine",
        format!(
            "{} elapsed, CPU {cpu}, peak memory {memory}",
            seconds(host.elapsed)
        ),
    )?;
    Ok(())
}

fn as_json(args: &Discv5Args, report: &Report, host: &Host) -> Value {
    let millis = |span: Duration| json!((span.as_secs_f64() * 1e6).round() / 1e3);
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
        "host": {
            "elapsed_ms": millis(host.elapsed),
            "cpu_ms": host.cpu.map(millis),
            "cpu_ms_per_node": host.cpu.map(|cpu| millis(cpu / u32::try_from(args.nodes).unwrap_or(1))),
            "peak_memory_bytes": host.peak_memory,
        },
    })
}

/// What the run cost on this machine; unknown where the system does not say.
struct Host {
    elapsed: Duration,
    cpu: Option<Duration>,
    peak_memory: Option<u64>,
}

impl Host {
    fn measure(elapsed: Duration) -> Self {
        Self {
            elapsed,
            cpu: cpu_time(),
            peak_memory: peak_memory(),
        }
    }
}

/// The processor time of this process, all threads, from Linux's `/proc/self/stat` (proc(5)): fields
/// 14 and 15, in hundredths of a second.
fn cpu_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name, field 2, may contain spaces; it ends with the last parenthesis.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 10))
}

/// The most resident memory so far in bytes: `VmHWM` of `/proc/self/status` (proc(5)).
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_numbers_of_nodes_have_bounds() {
        assert_eq!(chance("0.05").map(Chance::share), Ok(0.05));
        assert_eq!(chance("1").map(Chance::share), Ok(1.0));
        for wrong in ["-0.1", "1.1", "nan", "5%", ""] {
            assert!(chance(wrong).is_err(), "{wrong}");
        }
        assert_eq!(nodes("60"), Ok(60));
        for wrong in ["0", "100001", "-1", "many"] {
            assert!(nodes(wrong).is_err(), "{wrong}");
        }
    }
}
