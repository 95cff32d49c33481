//! The last word of the total key: rank, then arrival.

/// Ranks there may be: the load of a volunteer in steps.
pub(crate) const RANKS: u8 = 16;

/// Rank in the upper 8 bits, arrival below. The lower, the earlier it is chosen. No two entries of
/// one side ever have the same: at a billion arrivals a second 56 bits last two years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Order(u64);

impl Order {
    pub(crate) const fn new(rank: u8, arrival: u64) -> Self {
        Self((rank as u64) << 56 | arrival)
    }

    pub(crate) const fn rank(self) -> u8 {
        self.0.to_be_bytes()[0]
    }
}
