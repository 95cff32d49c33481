//! `peerage sim`: networks of many nodes in virtual time.

mod discv5;
mod keep;

use std::time::Duration;

use clap::Subcommand;
use peerage_sim::Chance;
use serde_json::{Value, json};

use self::discv5::Discv5Args;
use self::keep::KeepArgs;
use crate::output::{Exit, Failed, Out};

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

    /// Nodes that find, dial, greet and keep peers, some of them faulty, for days and months.
    ///
    /// Each node is the book, the handshakes and the peer table that run outside, and on Ethereum
    /// discovery v5; connections, clocks and what happens to them are made up from the seed. Every
    /// six hours something happens: an outage, a partition, a clock that jumps, a power cut, a night
    /// asleep, a restart, a storm, a ban, a slow line; and half-way the network asks for newer
    /// software.
    ///
    /// Faulty nodes are, in turn: of another chain, obsolete, silent, tarpits, leavers, liars,
    /// flooders, shut, flapping, vanishing, moving.
    ///
    /// What is checked: outside of what was declared no keeper is below half of its target for more
    /// than ten minutes; ten minutes without a network are made good within a minute; there are
    /// never two sessions with one peer; the book and the table agree with themselves and keep to
    /// their bounds; nobody banned is dialled; fewer than 1 % of failed dials have no reason.
    ///
    /// It exits with 1 if something of this does not hold. In JSON, all but "host" repeats exactly
    /// with the same arguments.
    Keep(KeepArgs),
}

fn chance(text: &str) -> Result<Chance, String> {
    let share = text.parse().ok().and_then(Chance::new);
    share.ok_or_else(|| "expected a share from 0 to 1 such as 0.05".into())
}

pub(crate) async fn run(args: Args, out: &mut Out) -> Result<Exit, Failed> {
    match args.what {
        What::Discv5(args) => discv5::run(args, out).await,
        What::Keep(args) => keep::run(args, out).await,
    }
}

fn seconds(span: Duration) -> String {
    format!("{:.1} s", span.as_secs_f64())
}

fn millis(span: Duration) -> Value {
    json!((span.as_secs_f64() * 1e6).round() / 1e3)
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

impl Host {
    fn as_json(&self, nodes: usize) -> Value {
        let each = |cpu: Duration| millis(cpu / u32::try_from(nodes).unwrap_or(1));
        json!({
            "elapsed_ms": millis(self.elapsed),
            "cpu_ms": self.cpu.map(millis),
            "cpu_ms_per_node": self.cpu.map(each),
            "peak_memory_bytes": self.peak_memory,
        })
    }

    fn to_string_for(&self, nodes: usize) -> String {
        let cpu = self.cpu.map_or("unknown".into(), |cpu| {
            let each = cpu.as_secs_f64() * 1e3 / nodes as f64;
            format!("{}, {each:.1} ms a node", seconds(cpu))
        });
        let memory = self.peak_memory.map_or("unknown".into(), |bytes| {
            format!("{:.0} MiB", bytes as f64 / 1_048_576.0)
        });
        let elapsed = seconds(self.elapsed);
        format!("{elapsed} elapsed, CPU {cpu}, peak memory {memory}")
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
    fn shares_have_bounds() {
        assert_eq!(chance("0.05").map(Chance::share), Ok(0.05));
        assert_eq!(chance("1").map(Chance::share), Ok(1.0));
        for wrong in ["-0.1", "1.1", "nan", "5%", ""] {
            assert!(chance(wrong).is_err(), "{wrong}");
        }
    }
}
