//! Why there is no peer, and why a peer was lost.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use peerage_core::budget::OverBudget;
use peerage_core::reason::Value;
use peerage_core::wire::{ReadError, TooLong};
use peerage_core::{Detail, Failure, Kind, PeerText, Retry, Stage};

use crate::command::{Command, shown};
use crate::envelope::FrameError;
use crate::message::Reject;
use crate::version::ProtocolVersion;

/// The message a handshake was waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Awaited {
    /// The peer's `version`.
    Version,
    /// The peer's `verack`.
    Verack,
}

impl Awaited {
    /// The command awaited.
    pub const fn command(self) -> Command {
        match self {
            Self::Version => Command::VERSION,
            Self::Verack => Command::VERACK,
        }
    }

    /// The stage this is.
    pub const fn stage(self) -> Stage {
        Stage::Greet(match self {
            Self::Version => "version",
            Self::Verack => "verack",
        })
    }
}

impl std::fmt::Display for Awaited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.command().fmt(f)
    }
}

/// Why bytes or a message were refused, whatever the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// Not a message of this chain.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A command that is not printable ASCII followed by NULs.
    #[error("the command is no name")]
    BadCommand,
    /// A command that no table knows.
    #[error("unknown command {command}")]
    UnknownCommand {
        /// The command.
        command: Command,
    },
    /// A payload longer than its message may ever be.
    #[error("{command} declares {len} bytes, its limit is {limit}")]
    Oversized {
        /// The message.
        command: Command,
        /// Declared length, in bytes.
        len: usize,
        /// The most allowed, in bytes.
        limit: usize,
    },
    /// A payload that breaks the message's encoding.
    #[error("{command} is malformed")]
    Malformed {
        /// The message.
        command: Command,
        /// Where and how.
        #[source]
        error: ReadError,
    },
}

impl MessageError {
    /// What went wrong.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Frame(FrameError::WrongNetwork { .. }) => Kind::WrongNetwork,
            Self::Frame(FrameError::NotThisProtocol { .. }) => Kind::NotThisProtocol,
            Self::Frame(FrameError::Checksum { .. })
            | Self::BadCommand
            | Self::Oversized { .. }
            | Self::Malformed { .. } => Kind::Malformed,
            Self::UnknownCommand { .. } => Kind::Violation,
        }
    }

    /// The typed facts.
    pub fn detail(&self) -> Detail {
        match self {
            Self::Frame(FrameError::WrongNetwork { known, .. }) => Detail::none()
                .with("network", known.network().0)
                .with("chain", known.chain()),
            Self::Frame(FrameError::NotThisProtocol {
                got, looks_like, ..
            }) => {
                let detail = Detail::none().with("first_bytes", PeerText::new(got));
                match looks_like {
                    Some(what) => detail.with("looks_like", *what),
                    None => detail,
                }
            }
            Self::Frame(FrameError::Checksum { command, .. }) => Detail::none()
                .with("command", shown(*command))
                .with("field", "checksum"),
            Self::BadCommand => Detail::none(),
            Self::UnknownCommand { command } => {
                Detail::none().with("command", shown(Some(*command)))
            }
            Self::Oversized {
                command,
                len,
                limit,
            } => Detail::none()
                .with("command", shown(Some(*command)))
                .with("len", *len)
                .with("limit", *limit),
            Self::Malformed { command, error } => Detail::none()
                .with("command", shown(Some(*command)))
                .with("field", error.field)
                .with("offset", error.offset),
        }
    }
}

