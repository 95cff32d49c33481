//! The RLPx handshake: one packet each way, and both sides share the keys of the frames.
//!
//! ```text
//!  Initiator::new ──────────── auth ────────────► Recipient::on_auth    who it claims to be
//!       │                                             │  (a policy may stand here)
//!  Initiator::on_ack ◄──────── ack ─────────────  Recipient::answer
//!       │                                             │
//!  FrameCipher                                    FrameCipher
//! ```
//!
//! [`packet_len`] says from the first three bytes how long the packet is, so nothing is buffered for
//! a stranger who speaks something else. Every step consumes its predecessor.
//!
//! # What is proved, and when
//! Nobody is authenticated before the first frame. A packet only proves that its sender knows the
//! receiver's public key:
//! - [`Recipient::claimed`] is a claim. Anybody can seal an auth that names a static key not his;
//!   *every* signature recovers to *some* ephemeral key, so a forged one is not noticed here. What
//!   the forger lacks is the static secret, hence the recovered key's secret, hence the frame keys.
//! - A replayed auth looks good too. Our answer carries a new nonce, so the replayer cannot read or
//!   write a single frame; it only costs us the answer.
//! - A reflected packet does not open: it is sealed to somebody else. An auth that names our own key
//!   is [`RlpxError::SelfConnection`].
//! - An ack from somebody who could not open our auth opens, but gives other keys.
//!
//! **The first frame that [`Ingress::next`](crate::frame::Ingress::next) returns proves the peer**:
//! its tag needs the secret of the static key. Until then nobody may be praised or blamed by name.
//!
//! There is no forward secrecy for the packets themselves, only for the frames. Both directions use
//! one AES key with the same IV (CVE-2015-20112): an eavesdropper learns the xor of what the two
//! sides send. Nothing that has to stay secret belongs into a session.
//!
//! Source: devp2p, `rlpx.md`, "Initial Handshake"; EIP-8.

use std::fmt;

use bytes::Bytes;
use peerage_core::Kind;
use zeroize::Zeroizing;

use crate::auth::{ACK_LEN, AUTH_LEN, Ack, Auth};
use crate::ecies::{self, EciesError, MAX_PADDING, OVERHEAD, PREFIX_LEN};
use crate::frame::FrameCipher;
use crate::key::{Ephemeral, InvalidKey, PeerId, PublicKey, SecretKey, SharedStatic, recover};
use crate::secrets::{Half, Secrets};

pub(crate) type Nonce = [u8; 32];

/// The greatest size field accepted, in bytes: as go-ethereum has it since attackers filled its
/// memory with greater ones. The greatest we send is 582.
pub const MAX_PACKET_SIZE: usize = 2048;

/// The fewest bytes of padding: EIP-8 asks for at least 100, so that no packet can be taken for the
/// older form by its length.
const MIN_PADDING: u16 = 100;

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

/// How many zero bytes stand behind a body, sealed with it: 100 to 300, at random (EIP-8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Padding(u16);

impl Padding {
    /// From any 16 random bits.
    pub const fn from_random(random: u16) -> Self {
        Self(MIN_PADDING + random % (MAX_PADDING - MIN_PADDING + 1))
    }

    /// Bytes of padding.
    pub const fn bytes(self) -> u16 {
        self.0
    }
}

/// The randomness of one attempt, used once. Every part must be unpredictable.
pub struct Fresh {
    /// Our nonce.
    pub nonce: [u8; 32],
    /// Our key pairs, which may have been made ahead.
    pub ephemeral: Ephemeral,
    /// The IV of our packet.
    pub iv: [u8; 16],
    /// The padding of our packet.
    pub padding: Padding,
}

impl Fresh {
    /// Cuts 50 random bytes into nonce, IV and padding.
    pub fn new(ephemeral: Ephemeral, random: [u8; 50]) -> Self {
        let [nonce @ .., p1, p0] = random;
        let (mut n, mut iv) = ([0; 32], [0; 16]);
        n.copy_from_slice(&nonce[..32]);
        iv.copy_from_slice(&nonce[32..]);
        Self {
            nonce: n,
            ephemeral,
            iv,
            padding: Padding::from_random(u16::from_be_bytes([p1, p0])),
        }
    }
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fresh(secret)")
    }
}

/// Whoever opened the connection, its auth written, waiting for the ack.
pub struct Initiator {
    nonce: Nonce,
    ephemeral: SecretKey,
    auth: Bytes,
}

impl Initiator {
    /// Begins a handshake with the owner of `peer`. The second value is the auth to send.
    ///
    /// Needs nothing of the connection, so it can be done while one is being made.
    ///
    /// # Errors
    /// [`RlpxError::SelfConnection`] when `peer` is our own key.
    pub fn new(
        ours: &SecretKey,
        peer: &PublicKey,
        fresh: Fresh,
    ) -> Result<(Self, Bytes), RlpxError> {
        if peer.id() == ours.id() {
            return Err(RlpxError::SelfConnection);
        }
        Self::with_shared(ours, &SharedStatic::new(ours, peer), fresh)
    }

