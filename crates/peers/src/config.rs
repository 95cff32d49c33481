//! What an operator and a network decide.

use std::time::Duration;

use peerage_core::{Budget, Direction, Failure, Kind, Stage};

use crate::event::Misdeed;
use crate::evict::EvictRules;
use crate::group::Groups;
use crate::keepalive::Keepalive;
use crate::lanes::Overflow;
use crate::requests::RequestRules;
use crate::theirs::TheirRules;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// How many sessions there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Handshakes under way that they began.
    pub pending_in: usize,
    /// Dials and handshakes under way that we began.
    pub pending_out: usize,
    /// Inbound connections that are being told that there is no room.
    pub refusing: usize,
    /// Established peers that dialled us.
    pub active_in: usize,
    /// Established peers that we dialled.
    pub active_out: usize,
    /// Dials under way beyond the outbound slots that are free: most dials lead nowhere. A peer that
    /// comes too late is told that we are full.
    pub spare_dials: usize,
    /// Attempts and sessions together in one address group.
    pub per_group: usize,
    /// Sessions that are being told goodbye. Beyond, a connection is closed without a word.
    pub closing: usize,
}

impl Limits {
    pub(crate) const fn active(&self, direction: Direction) -> usize {
        match direction {
            Direction::Inbound => self.active_in,
            Direction::Outbound => self.active_out,
        }
    }
}

/// How long things may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// The whole way from the dial or the accept to an established peer.
    pub attempt: Duration,
    /// One stage of it, where nothing else is said.
    pub stage: Duration,
    /// Stages that have a deadline of their own.
    pub stages: Vec<(Stage, Duration)>,
    /// Telling an inbound connection that there is no room, its share of the handshake included.
    pub refusing: Duration,
    /// Telling a peer goodbye.
    pub goodbye: Duration,
    /// A peer taking nothing from us; one second more for each 256 KiB under way.
    pub write: Duration,
}

impl Deadlines {
    /// What one stage may take.
    pub fn of(&self, stage: Stage) -> Duration {
        let own = self.stages.iter().find(|(name, _)| *name == stage);
        own.map_or(self.stage, |(_, limit)| *limit)
    }
}

/// How much may wait, in messages and bytes. The lengths are those the caller gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Control to one peer: requests, answers, pings. Overflow ends the session.
    pub control: Budget,
    /// Gossip to one peer.
    pub gossip: Budget,
    /// What happens to gossip beyond that.
    pub overflow: Overflow,
    /// Gossip of one peer that waits for our application. Beyond, reading pauses.
    pub inbox: Budget,
    /// Everything to all peers, in bytes.
    pub total_out: usize,
    /// Everything of all peers that waits for our application, in bytes.
    pub total_in: usize,
}

/// What is made of a misdeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It is not even told.
    Ignore,
    /// It is told and counted; [`Conduct::strikes`] of them end the session.
    Strike,
    /// It ends the session.
    End,
}

/// The rules of a network about misdeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conduct {
    /// A pong that answers no ping.
    pub stray_pong: Treatment,
    /// More pings than are answered.
    pub ping_flood: Treatment,
    /// An answer that was not asked for.
    pub unsolicited: Treatment,
    /// A message of a capability that was not agreed on.
    pub unannounced: Treatment,
    /// A message that makes no sense.
    pub bad_message: Treatment,
    /// A request that stays without an answer.
    pub breach: Treatment,
    /// How many strikes end a session.
    pub strikes: u32,
    /// The time in which one strike is forgiven: a peer of months may have had its bad minutes.
    pub forgive: Duration,
}

impl Conduct {
    pub(crate) const fn of(&self, misdeed: Misdeed) -> Treatment {
        match misdeed {
            Misdeed::StrayPong => self.stray_pong,
            Misdeed::PingFlood => self.ping_flood,
            Misdeed::Unsolicited => self.unsolicited,
            Misdeed::Unannounced => self.unannounced,
            Misdeed::BadMessage => self.bad_message,
            Misdeed::Breach => self.breach,
        }
    }

