//! Disconnect: why a peer leaves, in every form that nodes send.
//!
//! The specification says `[reason]`. Nodes also send the reason without the list, an empty list,
//! or nothing, and any of these compressed or not, whatever the state of the connection.
//!
//! Source: devp2p, `rlpx.md`, "Disconnect (0x01)".

use std::fmt;

use bytes::{Bytes, BytesMut};
use peerage_core::wire::{Problem, ReadError};
use peerage_core::{Blame, Kind, Retry};

use crate::rlp::{Extra, Reader, encoded, uint_of};
use crate::snappy;

/// The longest body that is read, compressed or plain, in bytes. Three are enough; the rest is
/// room for a later version.
pub const MAX_LEN: usize = 64;

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $reason:ident = $code:literal, $name:literal, $words:literal, $kind:ident;)+) => {
        /// Why a peer disconnects.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum DisconnectReason {
            $($(#[doc = $doc])+ $reason,)+
            /// A number that the specification does not have.
            Unknown(u64),
            /// It gave no reason: an empty list or an empty body.
            Unstated,
        }

        impl DisconnectReason {
            /// Every reason of the specification.
            pub const KNOWN: &'static [Self] = &[$(Self::$reason),+];

            /// The reason of that number.
            pub const fn from_code(code: u64) -> Self {
                match code { $($code => Self::$reason,)+ code => Self::Unknown(code) }
            }

            /// Its number, where there is one.
            pub const fn code(self) -> Option<u64> {
                match self {
                    $(Self::$reason => Some($code),)+
                    Self::Unknown(code) => Some(code),
                    Self::Unstated => None,
                }
            }

            /// Stable snake-case name, for machines.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$reason => $name,)+
                    Self::Unknown(_) => "unknown",
                    Self::Unstated => "unstated",
                }
            }

            /// What it says, in words.
            pub const fn words(self) -> &'static str {
                match self {
                    $(Self::$reason => $words,)+
                    Self::Unknown(_) => "a reason that no specification has",
                    Self::Unstated => "no reason given",
                }
            }

            /// What went wrong for us when a peer says this.
            pub const fn kind(self) -> Kind {
                match self {
                    $(Self::$reason => Kind::$kind,)+
                    Self::Unknown(_) => Kind::Refused,
                    Self::Unstated => Kind::Closed,
                }
            }
        }
    };
}

reasons! {
    /// Asked to, without more.
    Requested = 0x00, "requested", "disconnect requested", Left;
    /// Its connection broke.
    TcpError = 0x01, "tcp_error", "its connection broke", Transport;
    /// We broke the protocol, it says.
    Breach = 0x02, "breach", "it says that we broke the protocol", Refused;
    /// We are of no use to it: nothing shared, or nothing it needs.
    UselessPeer = 0x03, "useless_peer", "we are of no use to it", Refused;
    /// It has no free slot.
    TooManyPeers = 0x04, "too_many_peers", "it has too many peers", PeerFull;
    /// The two are connected already.
    AlreadyConnected = 0x05, "already_connected", "it is connected to us already", AlreadyConnected;
    /// It does not speak our p2p version.
    IncompatibleP2pVersion = 0x06, "incompatible_p2p_version", "it does not speak our p2p version", Incompatible;
    /// It got no identity from us.
    NullIdentity = 0x07, "null_identity", "it received no identity from us", Refused;
    /// It is stopping.
    ClientQuitting = 0x08, "client_quitting", "it is stopping", Left;
    /// We are not whom it expected, or our Hello and our key disagree.
    UnexpectedIdentity = 0x09, "unexpected_identity", "we are not whom it expected", Refused;
    /// It and we are one.
    SelfConnection = 0x0a, "self_connection", "it is this node itself", SelfConnection;
    /// It waited in vain for our Pong.
    PingTimeout = 0x0b, "ping_timeout", "it waited in vain for our answer to its ping", Timeout;
    /// A capability's own reason; with eth most often another chain or another fork.
    Subprotocol = 0x10, "subprotocol", "a capability's own reason, such as another chain or fork", Refused;
}

impl DisconnectReason {
    /// Whose doing it is.
    pub const fn blame(self) -> Blame {
        self.kind().blame()
    }

    /// Whether to try the peer again.
    pub const fn retry(self) -> Retry {
        self.kind().retry()
    }

    /// The plain message body: `[reason]`.
    pub fn encode(self) -> Bytes {
        let body = encoded(|writer| {
            writer.list(|writer| {
                if let Some(code) = self.code() {
                    writer.uint(code);
                }
            });
        });
        body.freeze()
    }

    /// Reads a plain message body in any of its forms.
    ///
    /// # Errors
    /// When it has none of them. The peer leaves all the same.
    pub fn decode(body: &[u8]) -> Result<Self, ReadError> {
        Self::read(&mut Reader::new(body))
    }

    /// Reads from a reader over a whole plain message body.
    ///
    /// # Errors
    /// When it has none of the forms. The peer leaves all the same.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, ReadError> {
        if reader.left() > MAX_LEN {
            let (got, limit) = (reader.left() as u64, MAX_LEN as u64);
            return Err(Reader::error("body", 0, Problem::OverLimit { got, limit }));
        }
        let reason = if reader.at_list() {
            reader.list("disconnect", Extra::Ignore, read_code)?
        } else {
            read_code(reader)?
        };
        reader.finish()?;
        Ok(reason)
    }

    /// Reads a message body that may be compressed or plain. `compressed` says which of them is
    /// right now; the other is tried after it.
    ///
    /// # Errors
    /// When neither reading makes sense. The peer leaves all the same.
    pub fn decode_any(body: &[u8], compressed: bool) -> Result<Self, ReadError> {
        let plain = || Self::decode(body);
        let inflated = || {
            let mut inflated = BytesMut::new();
            snappy::decode(body, MAX_LEN, &mut inflated).ok()?;
            Self::decode(&inflated).ok()
        };
        if compressed {
            return inflated().map_or_else(plain, Ok);
        }
        plain().or_else(|error| inflated().ok_or(error))
    }
}

/// One number, if there is any. Unlike any other, a zero may be written as the byte 0: an old habit.
fn read_code(reader: &mut Reader<'_>) -> Result<DisconnectReason, ReadError> {
    if reader.is_empty() {
        return Ok(DisconnectReason::Unstated);
    }
    let offset = reader.offset();
    match reader.bytes("reason", 8)? {
        [0] => Ok(DisconnectReason::Requested),
        digits => uint_of(digits)
            .map(DisconnectReason::from_code)
            .map_err(|problem| Reader::error("reason", offset, problem)),
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code() {
            Some(code) => write!(f, "{} (0x{code:02x})", self.words()),
            None => f.write_str(self.words()),
        }
    }
}
