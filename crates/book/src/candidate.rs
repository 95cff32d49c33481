//! One candidate: what is known of it, and what may be done with it now.

use std::time::Instant;

use peerage_core::{Endpoint, PeerText, Reason, UnixTime};

use crate::cause::Cause;
use crate::config::Names;
use crate::history::History;
use crate::key::{Address, Key, Name};
use crate::prefix::{Group, Grouping};
use crate::score::Score;
use crate::source::{Source, SourceGroup};

/// A candidate's number within one book; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(pub(crate) u64);

/// A dial, and the session that it became. Never given twice by one book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialId(pub(crate) u64);

/// What the operator decided about a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Nothing.
    #[default]
    Ordinary,
    /// It is always dialled and never forgotten.
    Static,
    /// The same, and no automatic ban concerns it.
    Trusted,
}

impl Role {
    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::Static => "static",
            Self::Trusted => "trusted",
        }
    }

    /// Whether it is always dialled and never forgotten.
    pub const fn is_pinned(self) -> bool {
        matches!(self, Self::Static | Self::Trusted)
    }
}

/// What a candidate's own claims say about dialling it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    #[default]
    Unknown,
    /// It fits: its record names our fork, say.
    Fit,
    /// It is not to be dialled.
    Unfit(Cause),
}

impl Verdict {
    /// A verdict against dialling.
    pub fn unfit(reason: &Reason) -> Self {
        Self::Unfit(reason.into())
    }
}

/// What is claimed of a candidate, by itself or by others. Nothing here is proven.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Services, in its network's bits.
    pub services: Option<u64>,
    /// When it is said to have been seen.
    pub seen: Option<UnixTime>,
    /// The sequence number of its record, where it has one. Older claims never replace newer ones.
    pub sequence: Option<u64>,
    /// Whether these claims exclude it.
    pub verdict: Verdict,
}

/// One of a candidate's endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Where.
    pub endpoint: Endpoint,
    /// When it was heard of last.
    pub heard: UnixTime,
    /// When this candidate greeted us from there last.
    pub verified: Option<UnixTime>,
    /// Failures there in a row.
    pub failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// May be dialled.
    Idle,
    /// Not before this moment.
    Waiting(Instant),
    /// A dial or a session of ours.
    Busy(DialId),
}

/// In the order in which they are dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Pinned,
    Anchor,
    Tried,
    New,
}

/// How much would be lost with a candidate; the least is let go first.
pub(crate) type Worth = (u8, i64);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) key: Key,
    pub(crate) role: Role,
    /// Of a static peer.
    pub(crate) name: Option<Name>,
    pub(crate) resolve_at: Option<Instant>,
    pub(crate) spots: Vec<Spot>,
    pub(crate) sources: Vec<Source>,
    /// Whom it is charged to while it is new.
    pub(crate) payer: SourceGroup,
    pub(crate) claims: Claims,
    pub(crate) first_heard: UnixTime,
    pub(crate) last_heard: UnixTime,
    pub(crate) attempts: u32,
    pub(crate) successes: u32,
    /// In a row.
    pub(crate) failures: u32,
    pub(crate) last_attempt: Option<UnixTime>,
    pub(crate) last_success: Option<UnixTime>,
    /// Seconds in sessions.
    pub(crate) online: u64,
    pub(crate) score: Score,
    pub(crate) agent: Option<PeerText>,
    pub(crate) history: History,
    pub(crate) phase: Phase,
    /// Dialled before others: a good peer of before the restart, or of before an outage.
    pub(crate) anchor: bool,
    /// Random: the order among equals.
    pub(crate) draw: u64,
}

impl Candidate {
    pub(crate) fn fresh(key: Key, now: UnixTime, draw: u64) -> Self {
        Self {
            key,
            role: Role::Ordinary,
            name: None,
            resolve_at: None,
            // Most have one of each for life.
            spots: Vec::with_capacity(1),
            sources: Vec::with_capacity(1),
            payer: SourceGroup::Operator,
            claims: Claims::default(),
            first_heard: now,
            last_heard: now,
            attempts: 0,
            successes: 0,
            failures: 0,
            last_attempt: None,
            last_success: None,
            online: 0,
            score: Score::default(),
            agent: None,
            history: History::default(),
            phase: Phase::Idle,
            anchor: false,
            draw,
        }
    }

    pub(crate) const fn class(&self) -> Class {
        if self.role.is_pinned() {
            Class::Pinned
        } else if self.anchor {
            Class::Anchor
        } else if self.is_tried() {
            Class::Tried
        } else {
            Class::New
        }
    }

    pub(crate) const fn is_tried(&self) -> bool {
        self.last_success.is_some()
    }

    /// Where to dial next: fewest failures in a row, then proven, then heard of last.
    pub(crate) fn best(&self, names: Names) -> Option<Address> {
        if let (Names::Dial, Some(name)) = (names, &self.name) {
            return Some(Address::Named(name.clone()));
        }
        let by = |spot: &&Spot| {
            let recent = std::cmp::Reverse((spot.verified, spot.heard));
            (spot.failures, recent, spot.endpoint)
        };
        let spot = self.spots.iter().min_by_key(by)?;
        Some(Address::At(spot.endpoint))
    }

    /// The group it counts in: that of where it would be dialled.
    pub(crate) fn group(&self, names: Names, grouping: Grouping) -> Group {
        match self.best(names) {
            Some(address) => grouping.of(&address),
            None => Group::Local,
        }
    }

    pub(crate) const fn is_unfit(&self) -> bool {
        matches!(self.claims.verdict, Verdict::Unfit(_))
    }

    pub(crate) fn worth(&self) -> Worth {
        let since = self.last_success.unwrap_or(self.last_heard).0;
        let rank = if matches!(self.phase, Phase::Busy(_)) {
            u8::MAX
        } else if self.is_unfit() {
            0
        } else {
            match self.failures {
                0 => 4,
                1 => 3,
                2 => 2,
                _ => 1,
            }
        };
        (rank, since)
    }

    pub(crate) fn spot_mut(&mut self, address: &Address) -> Option<&mut Spot> {
        let Address::At(endpoint) = address else {
            return None;
        };
        self.spots
            .iter_mut()
            .find(|spot| spot.endpoint == *endpoint)
    }
}

/// Adds an endpoint or notes that it was heard of again; says whether it is new.
pub(crate) fn add_spot(spots: &mut Vec<Spot>, endpoint: Endpoint, now: UnixTime) -> bool {
    if let Some(spot) = spots.iter_mut().find(|spot| spot.endpoint == endpoint) {
        spot.heard = now;
        return false;
    }
    spots.push(Spot {
        endpoint,
        heard: now,
        verified: None,
        failures: 0,
    });
    true
}

/// Lets go of the least: what nobody proved, then what failed most, then what was heard of first.
pub(crate) fn bound_spots(spots: &mut Vec<Spot>, most: usize) {
    while spots.len() > most {
        let least = (0..spots.len()).min_by_key(|at| {
            let spot = &spots[*at];
            (spot.verified, std::cmp::Reverse(spot.failures), spot.heard)
        });
        match least {
            Some(at) => spots.remove(at),
            None => return,
        };
    }
}