    const LENIENT: Self = Self {
        stray_pong: Treatment::Ignore,
        ping_flood: Treatment::Strike,
        unsolicited: Treatment::Ignore,
        unannounced: Treatment::Strike,
        bad_message: Treatment::End,
        breach: Treatment::Strike,
        strikes: 10,
        forgive: secs(600),
    };
}

/// Letting an outbound peer go now and then when all slots are taken, so that the set of peers does
/// not freeze (go-ethereum issues 31476 and 31321).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The shortest time from one to the next.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
    /// How long a peer stays at least.
    pub min_age: Duration,
}

/// reth: every 3 to 7 minutes one that is older than 10.
impl Default for Rotation {
    fn default() -> Self {
        Self {
            min: secs(180),
            max: secs(420),
            min_age: secs(600),
        }
    }
}

/// All that is decided about a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many sessions.
    pub limits: Limits,
    /// Who counts as one.
    pub groups: Groups,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// When to ping.
    pub keepalive: Keepalive,
    /// Our requests.
    pub requests: RequestRules,
    /// Theirs.
    pub theirs: TheirRules,
    /// How much may wait.
    pub budgets: Budgets,
    /// What peers may not do.
    pub conduct: Conduct,
    /// Who makes room; `None`: whoever is in stays in.
    pub evict: Option<EvictRules>,
    /// Whether peers change now and then.
    pub rotation: Option<Rotation>,
    /// The table asks to be called this often while it has sessions; how it notices a stall.
    pub beat: Duration,
    /// How late a call may be before that is a stall of ours.
    pub tolerance: Duration,
    /// New attempts are refused while so many actions wait to be carried out.
    pub backlog: usize,
}

impl Config {
    fn base(keepalive: Keepalive, conduct: Conduct) -> Self {
        Self {
            limits: Limits {
                pending_in: 64,
                pending_out: 30,
                refusing: 15,
                active_in: 30,
                active_out: 100,
                spare_dials: 8,
                per_group: 2,
                closing: 64,
            },
            groups: Groups::default(),
            deadlines: Deadlines {
                attempt: secs(20),
                stage: secs(10),
                stages: Vec::new(),
                refusing: secs(5),
                goodbye: secs(2),
                write: secs(20),
            },
            keepalive,
            requests: RequestRules::default(),
            theirs: TheirRules::default(),
            budgets: Budgets {
                control: Budget::new(256, 40 << 20),
                gossip: Budget::new(4096, 4 << 20),
                overflow: Overflow::DropOldest,
                inbox: Budget::new(1024, 4 << 20),
                total_out: 256 << 20,
                total_in: 256 << 20,
            },
            conduct,
            evict: Some(EvictRules::default()),
            rotation: None,
            beat: secs(5),
            tolerance: secs(5),
            backlog: 4096,
        }
    }

    /// Ethereum: 100 out and 30 in, 30 dials at once, 15 refusals at once, 20 s for the whole
    /// handshake and 10 s for each of its stages, as in reth.
    pub fn ethereum() -> Self {
        let conduct = Conduct {
            stray_pong: Treatment::Strike,
            unsolicited: Treatment::Strike,
            unannounced: Treatment::End,
            breach: Treatment::End,
            ..Conduct::LENIENT
        };
        Self {
            rotation: Some(Rotation::default()),
            ..Self::base(Keepalive::ETHEREUM, conduct)
        }
    }

    /// Zcash: 75 out and 125 in, as in zebra, and one per address group (zebra: per IPv4 address or
    /// /64). Answers that were not asked for are ignored, and nobody owes an answer. zebra gives a
    /// handshake 3 s; over a proxy that is too short.
    pub fn zcash() -> Self {
        let mut config = Self::base(Keepalive::ZCASH, Conduct::LENIENT);
        config.limits.active_in = 125;
        config.limits.active_out = 75;
        config.limits.per_group = 1;
        config.requests.breach = None;
        config
    }

    /// Decred: 8 out and 117 in, 30 s for a dial and as much for a handshake, and 40 MiB to send, as
    /// in dcrd, and five per address group (dcrd: per address).
    pub fn decred() -> Self {
        let mut config = Self::base(Keepalive::DECRED, Conduct::LENIENT);
        config.limits.active_in = 117;
        config.limits.active_out = 8;
        config.limits.per_group = 5;
        config.deadlines.attempt = secs(60);
        config.deadlines.stage = secs(30);
        config.requests.breach = None;
        config
    }

