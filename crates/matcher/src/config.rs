//! What an operator decides.

use std::collections::BTreeSet;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use peerage_core::{Detail, Failure, Kind, Stage};

use crate::geography::{Country, UnknownGeography};
use crate::limits::Limits;
use crate::quality::QualityRule;
use crate::record::{SponsorId, Versions, VolunteerId};
use crate::rules::AllowMatch;

/// Which announcement an offer gets. `docs/matcher.md` has both rules in full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// Preferred NAT, then a shared personal compartment, then age.
    #[default]
    Lexicographic,
    /// The reference's rule, for those who compare with it: the same but for one case of three
    /// entries, where a personal match of worse NAT hides a later one of better NAT.
    Reference,
}

/// How much may wait. Whatever is full fails at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Announcements that wait. The default is 1,000,000.
    pub announcements: usize,
    /// Offers that wait. The default is 1,000,000.
    pub offers: usize,
    /// Pairs whose answer is awaited. The default is 1,000,000.
    pub pending: usize,
    /// Bytes of all waiting offers' opaque fields together. The default is 1 GiB, about what
    /// 1,000,000 offers with session descriptions of 1 KiB take.
    pub offer_bytes: usize,
}

impl Caps {
    /// The most any count may be set to, as in the current reference. What an entry is known by in
    /// each of its compartments is numbered in 32 bits; at this many all of them fit.
    pub const CEILING: usize = 5_000_000;
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            announcements: 1_000_000,
            offers: 1_000_000,
            pending: 1_000_000,
            offer_bytes: 1 << 30,
        }
    }
}

/// What a NAT that is unlikely to be traversed means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NatRule {
    /// Such a pair is made when nothing better waits. The reference's behaviour.
    #[default]
    Prefer,
    /// Such a pair is never made.
    Require,
}

/// Shedding load: under pressure a request is admitted only if its own queue is less than half the
/// other one, so that only what is scarce gets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadLimit {
    /// Pressure begins with this many entries in both queues together. The caller can also declare
    /// it: [`Matcher::set_pressure`](crate::Matcher::set_pressure).
    pub entries: usize,
}

/// When volunteers that found no client should ask again: the longer the queue they would join, the
/// later, in a straight line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PollHints {
    /// With an empty queue.
    pub least: Duration,
    /// With at least [`Self::full_at`] announcements of the volunteer's class waiting.
    pub most: Duration,
    /// See there; at least 1.
    pub full_at: usize,
}

/// What today's systems add to the reference and operators ask for. All off by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// Limits of announcements by address group.
    pub announcement_limits: Option<Limits>,
    /// Limits of offers by address group.
    pub offer_limits: Option<Limits>,
    /// Volunteers that only the ceilings of [`Limits`] hold for, counted apart.
    pub exempt_volunteers: BTreeSet<VolunteerId>,
    /// Sponsors whose clients only the ceilings of [`Limits`] hold for, counted apart.
    pub exempt_sponsors: BTreeSet<SponsorId>,
    /// An offer with less time than this to its deadline is refused, and one that waits is told so
    /// that much earlier: what is left would not do for an answer and a connection. Zero: off.
    pub least_offer_time: Duration,
    /// Shedding load by the queues' ratio.
    pub load_limit: Option<LoadLimit>,
    /// Both sides must share one of these protocol versions; others do not count.
    pub versions: Option<Versions>,
    /// Which volunteers which clients may meet.
    pub allow_match: AllowMatch,
    /// Volunteers of these countries are refused.
    pub refused_countries: BTreeSet<Country>,
    /// Whether those who share a personal compartment may be of the same country and network.
    pub personal_exempt: bool,
    /// Whether NATs must be compatible.
    pub nat: NatRule,
    /// Announcements that say [`priority`](crate::Announcement::priority) come first, before NAT
    /// preference. Only those without personal compartments.
    pub priority: bool,
    /// Volunteers of proven quality have priority, and for clients of a network where it was proven
    /// they count as of preferred NAT.
    pub quality: Option<QualityRule>,
    /// Among equals the least loaded first, in steps of this many clients; 8 in other systems,
    /// where volunteers report no finer. What is above 15 steps counts as 15.
    pub load_step: Option<NonZeroU16>,
    /// Each so-manyth match an arriving offer makes is a newcomers' turn: priority is not read, and
    /// newcomers come first among equals in NAT and compartment. 1: always.
    pub newcomer_turn: Option<NonZeroU32>,
    /// When to ask again.
    pub poll_hints: Option<PollHints>,
}

