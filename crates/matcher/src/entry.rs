//! What is kept of each request under way.

use std::num::NonZeroU32;

use crate::index::Ticket;
use crate::record::Offer;

/// Where an announcement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Waiting(Ticket),
    /// Its answer is awaited in the name of the offer of this slot.
    Matched {
        offer: u32,
    },
}

/// An announcement under way, in four bytes: of a million of them, the fewer pages of memory, the less
/// it takes to find one. What it says stands apart, in [`Matcher::records`].
///
/// [`Matcher::records`]: crate::Matcher
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Announced(NonZeroU32);

/// No ticket and no slot has it.
const MATCHED: u32 = 1 << 31;

impl Announced {
    pub(crate) const fn new(standing: Standing) -> Self {
        let number = match standing {
            Standing::Waiting(ticket) => ticket.number(),
            Standing::Matched { offer } => offer | MATCHED,
        };
        // Turned over, because a number may be zero but never all ones.
        match NonZeroU32::new(!number) {
            Some(number) => Self(number),
            None => Self(NonZeroU32::MIN),
        }
    }

    pub(crate) const fn standing(self) -> Standing {
        let number = !self.0.get();
        if number & MATCHED == 0 {
            Standing::Waiting(Ticket::numbered(number))
        } else {
            let offer = number & !MATCHED;
            Standing::Matched { offer }
        }
    }
}

/// An offer under way, or the place of one whose answer may still come.
#[derive(Debug)]
pub(crate) enum Offered {
    Waiting(Ticket, Box<Offer>),
    /// Awaits the answer of the announcement of this slot.
    Matched {
        announcement: u32,
    },
    /// Was cancelled after its match: its time runs on, and the answer is taken and lost.
    Abandoned {
        announcement: u32,
    },
}

impl Announced {
    /// If it waits.
    pub(crate) const fn ticket(self) -> Option<Ticket> {
        match self.standing() {
            Standing::Waiting(ticket) => Some(ticket),
            Standing::Matched { .. } => None,
        }
    }
}

impl Offered {
    /// If it waits.
    pub(crate) const fn ticket(&self) -> Option<Ticket> {
        match self {
            Self::Waiting(ticket, _) => Some(*ticket),
            Self::Matched { .. } | Self::Abandoned { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_bytes_hold_every_standing() {
        for number in [0, 1, 77, (1 << 30) - 1] {
            let several = number | 1 << 30;
            for standing in [
                Standing::Waiting(Ticket::numbered(number)),
                Standing::Waiting(Ticket::numbered(several)),
                Standing::Matched { offer: number },
            ] {
                assert_eq!(Announced::new(standing).standing(), standing);
            }
        }
        assert_eq!(size_of::<Option<Announced>>(), 4);
    }
}
