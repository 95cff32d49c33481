//! `peerage demo`: a whole small world on this machine.
//!
//! Nodes of every network live on loopback in this process, some broken on purpose. All of them are
//! probed, the healthy ones kept, and one of those is broken before our eyes.

mod discovery;
mod home;
mod json;
mod table;
mod text;
mod visit;
mod world;

use std::io;
use std::time::Duration;

use peerage::Direction;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use self::discovery::Scouted;
use self::visit::{Finding, Keeper, Kept, Story, break_one};
use self::world::{Citizen, LIMIT};
use crate::args::span;
use crate::output::{Exit, Failed, Out, environment};

/// Shows a whole small world: healthy peers, broken ones, and a reason for each.
///
/// Exits with 0 if every healthy peer was greeted and every broken one got its right reason, with 1
/// if not.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Everything happens on loopback. Exits with 0 if every healthy peer was \
greeted and every broken one got its right reason, with 1 if not."
)]
pub(crate) struct Args {
    /// How long to go on, about; the stages always take the few seconds they need.
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = span)]
    time: Duration,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// How often what moves is drawn anew, in milliseconds.
const REDRAW_EVERY: Duration = Duration::from_millis(100);

/// The longest the stages take that do not depend on `--for`, in seconds; after that much longer
/// than asked the world ends whatever happens.
const GRACE: Duration = Duration::from_secs(60);

/// Who tells the story: in words, or as JSON.
trait Voice: Send {
    /// These are about to be probed.
    fn opens(&mut self, citizens: &[Citizen]) -> io::Result<()>;

    /// Those who can be found were looked for.
    fn scouted(&mut self, scouted: &Scouted) -> io::Result<()>;

    /// One was probed. They come in the order of the world.
    fn found(&mut self, citizen: &Citizen, finding: &Finding) -> io::Result<()>;

    /// These are still being probed.
    fn waits(&mut self, pending: &[&Citizen], since: Duration) -> io::Result<()>;

    /// Peers are being kept for so much longer.
    fn keeps(&mut self, citizens: &[Citizen], kept: &[Kept], left: Duration) -> io::Result<()>;

    /// They have been kept for so long.
    fn kept(&mut self, citizens: &[Citizen], kept: &[Kept], time: Duration) -> io::Result<()>;

    /// A live peer was broken.
    fn broke(&mut self, citizen: &Citizen, story: &Story) -> io::Result<()>;

    /// It is over; these commands come next.
    fn closes(&mut self, summary: &Summary, next: &[String]) -> io::Result<()>;
}

/// What came of it all.
#[derive(Clone, Copy, Debug, Default)]
struct Summary {
    healthy: usize,
    healthy_greeted: usize,
    broken: usize,
    broken_explained: usize,
    /// Whether discovery found whom it must, and knew whom not to dial.
    discovery_right: bool,
    /// Whether the peers that were kept stayed, and the one that left was noticed rightly.
    story_right: bool,
    took: Duration,
}

impl Summary {
    /// Counts the verdicts; the story is still to come.
    fn of(citizens: &[Citizen], findings: &[Finding]) -> Self {
        let mut summary = Self::default();
        for (citizen, finding) in citizens.iter().zip(findings) {
            let right = usize::from(finding.right);
            if citizen.nature.is_healthy() {
                summary.healthy += 1;
                summary.healthy_greeted += right;
            } else {
                summary.broken += 1;
                summary.broken_explained += right;
            }
        }
        summary
    }

    const fn is_right(&self) -> bool {
        self.healthy == self.healthy_greeted
            && self.broken == self.broken_explained
            && self.discovery_right
            && self.story_right
    }
}

/// Runs the demo.
///
/// # Cancellation
/// Dropping the future closes every socket and ends every task of the world.
pub(crate) async fn run(args: Args, out: &mut Out) -> Result<Exit, Failed> {
    let start = Instant::now();
    let ends_at = start + args.time;
    let mut world = world::start(ends_at + GRACE)?;
    let mut voice: Box<dyn Voice + '_> = if args.json {
        Box::new(json::Lines::new(out))
    } else {
        Box::new(table::Table::new(out))
    };

    voice.opens(&world.citizens)?;
    let scouted = world.scout().await?;
    for scouted in &scouted {
        voice.scouted(scouted)?;
    }
    let citizens = &mut world.citizens;
    let findings = probe_all(citizens, &mut *voice).await?;
    let mut keeper = Keeper::start(citizens, greeted(&findings));
    keep_until(ends_at, citizens, &mut keeper, &mut *voice).await?;
    let seat = keeper.peers.iter().rposition(Kept::is_well);
    let story = match seat {
        Some(seat) => {
            let citizen = keeper.peers[seat].citizen;
            let story = break_one(&mut citizens[citizen], &mut keeper, seat).await;
            voice.broke(&citizens[citizen], &story)?;
            Some(story)
        }
        None => None,
    };

    let mut summary = Summary::of(citizens, &findings);
    summary.discovery_right = scouted.iter().all(Scouted::is_right);
    summary.story_right =
        story.is_some_and(|story| story.is_right() && story.others + 1 == keeper.peers.len());
    summary.took = start.elapsed();
    voice.closes(&summary, &next_commands(citizens, &findings))?;
    Ok(if summary.is_right() {
        Exit::Yes
    } else {
        Exit::No
    })
}