/// What an operator decides; a [`Matcher`](crate::Matcher) keeps to it all its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which announcement an offer gets.
    pub preference: Preference,
    /// How much may wait.
    pub caps: Caps,
    /// The most ids in either list of compartments. The default is 10, as in the reference's API.
    pub max_compartments: usize,
    /// The most bytes in an offer's opaque fields together, and in an answer's description. The
    /// default is 64 KiB, the reference's limit of a whole request.
    pub max_opaque_len: usize,
    /// Deadlines count in these steps, rounded down: an entry may end so much earlier, and is never
    /// matched after its deadline. The default is 10 ms, a thousandth of the time a client waits.
    pub tick: Duration,
    /// How long the answer to an offer without a deadline is awaited. The default is 30 s, the
    /// reference's, one and a half times what it gives a volunteer to make its answer.
    pub answer_timeout: Duration,
    /// What an unknown geography means.
    pub unknown_geography: UnknownGeography,
    /// What goes beyond the reference.
    pub extras: Extras,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            preference: Preference::default(),
            caps: Caps::default(),
            max_compartments: 10,
            max_opaque_len: 64 << 10,
            tick: Duration::from_millis(10),
            answer_timeout: Duration::from_secs(30),
            unknown_geography: UnknownGeography::default(),
            extras: Extras::default(),
        }
    }
}

/// A configuration that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A value outside what it may be.
    #[error("{name} is {got}, it must be from {least} to {most}")]
    OutOfRange {
        /// The setting.
        name: &'static str,
        /// Its value; durations in milliseconds.
        got: u128,
        /// The least allowed.
        least: u128,
        /// The most allowed.
        most: u128,
    },
    /// The reference's order has no place for this.
    #[error("the reference's order has no place for {extra}: use the lexicographic one")]
    NotInReference {
        /// The extra that extends the key.
        extra: &'static str,
    },
}

impl Failure for ConfigError {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn detail(&self) -> Detail {
        let name = match self {
            Self::OutOfRange { name, .. } => name,
            Self::NotInReference { extra } => extra,
        };
        Detail::none().with("setting", *name)
    }
}

/// The most compartments in a list that may be configured: each costs every search a look-up.
const MAX_COMPARTMENTS: u128 = 32;
/// A day: nothing waits longer.
const MAX_WAIT_MS: u128 = 86_400_000;

impl Config {
    /// Whether every value is within its bounds and none contradicts another.
    ///
    /// # Errors
    /// The first setting that is not.
    pub fn check(&self) -> Result<(), ConfigError> {
        let Self { caps, extras, .. } = self;
        let ceiling = Caps::CEILING as u128;
        let mut values = vec![
            ("caps.announcements", caps.announcements as u128, 0, ceiling),
            ("caps.offers", caps.offers as u128, 0, ceiling),
            ("caps.pending", caps.pending as u128, 0, ceiling),
            (
                "max_compartments",
                self.max_compartments as u128,
                1,
                MAX_COMPARTMENTS,
            ),
            ("max_opaque_len", self.max_opaque_len as u128, 0, 1 << 30),
            ("tick", self.tick.as_millis(), 1, 1_000),
            (
                "answer_timeout",
                self.answer_timeout.as_millis(),
                1,
                MAX_WAIT_MS,
            ),
            (
                "extras.least_offer_time",
                extras.least_offer_time.as_millis(),
                0,
                MAX_WAIT_MS,
            ),
            (
                "extras.allow_match (areas of clients)",
                extras.allow_match.client_areas().len() as u128,
                0,
                AllowMatch::MAX_CLIENT_AREAS as u128,
            ),
            (
                "extras.allow_match (areas of volunteers)",
                extras.allow_match.volunteer_areas().len() as u128,
                0,
                AllowMatch::MAX_VOLUNTEER_AREAS as u128,
            ),
        ];
        for limits in [&extras.announcement_limits, &extras.offer_limits] {
            values.extend(limits.iter().flat_map(Limits::bounds));
        }
        values.extend(extras.quality.iter().flat_map(QualityRule::bounds));
        if let Some(hints) = &extras.poll_hints {
            let most = hints.most.as_millis();
            values.push(("extras.poll_hints.most", most, 1, MAX_WAIT_MS));
            let least = hints.least.as_millis();
            values.push(("extras.poll_hints.least", least, 0, most));
            let full_at = hints.full_at as u128;
            values.push(("extras.poll_hints.full_at", full_at, 1, ceiling));
        }
        if let Some(versions) = extras.versions {
            let bits = versions.bits().into();
            values.push(("extras.versions", bits, 1, 255));
        }
        for (name, got, least, most) in values {
            if got < least || got > most {
                return Err(ConfigError::OutOfRange {
                    name,
                    got,
                    least,
                    most,
                });
            }
        }
        if self.preference == Preference::Reference {
            let extending = [
                ("priority", extras.priority),
                ("quality", extras.quality.is_some()),
                ("load_step", extras.load_step.is_some()),
                ("newcomer_turn", extras.newcomer_turn.is_some()),
            ];
            for (extra, on) in extending {
                if on {
                    return Err(ConfigError::NotInReference { extra });
                }
            }
        }
        Ok(())
    }
}
