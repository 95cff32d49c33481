//! What a machine wants done, and what it has to tell.

use std::time::Duration;

use peerage_core::{Detail, Direction, Endpoint, Failure, Kind, Stage};

use crate::address::Contact;
use crate::node_id::NodeId;
use crate::record::Record;

/// Something for the caller to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a datagram. That it may be lost is allowed for.
    Transmit {
        /// To whom.
        to: Endpoint,
        /// What, at most 1280 bytes.
        datagram: Vec<u8>,
    },
    /// Something has happened.
    Event(Event),
}

/// A request of the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestHandle(pub(crate) u64);

/// A search of the caller's or of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SearchId(pub(crate) u64);

/// A TALK request that the application is to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TalkTicket(pub(crate) u64);

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A record has been verified that was not known before: a node, or a newer description of one.
    /// After many others the same may be told again.
    Found(Record),
    /// A node has got a place in the table.
    NodeAdded(NodeId),
    /// A node has lost its place in the table.
    NodeRemoved(NodeId),
    /// We share keys with a node.
    SessionUp {
        /// The node and its address.
        contact: Contact,
        /// Who was asked for the handshake: inbound if the node was.
        direction: Direction,
        /// The node's record.
        record: Record,
    },
    /// A session had to make room for another.
    SessionDown(Contact),
    /// A node's record names another address than the one it speaks from, or none. It is answered,
    /// but gets no place in the table.
    OtherAddress(Contact),
    /// A request of the caller's has ended.
    Answered {
        /// Which.
        request: RequestHandle,
        /// With what.
        result: Result<Answer, RequestError>,
    },
    /// A search of the caller's has ended.
    SearchDone {
        /// Which.
        search: SearchId,
        /// The nodes found, the nearest first.
        nodes: Vec<Record>,
    },
    /// A node wants to talk a protocol that is registered. Answer with
    /// [`Discovery::answer_talk`](super::Discovery::answer_talk).
    Talk {
        /// What to answer with.
        ticket: TalkTicket,
        /// Who asks.
        contact: Contact,
        /// Its record.
        record: Record,
        /// The protocol.
        protocol: Vec<u8>,
        /// What it says.
        payload: Vec<u8>,
    },
    /// Our record has changed.
    RecordChanged(Record),
    /// A majority says that we are elsewhere than our record says, which is left as it is.
    Elsewhere(Endpoint),
    /// Our record has no address, so nobody can find us.
    NotDiscoverable(NotDiscoverable),
    /// Nothing comes from anybody any more: our own network is suspected, and nodes keep their
    /// places.
    Outage,
    /// Something has come again.
    OutageOver,
    /// A node is banned for so long.
    Banned(NodeId, Duration),
}

/// Why nobody can find us, and what will come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDiscoverable {
    /// Our record will change once others agree on our address.
    #[error("no external address is set: not discoverable until other nodes agree on one")]
    UntilVotes,
    /// It will stay so.
    #[error("no external address is set and none is learnt: not discoverable; set one")]
    Ever,
}

/// What a request was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To a PING.
    Pong {
        /// The number of the node's record.
        record_seq: u64,
        /// Where the node sees us.
        observed: Endpoint,
    },
    /// To a FINDNODE: verified, each once, of the distances asked for.
    Nodes(Vec<Record>),
    /// To a TALK request; empty if the node does not know the protocol.
    Talk(Vec<u8>),
}

/// Why a request was not made, or not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No answer in time.
    #[error("no answer came in time")]
    Timeout,
    /// An answer of another kind than was asked for, or with records that nobody signed.
    #[error("the answer does not fit the request")]
    Invalid,
    /// The node is we.
    #[error("that node is ourselves")]
    Ourselves,
    /// The record names no address of a family that we have a socket for.
    #[error("the record names no address that we can send to")]
    NoAddress,
    /// The node or its address is banned or not permitted; perhaps only since it was asked.
    #[error("the node is banned, or its address is not permitted")]
    NotAdmitted,
    /// As many requests are under way, or wait for the node, as may.
    #[error("{limit} requests are under way already: wait for one to end")]
    Busy {
        /// How many may.
        limit: usize,
    },
    /// More bytes than fit.
    #[error("{len} bytes do not fit: {limit} do")]
    TooLong {
        /// How many there are.
        len: usize,
        /// How many may be.
        limit: usize,
    },
}

impl Failure for RequestError {
    fn stage(&self) -> Stage {
        Stage::Reach
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Timeout => Kind::Timeout,
            Self::Invalid => Kind::Violation,
            Self::Ourselves => Kind::SelfConnection,
            Self::NoAddress => Kind::Unresolved,
            Self::NotAdmitted => Kind::Rejected,
            Self::Busy { .. } => Kind::Full,
            Self::TooLong { .. } => Kind::Usage,
        }
    }

    fn detail(&self) -> Detail {
        match self {
            Self::Busy { limit } => Detail::none().with("limit", *limit),
            Self::TooLong { len, limit } => Detail::none().with("len", *len).with("limit", *limit),
            Self::Timeout
            | Self::Invalid
            | Self::Ourselves
            | Self::NoAddress
            | Self::NotAdmitted => Detail::none(),
        }
    }
}

/// Whether a datagram was meant for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Received {
    /// It was a packet to this node, good or bad.
    Taken,
    /// It is none of ours and its bytes are as they were: another protocol on the same port may
    /// look at it.
    Foreign,
}
