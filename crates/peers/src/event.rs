//! What the table wants done, and what it has to tell.

use std::fmt;
use std::time::{Duration, Instant};

use peerage_core::{ConnectedAddr, Direction, Kind, Reason, Stage};

use crate::keepalive::Rtt;
use crate::meter::Tally;
use crate::types::{Parting, SessionId, Token, Types};

/// What the caller carries out, in order.
#[derive(Debug)]
pub enum Action<T: Types> {
    /// Stop this session's task at once.
    Abort(SessionId),
    /// Say goodbye, then close. The task reports its end with [`crate::Table::ended`].
    Close {
        /// Which.
        id: SessionId,
        /// What to say.
        say: Parting,
        /// When to give up saying it.
        until: Instant,
    },
    /// There is something to write: fetch it with [`crate::Table::poll_transmit`] until it is empty.
    Wake(SessionId),
    /// Read nothing more from this peer.
    Pause(SessionId),
    /// Read again; first bring what was held back.
    Resume(SessionId),
    /// Something to tell.
    Event(Event<T>),
}

/// What happened. Control events are in order and never lost; [`Event::Gossip`] comes when no
/// control waits, one peer after the other.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<T: Types> {
    /// A peer is established. Precedes every message of the session.
    Established {
        /// Which.
        id: SessionId,
        /// Who.
        identity: T::Identity,
        /// What was connected.
        addr: ConnectedAddr,
    },
    /// Two connections with one peer; one of them goes, which its closing event says too.
    AlreadyConnected {
        /// Who.
        identity: T::Identity,
        /// The session that stays.
        kept: SessionId,
        /// The one that goes.
        dropped: SessionId,
        /// Who opened the one that goes.
        direction: Direction,
    },
    /// A message that neither asks nor answers.
    Gossip {
        /// From whom.
        id: SessionId,
        /// The message.
        message: T::Message,
    },
    /// A peer asks. Answer with [`crate::Table::respond`] or end it with [`crate::Table::refuse`].
    Request {
        /// Names the request.
        token: Token,
        /// The message.
        message: T::Message,
    },
    /// A peer's request was not answered in time and was given up.
    RequestGivenUp {
        /// Which.
        token: Token,
    },
    /// A request of ours was answered.
    Answer {
        /// By whom.
        id: SessionId,
        /// Which request.
        key: T::Key,
        /// The message.
        message: T::Message,
        /// How long it took.
        took: Duration,
        /// How long after its deadline it came; [`Event::Overdue`] was said before.
        late: Option<Duration>,
    },
    /// A request of ours is not answered in time. The answer may still come.
    Overdue {
        /// By whom.
        id: SessionId,
        /// Which request.
        key: T::Key,
    },
    /// A peer did what its network does not allow.
    Misbehaved {
        /// Who.
        id: SessionId,
        /// What.
        misdeed: Misdeed,
        /// Its strikes by now, this one included and forgiven ones not.
        strikes: u32,
    },
    /// A peer is of no use any more; its closing event follows.
    Incompatible {
        /// Which.
        id: SessionId,
        /// Who.
        identity: T::Identity,
        /// Why.
        reason: Reason,
    },
    /// An attempt or a session is over.
    Closed(Box<Closed<T>>),
    /// We stood still; deadlines were moved by as much.
    Stalled {
        /// For how long.
        lost: Duration,
    },
}

/// The end of an attempt or a session.
#[derive(Debug)]
pub struct Closed<T: Types> {
    /// Which.
    pub id: SessionId,
    /// Who, as far as it was known.
    pub identity: Option<T::Identity>,
    /// Who opened the connection.
    pub direction: Direction,
    /// What was connected, as far as it was known.
    pub addr: Option<ConnectedAddr>,
    /// How far it had come.
    pub phase: Phase,
    /// Whose word ended it.
    pub ending: Ending,
    /// Why. A goodbye's reason is the peer's own.
    pub reason: Reason,
    /// What the peer is told, if anything.
    pub told: Option<Parting>,
    /// How long it lasted, since the dial or the accept.
    pub lasted: Duration,
    /// What passed.
    pub tally: Tally,
    /// Its round trips, if one was measured.
    pub rtt: Option<Rtt>,
    /// Requests of ours that stay without an answer.
    pub unanswered: Vec<T::Key>,
}

