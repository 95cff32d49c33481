//! What the caller is to do.

use std::fmt;
use std::time::{Duration, Instant};

use crate::error::{AnnouncementError, OfferError};
use crate::nat::Class;
use crate::pool::Handle;
use crate::record::{Announcement, Answer, CompartmentId, Offer};

macro_rules! handles {
    ($($(#[doc = $doc:literal])+ $name:ident;)+) => {$(
        $(#[doc = $doc])+
        ///
        /// Never given twice in 4 billion uses of its place; one that has ended finds nothing.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(crate) Handle);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Handle { slot, generation } = self.0;
                write!(f, "{}({slot}.{generation})", stringify!($name))
            }
        }
    )+};
}

handles! {
    /// An announcement under way: waiting, or matched and its answer awaited.
    AnnouncementId;
    /// An offer under way: waiting, or matched and its answer awaited.
    OfferId;
}

/// A compartment that two share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shared {
    /// A personal one.
    Personal(CompartmentId),
    /// A common one.
    Common(CompartmentId),
}

/// What is known of a match when it is made: for the volunteer, for logs and for reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// The offer's handle.
    pub offer: OfferId,
    /// A compartment they share; a personal one if they share any by which they were found.
    pub shared: Shared,
    /// The class of the client's NAT and that of the volunteer's.
    pub classes: (Class, Class),
    /// Whether the client's side prefers the volunteer's NAT.
    pub preferred: bool,
    /// The highest protocol version that both speak, if any.
    pub version: Option<u8>,
    /// When the answer comes too late. None: beyond what an instant can hold.
    pub answer_by: Option<Instant>,
}

/// Something for the caller to do. Every announcement ends in one `Deliver` or one
/// `FailAnnouncement`, every offer in one `Answer` or one `FailOffer`, unless it is cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Action {
    /// Give a waiting volunteer its client's offer. If that fails, cancel the announcement.
    Deliver {
        /// Whose call to answer.
        to: AnnouncementId,
        /// The client's offer.
        offer: Box<Offer>,
        /// How they were matched.
        by: Match,
    },
    /// Give a waiting client its volunteer's answer.
    Answer {
        /// Whose call to answer.
        to: OfferId,
        /// The volunteer's answer.
        answer: Answer,
        /// What the volunteer announced.
        announcement: Box<Announcement>,
    },
    /// Tell a volunteer that it gets no client.
    FailAnnouncement {
        /// Whose call to answer.
        to: AnnouncementId,
        /// Why.
        error: AnnouncementError,
        /// When to announce again, if the operator gives such hints.
        next_poll: Option<Duration>,
    },
    /// Tell a client that it gets no answer.
    FailOffer {
        /// Whose call to answer.
        to: OfferId,
        /// Why.
        error: OfferError,
    },
}

/// What became of an answer that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It goes to the client.
    Delivered,
    /// The client has left since: the volunteer need not wait for its connection.
    ClientGone,
}

/// What a caller that gave up had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It was waiting, and is gone without a trace.
    Waiting,
    /// It was matched. A cancelled announcement fails its offer at once; the answer to a cancelled
    /// offer is taken, until its time is up, and lost.
    Matched,
}
