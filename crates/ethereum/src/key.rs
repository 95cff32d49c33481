//! Keys of the curve secp256k1 and what is computed with them.
//!
//! Everything that touches a secret runs in constant time, in Bitcoin Core's C library.

use std::fmt;
use std::str::FromStr;
use std::sync::{LazyLock, OnceLock};

use peerage_core::wire::Hex;
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, Secp256k1, SignOnly, VerifyOnly, ecdh};
use zeroize::Zeroizing;

use crate::keccak::Keccak256;

/// Length of a recoverable signature on the wire, in bytes: r, s and the recovery id.
pub const SIGNATURE_LEN: usize = 65;

/// First byte of a public key with both coordinates written out (SEC 1, section 2.3.3).
pub(crate) const UNCOMPRESSED: u8 = 0x04;

/// The x coordinate of a product, wiped when dropped.
pub(crate) type Shared = Zeroizing<[u8; 32]>;

/// The bytes are no key of the curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// Zero, or not below the order of the curve. One in 2^127 random values is.
    #[error("not a secret key of secp256k1")]
    Secret,
    /// No point of the curve, or not the form expected.
    #[error("not a point of secp256k1")]
    Public,
}

/// Text that is no peer id: 128 hexadecimal digits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a peer id is 128 hexadecimal digits")]
pub struct InvalidPeerId;

/// Who a node is: its public key, both coordinates, without the tag `0x04`.
///
/// Whether the 64 bytes are a point of the curve is not known until a [`PublicKey`] is made of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 64]);

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

impl FromStr for PeerId {
    type Err = InvalidPeerId;

    fn from_str(text: &str) -> Result<Self, InvalidPeerId> {
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
            return Err(InvalidPeerId);
        };
        let pairs: &[[u8; 2]; 64] = pairs.try_into().map_err(|_| InvalidPeerId)?;
        let mut id = [0; 64];
        for (byte, [high, low]) in id.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(id))
    }
}

fn digit(ascii: u8) -> Result<u8, InvalidPeerId> {
    match ascii {
        b'0'..=b'9' => Ok(ascii - b'0'),
        b'a'..=b'f' => Ok(ascii - b'a' + 10),
        b'A'..=b'F' => Ok(ascii - b'A' + 10),
        _ => Err(InvalidPeerId),
    }
}

/// A public key, known to be a point of the curve.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey {
    point: secp256k1::PublicKey,
    id: PeerId,
}

impl PublicKey {
    /// The key from its compressed form: `0x02` or `0x03` and the x coordinate, as in a record.
    ///
    /// # Errors
    /// When it is no point of the curve.
    pub fn from_compressed(bytes: [u8; 33]) -> Result<Self, InvalidKey> {
        let point = secp256k1::PublicKey::from_byte_array_compressed(bytes);
        point.map(Self::new).map_err(|_| InvalidKey::Public)
    }

    /// The key from its uncompressed form: `0x04` and both coordinates, as in a packet.
    ///
    /// # Errors
    /// When the first byte is another, or it is no point of the curve.
    pub fn from_uncompressed(bytes: [u8; 65]) -> Result<Self, InvalidKey> {
        // The library would take the hybrid forms 0x06 and 0x07 as well.
        if bytes[0] != UNCOMPRESSED {
            return Err(InvalidKey::Public);
        }
        let point = secp256k1::PublicKey::from_byte_array_uncompressed(bytes);
        point.map(Self::new).map_err(|_| InvalidKey::Public)
    }

    /// The key's 64 bytes, which is who its owner is.
    pub const fn id(&self) -> PeerId {
        self.id
    }

    /// The compressed form, 33 bytes.
    pub fn compressed(&self) -> [u8; 33] {
        self.point.serialize()
    }

    /// The uncompressed form, tag included.
    pub(crate) fn uncompressed(&self) -> [u8; 65] {
        let mut bytes = [UNCOMPRESSED; 65];
        bytes[1..].copy_from_slice(&self.id.0);
        bytes
    }

    fn new(point: secp256k1::PublicKey) -> Self {
        let mut id = [0; 64];
        id.copy_from_slice(&point.serialize_uncompressed()[1..]);
        let id = PeerId(id);
        Self { point, id }
    }
}

impl TryFrom<PeerId> for PublicKey {
    type Error = InvalidKey;

    fn try_from(id: PeerId) -> Result<Self, InvalidKey> {
        let mut bytes = [UNCOMPRESSED; 65];
        bytes[1..].copy_from_slice(&id.0);
        Self::from_uncompressed(bytes)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id)
    }
}

/// A secret key with its public key, which is computed once. Wiped when dropped.
#[derive(Clone)]
pub struct SecretKey {
    scalar: secp256k1::SecretKey,
    public: PublicKey,
}

