//! What happens to a town.

use std::fmt;

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Incident {
    /// A keeper's own network is gone for ten minutes.
    Outage,
    /// One half of the town and the other no longer hear each other.
    Partition,
    /// A keeper's date jumps three days ahead, and later back.
    DateAhead,
    /// A keeper's date jumps two days back, and later ahead.
    DateBack,
    /// A keeper sleeps; its clock stands still.
    Night,
    /// A keeper stands still for twenty seconds while its clock goes on.
    Nap,
    /// Keepers stop in order and start again from their books.
    Restart,
    /// Keepers are killed and start again from their books; the system closes their streams.
    Kill,
    /// Keepers lose power and start again from their books; nobody is told.
    PowerCut,
    /// A fifth of all packets is lost.
    Storm,
    /// An operator bans one of its peers.
    Ban,
    /// A keeper's line becomes slow: 2,000 bytes a second.
    Slow,
}

impl Incident {
    /// All of them, in the order in which they happen.
    pub const ALL: [Self; 12] = [
        Self::Outage,
        Self::Partition,
        Self::DateAhead,
        Self::PowerCut,
        Self::Night,
        Self::Restart,
        Self::Storm,
        Self::Ban,
        Self::DateBack,
        Self::Kill,
        Self::Nap,
        Self::Slow,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outage => "outage",
            Self::Partition => "partition",
            Self::DateAhead => "date_ahead",
            Self::DateBack => "date_back",
            Self::Night => "night",
            Self::Nap => "nap",
            Self::Restart => "restart",
            Self::Kill => "kill",
            Self::PowerCut => "power_cut",
            Self::Storm => "storm",
            Self::Ban => "ban",
            Self::Slow => "slow",
        }
    }
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
