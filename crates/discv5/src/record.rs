//! A node's record (ENR, EIP-778): its signed description of itself.
//!
//! ```text
//! bytes, text ──decode──► Unverified ──verify──► Record ──► Builder ──sign──► Record
//!               no curve            one curve             (seq + 1 if anything changed)
//!               operation           verification
//! ```
//!
//! Decoding checks the form: at most 300 bytes, keys ascending and unique, the "v4" scheme and its
//! key present. Only [`Unverified::verify`] touches the curve, so that whoever receives records
//! can put cheap checks first; a [`Verifier`] remembers what it has verified.

mod builder;
mod error;
mod fields;
mod verifier;

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::curve::{PublicKey, keccak256};
use crate::node_id::NodeId;
use crate::rlp;

pub use builder::Builder;
pub use error::RecordError;
pub use fields::{Family, Fields};
pub use verifier::{Verified, Verifier};

/// The most bytes a record may have (EIP-778).
pub const MAX_LEN: usize = 300;

/// What the text form starts with.
const PREFIX: &str = "enr:";

/// A well-formed record whose signature nobody has checked yet. Its [`Fields`] are mere claims.
#[derive(Clone, PartialEq, Eq)]
pub struct Unverified(Fields);

impl Unverified {
    /// Reads a record that takes up all of `bytes`, without any curve operation.
    ///
    /// # Errors
    /// When the form is wrong or the identity scheme is not "v4".
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        Fields::decode(bytes).map(Self)
    }

    /// Checks that the holder of the record's key signed it. One curve verification and one square
    /// root: tens of microseconds.
    ///
    /// # Errors
    /// When the key is no point of the curve, or the signature is not valid.
    pub fn verify(self) -> Result<Record, RecordError> {
        let key = PublicKey::from_compressed(self.0.public_key_bytes())
            .map_err(|_| RecordError::BadPublicKey)?;
        key.verify(self.0.signed_digest(), self.0.signature())
            .map_err(|_| RecordError::BadSignature)?;
        Ok(Record {
            node_id: key.node_id(),
            fields: self.0,
        })
    }

    /// The node id that the claimed key stands for. A square root: a few microseconds.
    ///
    /// # Errors
    /// When the key is no point of the curve.
    pub fn claimed_node_id(&self) -> Result<NodeId, RecordError> {
        PublicKey::from_compressed(self.0.public_key_bytes())
            .map(|key| key.node_id())
            .map_err(|_| RecordError::BadPublicKey)
    }
}

impl Deref for Unverified {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.0
    }
}

/// Reads the text form: `enr:` and URL-safe base64 without padding.
impl FromStr for Unverified {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Self, RecordError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(RecordError::NoPrefix)?;
        let len = encoded.len() / 4 * 3;
        if len > MAX_LEN {
            return Err(RecordError::TooLong { len });
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(encoded)
            .map_err(|_| RecordError::BadBase64)?;
        Self::decode(&bytes)
    }
}

impl fmt::Debug for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unverified({:?})", self.0)
    }
}

/// A record that the holder of its key has signed. Cheap to clone: the bytes are shared.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    fields: Fields,
    node_id: NodeId,
}

impl Record {
    /// The node this record describes.
    pub const fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// The node's key. A square root: a few microseconds.
    ///
    /// # Errors
    /// Never for a verified record; the error type is that of the curve.
    pub fn public_key(&self) -> Result<PublicKey, RecordError> {
        PublicKey::from_compressed(self.fields.public_key_bytes())
            .map_err(|_| RecordError::BadPublicKey)
    }

    /// The node's key as `x‖y`, which an RLPx dial needs.
    ///
    /// # Errors
    /// As [`Self::public_key`].
    pub fn uncompressed_public_key(&self) -> Result<[u8; 64], RecordError> {
        self.public_key().map(|key| key.uncompressed())
    }

    /// A builder that starts from this record's entries and sequence number.
    pub fn to_builder(&self) -> Builder {
        Builder::continuing(self)
    }
}

impl Deref for Record {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.fields
    }
}

/// The text form.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fields.to_text())
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({:?} {:?})", self.node_id, self.fields)
    }
}

/// What the "v4" scheme signs: keccak256 of the list without its signature.
fn signed_digest(content: &[u8]) -> [u8; 32] {
    let mut header = Vec::with_capacity(3);
    rlp::put_list_header(&mut header, content.len());
    keccak256(&[&header, content])
}
