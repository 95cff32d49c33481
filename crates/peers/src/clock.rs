//! Time that counts only while this table is looked after.

use std::time::{Duration, Instant};

/// Turns the caller's time into the table's own, in which a stall of ours did not happen.
///
/// When the machine sleeps, or the owner of the table does not come to it, every deadline of every
/// peer passes at once, and no peer is to blame. Such a gap is found by being late for a wakeup that
/// the table itself asked for; it is then taken out of the table's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// The latest moment seen, in the table's time.
    latest: Instant,
    /// All gaps so far.
    lost: Duration,
    /// How late we may be before it is a gap.
    tolerance: Duration,
}

impl Clock {
    pub(crate) const fn new(now: Instant, tolerance: Duration) -> Self {
        Self {
            latest: now,
            lost: Duration::ZERO,
            tolerance,
        }
    }

    /// The table's time at `now`, and the gap that has just been found. `due` is the next wakeup in
    /// the table's time. Never goes back.
    pub(crate) fn advance(
        &mut self,
        now: Instant,
        due: Option<Instant>,
    ) -> (Instant, Option<Duration>) {
        let at = now.checked_sub(self.lost).unwrap_or(self.latest);
        let at = at.max(self.latest);
        let resume = due.map_or(at, |due| due.max(self.latest));
        let late = at.saturating_duration_since(resume);
        if late <= self.tolerance {
            self.latest = at;
            return (at, None);
        }
        self.lost += late;
        self.latest = resume;
        (resume, Some(late))
    }

    /// The latest moment seen, in the table's time.
    pub(crate) const fn latest(&self) -> Instant {
        self.latest
    }

    /// A moment of the table's time in the caller's.
    pub(crate) fn real(&self, at: Instant) -> Instant {
        at + self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start;

    #[test]
    fn a_gap_is_what_passed_since_the_missed_wakeup() {
        let t0 = start();
        let s = Duration::from_secs;
        let mut clock = Clock::new(t0, s(5));
        assert_eq!(clock.advance(t0 + s(3), Some(t0 + s(1))), (t0 + s(3), None));
        // An hour without a call, although one was asked for at 10 s.
        assert_eq!(
            clock.advance(t0 + s(3610), Some(t0 + s(10))),
            (t0 + s(10), Some(s(3600)))
        );
        assert_eq!(clock.real(t0 + s(12)), t0 + s(3612));
        assert_eq!(clock.advance(t0 + s(3611), None), (t0 + s(11), None));
        // Time that goes back stands still.
        assert_eq!(clock.advance(t0, None), (t0 + s(11), None));
        // Nobody was to be woken, so nothing was missed.
        assert_eq!(clock.advance(t0 + s(9000), None).1, None);
    }
}
