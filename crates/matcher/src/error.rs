//! Why a request is refused, and why one that waited got nothing.

use std::time::Duration;

use peerage_core::{Blame, Detail, Failure, Kind, Retry, Stage};

use crate::geography::Country;
use crate::limits::Limited;

/// After a stop another broker, or this one after its restart, can be asked.
const AFTER_STOP: Retry = Retry::After(Duration::from_secs(5));
/// How long full queues are given to drain. The reference's volunteers wait 1 s between announcements.
const AFTER_FULL: Retry = Retry::After(Duration::from_secs(5));

/// What can be full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Queue {
    /// Waiting announcements.
    Announcements,
    /// Waiting offers.
    Offers,
    /// Bytes of waiting offers.
    OfferBytes,
    /// Pairs whose answer is awaited.
    Pending,
}

impl Queue {
    /// Stable snake-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Announcements => "announcements",
            Self::Offers => "offers",
            Self::OfferBytes => "offer_bytes",
            Self::Pending => "pending",
        }
    }
}

impl std::fmt::Display for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Why an announcement or an offer is turned away at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The matcher was stopped.
    #[error("this broker is stopping")]
    Stopped,
    /// Neither list of compartments has an entry.
    #[error("no compartment is given, so nobody can be met")]
    NoCompartment,
    /// A list of compartments is too long.
    #[error("a list of {len} compartments is given, {limit} are allowed")]
    TooManyCompartments {
        /// Its length.
        len: usize,
        /// The most allowed.
        limit: usize,
    },
    /// The opaque fields are too long.
    #[error("opaque fields have {len} bytes, {limit} are allowed")]
    TooLong {
        /// Their length together, in bytes.
        len: usize,
        /// The most allowed, in bytes.
        limit: usize,
    },
    /// An announcement of the same volunteer and connection is under way.
    #[error("this volunteer has already announced this connection")]
    Duplicate,
    /// The deadline has passed, or is nearer than allowed.
    #[error(
        "the deadline is {}ms away, at least {}ms are needed", left.as_millis(), least.as_millis()
    )]
    TooLate {
        /// Time left.
        left: Duration,
        /// The least that is accepted.
        least: Duration,
    },
    /// No room.
    #[error("{queue} are full: {limit}")]
    Full {
        /// What is full.
        queue: Queue,
        /// The most it may hold.
        limit: usize,
    },
    /// The address group has used up its share.
    #[error("the address group is limited")]
    Limited(#[from] Limited),
    /// Under pressure, and the own queue is not the short one.
    #[error("under load, and {own} wait already for {other} of the other side")]
    LoadLimited {
        /// Waiting on the own side.
        own: usize,
        /// Waiting on the other side.
        other: usize,
    },
    /// Volunteers of this country are not admitted.
    #[error("volunteers of {country} are not admitted here")]
    Country {
        /// The country.
        country: Country,
    },
    /// The geography is unknown, and unknown ones are not admitted.
    #[error("country or network is unknown, and such requests are not admitted here")]
    UnknownGeography,
    /// None of the versions is known here.
    #[error("none of the protocol versions is known here")]
    NoVersion,
}

impl Failure for Refused {
    fn stage(&self) -> Stage {
        Stage::Reach
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Stopped => Kind::Cancelled,
            Self::NoCompartment
            | Self::TooManyCompartments { .. }
            | Self::TooLong { .. }
            | Self::Duplicate => Kind::Usage,
            Self::TooLate { .. } => Kind::Timeout,
            Self::Full { .. } | Self::LoadLimited { .. } => Kind::Full,
            Self::Limited(_) => Kind::Flood,
            Self::Country { .. } | Self::UnknownGeography => Kind::Rejected,
            Self::NoVersion => Kind::Incompatible,
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::Stopped => Blame::Us,
            Self::TooLate { .. } => Blame::Caller,
            Self::NoCompartment
            | Self::TooManyCompartments { .. }
            | Self::TooLong { .. }
            | Self::Duplicate
            | Self::Full { .. }
            | Self::Limited(_)
            | Self::LoadLimited { .. }
            | Self::Country { .. }
            | Self::UnknownGeography
            | Self::NoVersion => self.kind().blame(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Stopped => AFTER_STOP,
            Self::TooLate { .. } => Retry::Now,
            Self::Full { .. } | Self::LoadLimited { .. } => AFTER_FULL,
            Self::Limited(Limited::Rate { wait }) => Retry::After(*wait),
            Self::Limited(Limited::Entries { .. }) => AFTER_FULL,
            Self::NoCompartment
            | Self::TooManyCompartments { .. }
            | Self::TooLong { .. }
            | Self::Duplicate
            | Self::Country { .. }
            | Self::UnknownGeography
            | Self::NoVersion => Retry::Never,
        }
    }

