//! Packets: the masked header and what it carries (discv5-wire, "Packet Encoding").
//!
//! ```text
//! masking-iv(16) ‖ masked[ protocol(6) version(2) flag(1) nonce(12) size(2) ‖ authdata(size) ] ‖ message
//! ```
//!
//! A packet is read in the buffer it was received in: nothing is copied, and a datagram that is no
//! packet is left untouched, so that another protocol may look at it.

mod encode;

use std::fmt;

use crate::cipher::{Mask, TAG_LEN};
use crate::node_id::NodeId;

pub use encode::{Envelope, HandshakeAuth, WhoAreYou};

/// The fewest bytes of a packet: a WHOAREYOU.
pub const MIN_LEN: usize = 63;
/// The most bytes of a packet.
pub const MAX_LEN: usize = 1280;
/// The bytes before the authdata.
pub(crate) const STATIC_END: usize = IV_LEN + STATIC_LEN;

const IV_LEN: usize = 16;
const STATIC_LEN: usize = 23;
const FLAG_ORDINARY: u8 = 0;
const FLAG_WHOAREYOU: u8 = 1;
const FLAG_HANDSHAKE: u8 = 2;
const WHOAREYOU_AUTH_LEN: usize = 24;
const HANDSHAKE_FIXED_LEN: usize = 34;
const SIGNATURE_LEN: u8 = 64;
const EPHEMERAL_LEN: u8 = 33;

/// Which network of nodes a packet belongs to. Both values stand in every header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Six bytes.
    pub id: [u8; 6],
    /// The version.
    pub version: u16,
}

impl Protocol {
    /// Node Discovery v5.1 as everybody speaks it.
    pub const V5: Self = Self {
        id: *b"discv5",
        version: 0x0001,
    };
}

impl Default for Protocol {
    fn default() -> Self {
        Self::V5
    }
}

/// What a message is encrypted with besides the key: 32 bits of a counter and 64 random bits, or
/// what the sender makes of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(pub [u8; 12]);

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A packet, borrowed from the buffer it came in.
#[derive(Debug)]
pub struct Packet<'a> {
    /// The nonce of the header. In a WHOAREYOU it is that of the packet complained about.
    pub nonce: Nonce,
    /// Masking IV and unmasked header: what the message's tag covers, and in a WHOAREYOU the
    /// challenge data.
    pub header: &'a [u8],
    /// What kind of packet.
    pub kind: Kind<'a>,
    /// The encrypted message with its tag; empty in a WHOAREYOU.
    pub message: &'a mut [u8],
}

/// What the authdata says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A message under session keys, or random bytes that ask for a WHOAREYOU.
    Ordinary {
        /// Who claims to send it.
        source: NodeId,
    },
    /// The receiver has no keys and asks for a handshake.
    WhoAreYou {
        /// Random.
        id_nonce: &'a [u8; 16],
        /// The sequence number of the record the receiver holds, 0 for none.
        record_seq: u64,
    },
    /// The answer to a WHOAREYOU, with a message under the new keys.
    Handshake {
        /// Who claims to send it.
        source: NodeId,
        /// Over the challenge.
        signature: &'a [u8; 64],
        /// The sender's half of the key agreement, compressed.
        ephemeral: &'a [u8; 33],
        /// The sender's record, if the receiver's is missing or old; else empty. Not yet decoded.
        record: &'a [u8],
    },
}

/// Why a datagram is no packet to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// Fewer than [`MIN_LEN`] or more than [`MAX_LEN`] bytes.
    #[error("{0} bytes are no packet: {MIN_LEN} to {MAX_LEN} are")]
    Length(usize),
    /// The header does not unmask to the protocol: another protocol, or meant for another node.
    #[error("the datagram is not of this protocol, or for another node")]
    NotThisProtocol,
    /// Another version of the protocol.
    #[error("the packet is of version {0}, which is not ours")]
    Version(u16),
    /// A flag that no version defines.
    #[error("the packet has the unknown flag {0}")]
    Flag(u8),
    /// Authdata of a length that does not fit its flag.
    #[error("the header has {0} bytes of authdata, which does not fit its flag")]
    Authdata(u16),
    /// A message too short for its tag, or one in a WHOAREYOU.
    #[error("the packet has a message of {0} bytes, which does not fit its flag")]
    Message(usize),
}

