//! Why there is no peer, and why a peer was lost.

use std::convert::Infallible;
use std::fmt::{Debug, Display};
use std::io;

use peerage_core::budget::OverBudget;
use peerage_core::wire::ReadError;
use peerage_core::{Detail, Failure, Kind, PeerText, Refusal, Stage};

use crate::capability::Capability;
use crate::disconnect::DisconnectReason;
use crate::eth::{self, StatusError};
use crate::frame::{FrameError, SealError};
use crate::key::PeerId;
use crate::rlpx::RlpxError;
use crate::snappy::SnappyError;

/// The message a handshake was waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Awaited {
    /// The initiator's first packet.
    Auth,
    /// The recipient's first packet.
    Ack,
    /// The peer's introduction.
    Hello,
    /// The peer's chain.
    Status,
}

impl Awaited {
    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Ack => "ack",
            Self::Hello => "hello",
            Self::Status => "status",
        }
    }

    /// The stage this is; the two packets of the key exchange are one.
    pub const fn stage(self) -> Stage {
        Stage::Greet(match self {
            Self::Auth | Self::Ack => "rlpx",
            Self::Hello | Self::Status => self.name(),
        })
    }
}

impl Display for Awaited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Why bytes or a message were refused, whatever the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// No frame of this connection.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// An id that belongs to nothing shared.
    #[error("message 0x{id:02x} belongs to no shared capability")]
    Unknown {
        /// The id on the wire.
        id: u64,
    },
    /// A message longer than it may ever be.
    #[error("message 0x{id:02x} has {len} bytes on the wire, its limit is {limit}")]
    Oversized {
        /// The id on the wire.
        id: u64,
        /// Its length, in bytes, compressed where messages are.
        len: usize,
        /// The most allowed, in bytes.
        limit: usize,
    },
    /// Compressed bytes that make no sense, or too much of them.
    #[error("message 0x{id:02x} is not compressed as it should be")]
    Snappy {
        /// The id on the wire.
        id: u64,
        /// Why.
        #[source]
        error: SnappyError,
    },
    /// A body that breaks the message's encoding.
    #[error("{name} is malformed")]
    Malformed {
        /// The message.
        name: &'static str,
        /// Where and how.
        #[source]
        error: ReadError,
    },
    /// A message of eth that cannot be.
    #[error(transparent)]
    Eth(#[from] eth::MessageError),
}

impl WireError {
    /// What went wrong.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Unknown { .. } => Kind::Violation,
            Self::Eth(error) => error.kind(),
            Self::Frame(_)
            | Self::Oversized { .. }
            | Self::Snappy { .. }
            | Self::Malformed { .. } => Kind::Malformed,
        }
    }

    /// The typed facts.
    pub fn detail(&self) -> Detail {
        let detail = Detail::none();
        match self {
            Self::Frame(_) => detail,
            Self::Unknown { id } | Self::Snappy { id, .. } => detail.with("id", *id),
            Self::Oversized { id, len, limit } => detail
                .with("id", *id)
                .with("len", *len)
                .with("limit", *limit),
            Self::Malformed { name, error } => detail
                .with("message", *name)
                .with("field", error.field)
                .with("offset", error.offset),
            Self::Eth(error) => error.detail(),
        }
    }
}

