//! What the network does to packets on their way.

use std::time::Duration;

use peerage_discv5::rng::Rng;

use crate::chance::Chance;

/// What happens to datagrams on their way. Each copy has its own luck.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weather {
    /// How long a datagram takes between the nearest and between the farthest two places. Hosts
    /// have places on a square, so the latency of a pair is always the same, the same both ways,
    /// and obeys the triangle inequality.
    pub latency: (Duration, Duration),
    /// What is added at most; uniform. It reorders what is sent within this time.
    pub jitter: Duration,
    /// How many are lost.
    pub loss: Chance,
    /// How many arrive twice.
    pub duplication: Chance,
    /// How many are held back for [`Self::held`], so that later ones overtake them.
    pub reordering: Chance,
    /// How long.
    pub held: Duration,
    /// The least and the most bytes of a stream that travel together: each packet has its own luck,
    /// and is sent again when it is lost. Everything that the window takes, if not said otherwise.
    pub packet: (usize, usize),
}

impl Weather {
    /// Nothing is lost, repeated or reordered; every datagram takes 20 ms.
    pub const CALM: Self = Self {
        latency: (Duration::from_millis(20), Duration::from_millis(20)),
        jitter: Duration::ZERO,
        loss: Chance::NEVER,
        duplication: Chance::NEVER,
        reordering: Chance::NEVER,
        held: Duration::ZERO,
        packet: (crate::stream::WINDOW, crate::stream::WINDOW),
    };

    /// The Internet on an ordinary day: 5 to 150 ms one way, up to 10 ms of jitter, nothing lost.
    pub const INTERNET: Self = Self {
        latency: (Duration::from_millis(5), Duration::from_millis(150)),
        jitter: Duration::from_millis(10),
        ..Self::CALM
    };

    /// The same with so much loss.
    #[must_use]
    pub const fn with_loss(mut self, loss: Chance) -> Self {
        self.loss = loss;
        self
    }

    /// What a datagram between two places takes without jitter.
    pub fn latency_between(&self, a: Place, b: Place) -> Duration {
        let (least, most) = self.latency;
        // The diagonal of the square is 2^16 · √2, about 92,681.
        let share = a.distance(b) * 1_000_000 / 92_681;
        let span = most.saturating_sub(least);
        least + span * u32::try_from(share.min(1_000_000)).unwrap_or(0) / 1_000_000
    }

    /// What one datagram between two places takes.
    pub(crate) fn delay(&self, rng: &mut Rng, a: Place, b: Place) -> Duration {
        let jitter = if self.jitter.is_zero() {
            Duration::ZERO
        } else {
            rng.duration(self.jitter)
        };
        self.latency_between(a, b) + jitter
    }
}

impl Default for Weather {
    fn default() -> Self {
        Self::INTERNET
    }
}

/// Where a host is, on a square of 2^16 by 2^16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub u16, pub u16);

impl Place {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let [a, b, c, d] = rng.bytes();
        Self(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
    }

    /// The distance, rounded down.
    pub fn distance(self, other: Self) -> u64 {
        let side = |a: u16, b: u16| u64::from(a.abs_diff(b)).pow(2);
        (side(self.0, other.0) + side(self.1, other.1)).isqrt()
    }
}
