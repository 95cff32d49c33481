//! Moments as whole numbers since the matcher was made.

use std::time::{Duration, Instant};

use crate::deadline::Tick;

/// Nanoseconds since the matcher was made; 584 years fit.
pub(crate) type Nanos = u64;

/// Turns instants into numbers and back. Time never goes backwards here.
#[derive(Debug)]
pub(crate) struct Clock {
    epoch: Instant,
    tick: Nanos,
    latest: Nanos,
    /// Where the tick of `latest` ends, and its number: a division less in every call.
    tick_ends: Nanos,
    now_tick: Tick,
}

fn nanos(span: Duration) -> Nanos {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl Clock {
    pub(crate) fn new(now: Instant, tick: Duration) -> Self {
        Self {
            epoch: now,
            tick: nanos(tick).max(1),
            latest: 0,
            tick_ends: 0,
            now_tick: 0,
        }
    }

    pub(crate) fn nanos(&self, at: Instant) -> Nanos {
        nanos(at.saturating_duration_since(self.epoch))
    }

    /// The tick an instant falls into: a deadline in it ends when it begins.
    pub(crate) fn tick(&self, at: Instant) -> Tick {
        self.nanos(at) / self.tick
    }

    /// The tick in which so much time is left to an instant.
    pub(crate) fn tick_before(&self, at: Instant, left: Duration) -> Tick {
        self.nanos(at).saturating_sub(nanos(left)) / self.tick
    }

    /// The tick in which so much time will have passed.
    pub(crate) fn tick_after(&self, span: Duration) -> Tick {
        self.latest.saturating_add(nanos(span)) / self.tick
    }

    /// Now is `now`, or the latest moment heard of.
    pub(crate) fn advance(&mut self, now: Instant) {
        self.latest = self.latest.max(self.nanos(now));
        if self.latest >= self.tick_ends {
            self.now_tick = self.latest / self.tick;
            self.tick_ends = (self.now_tick + 1).saturating_mul(self.tick);
        }
    }

    pub(crate) const fn now(&self) -> Nanos {
        self.latest
    }

    pub(crate) const fn now_tick(&self) -> Tick {
        self.now_tick
    }

    /// When a tick begins. None beyond what an instant can hold.
    pub(crate) fn start_of(&self, tick: Tick) -> Option<Instant> {
        let since = Duration::from_nanos(tick.saturating_mul(self.tick));
        self.epoch.checked_add(since)
    }
}