    /// The same with a peer whose shared secret was kept: one multiplication less.
    ///
    /// # Errors
    /// [`RlpxError::SelfConnection`] when the peer's is our own key.
    ///
    /// # Security
    /// `shared` must have been made with `ours`; otherwise the peer will not understand us.
    pub fn with_shared(
        ours: &SecretKey,
        shared: &SharedStatic,
        fresh: Fresh,
    ) -> Result<(Self, Bytes), RlpxError> {
        let peer = shared.peer();
        if peer.id() == ours.id() {
            return Err(RlpxError::SelfConnection);
        }
        let Ephemeral { agreement, sealing } = fresh.ephemeral;
        let body = Auth {
            signature: agreement.sign(*signed(shared, &fresh.nonce)),
            id: ours.id(),
            nonce: fresh.nonce,
        };
        let padding = fresh.padding.bytes();
        let auth = ecies::seal(peer, &sealing, fresh.iv, &body.encode(), padding).freeze();
        let initiator = Self {
            nonce: fresh.nonce,
            ephemeral: agreement,
            auth: auth.clone(),
        };
        Ok((initiator, auth))
    }

    /// Takes the whole ack, its size field included: [`packet_len`] bytes.
    ///
    /// # Errors
    /// When it is not sealed to us or not as the protocol wants it.
    pub fn on_ack(self, ours: &SecretKey, ack: &[u8]) -> Result<FrameCipher, RlpxError> {
        let body = opened(Packet::Ack, ours, ack, Ack::decode)?;
        let theirs = point(body.ephemeral, "ephemeral key")?;
        let shared = self.ephemeral.agree(&theirs);
        let secrets = Secrets::derive(&shared, &self.nonce, &body.nonce);
        Ok(secrets.cipher(
            Half {
                nonce: &self.nonce,
                packet: &self.auth,
            },
            Half {
                nonce: &body.nonce,
                packet: ack,
            },
        ))
    }
}

impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Initiator(secret)")
    }
}

/// Whoever accepted the connection, with an auth that opened, before the answer.
///
/// Only one multiplication has been spent so far; the other three and the recovery of the
/// ephemeral key are part of [`Self::answer`], so refusing is cheap.
pub struct Recipient {
    claimed: PublicKey,
    auth: Auth,
    packet: Bytes,
}

impl Recipient {
    /// Takes the whole auth, its size field included: [`packet_len`] bytes.
    ///
    /// # Errors
    /// When it is not sealed to us, not as the protocol wants it, or names our own key.
    pub fn on_auth(ours: &SecretKey, auth: Bytes) -> Result<Self, RlpxError> {
        let body = opened(Packet::Auth, ours, &auth, Auth::decode)?;
        if body.id == ours.id() {
            return Err(RlpxError::SelfConnection);
        }
        Ok(Self {
            claimed: point(body.id, "static key")?,
            auth: body,
            packet: auth,
        })
    }

    /// Who the initiator claims to be. *Not proved* until the first frame opens: see the page above.
    pub const fn claimed(&self) -> &PublicKey {
        &self.claimed
    }

    /// Answers. The second value is the ack to send.
    ///
    /// # Errors
    /// [`RlpxError::InvalidSignature`], when the auth's signature is none at all.
    pub fn answer(self, ours: &SecretKey, fresh: Fresh) -> Result<(FrameCipher, Bytes), RlpxError> {
        let shared = SharedStatic::new(ours, &self.claimed);
        self.respond(&shared, fresh)
    }

    /// The same with a peer whose shared secret was kept: one multiplication less. A secret that
    /// belongs to others is not used.
    ///
    /// # Errors
    /// Those of [`Self::answer`].
    pub fn answer_with(
        self,
        ours: &SecretKey,
        shared: &SharedStatic,
        fresh: Fresh,
    ) -> Result<(FrameCipher, Bytes), RlpxError> {
        if shared.is_between(ours, self.claimed.id()) {
            self.respond(shared, fresh)
        } else {
            self.answer(ours, fresh)
        }
    }

    fn respond(
        self,
        shared: &SharedStatic,
        fresh: Fresh,
    ) -> Result<(FrameCipher, Bytes), RlpxError> {
        let digest = signed(shared, &self.auth.nonce);
        let theirs = recover(&self.auth.signature, *digest).ok_or(RlpxError::InvalidSignature)?;
        let Ephemeral { agreement, sealing } = fresh.ephemeral;
        let body = Ack {
            ephemeral: agreement.id(),
            nonce: fresh.nonce,
        };
        let padding = fresh.padding.bytes();
        let ack = ecies::seal(&self.claimed, &sealing, fresh.iv, &body.encode(), padding).freeze();
        let secrets = Secrets::derive(&agreement.agree(&theirs), &self.auth.nonce, &fresh.nonce);
        let cipher = secrets.cipher(
            Half {
                nonce: &fresh.nonce,
                packet: &ack,
            },
            Half {
                nonce: &self.auth.nonce,
                packet: &self.packet,
            },
        );
        Ok((cipher, ack))
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient(secret, claimed {})", self.claimed.id())
    }
}

/// What the initiator's ephemeral key signs.
fn signed(shared: &SharedStatic, nonce: &Nonce) -> Zeroizing<[u8; 32]> {
    let mut digest = Zeroizing::new(*shared.secret());
    digest.iter_mut().zip(nonce).for_each(|(d, n)| *d ^= n);
    digest
}

fn point(id: PeerId, field: &'static str) -> Result<PublicKey, RlpxError> {
    PublicKey::try_from(id).map_err(|_: InvalidKey| RlpxError::InvalidPoint { field })
}

/// Opens a packet in a copy, since the frames' digests begin with the packet as it was sent.
fn opened<T>(
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
