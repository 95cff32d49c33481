//! What a keeper counts.

use std::collections::BTreeMap;

use peerage_core::{Kind, Reason};
use peerage_peers::Ending;

/// Counts of one keeper, over all its lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Dials that the book chose.
    pub dials: u64,
    /// Dials that became sessions.
    pub greeted_out: u64,
    /// Sessions of peers that dialled us.
    pub greeted_in: u64,
    /// Connections turned away before they were attempts.
    pub turned_away: u64,
    /// Dials that failed, by the kind of their reason.
    pub failures: BTreeMap<&'static str, u64>,
    /// Sessions that ended, by whose word it was and the kind of the reason.
    pub ends: BTreeMap<(&'static str, &'static str), u64>,
    /// Dials to addresses that the operator had banned.
    pub banned_dialled: u64,
    /// Candidates that peers told of and that were new.
    pub told: u64,
    /// What peers did that their network does not allow.
    pub misdeeds: u64,
    /// Stalls of our own.
    pub stalls: u64,
    /// Second connections with one peer.
    pub duplicates: u64,
}

impl Tally {
    pub(super) fn failed(&mut self, reason: &Reason) {
        *self.failures.entry(reason.kind.name()).or_default() += 1;
    }

    pub(super) fn ended(&mut self, ending: Ending, reason: &Reason) {
        let key = (ending.name(), reason.kind.name());
        *self.ends.entry(key).or_default() += 1;
    }

    /// How many dials failed for a reason that says nothing: a broken connection without a cause, or
    /// a fault of ours.
    pub fn unexplained(&self) -> u64 {
        let of = |kind: Kind| self.failures.get(kind.name()).copied().unwrap_or(0);
        of(Kind::Transport) + of(Kind::Bug)
    }

    /// How many dials failed.
    pub fn failed_dials(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Adds what another counted.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.dials, other.dials),
            (&mut self.greeted_out, other.greeted_out),
            (&mut self.greeted_in, other.greeted_in),
            (&mut self.turned_away, other.turned_away),
            (&mut self.banned_dialled, other.banned_dialled),
            (&mut self.told, other.told),
            (&mut self.misdeeds, other.misdeeds),
            (&mut self.stalls, other.stalls),
            (&mut self.duplicates, other.duplicates),
        ] {
            *mine += theirs;
        }
        for (kind, count) in &other.failures {
            *self.failures.entry(kind).or_default() += count;
        }
        for (key, count) in &other.ends {
            *self.ends.entry(*key).or_default() += count;
        }
    }
}
