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
//! # Example
//! ```
//! use bytes::BytesMut;
//! use peerage_ethereum::key::{Ephemeral, SecretKey};
//! use peerage_ethereum::rlpx::{Fresh, Initiator, Packet, Recipient, packet_len};
//! # fn random<const N: usize>(seed: u8) -> [u8; N] { [seed; N] } // the caller's entropy
//!
//! let (a, b) = (SecretKey::from_bytes(random(1))?, SecretKey::from_bytes(random(2))?);
//! let fresh = |seed| Ok::<_, Box<dyn std::error::Error>>(
//!     Fresh::new(Ephemeral::from_bytes(random(seed))?, random(seed)),
//! );
//!
//! let (initiator, auth) = Initiator::new(&a, b.public(), fresh(3)?)?;
//! assert_eq!(packet_len(Packet::Auth, &auth[..3])?, Some(auth.len()));
//! let recipient = Recipient::on_auth(&b, auth)?;
//! assert_eq!(recipient.claimed(), a.public());
//! let (mut at_b, ack) = recipient.answer(&b, fresh(4)?)?;
//! let mut at_a = initiator.on_ack(&a, &ack)?;
//!
//! let mut wire = BytesMut::new();
//! at_a.egress.seal(&mut wire, 0x10, |data| data.extend_from_slice(b"good day"))?;
//! let admit = |_id, len| if len <= 2048 { Ok(()) } else { Err("too long") };
//! let frame = at_b.ingress.next(&mut wire, admit)?.expect("it is whole");
//! assert_eq!((frame.id, &frame.data[..]), (0x10, &b"good day"[..]));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! Source: devp2p, `rlpx.md`, "Initial Handshake"; EIP-8.

use std::fmt;

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::auth::{Ack, Auth};
use crate::ecies::{self, MAX_PADDING};
use crate::frame::FrameCipher;
use crate::key::{Ephemeral, InvalidKey, PeerId, PublicKey, SecretKey, SharedStatic, recover};
use crate::packet::opened;
pub use crate::packet::{MAX_PACKET_SIZE, Packet, RlpxError, packet_len};
use crate::secrets::{Half, Secrets};

pub(crate) type Nonce = [u8; 32];

/// The fewest bytes of padding: EIP-8 asks for at least 100, so that no packet can be taken for the
/// older form by its length.
const MIN_PADDING: u16 = 100;

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
        self.agree(ours, ack, Secrets::cipher)
    }

    /// Takes the ack, and makes of what both sides then share whatever is wanted.
    pub(crate) fn agree<T>(
        self,
        ours: &SecretKey,
        ack: &[u8],
        make: impl FnOnce(&Secrets, Half<'_>, Half<'_>) -> T,
    ) -> Result<T, RlpxError> {
        let body = opened(Packet::Ack, ours, ack, Ack::decode)?;
        let theirs = point(body.ephemeral, "ephemeral key")?;
        let shared = self.ephemeral.agree(&theirs);
        let secrets = Secrets::derive(&shared, &self.nonce, &body.nonce);
        let ours = Half {
            nonce: &self.nonce,
            packet: &self.auth,
        };
        let theirs = Half {
            nonce: &body.nonce,
            packet: ack,
        };
        Ok(make(&secrets, ours, theirs))
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
        self.agree(shared, fresh, Secrets::cipher)
    }

    /// Answers, and makes of what both sides then share whatever is wanted.
    pub(crate) fn agree<T>(
        self,
        shared: &SharedStatic,
        fresh: Fresh,
        make: impl FnOnce(&Secrets, Half<'_>, Half<'_>) -> T,
    ) -> Result<(T, Bytes), RlpxError> {
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
        let ours = Half {
            nonce: &fresh.nonce,
            packet: &ack,
        };
        let theirs = Half {
            nonce: &self.auth.nonce,
            packet: &self.packet,
        };
        let made = make(&secrets, ours, theirs);
        Ok((made, ack))
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
