//! Probabilities.

use std::fmt;

use peerage_discv5::rng::Rng;

/// A probability, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Chance(f64);

impl Chance {
    /// Never.
    pub const NEVER: Self = Self(0.0);
    /// Always.
    pub const ALWAYS: Self = Self(1.0);

    /// Every other time.
    pub const HALF: Self = Self(0.5);
    /// One time in four.
    pub const QUARTER: Self = Self(0.25);

    /// The probability, if it is one.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// The probability, 0 to 1.
    pub const fn share(self) -> f64 {
        self.0
    }

    /// Throws the dice. What never happens uses no randomness.
    pub fn happens(self, rng: &mut Rng) -> bool {
        // 53 bits are what a f64 holds exactly.
        self.0 > 0.0 && ((rng.u64() >> 11) as f64) < self.0 * (1u64 << 53) as f64
    }
}

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
