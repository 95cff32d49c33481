//! A number that says how a peer behaved, and fades.

use std::time::Duration;

use peerage_core::{Blame, Kind, UnixTime};

use crate::cause::Cause;
use crate::moment::age;

/// Points that halve every [`Score::HALF_LIFE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    milli: i64,
    at: UnixTime,
}

impl Score {
    /// After this long half of it is forgotten.
    pub const HALF_LIFE: Duration = Duration::from_secs(6 * 3600);
    /// The most and, negative, the least points.
    pub const BOUND: i64 = 1_000;
    /// For a finished handshake.
    pub const GREETED: i64 = 16;
    /// For each ten minutes of a session, up to 12 of them.
    pub const TEN_MINUTES: i64 = 4;

    /// The points at a time; a clock that went back changes nothing.
    pub fn at(&self, now: UnixTime) -> i64 {
        self.milli_at(now) / 1_000
    }

    fn milli_at(&self, now: UnixTime) -> i64 {
        const HALF: i64 = Score::HALF_LIFE.as_secs() as i64;
        let age = age(self.at, now);
        let halvings = age / HALF;
        if halvings > 40 {
            return 0;
        }
        let whole = self.milli / (1 << halvings);
        // A straight line between two halvings: whole numbers alone, so that runs replay anywhere.
        whole - whole * (age % HALF) / (2 * HALF)
    }

    /// Adds points.
    pub(crate) fn add(&mut self, now: UnixTime, points: i64) {
        let bound = Self::BOUND * 1_000;
        self.milli = (self.milli_at(now) + points * 1_000).clamp(-bound, bound);
        self.at = now;
    }

    pub(crate) const fn restored(points: i64, at: UnixTime) -> Self {
        let bounded = if points > Self::BOUND {
            Self::BOUND
        } else if points < -Self::BOUND {
            -Self::BOUND
        } else {
            points
        };
        Self {
            milli: bounded * 1_000,
            at,
        }
    }

    /// Coarse, for choosing: 0 is bad, 1 unknown, 2 good, 3 very good. As of its last change.
    pub(crate) const fn level(&self) -> u8 {
        match self.milli {
            64_000.. => 3,
            16_000.. => 2,
            -16_000.. => 1,
            _ => 0,
        }
    }
}

/// What a failure costs; nothing if it was not the peer's or the network's doing.
pub(crate) fn penalty(cause: &Cause) -> i64 {
    match (cause.blame, cause.kind) {
        (Blame::Us | Blame::Caller, _) => 0,
        (_, Kind::Malformed | Kind::Violation | Kind::Flood) => -64,
        (_, Kind::PeerFull | Kind::AlreadyConnected | Kind::Left) => 0,
        (Blame::Network, _) => -4,
        (Blame::Them, _) => -8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_forgotten_in_a_half_life_and_no_more() {
        let mut score = Score::default();
        score.add(UnixTime(0), 100);
        let half = Score::HALF_LIFE.as_secs() as i64;
        assert_eq!(score.at(UnixTime(half)), 50);
        assert_eq!(score.at(UnixTime(half / 2)), 75);
        assert_eq!(score.at(UnixTime(2 * half)), 25);
        assert_eq!(score.at(UnixTime(100 * half)), 0);
        assert_eq!(score.at(UnixTime(-5)), 100, "a clock that went back");
        score.add(UnixTime(0), -1_000_000);
        assert_eq!(score.at(UnixTime(0)), -Score::BOUND);
    }
}
