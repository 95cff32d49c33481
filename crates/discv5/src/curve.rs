//! Every curve operation and hash of the crate, so that the backend can be changed in one place.
//!
//! The backend is libsecp256k1. Costs below are CPU time on a 2020s server core, roughly; they say
//! what must stand behind a cheap check.

use std::fmt;
use std::sync::{LazyLock, OnceLock};

use secp256k1::ecdh::shared_secret_point;
use secp256k1::ecdsa::Signature;
use secp256k1::{Message, Secp256k1, SignOnly, VerifyOnly};
use sha3::{Digest as _, Keccak256};
use zeroize::Zeroizing;

use crate::node_id::NodeId;

/// Keccak-256, the hash of Ethereum before SHA-3 was final.
pub fn keccak256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Keccak256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// These 32 bytes are no secret key: zero, or not below the order of the curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no secp256k1 secret key: draw them again")]
pub struct BadSecretKey;

/// These bytes name no point of the curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no secp256k1 public key")]
pub struct BadPublicKey;

/// The signature does not fit the key and the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not valid")]
pub struct BadSignature;

static VERIFYING: LazyLock<Secp256k1<VerifyOnly>> = LazyLock::new(Secp256k1::verification_only);

/// The table of multiples that keys and signatures are made with, blinded once in a process by the
/// first secret used; see `docs/decisions/0005-curve-and-hash.md`.
fn signing(secret: &secp256k1::SecretKey) -> &'static Secp256k1<SignOnly> {
    static SIGNING: OnceLock<Secp256k1<SignOnly>> = OnceLock::new();
    SIGNING.get_or_init(|| {
        let mut curve = Secp256k1::signing_only();
        curve.seeded_randomize(&Zeroizing::new(secret.secret_bytes()));
        curve
    })
}

/// A node's secret key. Shown nowhere, and overwritten when dropped.
pub struct SecretKey(secp256k1::SecretKey);

impl SecretKey {
    /// The key with these bytes.
    ///
    /// # Errors
    /// [`BadSecretKey`] for about one in 2^128 random strings.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, BadSecretKey> {
        match secp256k1::SecretKey::from_byte_array(bytes) {
            Ok(key) => Ok(Self(key)),
            Err(_) => Err(BadSecretKey),
        }
    }

    /// The bytes, for whoever stores the key.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.secret_bytes()
    }

    /// The public key. A base multiplication: tens of microseconds.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.public_key(signing(&self.0)))
    }

    /// Signs a digest, deterministically (RFC 6979): `r‖s`. Tens of microseconds.
    pub fn sign(&self, digest: [u8; 32]) -> [u8; 64] {
        let signature = signing(&self.0).sign_ecdsa(Message::from_digest(digest), &self.0);
        signature.serialize_compact()
    }

    /// The compressed shared point. Discovery v5 derives its keys from the point itself, not from
    /// its hash (discv5-theory, "Sessions"). Tens of microseconds.
    pub fn shared_point(&self, theirs: &PublicKey) -> [u8; 33] {
        let point = shared_secret_point(&theirs.0, &self.0);
        let mut compressed = [0; 33];
        compressed[0] = 2 + (point[63] & 1);
        compressed[1..].copy_from_slice(&point[..32]);
        compressed
    }
}

impl Clone for SecretKey {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.0.non_secure_erase();
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

/// A point of the curve.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(secp256k1::PublicKey);

impl PublicKey {
    /// The point that 33 bytes name. A square root: a few microseconds.
    ///
    /// # Errors
    /// [`BadPublicKey`] when there is none.
    pub fn from_compressed(bytes: &[u8; 33]) -> Result<Self, BadPublicKey> {
        match secp256k1::PublicKey::from_byte_array_compressed(*bytes) {
            Ok(key) => Ok(Self(key)),
            Err(_) => Err(BadPublicKey),
        }
    }

    /// The 33 bytes that records and handshakes carry.
    pub fn compressed(&self) -> [u8; 33] {
        self.0.serialize()
    }

    /// `x‖y`, as RLPx and `enode://` want it.
    pub fn uncompressed(&self) -> [u8; 64] {
        let tagged = self.0.serialize_uncompressed();
        let mut point = [0; 64];
        point.copy_from_slice(&tagged[1..]);
        point
    }

    /// The identity of the node with this key.
    pub fn node_id(&self) -> NodeId {
        NodeId(keccak256(&[&self.uncompressed()]))
    }

    /// Checks `r‖s` over a digest. Only the lower of the two possible `s` is valid, as every
    /// deployed implementation has it. Tens of microseconds.
    ///
    /// # Errors
    /// [`BadSignature`] when it does not fit.
    pub fn verify(&self, digest: [u8; 32], signature: &[u8; 64]) -> Result<(), BadSignature> {
        let signature = Signature::from_compact(signature).map_err(|_| BadSignature)?;
        VERIFYING
            .verify_ecdsa(Message::from_digest(digest), &signature, &self.0)
            .map_err(|_| BadSignature)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
