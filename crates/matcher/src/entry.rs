//! What is kept of each request under way.

use crate::queue::Ticket;
use crate::record::{Announcement, Offer};

/// Where an announcement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Waiting(Ticket),
    /// Its answer is awaited in the name of the offer of this slot.
    Matched {
        offer: u32,
    },
}

/// An announcement under way.
#[derive(Debug)]
pub(crate) struct Announced {
    pub(crate) record: Box<Announcement>,
    /// Of its volunteer and connection.
    pub(crate) hash: u64,
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
