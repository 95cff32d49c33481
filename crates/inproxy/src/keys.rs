//! The keys of brokers, volunteers and operators.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use curve25519_dalek::montgomery::MontgomeryPoint;
use peerage_core::{Failure, Kind, Stage};
use peerage_matcher::VolunteerId;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

/// The length of every key here, in bytes.
pub const KEY_LEN: usize = 32;

/// Text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key is 43 characters of base64url, without padding")]
pub struct BadKey;

impl Failure for BadKey {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

fn key_from_text(text: &str) -> Result<[u8; KEY_LEN], BadKey> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadKey)?;
    bytes.try_into().map_err(|_| BadKey)
}

macro_rules! shown {
    ($($name:ident),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = BadKey;

            fn from_str(text: &str) -> Result<Self, BadKey> {
                key_from_text(text).map(Self)
            }
        }
    )+};
}

/// A party of Noise sessions by its X25519 key: a broker, or a volunteer, whose id it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartyKey(pub [u8; KEY_LEN]);

/// An Ed25519 key that signs invitations, destination entries or session records.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignerKey(pub [u8; KEY_LEN]);

shown!(PartyKey, SignerKey);

impl From<PartyKey> for VolunteerId {
    fn from(key: PartyKey) -> Self {
        Self(key.0)
    }
}

impl SignerKey {
    /// Whether `signature` is this key's over `message` (RFC 8032, section 5.1.7).
    pub fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(message, signature)
            .is_ok()
    }
}

/// The secret half of a [`PartyKey`].
#[derive(Clone, PartialEq, Eq)]
pub struct PartySecret([u8; KEY_LEN]);

impl PartySecret {
    /// The key of these 32 random bytes.
    pub const fn new(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// The public half.
    pub fn public(&self) -> PartyKey {
        PartyKey(MontgomeryPoint::mul_base_clamped(self.0).to_bytes())
    }

    /// The bytes, to be kept.
    pub const fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

impl fmt::Debug for PartySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PartySecret(secret)")
    }
}

/// The secret half of a [`SignerKey`].
pub struct SignerSecret(Ed25519KeyPair);

/// The length of a signature, in bytes.
pub const SIGNATURE_LEN: usize = 64;

impl SignerSecret {
    /// The key of these 32 random bytes, the seed of RFC 8032, section 5.1.5.
    #[expect(
        clippy::expect_used,
        reason = "a seed of 32 bytes is the only thing that is checked, and the type has them"
    )]
    pub fn new(seed: &[u8; KEY_LEN]) -> Self {
        Self(Ed25519KeyPair::from_seed_unchecked(seed).expect("every 32 bytes are a seed"))
    }

    /// The public half.
    pub fn public(&self) -> SignerKey {
        let mut bytes = [0; KEY_LEN];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        SignerKey(bytes)
    }

    /// The signature over `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        let mut bytes = [0; SIGNATURE_LEN];
        bytes.copy_from_slice(self.0.sign(message).as_ref());
        bytes
    }
}

impl fmt::Debug for SignerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignerSecret(secret)")
    }
}
