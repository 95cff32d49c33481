//! One peer, stage by stage: what works, how long it takes, and why it ends.

mod log;
mod watched;

use std::time::Duration;

use peerage_core::{AcceptAll, Exposure, Failure, Reason, Stage};
use peerage_net::{Connection, Connector, Host, Link, Route, Tape, Tapped, Target, greet};
use tokio::time::Instant;

use self::log::{End, Log};
use self::watched::{Passed, Watched};
use crate::destination::Destination;
use crate::dialogue::Dialogue;
use crate::facts::PeerFacts;
use crate::greeter::{Greeter, deadline_in};
use crate::networks::Described;
use crate::os;
use crate::protocol::{Attempt, Parts};

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
    /// The stages in order, by the network's own names: `resolve`, `reach`, `version`, `verack`,
    /// `ping` in the version/verack family.
    pub stages: Vec<StageReport>,
    /// The peer, or why there is none. A peer whose ping failed is no healthy peer.
    pub verdict: Result<PeerFacts, Reason>,
    /// The peer, even where its ping failed.
    pub facts: Option<PeerFacts>,
    /// What was said, if it was to be remembered and anybody was reached.
    pub dialogue: Option<Dialogue>,
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

/// Dials, greets and pings a peer.
///
/// # Cancellation
/// Dropping the future closes what it opened.
pub async fn probe<N: Described>(
    greeter: &Greeter<N>,
    to: &Destination,
    options: &ProbeOptions,
) -> Probe {
    probe_by(greeter.route(), greeter, to, options).await
}

/// As [`probe`], by any connector.
async fn probe_by<N: Described>(
    connector: &impl Connector,
    greeter: &Greeter<N>,
    to: &Destination,
    options: &ProbeOptions,
) -> Probe {
    let mut log = Log::new(Instant::now(), &N::STAGES);
    let visit = Visit {
        greeter,
        to,
        deadline: deadline_in(options.limit),
        tape: Tape::new(options.tape_limit),
    };
    let (end, attempt) = match visit.reach(connector, &mut log).await {
        Ok(connection) => {
            let attempt = greeter.attempt(connection.addr, Some(to));
            let end = visit.greet(connection, &attempt, &mut log).await;
            (end, Some(attempt))
        }
        Err(end) => (end, None),
    };
    let attempt = attempt.filter(|_| options.tape_limit > 0);
    let dialogue = attempt.map(|attempt| Dialogue::new(attempt, &visit.tape));
    log.end(end, dialogue)
}

/// One probe under way.
struct Visit<'a, N: Described> {
    greeter: &'a Greeter<N>,
    to: &'a Destination,
    deadline: Instant,
    tape: Tape,
}

impl<N: Described> Visit<'_, N> {
    async fn reach<C: Connector>(
        &self,
        connector: &C,
        log: &mut Log,
    ) -> Result<Connection<C::Io>, End> {
        let start = Instant::now();
        let resolution = Resolution::of(&self.to.target, self.greeter.route());
        let connection = match connector.connect(&self.to.target, self.deadline).await {
            Ok(connection) => connection,
            Err(error) => {
                let reason = error.reason();
                if reason.stage == Stage::Reach {
                    log.push(resolution.outcome(), None, resolution.note().into());
                }
                return Err(End::failed(start.elapsed(), reason));
            }
        };
        log.push(
            resolution.outcome(),
            connection.resolved_in,
            resolution.note().into(),
        );
        let reached = match self.greeter.route() {
            Route::Direct => connection.addr.to_string(),
            Route::Socks5(socks) => format!("through the proxy {}", socks.proxy()),
            Route::By(_) => connection.addr.to_string(),
        };
        log.ok(connection.reached_in, reached);
        Ok(connection)
    }

    async fn greet<C: peerage_net::Conn>(
        &self,
        connection: Connection<C>,
        attempt: &Attempt,
        log: &mut Log,
    ) -> End {
        let steps = N::STAGES.greet;
        let start = Instant::now();
        let failed = |reason: Reason, passed: &[Instant], log: &mut Log| {
            let at = N::STAGES.step(reason.stage).unwrap_or(passed.len());
            let mut before = start;
            for end in passed.iter().take(at) {
                log.ok(*end - before, "");
                before = *end;
            }
            End::failed(before.elapsed(), reason)
        };
        let handshake = match N::greeting(self.greeter.local(), attempt, AcceptAll) {
            Ok(handshake) => handshake,
            Err(error) => return failed(error.reason(), &[], log),
        };
        let passed = Passed::default();
        let watched = Watched::<N>::new(handshake, passed.clone());
        let conn = Tapped::new(connection.io, self.tape.clone());
        let greeted = match greet(conn, watched, self.deadline).await {
            Ok(greeted) => greeted,
            Err(error) => return failed(error.reason(), &passed.ends(), log),
        };
        // The last step is over when the driver says so.
        let ends = passed
            .ends()
            .into_iter()
            .take(steps.len().saturating_sub(1));
        let Parts {
            info,
            early,
            session,
        } = N::take_apart(greeted.peer);
        let mut facts = N::facts(&info, early);
        if attempt.addr.exposure() == Exposure::Proxied {
            // The peer itself, where the connection only knows the proxy.
            facts.addr = self.to.target.to_string();
        }
        let mut notes = facts.notes().into_iter();
        let mut before = start;
        for end in ends.chain([Instant::now()]) {
            log.ok(end - before, notes.next().unwrap_or_default());
            before = end;
        }
        self.keep(
            Link::new(greeted.conn, session, greeted.leftover),
            facts,
            log,
        )
        .await
    }

    async fn keep<C: peerage_net::Conn>(
        &self,
        mut link: Link<N::Session, C>,
        mut facts: PeerFacts,
        log: &mut Log,
    ) -> End {
        let start = Instant::now();
        let nonce = u64::from_be_bytes(os::random());
        match link.ping(nonce, self.deadline).await {
            Ok(rtt) => {
                facts.rtt = Some(rtt);
                log.ok(rtt, "");
                End::Healthy(facts)
            }
            Err(error) => End::Failed {
                took: start.elapsed(),
                reason: error.reason(),
                facts: Some(facts),
            },
        }
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
            (Host::Name(_), Route::Socks5(_) | Route::By(_)) => Self::Proxy,
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

#[cfg(test)]
mod tests;
