//! One peer, stage by stage: what works, how long it takes, and why it ends.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use peerage_core::{Exposure, Failed, Failure, Handshake, Interruption, Reason, Stage, Step};
use peerage_net::{Connector, Host, Link, Route, Tape, Tapped, Target, greet};
use peerage_verack::policy::AcceptAll;
use peerage_verack::{Awaited, Dialect, Greeting};
use tokio::time::Instant;

use crate::facts::PeerFacts;
use crate::greeter::Greeter;
use crate::os;

/// How a probe is to be made.
#[derive(Clone, Copy, Debug)]
pub struct ProbeOptions {
    /// The longest the whole probe may take.
    pub limit: Duration,
    /// How many bytes of the dialogue to remember, both ways together; 0 for none.
    pub tape_limit: usize,
}

impl Default for ProbeOptions {
    fn default() -> Self {
        Self {
            limit: Duration::from_secs(10),
            tape_limit: 0,
        }
    }
}

/// What a probe found.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The stages in order: `resolve`, `reach`, `version`, `verack`, `ping`.
    pub stages: Vec<StageReport>,
    /// The peer, or why there is none. A peer whose ping failed is no healthy peer.
    pub verdict: Result<PeerFacts, Reason>,
    /// The peer, even where its ping failed.
    pub facts: Option<PeerFacts>,
    /// The dialogue.
    pub tape: Option<Tape>,
    /// How long it all took.
    pub took: Duration,
}

/// How one stage went.
#[derive(Clone, Debug, PartialEq)]
pub struct StageReport {
    /// The stage.
    pub stage: &'static str,
    /// How it went.
    pub outcome: Outcome,
    /// How long it took; `None` when it was skipped or not reached, and for a name whose addresses
    /// all failed: that time counts as `reach`.
    pub took: Option<Duration>,
    /// What was found, in words.
    pub note: String,
}

/// How a stage went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded.
    Ok,
    /// It failed, and nothing after it was tried.
    Failed,
    /// There was nothing to do.
    Skipped,
    /// An earlier stage failed.
    NotReached,
}

impl Outcome {
    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::NotReached => "not_reached",
        }
    }
}

const STAGES: [&str; 5] = ["resolve", "reach", "version", "verack", "ping"];

/// Collects the stages as they go by.
struct Log {
    start: Instant,
    stages: Vec<StageReport>,
    tape: Option<Tape>,
}

impl Log {
    fn ok(&mut self, took: Duration, note: impl Into<String>) {
        self.push(Outcome::Ok, Some(took), note.into());
    }

    fn push(&mut self, outcome: Outcome, took: Option<Duration>, note: String) {
        let stage = STAGES[self.stages.len().min(STAGES.len() - 1)];
        self.stages.push(StageReport {
            stage,
            outcome,
            took,
            note,
        });
    }

    fn end(mut self, verdict: Result<PeerFacts, Reason>, facts: Option<PeerFacts>) -> Probe {
        while self.stages.len() < STAGES.len() {
            self.push(Outcome::NotReached, None, String::new());
        }
        Probe {
            stages: self.stages,
            verdict,
            facts,
            tape: self.tape,
            took: self.start.elapsed(),
        }
    }

    /// The next stage failed after `took`.
    fn failed(mut self, took: Duration, reason: Reason, facts: Option<PeerFacts>) -> Probe {
        self.push(Outcome::Failed, Some(took), reason.message.to_string());
        self.end(Err(reason), facts)
    }
}

/// Dials, greets and pings a target.
///
/// # Cancellation
/// Dropping the future closes what it opened.
pub async fn probe<D: Dialect>(
    greeter: &Greeter<D>,
    target: &Target,
    options: &ProbeOptions,
) -> Probe {
    probe_by(greeter.route(), greeter, target, options).await
}

