//! What the whole looks like from outside.

use crate::action::{AnnouncementId, OfferId};
use crate::entry::Offered;
use crate::matcher::Matcher;
use crate::pool::at;
use crate::record::{Announcement, Offer};

/// Sizes and totals, all known without counting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Announcements that wait.
    pub announcements: usize,
    /// The same by class: unlimited, partial, strict.
    pub announcements_by_class: [usize; 3],
    /// Offers that wait.
    pub offers: usize,
    /// The same by class.
    pub offers_by_class: [usize; 3],
    /// Bytes of the waiting offers' opaque fields.
    pub offer_bytes: usize,
    /// Pairs whose answer is awaited.
    pub pending: usize,
    /// Compartments that anyone waits in, and the finer rooms of proven quality.
    pub rooms: usize,
    /// Pairs made so far: a row for each class of client, a column for each of volunteer.
    pub matches: [[u64; 3]; 3],
}

impl Matcher {
    /// Sizes and totals.
    pub fn stats(&self) -> Stats {
        Stats {
            announcements: self.waiting_announcements.len(),
            announcements_by_class: self.waiting_announcements.index.by_class(),
            offers: self.waiting_offers.len(),
            offers_by_class: self.waiting_offers.index.by_class(),
            offer_bytes: self.waiting_offers.bytes(),
            pending: self.pending,
            rooms: self.rooms.len(),
            matches: self.matches,
        }
    }

    /// An announcement under way, waiting or matched.
    pub fn announcement(&self, id: AnnouncementId) -> Option<&Announcement> {
        self.announcements.get(id.0)?;
        self.records.get(at(id.0.slot))
    }

    /// An offer that waits. One that was matched has been delivered.
    pub fn waiting_offer(&self, id: OfferId) -> Option<&Offer> {
        match self.offers.get(id.0)? {
            Offered::Waiting(_, offer) => Some(offer),
            Offered::Matched { .. } | Offered::Abandoned { .. } => None,
        }
    }

    /// Whether an announcement waits.
    pub fn is_waiting(&self, id: AnnouncementId) -> bool {
        let announced = self.announcements.get(id.0);
        announced.is_some_and(|announced| announced.ticket().is_some())
    }
}
