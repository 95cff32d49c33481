//! What is kept of each request under way.

use crate::hash::KeyHash;
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

/// An announcement under way. What it says stands apart, in [`Matcher::records`], so that whoever
/// only passes by need not step over it.
///
/// [`Matcher::records`]: crate::Matcher
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announced {
    /// Of its volunteer and connection.
    pub(crate) hash: KeyHash,
    pub(crate) standing: Standing,
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
    pub(crate) const fn ticket(&self) -> Option<Ticket> {
        match self.standing {
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