    /// Moves the deadlines of attempts so far out that one can pass here only if it passed long ago
    /// for the attempt's task, which shall speak first: it knows what did not come. As far as the
    /// longest stall that is not noticed as one.
    #[must_use]
    pub fn as_safety_net(mut self) -> Self {
        let further = self.beat + self.tolerance;
        let Deadlines {
            attempt,
            stage,
            stages,
            ..
        } = &mut self.deadlines;
        let named = stages.iter_mut().map(|(_, limit)| limit);
        for limit in [attempt, stage].into_iter().chain(named) {
            *limit += further;
        }
        self
    }

    /// Whether it makes sense.
    ///
    /// # Errors
    /// The first value that does not.
    pub fn check(&self) -> Result<(), ConfigError> {
        let (ka, requests) = (&self.keepalive, &self.requests);
        let deadlines = &self.deadlines;
        let mut spans = vec![
            ("keepalive.first", ka.first),
            ("keepalive.interval", ka.interval),
            ("keepalive.deadline", ka.deadline),
            ("keepalive.patience", ka.patience),
            ("keepalive.idle", ka.idle),
            ("keepalive.ping_refill", ka.ping_refill),
            ("requests.initial", requests.initial),
            ("requests.min", requests.min),
            ("requests.max", requests.max),
            ("theirs.within", self.theirs.within),
            ("deadlines.attempt", deadlines.attempt),
            ("deadlines.stage", deadlines.stage),
            ("deadlines.refusing", deadlines.refusing),
            ("deadlines.goodbye", deadlines.goodbye),
            ("deadlines.write", deadlines.write),
            ("conduct.forgive", self.conduct.forgive),
            ("beat", self.beat),
            ("tolerance", self.tolerance),
        ];
        spans.extend(requests.breach.map(|span| ("requests.breach", span)));
        spans.extend(
            deadlines
                .stages
                .iter()
                .map(|(stage, span)| (stage.name(), *span)),
        );
        if let Some(rotation) = self.rotation {
            spans.push(("rotation.min", rotation.min));
            spans.push(("rotation.max", rotation.max));
        }
        let allowed = ConfigError::LEAST..=ConfigError::MOST;
        let wrong = spans.iter().find(|(_, span)| !allowed.contains(span));
        if let Some(&(name, value)) = wrong {
            return Err(ConfigError::Span { name, value });
        }
        let rotation = self.rotation.unwrap_or_default();
        let theirs = self.theirs;
        let orders = [
            ("requests.min", "requests.max", requests.min <= requests.max),
            (
                "keepalive.deadline",
                "keepalive.patience",
                ka.deadline <= ka.patience,
            ),
            (
                "keepalive.interval",
                "keepalive.idle",
                ka.interval < ka.idle,
            ),
            ("rotation.min", "rotation.max", rotation.min <= rotation.max),
            (
                "theirs.pause_above",
                "theirs.max",
                theirs.pause_above < theirs.max,
            ),
            (
                "requests.in_flight",
                "requests.remembered",
                requests.in_flight <= requests.remembered,
            ),
        ];
        match orders.into_iter().find(|(_, _, right)| !right) {
            Some((low, high, _)) => Err(ConfigError::Order { low, high }),
            None => Ok(()),
        }
    }
}

/// A value of a configuration that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A span of time is too short to be waited for, or so long that it could as well be left out.
    #[error(
        "{name} is {value:?}; it must be between {:?} and {:?}",
        Self::LEAST,
        Self::MOST
    )]
    Span {
        /// Which.
        name: &'static str,
        /// What it is.
        value: Duration,
    },
    /// One value must be below another.
    #[error("{low} must be below {high}")]
    Order {
        /// The one.
        low: &'static str,
        /// The other.
        high: &'static str,
    },
}

impl ConfigError {
    const LEAST: Duration = Duration::from_millis(1);
    const MOST: Duration = Duration::from_secs(366 * 24 * 3600);
}

impl Failure for ConfigError {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Usage
    }
}
