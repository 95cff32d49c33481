//! Why a session ended, where the table itself knows.

use std::time::Duration;

use peerage_core::{Blame, Detail, Failure, Kind, Retry, Stage};

use crate::event::{Ending, Misdeed};
use crate::types::Parting;

/// Why the table ended a session, or what it was told without a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The caller called the attempt off.
    #[error("called off")]
    CalledOff {
        /// How far it had come.
        stage: Stage,
    },
    /// The caller ended the session.
    #[error("we ended it on request")]
    Requested,
    /// This node stops.
    #[error("this node stops")]
    Quitting,
    /// The whole attempt took too long.
    #[error("the attempt took longer than {limit:?}")]
    AttemptTimedOut {
        /// How far it had come.
        stage: Stage,
        /// What it may take.
        limit: Duration,
    },
    /// One stage of the attempt took too long.
    #[error("a stage of the attempt took longer than {limit:?}")]
    StageTimedOut {
        /// Which.
        stage: Stage,
        /// What it may take.
        limit: Duration,
    },
    /// Nothing was heard for too long.
    #[error("nothing heard for {limit:?}")]
    Silent {
        /// How long that may be.
        limit: Duration,
    },
    /// A ping was not answered.
    #[error("no pong within {limit:?}")]
    NoPong {
        /// How long that may take.
        limit: Duration,
    },
    /// The peer takes nothing that we send.
    #[error("it took nothing from us for {waited:?}")]
    SlowReader {
        /// How long that was.
        waited: Duration,
    },
    /// The control lane is full: the peer reads too slowly for what must be said.
    #[error("more than {limit} control messages wait for it")]
    ControlOverflow {
        /// What the lane holds.
        limit: u32,
    },
    /// The peer did what its network does not allow.
    #[error("{misdeed}, {strikes} times")]
    Misbehaved {
        /// The last of its misdeeds.
        misdeed: Misdeed,
        /// How many there were.
        strikes: u32,
    },
    /// There is no free slot for it.
    #[error("all {limit} slots are taken")]
    Full {
        /// How many there are.
        limit: usize,
    },
    /// It made room for a newcomer.
    #[error("it made room for another peer")]
    Evicted,
    /// The operator wants fewer peers.
    #[error("there are to be no more than {limit} peers")]
    Surplus {
        /// How many there may be now.
        limit: usize,
    },
    /// Its turn was over: peers change now and then.
    #[error("its slot went to another by rotation")]
    Rotated,
    /// Another connection with the same peer stays.
    #[error("another connection with this peer stays")]
    Duplicate,
    /// Who answered is not who was dialled.
    #[error("another identity answered than was dialled")]
    WrongIdentity,
    /// The peer closed the connection without a word.
    #[error("the peer closed the connection without a word")]
    Left {
        /// What was being done.
        stage: Stage,
    },
    /// Its task did not end in time and was stopped.
    #[error("it was not told goodbye in time")]
    NoTimeForGoodbye,
}

/// What is being done with an established peer when nothing else is said.
pub(crate) const KEEP: Stage = Stage::Keep("receive");

impl Failure for Cause {
    fn stage(&self) -> Stage {
        match self {
            Self::CalledOff { stage }
            | Self::AttemptTimedOut { stage, .. }
            | Self::StageTimedOut { stage, .. }
            | Self::Left { stage } => *stage,
            Self::NoPong { .. } => Stage::Keep("ping"),
            Self::SlowReader { .. } | Self::ControlOverflow { .. } => Stage::Keep("send"),
            Self::Full { .. }
            | Self::Evicted
            | Self::Surplus { .. }
            | Self::Rotated
            | Self::Duplicate => Stage::Keep("slots"),
            Self::WrongIdentity => Stage::Keep("identity"),
            Self::Requested
            | Self::Quitting
            | Self::Silent { .. }
            | Self::Misbehaved { .. }
            | Self::NoTimeForGoodbye => KEEP,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::CalledOff { .. } | Self::Requested | Self::Quitting | Self::NoTimeForGoodbye => {
                Kind::Cancelled
            }
            Self::AttemptTimedOut { .. }
            | Self::StageTimedOut { .. }
            | Self::Silent { .. }
            | Self::NoPong { .. }
            | Self::SlowReader { .. }
            | Self::ControlOverflow { .. } => Kind::Timeout,
            Self::Misbehaved { misdeed, .. } => misdeed.kind(),
            Self::Full { .. } | Self::Evicted | Self::Surplus { .. } => Kind::Full,
            Self::Rotated => Kind::Rejected,
            Self::Duplicate => Kind::AlreadyConnected,
            Self::WrongIdentity => Kind::WrongIdentity,
            Self::Left { .. } => Kind::Closed,
        }
    }