    fn detail(&self) -> Detail {
        let none = Detail::none();
        match *self {
            Self::TooManyCompartments { len, limit } | Self::TooLong { len, limit } => {
                none.with("len", len).with("limit", limit)
            }
            Self::TooLate { left, least } => none.with("left", left).with("least", least),
            Self::Full { queue, limit } => none.with("queue", queue.name()).with("limit", limit),
            Self::Limited(Limited::Entries { limit }) => none.with("limit", limit),
            Self::Limited(Limited::Rate { wait }) => none.with("wait", wait),
            Self::LoadLimited { own, other } => none.with("own", own).with("other", other),
            Self::Stopped
            | Self::NoCompartment
            | Self::Duplicate
            | Self::Country { .. }
            | Self::UnknownGeography
            | Self::NoVersion => none,
        }
    }
}

/// Why a waiting announcement ends without an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnnouncementError {
    /// Its deadline came first.
    #[error("no client came in time")]
    NoMatch,
    /// The matcher was stopped.
    #[error("this broker is stopping")]
    Stopped,
}

impl Failure for AnnouncementError {
    fn stage(&self) -> Stage {
        Stage::Reach
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NoMatch => Kind::Timeout,
            Self::Stopped => Kind::Cancelled,
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::NoMatch => Blame::Network,
            Self::Stopped => Blame::Us,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::NoMatch => Retry::Now,
            Self::Stopped => AFTER_STOP,
        }
    }
}

/// Why an offer ends without an answer. All of it may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// No volunteer that it may meet came in time.
    #[error("no volunteer that this client may meet came in time")]
    NoMatch,
    /// Matched, but the volunteer said that it can make no answer.
    #[error("the volunteer could make no answer")]
    NoAnswer,
    /// Matched, but the volunteer is gone.
    #[error("the volunteer left after it was matched")]
    VolunteerLeft,
    /// Matched, but no answer came in time.
    #[error("the volunteer gave no answer in time")]
    AnswerTimeout,
    /// The matcher was stopped.
    #[error("this broker is stopping")]
    Stopped,
}

impl Failure for OfferError {
    fn stage(&self) -> Stage {
        Stage::Reach
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NoMatch | Self::AnswerTimeout => Kind::Timeout,
            Self::NoAnswer => Kind::Refused,
            Self::VolunteerLeft => Kind::Closed,
            Self::Stopped => Kind::Cancelled,
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::NoMatch => Blame::Network,
            Self::NoAnswer | Self::VolunteerLeft | Self::AnswerTimeout => Blame::Them,
            Self::Stopped => Blame::Us,
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::NoMatch | Self::NoAnswer | Self::VolunteerLeft | Self::AnswerTimeout => {
                Retry::Now
            }
            Self::Stopped => AFTER_STOP,
        }
    }
}

/// Why an answer is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// Nobody waits for it: it is late, a second one, or was never asked for.
    #[error("no client waits for this answer")]
    NoClient,
    /// Its description is too long; the client waits on.
    #[error("the answer has {len} bytes, {limit} are allowed")]
    TooLong {
        /// Its length, in bytes.
        len: usize,
        /// The most allowed, in bytes.
        limit: usize,
    },
}

impl Failure for AnswerError {
    fn stage(&self) -> Stage {
        Stage::Reach
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NoClient => Kind::Timeout,
            Self::TooLong { .. } => Kind::Usage,
        }
    }

    fn blame(&self) -> Blame {
        Blame::Caller
    }

    fn retry(&self) -> Retry {
        Retry::Never
    }
}
