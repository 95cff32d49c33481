//! Fork ids: do two nodes follow the same rules, and will they?
//!
//! A node states a checksum over its genesis and every fork it has passed, and the next fork it
//! knows of. Whether that fits us depends on our own head, so the [`ForkFilter`] moves with it.
//!
//! Source: EIP-2124 (the rules), EIP-6122 (forks by time).

mod filter;
mod schedule;

use std::fmt;

use peerage_core::wire::{Hex, ReadError};

use crate::rlp::{Extra, Reader, Writer};

pub use filter::{
    ForkError, ForkFilter, RecordEntryError, Relation, Standing, TIME_THRESHOLD, Transition,
};
pub use schedule::{Activation, Fork, Head, Schedule};

/// CRC32 over the genesis hash and the forks passed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForkHash(pub [u8; 4]);

impl fmt::Display for ForkHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

impl fmt::Debug for ForkHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a node stands: the forks it has passed, and the next it knows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForkId {
    /// The forks passed.
    pub hash: ForkHash,
    /// The block or the time of the next fork; 0 where none is known.
    pub next: u64,
}

impl fmt::Display for ForkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.hash, self.next)
    }
}

impl ForkId {
    /// Reads `[hash, next]`. Items that follow are judged by `extra`.
    pub(crate) fn read(reader: &mut Reader<'_>, extra: Extra) -> Result<Self, ReadError> {
        reader.list("fork_id", extra, |reader| {
            Ok(Self {
                hash: ForkHash(reader.fixed("fork_hash")?),
                next: reader.u64("fork_next")?,
            })
        })
    }

    /// Writes `[hash, next]`.
    pub(crate) fn write(self, writer: &mut Writer<'_>) {
        writer.list(|writer| {
            writer.bytes(&self.hash.0).uint(self.next);
        });
    }
}