impl SecretKey {
    /// The key from its 32 bytes, most significant first. Costs one base multiplication.
    ///
    /// # Errors
    /// When the number is zero or not below the order of the curve.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, InvalidKey> {
        let scalar =
            secp256k1::SecretKey::from_byte_array(bytes).map_err(|_| InvalidKey::Secret)?;
        let point = secp256k1::PublicKey::from_secret_key(signing(&scalar), &scalar);
        let public = PublicKey::new(point);
        Ok(Self { scalar, public })
    }

    /// The public key that belongs to it.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Who its owner is.
    pub const fn id(&self) -> PeerId {
        self.public.id()
    }

    /// Another key that follows from this one and the label, and tells nothing about it.
    pub(crate) fn derive(&self, label: &[u8]) -> Self {
        let mut seed = Zeroizing::new(self.scalar.secret_bytes());
        loop {
            *seed = Keccak256::of(&[label, &seed[..]]);
            // One hash in 2^127 is no key; the next one is.
            if let Ok(key) = Self::from_bytes(*seed) {
                return key;
            }
        }
    }

    /// The x coordinate of the product with `point`: the shared secret of RLPx and its ECIES.
    pub(crate) fn agree(&self, point: &PublicKey) -> Shared {
        let product = Zeroizing::new(ecdh::shared_secret_point(&point.point, &self.scalar));
        let mut x = Shared::default();
        x.copy_from_slice(&product[..32]);
        x
    }

    /// Signs 32 bytes, deterministically (RFC 6979), so that the signature tells the public key.
    pub(crate) fn sign(&self, digest: [u8; 32]) -> [u8; SIGNATURE_LEN] {
        let digest = Message::from_digest(digest);
        let signature = signing(&self.scalar).sign_ecdsa_recoverable(digest, &self.scalar);
        let (recovery, compact) = signature.serialize_compact();
        let mut bytes = [0; SIGNATURE_LEN];
        bytes[..64].copy_from_slice(&compact);
        bytes[64] = recovery_byte(recovery);
        bytes
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.scalar.non_secure_erase();
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(secret)")
    }
}

/// The key that made a signature over 32 bytes; `None` when no key can have made it.
pub(crate) fn recover(signature: &[u8; SIGNATURE_LEN], digest: [u8; 32]) -> Option<PublicKey> {
    static CURVE: LazyLock<Secp256k1<VerifyOnly>> = LazyLock::new(Secp256k1::verification_only);
    let (compact, recovery) = signature.split_at(64);
    let recovery = RecoveryId::try_from(i32::from(*recovery.first()?)).ok()?;
    let signature = RecoverableSignature::from_compact(compact, recovery).ok()?;
    let point = CURVE.recover_ecdsa(Message::from_digest(digest), &signature);
    point.ok().map(PublicKey::new)
}

const fn recovery_byte(id: RecoveryId) -> u8 {
    match id {
        RecoveryId::Zero => 0,
        RecoveryId::One => 1,
        RecoveryId::Two => 2,
        RecoveryId::Three => 3,
    }
}

/// The table of multiples that keys and signatures are made with: constants, blinded.
///
/// The blinding is a second line of defence against side channels and changes no result. The first
/// secret used seeds it, once in a process; anew for each use, it would cost another multiplication.
fn signing(secret: &secp256k1::SecretKey) -> &'static Secp256k1<SignOnly> {
    static CURVE: OnceLock<Secp256k1<SignOnly>> = OnceLock::new();
    CURVE.get_or_init(|| {
        let mut curve = Secp256k1::signing_only();
        curve.seeded_randomize(&Zeroizing::new(secret.secret_bytes()));
        curve
    })
}

/// The two key pairs that one attempt needs and nobody ever uses again: the handshake's ephemeral
/// pair, and the one that seals our packet.
///
/// Making them costs two base multiplications, about a sixth of our side of the handshake. They
/// depend on nothing, so they can be made ahead of the connection.
pub struct Ephemeral {
    pub(crate) agreement: SecretKey,
    pub(crate) sealing: SecretKey,
}

impl Ephemeral {
    /// Both pairs from 64 secret random bytes.
    ///
    /// # Errors
    /// When one half is no key; draw again.
    ///
    /// # Security
    /// Bytes used twice make two sessions share secrets.
    pub fn from_bytes(bytes: [u8; 64]) -> Result<Self, InvalidKey> {
        let bytes = Zeroizing::new(bytes);
        let half = |at: usize| {
            let mut half = [0; 32];
            half.copy_from_slice(&bytes[at..at + 32]);
            SecretKey::from_bytes(half)
        };
        let (agreement, sealing) = (half(0)?, half(32)?);
        Ok(Self { agreement, sealing })
    }
}

impl fmt::Debug for Ephemeral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ephemeral(secret)")
    }
}

/// What our static key and a peer's static key agree on: the same in every handshake of the two.
///
/// Kept with a known peer, it saves one of our four multiplications of a handshake.
#[derive(Clone)]
pub struct SharedStatic {
    ours: PeerId,
    peer: PublicKey,
    secret: Shared,
}

impl SharedStatic {
    /// Computes it: one multiplication.
    pub fn new(ours: &SecretKey, peer: &PublicKey) -> Self {
        Self {
            ours: ours.id(),
            peer: *peer,
            secret: ours.agree(peer),
        }
    }

    /// The peer it is shared with.
    pub const fn peer(&self) -> &PublicKey {
        &self.peer
    }

    /// Whether it belongs to these two and no others.
    pub(crate) fn is_between(&self, ours: &SecretKey, peer: PeerId) -> bool {
        self.ours == ours.id() && self.peer.id() == peer
    }

    pub(crate) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }
}

impl fmt::Debug for SharedStatic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedStatic(secret, with {})", self.peer.id())
    }
}
