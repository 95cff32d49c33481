//! Time, in both its kinds.

use std::time::{Duration, Instant};

use peerage_core::UnixTime;

/// The present. Timers run on [`Self::at`], what is written down carries [`Self::wall`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic.
    pub at: Instant,
    /// By the calendar; may jump either way.
    pub wall: UnixTime,
}

impl Now {
    /// The same clocks, later.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self {
            at: later(self.at, span),
            wall: UnixTime(self.wall.0.saturating_add(secs(span))),
        }
    }

    /// What the calendar shows at a moment of the monotonic clock, as both run now.
    pub(crate) fn wall_at(self, at: Instant) -> UnixTime {
        let ahead = secs(at.saturating_duration_since(self.at));
        let behind = secs(self.at.saturating_duration_since(at));
        UnixTime(self.wall.0.saturating_add(ahead).saturating_sub(behind))
    }
}

/// Whole seconds, as the calendar counts.
pub(crate) fn secs(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

/// Never fails: what lies beyond the clock's range is a century away.
pub(crate) fn later(at: Instant, span: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 86_400);
    at.checked_add(span.min(CENTURY)).unwrap_or(at)
}

/// How many seconds `earlier` lies before `later`; nothing if it does not.
pub(crate) fn age(earlier: UnixTime, later: UnixTime) -> i64 {
    later.0.saturating_sub(earlier.0).max(0)
}
