//! Whether it is us: what fails while nothing works is nobody's fault.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use peerage_core::{Kind, Reason, Stage};

use crate::candidate::Id;
use crate::key::Address;
use crate::prefix::Group;
use crate::score::Score;

/// What a failure tells about our own connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Something came from outside: it works.
    Life,
    /// What an outage would look like.
    Silence,
    /// Our own proxy: nothing can work.
    Ours,
    /// Neither.
    Nothing,
}

impl Sign {
    /// While another connection with the same peer stays, the end of one is no outage.
    pub(crate) const fn unless(self, stays: bool) -> Self {
        match self {
            Self::Silence | Self::Ours if stays => Self::Nothing,
            Self::Life | Self::Silence | Self::Ours | Self::Nothing => self,
        }
    }
}

/// What a failed dial says. A connection that came about is life, whatever followed; that somebody
/// refused it says little, since a router of ours can do that too.
pub(crate) fn sign_of_dial(reason: &Reason) -> Sign {
    match (reason.stage, reason.kind) {
        (_, Kind::Proxy) => Sign::Ours,
        (
            Stage::Reach | Stage::Resolve,
            Kind::Timeout | Kind::Unreachable | Kind::Transport | Kind::Unresolved,
        ) => Sign::Silence,
        (Stage::Greet(_) | Stage::Keep(_), _) => Sign::Life,
        _ => Sign::Nothing,
    }
}

/// What the end of a session says. A peer that closes may be a cable that was pulled.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a kind that says neither is the rule"
)]
pub(crate) fn sign_of_end(reason: &Reason) -> Sign {
    match reason.kind {
        Kind::Timeout | Kind::Unreachable | Kind::Transport => Sign::Silence,
        Kind::Proxy => Sign::Ours,
        Kind::Left | Kind::PeerFull | Kind::Malformed | Kind::Violation | Kind::Refused => {
            Sign::Life
        }
        _ => Sign::Nothing,
    }
}

/// What a candidate was before it failed, to be given back.
#[derive(Clone, Debug)]
pub(crate) struct Before {
    pub(crate) failures: u32,
    pub(crate) score: Score,
    pub(crate) spots: Vec<(Address, u32)>,
    /// A session was lost: first to be dialled when it is over.
    pub(crate) lost: bool,
}

/// Failures since the last sign of life. As long as the book at most.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outage {
    pub(crate) run: BTreeMap<Id, Before>,
    known: BTreeSet<Group>,
    known_local: BTreeSet<Id>,
    pub(crate) since: Option<Instant>,
    pub(crate) last_probe: Option<Instant>,
}

impl Outage {
    /// Remembers a failure, unless an earlier one of the candidate is.
    pub(crate) fn suspect(&mut self, id: Id, before: Before, known: Option<Group>) {
        match known {
            Some(Group::Local) => {
                self.known_local.insert(id);
            }
            Some(group) => {
                self.known.insert(group);
            }
            None => {}
        }
        let lost = before.lost;
        let kept = self.run.entry(id).or_insert(before);
        kept.lost |= lost;
    }

    /// How many peers that once worked failed, one for each group; locals count each.
    pub(crate) fn known(&self) -> usize {
        self.known.len() + self.known_local.len()
    }

    pub(crate) const fn is_on(&self) -> bool {
        self.since.is_some()
    }

    /// A sign of life: the run so far, if it was an outage.
    pub(crate) fn end(&mut self) -> Option<BTreeMap<Id, Before>> {
        let Self { run, since, .. } = std::mem::take(self);
        since.map(|_| run)
    }
}