/// Why a handshake failed. `R` is what the caller's policy rejects with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError<R = Infallible> {
    /// Whom we are to dial is not known, and nobody can be dialled without its key.
    #[error("nobody can be dialled without its key")]
    NoKey,
    /// Nobody can have this id: it is no point of the curve.
    #[error("nobody can have the key {}: it is no point of secp256k1", Short(id))]
    NoSuchKey {
        /// Whom we were to dial.
        id: PeerId,
    },
    /// The key exchange came to nothing.
    #[error("while waiting for {awaited}")]
    Rlpx {
        /// What was awaited.
        awaited: Awaited,
        /// Why.
        #[source]
        error: RlpxError,
    },
    /// The peer's first frame is not sealed with the keys that only the owner of this id can have.
    #[error("the other end did not prove the key of {}", Short(id))]
    Unproved {
        /// Whom we dialled, or who the peer claims to be.
        id: PeerId,
    },
    /// Its Hello names another key than the one it proved.
    #[error(
        "the peer proved the key of {} and calls itself {}",
        Short(proved),
        Short(claimed)
    )]
    WrongIdentity {
        /// The key it proved.
        proved: Box<PeerId>,
        /// The id in its Hello.
        claimed: Box<PeerId>,
    },
    /// The peer is this node.
    #[error("the key is our own: this is a connection to ourselves")]
    SelfConnection,
    /// Bytes or a message that nothing allows.
    #[error("while waiting for {awaited}")]
    Message {
        /// What was awaited.
        awaited: Awaited,
        /// What came.
        #[source]
        error: WireError,
    },
    /// Another message came where only one is allowed.
    #[error("expected {awaited}, got message 0x{id:02x}")]
    Unexpected {
        /// What was awaited.
        awaited: Awaited,
        /// The id of what came.
        id: u64,
    },
    /// More messages or bytes than an unintroduced peer may send.
    #[error(
        "the peer sent {} messages of {} bytes before its {awaited}; {} of {} bytes are allowed",
        over.would_be.messages, over.would_be.bytes, over.budget.messages, over.budget.bytes
    )]
    Flood {
        /// What was awaited.
        awaited: Awaited,
        /// The budget and what would have been spent of it.
        over: OverBudget,
    },
    /// No capability is shared.
    #[error("nothing is shared: the peer speaks {}", Listed(theirs))]
    NothingShared {
        /// What the peer speaks.
        theirs: Vec<Capability>,
    },
    /// The peer's chain does not fit ours.
    #[error("the peer's status does not fit")]
    Status(#[from] StatusError),
    /// The caller's policy turned the peer away.
    #[error("turned away by our policy")]
    Rejected {
        /// What was awaited before it was asked.
        awaited: Awaited,
        /// What it said.
        rejection: R,
        /// What the peer was told.
        told: Refusal,
    },
    /// The peer said goodbye instead of what was awaited.
    #[error("instead of its {awaited} the peer sent a disconnect: {}", reason.words())]
    Disconnected {
        /// What was awaited.
        awaited: Awaited,
        /// What it said.
        reason: DisconnectReason,
    },
    /// The peer closed the connection.
    #[error("the peer closed the connection before its {awaited}, after {received} bytes")]
    Closed {
        /// What was awaited.
        awaited: Awaited,
        /// Bytes received until then.
        received: usize,
    },
    /// The deadline passed.
    #[error("no {awaited} came in time, {received} bytes were received")]
    TimedOut {
        /// What was awaited.
        awaited: Awaited,
        /// Bytes received until then.
        received: usize,
    },
    /// The caller called it off.
    #[error("called off while waiting for {awaited}")]
    Cancelled {
        /// What was awaited.
        awaited: Awaited,
    },
    /// Reading or writing failed.
    #[error("the connection broke while waiting for {awaited}: {kind}")]
    Transport {
        /// What was awaited.
        awaited: Awaited,
        /// How.
        kind: io::ErrorKind,
    },
}

/// The first bytes of an id: enough to tell two apart in a sentence.
struct Short<'a>(&'a PeerId);

impl Display for Short<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, ..] = self.0.0;
        write!(f, "{a:02x}{b:02x}{c:02x}{d:02x}…")
    }
}

struct Listed<'a>(&'a [Capability]);

impl Display for Listed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// The most capabilities named in a sentence.
        const SHOWN: usize = 8;
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for (index, capability) in self.0.iter().take(SHOWN).enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{capability}")?;
        }
        if self.0.len() > SHOWN {
            write!(f, " and {} more", self.0.len() - SHOWN)?;
        }
        Ok(())
    }
}