/// As [`probe`], by any connector.
async fn probe_by<D: Dialect>(
    connector: &impl Connector,
    greeter: &Greeter<D>,
    target: &Target,
    options: &ProbeOptions,
) -> Probe {
    let start = Instant::now();
    let deadline = Instant::from_std(os::deadline(start.into_std(), options.limit));
    let tape = (options.tape_limit > 0).then(|| Tape::new(options.tape_limit));
    let mut log = Log {
        start,
        stages: Vec::new(),
        tape,
    };

    let resolution = Resolution::of(target, greeter.route());
    let connection = match connector.connect(target, deadline).await {
        Ok(connection) => connection,
        Err(error) => {
            let reason = error.reason();
            if reason.stage == Stage::Reach {
                log.push(resolution.outcome(), None, resolution.note().into());
            }
            return log.failed(start.elapsed(), reason, None);
        }
    };
    log.push(
        resolution.outcome(),
        connection.resolved_in,
        resolution.note().into(),
    );
    let reached = match greeter.route() {
        Route::Direct => connection.addr.to_string(),
        Route::Socks5(socks) => format!("through the proxy {}", socks.proxy()),
    };
    log.ok(connection.reached_in, reached);

    let tape = log.tape.clone().unwrap_or_else(|| Tape::new(0));
    let version_at = Arc::new(OnceLock::new());
    let attempt = greeter.attempt(connection.addr);
    let handshake = Watched {
        inner: greeter.local().greet_with(attempt, AcceptAll),
        version_at: version_at.clone(),
    };
    let greet_start = Instant::now();
    let greeted = greet(Tapped::new(connection.io, tape), handshake, deadline).await;
    let greet_end = Instant::now();
    let version_end = version_at.get().map(|at| Instant::from_std(*at));
    let verack_start = version_end.unwrap_or(greet_start);
    let greeted = match greeted {
        Ok(greeted) => greeted,
        Err(error) => {
            let reason = error.reason();
            if reason.stage == Awaited::Verack.stage() {
                log.ok(verack_start - greet_start, "");
            }
            return log.failed(greet_end - verack_start, reason, None);
        }
    };
    let early = greeted.peer.early().len();
    let (info, codec) = greeted.peer.into_parts();
    let mut facts = PeerFacts::new::<D>(&info, early);
    if info.addr.exposure() == Exposure::Proxied {
        // The peer itself, where the connection only knows the proxy.
        facts.addr = target.to_string();
    }
    log.ok(
        verack_start - greet_start,
        format!(
            "{}  version {}  services {}  height {}",
            facts.agent, facts.protocol_version, facts.services_shown, facts.height
        ),
    );
    log.ok(
        greet_end - verack_start,
        format!("speaking version {}", facts.negotiated),
    );

    let mut link = Link::new(greeted.conn, codec, greeted.leftover);
    let ping_start = Instant::now();
    match link.ping(u64::from_be_bytes(os::random()), deadline).await {
        Ok(rtt) => {
            facts.rtt = Some(rtt);
            log.ok(rtt, "");
            log.end(Ok(facts.clone()), Some(facts))
        }
        Err(error) => log.failed(ping_start.elapsed(), error.reason(), Some(facts)),
    }
}

/// Who turns the target's name into addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolution {
    /// Nobody: it is an address.
    Literal,
    /// The system.
    System,
    /// The proxy.
    Proxy,
}

impl Resolution {
    const fn of(target: &Target, route: &Route) -> Self {
        match (&target.host, route) {
            (Host::Ip(_), _) => Self::Literal,
            (Host::Name(_), Route::Direct) => Self::System,
            (Host::Name(_), Route::Socks5(_)) => Self::Proxy,
        }
    }

    const fn outcome(self) -> Outcome {
        match self {
            Self::Literal | Self::Proxy => Outcome::Skipped,
            Self::System => Outcome::Ok,
        }
    }

    const fn note(self) -> &'static str {
        match self {
            Self::Literal => "literal address",
            Self::System => "",
            Self::Proxy => "left to the proxy",
        }
    }
}

/// A handshake that notes when the peer's version was accepted.
struct Watched<D: Dialect> {
    inner: Greeting<D, AcceptAll>,
    version_at: Arc<OnceLock<std::time::Instant>>,
}

impl<D: Dialect> Handshake for Watched<D> {
    type Peer = <Greeting<D, AcceptAll> as Handshake>::Peer;
    type Error = <Greeting<D, AcceptAll> as Handshake>::Error;

    fn poll_transmit(&mut self) -> Option<Bytes> {
        self.inner.poll_transmit()
    }

    fn advance(self, now: std::time::Instant, input: &mut BytesMut) -> Step<Self> {
        let Self { inner, version_at } = self;
        match inner.advance(now, input) {
            Step::More(inner, wakeup) => {
                if inner.awaited() == Awaited::Verack {
                    // Set once; later calls find it set.
                    let _already = version_at.set(now);
                }
                Step::More(Self { inner, version_at }, wakeup)
            }
            Step::Done(peer) => {
                let _already = version_at.set(now);
                Step::Done(peer)
            }
            Step::Failed(failed) => {
                if failed.error.stage() == Awaited::Verack.stage() {
                    let _already = version_at.set(now);
                }
                Step::Failed(failed)
            }
        }
    }

    fn interrupt(self, cause: Interruption) -> Failed<Self::Error> {
        self.inner.interrupt(cause)
    }
}

#[cfg(test)]
mod tests;
