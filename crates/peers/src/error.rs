//! Why the table says no to its caller.

use peerage_core::{Blame, Detail, Failure, Kind, Reason, Refusal, Retry, Stage};

use crate::group::Group;
use crate::types::{Parting, SessionId};

/// Why an attempt, or the peer it led to, is not wanted now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// As many attempts are under way in this direction as may be.
    #[error("{limit} attempts are under way already")]
    PendingFull {
        /// How many may be.
        limit: usize,
    },
    /// Every slot of this direction is taken, or will be by attempts under way.
    #[error("all {limit} slots are taken")]
    Full {
        /// How many there are.
        limit: usize,
    },
    /// The address group has its share.
    #[error("{limit} connections with the address group {group} exist already")]
    GroupFull {
        /// Which.
        group: Group,
        /// Its share.
        limit: usize,
    },
    /// There is a session with this peer.
    #[error("{existing} is a session with this peer")]
    AlreadyConnected {
        /// Which.
        existing: SessionId,
    },
    /// This peer is being dialled.
    #[error("{existing} is dialling this peer")]
    AlreadyDialling {
        /// Which.
        existing: SessionId,
    },
    /// Another identity answered than was dialled.
    #[error("another identity answered than was dialled")]
    WrongIdentity,
    /// The peer is of no use under the present status.
    #[error("the peer is of no use: {}", .0.message)]
    Incompatible(Box<Reason>),
    /// The attempt is over; its deadline may have passed meanwhile.
    #[error("there is no such attempt")]
    Gone,
    /// Too many actions wait for the caller. Drain [`crate::Table::poll_action`] first.
    #[error("{limit} actions wait to be carried out")]
    Backlog {
        /// How many may.
        limit: usize,
    },
    /// The table was told to stop.
    #[error("this node stops")]
    Stopping,
}

impl Failure for Refused {
    fn stage(&self) -> Stage {
        match self {
            Self::Incompatible(reason) => reason.stage,
            Self::PendingFull { .. }
            | Self::Full { .. }
            | Self::GroupFull { .. }
            | Self::AlreadyConnected { .. }
            | Self::AlreadyDialling { .. }
            | Self::WrongIdentity
            | Self::Gone
            | Self::Backlog { .. }
            | Self::Stopping => Stage::Keep("slots"),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::PendingFull { .. }
            | Self::Full { .. }
            | Self::GroupFull { .. }
            | Self::Backlog { .. } => Kind::Full,
            Self::AlreadyConnected { .. } | Self::AlreadyDialling { .. } => Kind::AlreadyConnected,
            Self::WrongIdentity => Kind::WrongIdentity,
            Self::Incompatible(reason) => reason.kind,
            Self::Gone | Self::Stopping => Kind::Cancelled,
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::Incompatible(reason) => reason.blame,
            Self::Stopping => Blame::Us,
            Self::PendingFull { .. }
            | Self::Full { .. }
            | Self::GroupFull { .. }
            | Self::AlreadyConnected { .. }
            | Self::AlreadyDialling { .. }
            | Self::WrongIdentity
            | Self::Gone
            | Self::Backlog { .. } => self.kind().blame(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::Incompatible(reason) => reason.retry,
            Self::Backlog { .. } => Retry::Now,
            Self::PendingFull { .. }
            | Self::Full { .. }
            | Self::GroupFull { .. }
            | Self::AlreadyConnected { .. }
            | Self::AlreadyDialling { .. }
            | Self::WrongIdentity
            | Self::Gone
            | Self::Stopping => self.kind().retry(),
        }
    }

    fn detail(&self) -> Detail {
        let detail = Detail::none();
        match self {
            Self::PendingFull { limit }
            | Self::Full { limit }
            | Self::GroupFull { limit, .. }
            | Self::Backlog { limit } => detail.with("limit", *limit),
            Self::AlreadyConnected { existing } | Self::AlreadyDialling { existing } => {
                detail.with("existing", existing.0)
            }
            Self::Incompatible(reason) => reason.detail.clone(),
            Self::WrongIdentity | Self::Gone | Self::Stopping => detail,
        }
    }
}

impl Refused {
    /// What a handshake's policy tells the peer.
    pub const fn refusal(&self) -> Refusal {
        match self {
            Self::PendingFull { .. }
            | Self::Full { .. }
            | Self::GroupFull { .. }
            | Self::Backlog { .. } => Refusal::Full,
            Self::AlreadyConnected { .. } | Self::AlreadyDialling { .. } => Refusal::Duplicate,
            Self::Incompatible(_) => Refusal::Useless,
            Self::WrongIdentity | Self::Gone | Self::Stopping => Refusal::Unwanted,
        }
    }

    /// What an established peer is told.
    pub const fn parting(&self) -> Parting {
        match self {
            Self::PendingFull { .. }
            | Self::Full { .. }
            | Self::GroupFull { .. }
            | Self::Backlog { .. } => Parting::Full,
            Self::AlreadyConnected { .. } | Self::AlreadyDialling { .. } => {
                Parting::AlreadyConnected
            }
            Self::Incompatible(_) => Parting::Incompatible,
            Self::WrongIdentity => Parting::UnexpectedIdentity,
            Self::Gone => Parting::TimedOut,
            Self::Stopping => Parting::Quitting,
        }
    }
}

/// There is no such session: it ended, or never was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no session {0}")]
pub struct Dead(pub SessionId);

/// Why a message is not sent. Each is an answer, never a loss without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSent {
    /// There is no such session.
    #[error(transparent)]
    Dead(#[from] Dead),
    /// The request was answered, refused or given up already.
    #[error("{0:?} is not an open request")]
    NoSuchRequest(crate::types::Token),
    /// So many requests to this peer are under way or remembered.
    #[error("{limit} requests to this peer are open")]
    TooManyRequests {
        /// How many may be.
        limit: usize,
    },
    /// A request with the same key is open: its answers could not be told apart.
    #[error("a request with this key is open")]
    KeyInUse,
    /// All sessions together have so many bytes to send already.
    #[error("{limit} bytes wait to be sent")]
    TotalFull {
        /// How many may.
        limit: usize,
    },
    /// The lane for gossip is full, or the message will never fit.
    #[error("no room for gossip to this peer")]
    GossipFull,
    /// The control lane was full, which ended the session; see its closing event.
    #[error("the control lane was full: the session was ended")]
    Ended,
}

/// What was heard, handed back because it cannot be taken now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTaken<H> {
    /// There is no such session; nothing is to be done.
    Dead(H),
    /// There is no room. Keep it, read nothing more, and bring it again when reading resumes.
    Held(H),
}
