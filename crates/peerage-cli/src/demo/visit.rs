//! What is done to the citizens: they are probed, kept, and one of them is broken.

use std::collections::VecDeque;
use std::time::Duration;

use peerage::networks::PeerFacts;
use peerage::{Dialogue, Kind, Outcome, ProbeOptions, Reason, Stage, StageReport};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::world::{Citizen, LIMIT, Nature};

/// The most bytes of one dialogue that are remembered. A version and a verack fit many times.
const TAPE_LIMIT: usize = 4096;

/// How long one end of a self-connection waits to hear from the other, in milliseconds.
const JOIN_LIMIT: Duration = Duration::from_millis(500);

/// How often a kept peer is pinged, in milliseconds.
const PING_EVERY: Duration = Duration::from_millis(500);

/// How many of the last round trips are remembered: half a minute's.
const RECENT: usize = 60;

/// What probing a citizen brought to light.
pub(super) struct Finding {
    /// The peer, or why there is none.
    pub(super) verdict: Result<PeerFacts, Reason>,
    /// What the dialling side saw, where only the side that was dialled knows the reason.
    pub(super) dialler_saw: Option<Reason>,
    /// Whether it is the verdict that the citizen deserves.
    pub(super) right: bool,
    /// The last stage that was reached, by the network's own name.
    pub(super) stage: &'static str,
    pub(super) took: Duration,
    /// What was said.
    pub(super) dialogue: Option<Dialogue>,
}

/// What every citizen's verdict is called that has no reason.
pub(super) const GREETED: &str = "greeted";

impl Finding {
    /// The verdict in a word.
    pub(super) fn kind(&self) -> &'static str {
        self.verdict
            .as_ref()
            .map_or_else(|reason| reason.kind.name(), |_| GREETED)
    }
}

impl Citizen {
    /// Dials, greets and pings the citizen, as `peerage probe` does.
    ///
    /// Where a node dials itself, both ends of the connection are in its hands: what the end that
    /// was dialled found out counts, if the other one could not know.
    pub(super) fn probe(&self) -> impl Future<Output = Finding> + Send + use<> {
        let (prober, to, nature) = (self.prober.clone(), self.found_at.clone(), self.nature);
        async move {
            let options = ProbeOptions {
                limit: LIMIT,
                tape_limit: TAPE_LIMIT,
            };
            let probe = prober.node.probe(&to, &options).await;
            let mut verdict = probe.verdict;
            let mut dialler_saw = None;
            let reached = |stage: &&StageReport| stage.outcome != Outcome::NotReached;
            let mut stage = probe
                .stages
                .iter()
                .rfind(reached)
                .map_or("", |last| last.stage);
            if let (Nature::Ourselves, Err(reason)) = (nature, &mut verdict)
                && reason.kind != Kind::SelfConnection
                && let Some(known) = prober.recognised_itself(JOIN_LIMIT).await
            {
                stage = known.stage.name();
                dialler_saw = Some(std::mem::replace(reason, known));
            }
            Finding {
                right: nature.is_right(&verdict),
                verdict,
                dialler_saw,
                stage,
                took: probe.took,
                dialogue: probe.dialogue,
            }
        }
    }
}

/// A peer that is kept connected.
pub(super) struct Kept {
    /// Which citizen.
    pub(super) citizen: usize,
    pub(super) facts: PeerFacts,
    pub(super) pings: u64,
    /// The least and the most of all round trips.
    pub(super) span: Option<(Duration, Duration)>,
    /// The last round trips, the latest at the end.
    pub(super) recent: VecDeque<Duration>,
    /// Why it was lost, if it was.
    pub(super) lost: Option<Reason>,
}

impl Kept {
    fn new(citizen: usize, facts: PeerFacts) -> Self {
        Self {
            citizen,
            facts,
            pings: 0,
            span: None,
            recent: VecDeque::with_capacity(RECENT),
            lost: None,
        }
    }

    fn note(&mut self, rtt: Duration) {
        self.pings += 1;
        let (least, most) = self.span.unwrap_or((rtt, rtt));
        self.span = Some((least.min(rtt), most.max(rtt)));
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(rtt);
    }

    /// Whether it is connected and has answered.
    pub(super) fn is_well(&self) -> bool {
        self.lost.is_none() && self.pings > 0
    }
}

/// All kept peers, each in a task of its own that ends with the reason of the loss. Dropping this
/// closes their connections.
pub(super) struct Keeper {
    pub(super) peers: Vec<Kept>,
    tasks: JoinSet<(usize, Reason)>,
    rtts: mpsc::Receiver<(usize, Duration)>,
}