/// Why a handshake failed. `R` is what the caller's policy rejects with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError<R = Infallible> {
    /// Bytes or a message that nothing allows.
    #[error("while waiting for {awaited}")]
    Message {
        /// What was awaited.
        awaited: Awaited,
        /// What came.
        #[source]
        error: MessageError,
    },
    /// Another message came where only one is allowed.
    #[error("expected {awaited}, got {got}")]
    Unexpected {
        /// What was awaited.
        awaited: Awaited,
        /// What came.
        got: Command,
    },
    /// A second `version`.
    #[error("a second version came before the verack")]
    DuplicateVersion,
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
    /// A message that is legal later but too long for now.
    #[error("{command} declares {len} bytes before the handshake is over, {limit} are allowed")]
    TooLongForNow {
        /// What was awaited.
        awaited: Awaited,
        /// The message.
        command: Command,
        /// Declared length, in bytes.
        len: usize,
        /// The most allowed at this stage, in bytes.
        limit: usize,
    },
    /// The peer is this node.
    #[error("the nonce is our own: this is a connection to ourselves")]
    SelfConnection,
    /// A protocol version below zero.
    #[error("protocol version {got} is negative")]
    NegativeVersion {
        /// The version claimed.
        got: i32,
    },
    /// A protocol version below the least that is accepted.
    #[error("protocol version {got} is below the least accepted, {minimum}")]
    Obsolete {
        /// The version claimed.
        got: ProtocolVersion,
        /// The least accepted now.
        minimum: ProtocolVersion,
    },
    /// The caller's policy turned the peer away.
    #[error("turned away by our policy")]
    Rejected(R),
    /// The peer turned us away, said why and closed.
    #[error("the peer rejected our {}: {} (code 0x{:02x})", reject.message, reject.reason, reject.code)]
    RejectedByPeer {
        /// What was awaited.
        awaited: Awaited,
        /// Its words.
        reject: Reject,
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

impl<R: std::fmt::Display + std::fmt::Debug> Failure for HandshakeError<R> {
    fn stage(&self) -> Stage {
        match self {
            Self::Message { awaited, .. }
            | Self::Unexpected { awaited, .. }
            | Self::Flood { awaited, .. }
            | Self::TooLongForNow { awaited, .. }
            | Self::RejectedByPeer { awaited, .. }
            | Self::Closed { awaited, .. }
            | Self::TimedOut { awaited, .. }
            | Self::Cancelled { awaited }
            | Self::Transport { awaited, .. } => awaited.stage(),
            Self::SelfConnection
            | Self::NegativeVersion { .. }
            | Self::Obsolete { .. }
            | Self::Rejected(_) => Awaited::Version.stage(),
            Self::DuplicateVersion => Awaited::Verack.stage(),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Message { error, .. } => error.kind(),
            Self::Unexpected { .. } | Self::DuplicateVersion => Kind::Violation,
            Self::Flood { .. } | Self::TooLongForNow { .. } => Kind::Flood,
            Self::SelfConnection => Kind::SelfConnection,
            Self::NegativeVersion { .. } => Kind::Malformed,
            Self::Obsolete { .. } => Kind::Obsolete,
            Self::Rejected(_) => Kind::Rejected,
            Self::RejectedByPeer { .. } => Kind::Refused,
            Self::Closed { .. } => Kind::Closed,
            Self::TimedOut { .. } => Kind::Timeout,
            Self::Cancelled { .. } => Kind::Cancelled,
            Self::Transport { .. } => Kind::Transport,
        }
    }

    fn detail(&self) -> Detail {
        let detail = Detail::none();
        match self {
            Self::Message { error, .. } => error.detail(),
            Self::Unexpected { awaited, got } => detail
                .with("expected", shown(Some(awaited.command())))
                .with("got", shown(Some(*got))),
            Self::Flood { over, .. } => detail
                .with("messages", over.would_be.messages)
                .with("bytes", over.would_be.bytes)
                .with("messages_allowed", over.budget.messages)
                .with("bytes_allowed", over.budget.bytes),
            Self::TooLongForNow {
                command,
                len,
                limit,
                ..
            } => detail
                .with("command", shown(Some(*command)))
                .with("len", *len)
                .with("limit", *limit),
            Self::NegativeVersion { got } => detail.with("got", Value::Int((*got).into())),
            Self::Obsolete { got, minimum } => detail.with("got", got.0).with("minimum", minimum.0),
            Self::Rejected(rejection) => {
                detail.with("policy", PeerText::from(rejection.to_string().as_str()))
            }
            Self::RejectedByPeer { reject, .. } => detail
                .with("code", u64::from(reject.code))
                .with("said", reject.reason.clone()),
            Self::Closed { received, .. } | Self::TimedOut { received, .. } => {
                detail.with("received", *received)
            }
            Self::DuplicateVersion
            | Self::SelfConnection
            | Self::Cancelled { .. }
            | Self::Transport { .. } => detail,
        }
    }

    fn retry(&self) -> Retry {
        if let Self::Message {
            error: MessageError::Frame(FrameError::Checksum { .. }),
            ..
        } = self
        {
            // A flipped bit heals by itself; a peer that sends many is left alone by its score.
            return Retry::After(Duration::from_secs(60));
        }
        self.kind().retry()
    }
}

/// Why an established peer's bytes were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// Bytes or a message that nothing allows.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A version or verack after the handshake.
    #[error("{command} came again after the handshake")]
    HandshakeAgain {
        /// Which.
        command: Command,
    },
    /// We tried to send a message that this peer's version does not know.
    #[error("{command} is no message of protocol version {version}")]
    NotInVersion {
        /// The message.
        command: Command,
        /// The version agreed on.
        version: ProtocolVersion,
    },
    /// We tried to send a message that is too long.
    #[error("{command} cannot be sent")]
    TooLong {
        /// The message.
        command: Command,
        /// By how much.
        #[source]
        error: TooLong,
    },
    /// We tried to send a message that we would refuse to read.
    #[error("{command} cannot be sent: its receiver would refuse it")]
    Unsendable {
        /// The message.
        command: Command,
        /// Why.
        #[source]
        error: ReadError,
    },
}

impl From<FrameError> for SessionError {
    fn from(error: FrameError) -> Self {
        Self::Message(error.into())
    }
}

impl Failure for SessionError {
    fn stage(&self) -> Stage {
        match self {
            Self::Message(_) | Self::HandshakeAgain { .. } => Stage::Keep("receive"),
            Self::NotInVersion { .. } | Self::TooLong { .. } | Self::Unsendable { .. } => {
                Stage::Keep("send")
            }
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Message(error) => error.kind(),
            Self::HandshakeAgain { .. } => Kind::Violation,
            Self::NotInVersion { .. } | Self::TooLong { .. } | Self::Unsendable { .. } => {
                Kind::Usage
            }
        }
    }

    fn detail(&self) -> Detail {
        match self {
            Self::Message(error) => error.detail(),
            Self::HandshakeAgain { command } => {
                Detail::none().with("command", shown(Some(*command)))
            }
            Self::NotInVersion { command, version } => Detail::none()
                .with("command", shown(Some(*command)))
                .with("version", version.0),
            Self::TooLong { command, error } => Detail::none()
                .with("command", shown(Some(*command)))
                .with("len", error.len)
                .with("limit", error.limit),
            Self::Unsendable { command, error } => Detail::none()
                .with("command", shown(Some(*command)))
                .with("field", error.field)
                .with("offset", error.offset),
        }
    }
}