impl<R> HandshakeError<R> {
    /// What the peer is told of it, if anything.
    pub(crate) const fn farewell(&self) -> Option<DisconnectReason> {
        Some(match self {
            Self::WrongIdentity { .. } => DisconnectReason::UnexpectedIdentity,
            Self::SelfConnection => DisconnectReason::SelfConnection,
            Self::Message { .. } | Self::Unexpected { .. } | Self::Flood { .. } => {
                DisconnectReason::Breach
            }
            Self::NothingShared { .. } => DisconnectReason::UselessPeer,
            Self::Status(_) => DisconnectReason::Subprotocol,
            Self::Rejected { told, .. } => crate::policy::told(*told),
            Self::TimedOut { .. } => DisconnectReason::PingTimeout,
            Self::Cancelled { .. } => DisconnectReason::Requested,
            // There is nobody to tell, or nobody who could read it.
            Self::NoKey
            | Self::NoSuchKey { .. }
            | Self::Rlpx { .. }
            | Self::Unproved { .. }
            | Self::Disconnected { .. }
            | Self::Closed { .. }
            | Self::Transport { .. } => return None,
        })
    }
}

impl<R: Display + Debug> Failure for HandshakeError<R> {
    fn stage(&self) -> Stage {
        match self {
            Self::Rlpx { awaited, .. }
            | Self::Message { awaited, .. }
            | Self::Unexpected { awaited, .. }
            | Self::Flood { awaited, .. }
            | Self::Rejected { awaited, .. }
            | Self::Disconnected { awaited, .. }
            | Self::Closed { awaited, .. }
            | Self::TimedOut { awaited, .. }
            | Self::Cancelled { awaited }
            | Self::Transport { awaited, .. } => awaited.stage(),
            Self::NoKey | Self::NoSuchKey { .. } | Self::SelfConnection => Awaited::Ack.stage(),
            Self::Unproved { .. } | Self::WrongIdentity { .. } | Self::NothingShared { .. } => {
                Awaited::Hello.stage()
            }
            Self::Status(_) => Awaited::Status.stage(),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NoKey | Self::NoSuchKey { .. } => Kind::Usage,
            Self::Rlpx { error, .. } => error.kind(),
            Self::Unproved { .. } | Self::WrongIdentity { .. } => Kind::WrongIdentity,
            Self::SelfConnection => Kind::SelfConnection,
            Self::Message { error, .. } => error.kind(),
            Self::Unexpected { .. } => Kind::Violation,
            Self::Flood { .. } => Kind::Flood,
            Self::NothingShared { .. } => Kind::Incompatible,
            Self::Status(error) => error.kind(),
            Self::Rejected { told, .. } => match told {
                Refusal::Full => Kind::Full,
                Refusal::Duplicate => Kind::AlreadyConnected,
                Refusal::Useless | Refusal::Unwanted => Kind::Rejected,
            },
            Self::Disconnected { reason, .. } => reason.kind(),
            Self::Closed { .. } => Kind::Closed,
            Self::TimedOut { .. } => Kind::Timeout,
            Self::Cancelled { .. } => Kind::Cancelled,
            Self::Transport { .. } => Kind::Transport,
        }
    }

    fn detail(&self) -> Detail {
        let detail = Detail::none();
        let hex = |id: &PeerId| PeerText::from(&*id.to_string());
        match self {
            Self::Rlpx { awaited, .. } => detail.with("awaited", awaited.name()),
            Self::NoSuchKey { id } | Self::Unproved { id } => detail.with("id", hex(id)),
            Self::WrongIdentity { proved, claimed } => detail
                .with("proved", hex(proved))
                .with("claimed", hex(claimed)),
            Self::Message { error, .. } => error.detail(),
            Self::Unexpected { awaited, id } => {
                detail.with("expected", awaited.name()).with("id", *id)
            }
            Self::Flood { over, .. } => detail
                .with("messages", over.would_be.messages)
                .with("bytes", over.would_be.bytes)
                .with("messages_allowed", over.budget.messages)
                .with("bytes_allowed", over.budget.bytes),
            Self::NothingShared { theirs } => {
                detail.with("theirs", PeerText::from(&*Listed(theirs).to_string()))
            }
            Self::Status(error) => error.detail(),
            Self::Rejected { rejection, .. } => {
                detail.with("policy", PeerText::from(&*rejection.to_string()))
            }
            Self::Disconnected { reason, .. } => disconnect_detail(*reason),
            Self::Closed { awaited, received } | Self::TimedOut { awaited, received } => detail
                .with("awaited", awaited.name())
                .with("received", *received),
            Self::NoKey
            | Self::SelfConnection
            | Self::Cancelled { .. }
            | Self::Transport { .. } => detail,
        }
    }
}

