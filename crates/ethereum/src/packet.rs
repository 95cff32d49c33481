//! Which bytes are a packet of the handshake at all, judged as early as can be.

use std::fmt;

use peerage_core::Kind;
use zeroize::Zeroizing;

use crate::auth::{ACK_LEN, AUTH_LEN};
use crate::ecies::{self, EciesError, OVERHEAD, PREFIX_LEN};
use crate::key::SecretKey;

/// The greatest size field accepted, in bytes: as go-ethereum has it since attackers filled its
/// memory with greater ones. The greatest we send is 582.
pub const MAX_PACKET_SIZE: usize = 2048;

/// The two packets of the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Packet {
    /// From the initiator.
    Auth,
    /// From the recipient.
    Ack,
}

impl Packet {
    /// Lower-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Ack => "ack",
        }
    }

    /// The least its size field may be, in bytes: without any padding.
    pub const fn min_size(self) -> usize {
        OVERHEAD
            + match self {
                Self::Auth => AUTH_LEN,
                Self::Ack => ACK_LEN,
            }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why the handshake cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RlpxError {
    /// A size field above [`MAX_PACKET_SIZE`]. Nothing of the packet needs to be waited for.
    #[error("{packet} declares {size} bytes, the limit is {MAX_PACKET_SIZE}")]
    TooLarge {
        /// The packet.
        packet: Packet,
        /// What its size field says, in bytes.
        size: usize,
    },
    /// A size field too small for any such packet.
    #[error("{packet} declares {size} bytes, it has at least {}", packet.min_size())]
    TooSmall {
        /// The packet.
        packet: Packet,
        /// What its size field says, in bytes.
        size: usize,
    },
    /// The form without a size in front, which no current node speaks.
    #[error("{packet} has the form from before EIP-8, which is not supported")]
    PreEip8 {
        /// The packet.
        packet: Packet,
    },
    /// Where the sender's key should begin stands something else.
    #[error("{packet} begins with no key: expected 0x04 after its size, got {got:#04x}")]
    NotAKey {
        /// The packet.
        packet: Packet,
        /// The byte found.
        got: u8,
    },
    /// The packet does not open with our key.
    #[error("{packet} cannot be opened")]
    Sealed {
        /// The packet.
        packet: Packet,
        /// Why.
        #[source]
        error: EciesError,
    },
    /// The packet opened, but its body is not what the protocol asks for.
    #[error(
        "the body of a handshake packet is malformed: its {field} is missing or has a wrong form"
    )]
    Malformed {
        /// The first item that is missing or has a wrong form.
        field: &'static str,
    },
    /// A key in the body is no point of the curve.
    #[error("the {field} of a handshake packet is no point of secp256k1")]
    InvalidPoint {
        /// Which key.
        field: &'static str,
    },
    /// No key can have made the signature in auth.
    #[error("no key can have made the signature of auth")]
    InvalidSignature,
    /// The other end has our own static key.
    #[error("the other end has our own key")]
    SelfConnection,
}

impl RlpxError {
    /// What went wrong.
    pub const fn kind(&self) -> Kind {
        match self {
            // Whoever speaks RLPx at all gets these two right.
            Self::TooLarge { .. } | Self::TooSmall { .. } | Self::NotAKey { .. } => {
                Kind::NotThisProtocol
            }
            Self::PreEip8 { .. } => Kind::Obsolete,
            Self::Sealed { .. }
            | Self::Malformed { .. }
            | Self::InvalidPoint { .. }
            | Self::InvalidSignature => Kind::Malformed,
            Self::SelfConnection => Kind::SelfConnection,
        }
    }
}

/// How long the packet that begins with these bytes is, its size field included; `None` while fewer
/// than three bytes are there.
///
/// # Errors
/// When no such packet can begin so. What is an error stays one, whatever follows.
pub fn packet_len(packet: Packet, received: &[u8]) -> Result<Option<usize>, RlpxError> {
    let Some((prefix, rest)) = received.split_first_chunk::<PREFIX_LEN>() else {
        return Ok(None);
    };
    let size = usize::from(u16::from_be_bytes(*prefix));
    if size > MAX_PACKET_SIZE {
        return Err(RlpxError::TooLarge { packet, size });
    }
    if size < packet.min_size() {
        return Err(RlpxError::TooSmall { packet, size });
    }
    match rest.first() {
        None => Ok(None),
        Some(&tag) if ecies::is_key_tag(tag) => Ok(Some(PREFIX_LEN + size)),
        // The old form has the key's 0x04 first, where it looks like a size of 1024 to 1279.
        Some(_) if ecies::is_key_tag(prefix[0]) => Err(RlpxError::PreEip8 { packet }),
        Some(&got) => Err(RlpxError::NotAKey { packet, got }),
    }
}

/// Opens a packet in a copy, since the frames' digests begin with the packet as it was sent.
pub(crate) fn opened<T>(
    packet: Packet,
    ours: &SecretKey,
    sealed: &[u8],
    decode: impl FnOnce(&[u8]) -> Result<T, RlpxError>,
) -> Result<T, RlpxError> {
    let failed = |error| RlpxError::Sealed { packet, error };
    let len = packet_len(packet, sealed)?;
    if len != Some(sealed.len()) {
        let declared = len.unwrap_or_default().saturating_sub(PREFIX_LEN);
        let got = sealed.len().saturating_sub(PREFIX_LEN);
        return Err(failed(EciesError::Length { declared, got }));
    }
    // The length is known to be within the limit now.
    let mut scratch = Zeroizing::new([0; PREFIX_LEN + MAX_PACKET_SIZE]);
    let copy = &mut scratch[..sealed.len()];
    copy.copy_from_slice(sealed);
    decode(ecies::open(ours, copy).map_err(failed)?)
}