impl Keeper {
    /// Connects to those citizens anew and keeps them, by their index.
    pub(super) fn start(citizens: &[Citizen], chosen: Vec<(usize, PeerFacts)>) -> Self {
        let mut tasks = JoinSet::new();
        // Room for two pings of everybody: they are taken out as they come.
        let (tell, rtts) = mpsc::channel(2 * chosen.len().max(1));
        for (seat, (citizen, _)) in chosen.iter().enumerate() {
            if let Some(citizen) = citizens.get(*citizen) {
                let kept = keep(citizen, seat, tell.clone());
                tasks.spawn(async move { (seat, kept.await) });
            }
        }
        let peers = chosen
            .into_iter()
            .map(|(citizen, facts)| Kept::new(citizen, facts));
        Self {
            peers: peers.collect(),
            tasks,
            rtts,
        }
    }

    /// Waits until a peer answers or is lost, and notes it; returns its seat if it was lost.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<usize> {
        tokio::select! {
            Some(ended) = self.tasks.join_next() => {
                // No task is aborted while this lives, and none panics.
                let (seat, reason) = ended.ok()?;
                self.peers.get_mut(seat)?.lost = Some(reason);
                Some(seat)
            }
            Some((seat, rtt)) = self.rtts.recv() => {
                self.peers.get_mut(seat)?.note(rtt);
                None
            }
            else => std::future::pending().await,
        }
    }

    /// Waits until everybody who is left has answered once more, and returns how many these are.
    async fn hear_all_again(&mut self) -> usize {
        let goals: Vec<_> = self.peers.iter().map(|peer| peer.pings + 1).collect();
        loop {
            let left = || {
                self.peers
                    .iter()
                    .zip(&goals)
                    .filter(|(peer, _)| peer.lost.is_none())
            };
            if left().all(|(peer, goal)| peer.pings >= *goal) {
                return left().count();
            }
            self.next().await;
        }
    }

    /// Whether everybody has answered at least once, or never will.
    pub(super) fn all_heard(&self) -> bool {
        self.peers
            .iter()
            .all(|peer| peer.pings > 0 || peer.lost.is_some())
    }
}

/// Connects, greets, and pings until the peer is lost; the reason is the last thing there is.
fn keep(
    citizen: &Citizen,
    seat: usize,
    rtts: mpsc::Sender<(usize, Duration)>,
) -> impl Future<Output = Reason> + Send + use<> {
    let (prober, to) = (citizen.prober.clone(), citizen.found_at.clone());
    async move {
        let deadline = Instant::now() + LIMIT;
        let mut peer = match prober.node.dial(&to, deadline).await {
            Ok(peer) => peer,
            Err(reason) => return reason,
        };
        loop {
            match peer.ping(LIMIT).await {
                // When nobody looks, a number less does no harm.
                Ok(rtt) => drop(rtts.try_send((seat, rtt))),
                Err(reason) => return reason,
            }
            if let Ok(reason) = timeout(PING_EVERY, peer.serve_pings()).await {
                return reason;
            }
        }
    }
}

/// The story of a peer that went away.
pub(super) struct Story {
    /// Why we lost it; nothing if we never noticed.
    pub(super) loss: Option<Reason>,
    pub(super) noticed_after: Duration,
    /// What dialling it again gives.
    pub(super) redial: Finding,
    /// How many others still answer.
    pub(super) others: usize,
}

impl Story {
    /// Whether it went as it must: the loss is seen, and then nobody is there any more.
    pub(super) fn is_right(&self) -> bool {
        let lost = self.loss.as_ref().is_some_and(|reason| {
            reason.kind == Kind::Closed && matches!(reason.stage, Stage::Keep(_))
        });
        let gone = |reason: &Reason| reason.kind == Kind::ConnectionRefused;
        lost && self.redial.verdict.as_ref().is_err_and(gone)
    }
}

/// Lets the citizen behind a kept peer leave the world, waits for us to notice, and dials it again.
pub(super) async fn break_one(citizen: &mut Citizen, keeper: &mut Keeper, seat: usize) -> Story {
    let left_at = Instant::now();
    citizen.leave().await;
    let noticed = async { while keeper.next().await != Some(seat) {} };
    // Whether it was in time shows in whether there is a reason.
    drop(timeout(LIMIT, noticed).await);
    let noticed_after = left_at.elapsed();
    let loss = keeper.peers.get(seat).and_then(|peer| peer.lost.clone());
    let redial = citizen.probe().await;
    let others = timeout(LIMIT, keeper.hear_all_again())
        .await
        .unwrap_or_default();
    Story {
        loss,
        noticed_after,
        redial,
        others,
    }
}