    fn blame(&self) -> Blame {
        match self {
            // The peer, not the network: its host takes our bytes no longer.
            Self::SlowReader { .. } | Self::ControlOverflow { .. } => Blame::Them,
            Self::Quitting | Self::NoTimeForGoodbye => Blame::Us,
            Self::CalledOff { .. }
            | Self::Requested
            | Self::AttemptTimedOut { .. }
            | Self::StageTimedOut { .. }
            | Self::Silent { .. }
            | Self::NoPong { .. }
            | Self::Misbehaved { .. }
            | Self::Full { .. }
            | Self::Evicted
            | Self::Surplus { .. }
            | Self::Rotated
            | Self::Duplicate
            | Self::WrongIdentity
            | Self::Left { .. } => self.kind().blame(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            // A peer that was established and vanished is worth another try soon.
            Self::Left {
                stage: Stage::Keep(_),
            }
            | Self::Silent { .. }
            | Self::NoPong { .. } => Retry::After(Duration::from_secs(60)),
            Self::CalledOff { .. }
            | Self::Requested
            | Self::Quitting
            | Self::AttemptTimedOut { .. }
            | Self::StageTimedOut { .. }
            | Self::SlowReader { .. }
            | Self::ControlOverflow { .. }
            | Self::Misbehaved { .. }
            | Self::Full { .. }
            | Self::Evicted
            | Self::Surplus { .. }
            | Self::Rotated
            | Self::Duplicate
            | Self::WrongIdentity
            | Self::Left { .. }
            | Self::NoTimeForGoodbye => self.kind().retry(),
        }
    }

    fn detail(&self) -> Detail {
        let detail = Detail::none();
        match self {
            Self::AttemptTimedOut { limit, .. }
            | Self::StageTimedOut { limit, .. }
            | Self::Silent { limit }
            | Self::NoPong { limit } => detail.with("limit", *limit),
            Self::SlowReader { waited } => detail.with("waited", *waited),
            Self::ControlOverflow { limit } => detail.with("limit", *limit),
            Self::Misbehaved { misdeed, strikes } => detail
                .with("misdeed", misdeed.name())
                .with("strikes", *strikes),
            Self::Full { limit } | Self::Surplus { limit } => detail.with("limit", *limit),
            Self::CalledOff { .. }
            | Self::Requested
            | Self::Quitting
            | Self::Evicted
            | Self::Rotated
            | Self::Duplicate
            | Self::WrongIdentity
            | Self::Left { .. }
            | Self::NoTimeForGoodbye => detail,
        }
    }
}

impl Cause {
    /// Whose word ended it.
    pub(crate) const fn ending(&self) -> Ending {
        match self {
            Self::CalledOff { .. } | Self::Requested | Self::Quitting | Self::NoTimeForGoodbye => {
                Ending::Cancelled
            }
            Self::AttemptTimedOut { .. }
            | Self::StageTimedOut { .. }
            | Self::Silent { .. }
            | Self::NoPong { .. }
            | Self::SlowReader { .. } => Ending::Failed,
            Self::ControlOverflow { .. }
            | Self::Misbehaved { .. }
            | Self::Full { .. }
            | Self::Evicted
            | Self::Surplus { .. }
            | Self::Rotated
            | Self::Duplicate
            | Self::WrongIdentity => Ending::Refused,
            Self::Left { .. } => Ending::Left,
        }
    }

    /// What the peer is told.
    pub(crate) const fn parting(&self) -> Parting {
        match self {
            Self::CalledOff { .. } | Self::Requested | Self::NoTimeForGoodbye => Parting::Requested,
            Self::Quitting => Parting::Quitting,
            Self::AttemptTimedOut { .. }
            | Self::StageTimedOut { .. }
            | Self::Silent { .. }
            | Self::NoPong { .. }
            | Self::SlowReader { .. }
            | Self::ControlOverflow { .. }
            | Self::Left { .. } => Parting::TimedOut,
            Self::Misbehaved { .. } => Parting::Breach,
            Self::Full { .. } | Self::Evicted | Self::Surplus { .. } | Self::Rotated => {
                Parting::Full
            }
            Self::Duplicate => Parting::AlreadyConnected,
            Self::WrongIdentity => Parting::UnexpectedIdentity,
        }
    }
}
