//! What is wrong with a message.

use peerage_core::wire::{ReadError, TooLong};
use peerage_core::{Detail, Failure, Kind, Stage};

/// Why bytes are no message, or a message is no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StunError {
    /// The header is not that of STUN.
    #[error("not STUN: another protocol answers there")]
    NotStun,
    /// Longer than a message may be.
    #[error("{got} bytes, the limit is {}", super::MAX_LEN)]
    TooLong {
        /// Its length, in bytes.
        got: usize,
    },
    /// The header declares another length.
    #[error("declares {declared} bytes and has {got}")]
    Length {
        /// The length that follows from the header, in bytes.
        declared: usize,
        /// The length, in bytes.
        got: usize,
    },
    /// An attribute cannot be read.
    #[error("cannot read it")]
    Read(#[from] ReadError),
    /// The message would be too long.
    #[error("cannot write it")]
    Write(#[from] TooLong),
    /// More attributes than [`super::MAX_ATTRIBUTES`].
    #[error("more than {} attributes", super::MAX_ATTRIBUTES)]
    TooMany,
    /// The checksum is wrong.
    #[error("FINGERPRINT is wrong: the datagram was damaged, or is of another protocol")]
    BadFingerprint,
    /// Something follows FINGERPRINT.
    #[error("an attribute follows FINGERPRINT, which must be the last")]
    AfterFingerprint,
}

impl Failure for StunError {
    fn stage(&self) -> Stage {
        Stage::Find("stun")
    }

    fn kind(&self) -> Kind {
        match self {
            Self::NotStun => Kind::NotThisProtocol,
            Self::Write(_) => Kind::Bug,
            Self::TooLong { .. }
            | Self::Length { .. }
            | Self::Read(_)
            | Self::TooMany
            | Self::BadFingerprint
            | Self::AfterFingerprint => Kind::Malformed,
        }
    }

    fn detail(&self) -> Detail {
        match self {
            Self::TooLong { got } | Self::Length { got, .. } => Detail::none().with("len", *got),
            Self::NotStun
            | Self::Read(_)
            | Self::Write(_)
            | Self::TooMany
            | Self::BadFingerprint
            | Self::AfterFingerprint => Detail::none(),
        }
    }
}