impl PacketError {
    /// Whether another protocol on the same port may have sent this.
    pub const fn is_foreign(&self) -> bool {
        matches!(self, Self::Length(_) | Self::NotThisProtocol)
    }
}

impl<'a> Packet<'a> {
    /// Unmasks a datagram in place. `mask` is that of the local node.
    ///
    /// # Errors
    /// When it is no packet. A [foreign](PacketError::is_foreign) datagram is left as it was.
    pub fn unmask(
        mask: &Mask,
        protocol: Protocol,
        datagram: &'a mut [u8],
    ) -> Result<Self, PacketError> {
        let len = datagram.len();
        if !(MIN_LEN..=MAX_LEN).contains(&len) {
            return Err(PacketError::Length(len));
        }
        let (Some(&iv), Some(&fixed)) = (
            datagram.first_chunk::<IV_LEN>(),
            datagram[IV_LEN..].first_chunk::<STATIC_LEN>(),
        ) else {
            return Err(PacketError::Length(len));
        };
        let mut fixed = fixed;
        mask.apply(&iv, 0, &mut fixed);
        let (id, rest) = fixed.split_at(6);
        let [v1, v0, flag, nonce @ .., s1, s0] = rest else {
            return Err(PacketError::Length(len));
        };
        if id != protocol.id {
            return Err(PacketError::NotThisProtocol);
        }
        let version = u16::from_be_bytes([*v1, *v0]);
        if version != protocol.version {
            return Err(PacketError::Version(version));
        }
        let size = u16::from_be_bytes([*s1, *s0]);
        let header_end = STATIC_END + usize::from(size);
        if header_end > len {
            return Err(PacketError::Authdata(size));
        }
        let flag = *flag;
        let mut bytes = [0; 12];
        bytes.copy_from_slice(nonce);
        datagram[IV_LEN..STATIC_END].copy_from_slice(&fixed);
        let authdata = &mut datagram[STATIC_END..header_end];
        mask.apply(&iv, STATIC_LEN, authdata);
        let (header, message) = datagram.split_at_mut(header_end);
        let header: &'a [u8] = header;
        let kind = Kind::read(flag, &header[STATIC_END..])?;
        let is_challenge = matches!(kind, Kind::WhoAreYou { .. });
        if is_challenge != message.is_empty() || (!is_challenge && message.len() < TAG_LEN) {
            return Err(PacketError::Message(message.len()));
        }
        Ok(Self {
            nonce: Nonce(bytes),
            header,
            kind,
            message,
        })
    }
}

impl<'a> Kind<'a> {
    fn read(flag: u8, authdata: &'a [u8]) -> Result<Self, PacketError> {
        let read = match flag {
            FLAG_ORDINARY => Self::read_ordinary(authdata),
            FLAG_WHOAREYOU => Self::read_whoareyou(authdata),
            FLAG_HANDSHAKE => Self::read_handshake(authdata),
            _ => return Err(PacketError::Flag(flag)),
        };
        // A length beyond 16 bits was never read.
        let len = u16::try_from(authdata.len()).unwrap_or(u16::MAX);
        read.ok_or(PacketError::Authdata(len))
    }

    fn read_ordinary(authdata: &[u8]) -> Option<Self> {
        Some(Self::Ordinary {
            source: NodeId(authdata.try_into().ok()?),
        })
    }

    fn read_whoareyou(authdata: &'a [u8]) -> Option<Self> {
        let (id_nonce, seq) = authdata.split_first_chunk()?;
        Some(Self::WhoAreYou {
            id_nonce,
            record_seq: u64::from_be_bytes(seq.try_into().ok()?),
        })
    }

    fn read_handshake(authdata: &'a [u8]) -> Option<Self> {
        let (source, rest) = authdata.split_first_chunk()?;
        let (&[SIGNATURE_LEN, EPHEMERAL_LEN], rest) = rest.split_first_chunk()? else {
            return None;
        };
        let (signature, rest) = rest.split_first_chunk()?;
        let (ephemeral, record) = rest.split_first_chunk()?;
        Some(Self::Handshake {
            source: NodeId(*source),
            signature,
            ephemeral,
            record,
        })
    }
}
