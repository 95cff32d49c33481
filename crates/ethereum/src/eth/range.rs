//! Which blocks a peer can serve.

use peerage_core::Kind;
use peerage_core::wire::ReadError;

use crate::rlp::{Reader, Writer};

/// The blocks whose bodies and receipts a node has: both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockRange {
    /// The number of the earliest.
    pub earliest: u64,
    /// The number of the latest.
    pub latest: u64,
    /// The hash of the latest.
    pub latest_hash: [u8; 32],
}

/// Why a block range makes no sense. Either is a breach of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RangeError {
    /// It ends before it begins.
    #[error("the block range begins at {earliest} and ends at {latest}")]
    Inverted {
        /// The earliest block stated.
        earliest: u64,
        /// The latest block stated.
        latest: u64,
    },
    /// A hash of zeros only.
    #[error("the hash of the latest block is zero")]
    ZeroHash,
}

impl RangeError {
    /// What went wrong.
    pub const fn kind(&self) -> Kind {
        Kind::Violation
    }
}

impl BlockRange {
    /// Whether it makes sense.
    ///
    /// # Errors
    /// When it ends before it begins or its hash is zero.
    pub fn check(&self) -> Result<(), RangeError> {
        let Self {
            earliest, latest, ..
        } = *self;
        if earliest > latest {
            return Err(RangeError::Inverted { earliest, latest });
        }
        if self.latest_hash == [0; 32] {
            return Err(RangeError::ZeroHash);
        }
        Ok(())
    }

    /// Whether the bodies and receipts of this block can be asked for.
    pub const fn contains(&self, number: u64) -> bool {
        self.earliest <= number && number <= self.latest
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, ReadError> {
        Ok(Self {
            earliest: reader.u64("earliest")?,
            latest: reader.u64("latest")?,
            latest_hash: reader.fixed("latest_hash")?,
        })
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer
            .uint(self.earliest)
            .uint(self.latest)
            .bytes(&self.latest_hash);
    }
}