/// Probes everybody at once, and tells of them in their order.
async fn probe_all(citizens: &[Citizen], voice: &mut dyn Voice) -> Result<Vec<Finding>, Failed> {
    let start = Instant::now();
    let mut running = JoinSet::new();
    for (index, citizen) in citizens.iter().enumerate() {
        let probe = citizen.probe();
        running.spawn(async move { (index, probe.await) });
    }
    let mut findings: Vec<Option<Finding>> = citizens.iter().map(|_| None).collect();
    let mut told = 0;
    let mut redraw = interval(REDRAW_EVERY);
    loop {
        tokio::select! {
            biased;
            ended = running.join_next() => match ended {
                Some(ended) => {
                    let (index, finding) = ended
                        .map_err(|error| environment(error, "a probe ended without a verdict"))?;
                    findings[index] = Some(finding);
                }
                None => break,
            },
            _ = redraw.tick() => {}
        }
        while let Some((citizen, Some(finding))) = citizens.get(told).zip(findings.get(told)) {
            voice.found(citizen, finding)?;
            told += 1;
        }
        let pending = citizens
            .iter()
            .zip(&findings)
            .filter(|(_, finding)| finding.is_none());
        let pending: Vec<_> = pending.map(|(citizen, _)| citizen).collect();
        voice.waits(&pending, start.elapsed())?;
    }
    Ok(findings.into_iter().flatten().collect())
}

/// The healthy citizens that were greeted, by their index.
fn greeted(findings: &[Finding]) -> Vec<(usize, peerage::networks::PeerFacts)> {
    let facts = |(index, finding): (usize, &Finding)| Some((index, finding.verdict.clone().ok()?));
    findings.iter().enumerate().filter_map(facts).collect()
}

/// Keeps the peers until `ends_at`, and at least until each has answered once.
async fn keep_until(
    ends_at: Instant,
    citizens: &[Citizen],
    keeper: &mut Keeper,
    voice: &mut dyn Voice,
) -> Result<(), Failed> {
    let start = Instant::now();
    // Connecting and the first ping have a limit each.
    let latest = ends_at.max(start + 2 * LIMIT);
    let mut redraw = interval(REDRAW_EVERY);
    redraw.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let end = if keeper.all_heard() { ends_at } else { latest };
        tokio::select! {
            biased;
            () = sleep_until(end) => break,
            _ = redraw.tick() => {
                let left = ends_at.saturating_duration_since(Instant::now());
                voice.keeps(citizens, &keeper.peers, left)?;
            }
            _ = keeper.next() => {}
        }
    }
    voice.kept(citizens, &keeper.peers, start.elapsed())?;
    Ok(())
}

/// Commands to try next. They begin with what this program was called as, so that they can be
/// copied.
fn next_commands(citizens: &[Citizen], findings: &[Finding]) -> Vec<String> {
    let called = std::env::args().next().filter(|name| !name.is_empty());
    let plain = |name: &String| {
        name.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b))
    };
    let me = called.filter(plain).unwrap_or_else(|| "peerage".into());
    let mut next = vec![format!(
        "{me} probe --transcript zec://mainnet.seeder.zfnd.org"
    )];
    next.extend(boot_node().map(|enode| format!("{me} probe {enode}")));
    next.push(format!(
        "{me} listen zcash --chain regtest --bind 127.0.0.1:18344"
    ));
    let said = citizens
        .iter()
        .zip(findings)
        .rev()
        .find_map(|(citizen, finding)| Some((citizen, first_frame(citizen, finding)?)));
    if let Some((citizen, frame)) = said {
        let (network, chain, hex) = (citizen.network, citizen.chain, hex::encode(frame));
        next.push(format!(
            "{me} decode frame -n {network} --chain {chain} {hex}"
        ));
    }
    next
}

/// A node on Ethereum that everybody begins with.
fn boot_node() -> Option<String> {
    let table = peerage::devp2p::Table::builtin();
    let chain = table.chain("mainnet")?;
    chain.boot_nodes.first().map(ToString::to_string)
}

/// The first message that a greeted citizen said, if it is all there and can be read by itself.
fn first_frame(citizen: &Citizen, finding: &Finding) -> Option<Vec<u8>> {
    let facts = finding.verdict.as_ref().ok()?;
    let dialogue = finding.dialogue.as_ref()?;
    let lines = citizen.prober.node.explain_dialogue(dialogue, Some(facts));
    let mut heard = lines
        .into_iter()
        .filter(|line| line.direction == Direction::Inbound);
    let first = heard.next()?;
    let alone = citizen.prober.node.explain(None, &first.bytes);
    let told = first.explained.error.is_none() && alone == first.explained;
    told.then_some(first.bytes)
}