fn disconnect_detail(reason: DisconnectReason) -> Detail {
    let detail = Detail::none().with("disconnect", reason.name());
    match reason.code() {
        Some(code) => detail.with("code", code),
        None => detail,
    }
}

/// Why an established peer's bytes were refused, or a message cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// Bytes or a message that nothing allows.
    #[error(transparent)]
    Message(#[from] WireError),
    /// The peer said goodbye.
    #[error("the peer sent a disconnect: {}", reason.words())]
    Disconnected {
        /// What it said.
        reason: DisconnectReason,
    },
    /// A message of the handshake after it.
    #[error("{name} came again after the handshake")]
    HandshakeAgain {
        /// Which.
        name: &'static str,
    },
    /// An answer to nothing that was asked.
    #[error("{answer} came, and nothing that it could answer was asked")]
    Unasked {
        /// The answer.
        answer: eth::MessageId,
        /// Its request id, where it was read.
        request_id: Option<u64>,
    },
    /// We tried to send a message of a capability that is not shared.
    #[error("{capability} is not shared with this peer")]
    NotShared {
        /// The capability.
        capability: crate::capability::CapName,
    },
    /// We tried to send a message that eth does not have in the version shared, or a wrong one.
    #[error("the message cannot be sent")]
    Unsendable(#[source] eth::MessageError),
    /// We tried to send more than a capability's message may have, or an id it does not have.
    #[error("message {id} of {capability} cannot be sent with {len} bytes")]
    NoSuchMessage {
        /// The capability.
        capability: crate::capability::CapName,
        /// The message's id within it.
        id: u64,
        /// Length of its body, in bytes.
        len: usize,
    },
    /// We tried to send what no frame can hold.
    #[error(transparent)]
    TooLarge(#[from] SealError),
    /// We tried to ask under an id whose question waits for its answer.
    #[error("request id {id} is in use: its question has not been answered yet")]
    RequestIdInUse {
        /// The id.
        id: u64,
    },
    /// We tried to ask too much at once.
    #[error("{limit} questions wait for their answers already")]
    TooManyRequests {
        /// The most at once.
        limit: usize,
    },
}

impl Failure for SessionError {
    fn stage(&self) -> Stage {
        match self {
            Self::Message(_)
            | Self::Disconnected { .. }
            | Self::HandshakeAgain { .. }
            | Self::Unasked { .. } => Stage::Keep("receive"),
            Self::NotShared { .. }
            | Self::Unsendable(_)
            | Self::NoSuchMessage { .. }
            | Self::TooLarge(_)
            | Self::RequestIdInUse { .. }
            | Self::TooManyRequests { .. } => Stage::Keep("send"),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Message(error) => error.kind(),
            Self::Disconnected { reason } => reason.kind(),
            Self::HandshakeAgain { .. } | Self::Unasked { .. } => Kind::Violation,
            Self::TooManyRequests { .. } => Kind::Full,
            Self::NotShared { .. }
            | Self::Unsendable(_)
            | Self::NoSuchMessage { .. }
            | Self::TooLarge(_)
            | Self::RequestIdInUse { .. } => Kind::Usage,
        }
    }

    fn detail(&self) -> Detail {
        let detail = Detail::none();
        match self {
            Self::Message(error) => error.detail(),
            Self::Disconnected { reason } => disconnect_detail(*reason),
            Self::HandshakeAgain { name } => detail.with("message", *name),
            Self::Unasked { answer, request_id } => {
                let detail = detail.with("message", answer.row().name);
                match request_id {
                    Some(id) => detail.with("request_id", *id),
                    None => detail,
                }
            }
            Self::NotShared { capability } => {
                detail.with("capability", PeerText::from(capability.as_str()))
            }
            Self::Unsendable(error) => error.detail(),
            Self::NoSuchMessage {
                capability,
                id,
                len,
            } => detail
                .with("capability", PeerText::from(capability.as_str()))
                .with("id", *id)
                .with("len", *len),
            Self::RequestIdInUse { id } => detail.with("request_id", *id),
            Self::TooManyRequests { limit } => detail.with("limit", *limit),
            Self::TooLarge(_) => detail,
        }
    }
}