// Derived, it would ask the marker type itself to be `Clone`.
impl<T: Types> Clone for Closed<T> {
    fn clone(&self) -> Self {
        Self {
            id: self.id,
            identity: self.identity.clone(),
            direction: self.direction,
            addr: self.addr,
            phase: self.phase,
            ending: self.ending,
            reason: self.reason.clone(),
            told: self.told,
            lasted: self.lasted,
            tally: self.tally,
            rtt: self.rtt,
            unanswered: self.unanswered.clone(),
        }
    }
}

/// How far a session has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The handshake is under way, at this stage. [`Stage::Reach`] is a TCP dial.
    Pending(Stage),
    /// It was turned away before the handshake, and is being told so.
    Refusing,
    /// The peer is established.
    Active,
}

/// Whose word ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// Ours, because the caller wished it.
    Cancelled,
    /// Ours, because of a limit, a rule or something the peer did.
    Refused,
    /// Theirs, without a word.
    Left,
    /// Theirs, with a reason.
    Goodbye,
    /// Nobody's: the network or a deadline.
    Failed,
}

impl Ending {
    /// Snake-case name, for machines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
            Self::Left => "left",
            Self::Goodbye => "goodbye",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a peer may not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Misdeed {
    /// A pong that answers no ping.
    StrayPong,
    /// More pings than are answered.
    PingFlood,
    /// An answer that was not asked for.
    Unsolicited,
    /// A message of a capability that was not agreed on.
    Unannounced,
    /// A message that is well framed but makes no sense.
    BadMessage,
    /// A request that stayed without an answer for too long.
    Breach,
}

impl Misdeed {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::StrayPong,
        Self::PingFlood,
        Self::Unsolicited,
        Self::Unannounced,
        Self::BadMessage,
        Self::Breach,
    ];

    /// Snake-case name, for machines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StrayPong => "stray_pong",
            Self::PingFlood => "ping_flood",
            Self::Unsolicited => "unsolicited",
            Self::Unannounced => "unannounced",
            Self::BadMessage => "bad_message",
            Self::Breach => "breach",
        }
    }

    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::PingFlood => Kind::Flood,
            Self::BadMessage => Kind::Malformed,
            Self::StrayPong | Self::Unsolicited | Self::Unannounced | Self::Breach => {
                Kind::Violation
            }
        }
    }
}

impl fmt::Display for Misdeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::StrayPong => "a pong without a ping",
            Self::PingFlood => "too many pings",
            Self::Unsolicited => "an answer without a question",
            Self::Unannounced => "a message of a capability not agreed on",
            Self::BadMessage => "a message that makes no sense",
            Self::Breach => "a question without an answer",
        })
    }
}

/// How a session's task says that its connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The peer closed without a word.
    Left,
    /// The peer said goodbye, for this reason.
    Goodbye(Reason),
    /// A dial, a handshake or the connection failed, for this reason.
    Failed(Reason),
    /// Our side of the handshake, its policy or its codec, turned the peer away for this reason.
    Refused(Reason),
}

/// Kinds of a reason that are the peer's own words.
const THEIR_WORD: [Kind; 4] = [
    Kind::Refused,
    Kind::PeerFull,
    Kind::AlreadyConnected,
    Kind::Left,
];

/// Kinds of a reason for which our side turned the peer away.
const OUR_WORD: [Kind; 12] = [
    Kind::NotThisProtocol,
    Kind::WrongNetwork,
    Kind::WrongGenesis,
    Kind::WrongFork,
    Kind::WrongIdentity,
    Kind::Malformed,
    Kind::Violation,
    Kind::Flood,
    Kind::Obsolete,
    Kind::Incompatible,
    Kind::SelfConnection,
    Kind::Rejected,
];

impl Outcome {
    /// Whose word a failure of a handshake or of a codec is.
    pub fn of_dialogue(reason: Reason) -> Self {
        if THEIR_WORD.contains(&reason.kind) {
            Self::Goodbye(reason)
        } else if OUR_WORD.contains(&reason.kind) {
            Self::Refused(reason)
        } else {
            Self::Failed(reason)
        }
    }
}
