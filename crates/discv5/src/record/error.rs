//! Why a record is refused.

use peerage_core::{Detail, Failure, Kind, PeerText, Stage};

use super::MAX_LEN;
use crate::rlp::RlpError;

/// Why bytes or text are no record, or a record cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The text does not start with `enr:`.
    #[error("a record's text starts with enr:")]
    NoPrefix,
    /// The text is no URL-safe base64 without padding.
    #[error("the text after enr: is no URL-safe base64 without padding: is it cut off?")]
    BadBase64,
    /// More bytes than a record may have.
    #[error("the record has {len} bytes, {MAX_LEN} are allowed: leave entries out")]
    TooLong {
        /// The length, in bytes.
        len: usize,
    },
    /// No list of a signature, a sequence number and pairs.
    #[error("the record is malformed")]
    Malformed(#[from] RlpError),
    /// The last key has no value.
    #[error("the last key has no value")]
    OddPairs,
    /// Keys out of order, or one twice.
    #[error("the keys are not in ascending order, each once")]
    KeysOutOfOrder,
    /// Another identity scheme than "v4", or none.
    #[error("the identity scheme is {scheme:?}, only v4 is known")]
    UnknownScheme {
        /// What the `id` entry says; empty if there is none.
        scheme: PeerText,
    },
    /// No `secp256k1` entry of 33 bytes.
    #[error("there is no secp256k1 entry of 33 bytes")]
    NoPublicKey,
    /// The key is no point of the curve.
    #[error("the public key is no point of the curve")]
    BadPublicKey,
    /// The signature does not fit.
    #[error("the record is not signed by its own key")]
    BadSignature,
    /// The builder was given an entry that only signing writes.
    #[error("the entry {key:?} is written by signing: leave it out")]
    ReservedKey {
        /// The entry's key.
        key: PeerText,
    },
    /// The builder was given a value that is not exactly one RLP item.
    #[error("the value of {key:?} is not one RLP item")]
    BadValue {
        /// The entry's key.
        key: PeerText,
        /// What is wrong with it.
        #[source]
        error: RlpError,
    },
    /// The previous record belongs to another key.
    #[error("the previous record belongs to another key: give the key that signed it, or neither")]
    AnotherIdentity,
    /// The sequence number cannot grow any more.
    #[error("the sequence number is the last there is: take a new key")]
    SequenceExhausted,
}

impl Failure for RecordError {
    fn stage(&self) -> Stage {
        Stage::Input
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NoPrefix
            | Self::ReservedKey { .. }
            | Self::BadValue { .. }
            | Self::AnotherIdentity
            | Self::SequenceExhausted => Kind::Usage,
            Self::UnknownScheme { .. } => Kind::Incompatible,
            Self::BadBase64
            | Self::TooLong { .. }
            | Self::Malformed(_)
            | Self::OddPairs
            | Self::KeysOutOfOrder
            | Self::NoPublicKey
            | Self::BadPublicKey
            | Self::BadSignature => Kind::Malformed,
        }
    }

    fn detail(&self) -> Detail {
        match self {
            Self::TooLong { len } => Detail::none().with("len", *len).with("limit", MAX_LEN),
            Self::UnknownScheme { scheme } => Detail::none().with("scheme", scheme.clone()),
            Self::ReservedKey { key } | Self::BadValue { key, .. } => {
                Detail::none().with("key", key.clone())
            }
            Self::NoPrefix
            | Self::BadBase64
            | Self::Malformed(_)
            | Self::OddPairs
            | Self::KeysOutOfOrder
            | Self::NoPublicKey
            | Self::BadPublicKey
            | Self::BadSignature
            | Self::AnotherIdentity
            | Self::SequenceExhausted => Detail::none(),
        }
    }
}
