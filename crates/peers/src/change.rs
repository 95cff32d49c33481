//! What an operator changes while peers are here.

use std::time::Instant;

use peerage_core::Direction;

use crate::cause::Cause;
use crate::close::End;
use crate::config::Limits;
use crate::evict::{Candidate, EvictRules, choose};
use crate::table::Table;
use crate::types::Types;

/// Of those who are too many, one in so many goes with each beat, and one at least: of a hundred
/// half are gone within half a minute and all within two, and whoever mistyped a limit has lost few
/// before it is noticed.
const SHARE: usize = 8;

/// Who goes when the usual rules spare everybody that is left.
const RELENTLESS: EvictRules = EvictRules {
    by_group: 0,
    by_rtt: 0,
    by_use: 0,
    min_age: std::time::Duration::ZERO,
    every: std::time::Duration::ZERO,
};

impl<T: Types> Table<T> {
    /// How many sessions there may be.
    pub const fn limits(&self) -> Limits {
        self.config.limits
    }

    /// Sets how many sessions there may be. Attempts under way go on. No peer that still fits is
    /// touched; of established peers that are too many now, a few go with each beat, those first who
    /// would make room for a newcomer, until the limit holds. Meanwhile nobody takes their places.
    /// Where nobody is ever evicted ([`crate::Config::evict`] is `None`) they stay until they leave.
    pub fn set_limits(&mut self, now: Instant, limits: Limits) {
        let _ = self.tick(now);
        self.config.limits = limits;
    }

    /// Whether there are more than there may be, so that nobody new is to take a place.
    pub(crate) fn is_crowded(&self, direction: Direction) -> bool {
        self.counts.active(direction) > self.config.limits.active(direction)
    }

    /// Lets some of those go who are too many.
    pub(crate) fn shrink(&mut self, at: Instant) {
        let Some(rules) = self.config.evict else {
            return;
        };
        for direction in [Direction::Inbound, Direction::Outbound] {
            let limit = self.config.limits.active(direction);
            let surplus = self.counts.active(direction).saturating_sub(limit);
            // Each of them is to be told.
            let words = self.config.limits.closing.max(1);
            let room = words.saturating_sub(self.closing.len());
            for _ in 0..surplus.div_ceil(SHARE).min(room) {
                let left = self.ordinary(direction);
                let rank = |group| self.secret.rank(group);
                let goes = choose(&rules, at, left.clone(), rank)
                    .or_else(|| choose(&RELENTLESS, at, left, rank));
                let Some(id) = goes else { break };
                self.finish(at, id, End::by(&Cause::Surplus { limit }));
            }
        }
    }

    /// Those who take the slots of a direction.
    pub(crate) fn ordinary(&self, direction: Direction) -> Vec<Candidate> {
        let ordinary = self.active.iter().filter(|(_, active)| {
            active.slot.counts_as == direction && !active.slot.standing.is_exempt()
        });
        let candidates = ordinary.map(|(id, active)| Candidate {
            id: *id,
            group: active.slot.group,
            since: active.since,
            rtt: active.pulse.rtt().map(|rtt| rtt.min),
            useful_at: active.useful_at,
        });
        candidates.collect()
    }
}
