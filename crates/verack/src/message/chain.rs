//! Hashes and locators: where somebody stands on the chain.

use std::fmt;

use peerage_core::wire::{Hex, ReadError, Reader, Writer};

use super::{ListRule, Payload, read_list, write_list};
use crate::version::ProtocolVersion;

/// A 32-byte hash as it stands on the wire. Shown with its bytes reversed, as explorers do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Length on the wire, in bytes.
    pub const LEN: usize = 32;

    pub(crate) fn read(reader: &mut Reader<'_>, field: &'static str) -> Result<Self, ReadError> {
        reader.fixed(field).map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reversed = self.0;
        reversed.reverse();
        Hex(&reversed).fmt(f)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `getblocks` and `getheaders`: hashes the sender knows, newest first, at most 500, and where to
/// stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locators {
    /// A protocol version, which nobody needs to honour.
    pub version: u32,
    /// Known hashes, newest first.
    pub hashes: Vec<Hash>,
    /// Where to stop; all zero for as far as possible.
    pub stop: Hash,
}

impl Locators {
    /// The most hashes. Source: dcrd `wire`, "MaxBlockLocatorsPerMsg"; ZIP 204 gives no number, and
    /// a chain of 2^500 blocks needs no more.
    pub const MAX: usize = 500;

    /// The longest payload, in bytes.
    pub const MAX_PAYLOAD: usize = 4 + 3 + Self::MAX * Hash::LEN + Hash::LEN;
}

impl Payload for Locators {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        let version = reader.u32_le("version")?;
        let hashes = read_hashes(reader, "locator_count", "locators", Self::MAX)?;
        let stop = Hash::read(reader, "stop_hash")?;
        Ok(Self {
            version,
            hashes,
            stop,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.u32_le(self.version);
        write_hashes(&self.hashes, writer);
        writer.bytes(&self.stop.0);
    }
}

/// Reads a list of at most `most` hashes.
pub(crate) fn read_hashes(
    reader: &mut Reader<'_>,
    count: &'static str,
    entries: &'static str,
    most: usize,
) -> Result<Vec<Hash>, ReadError> {
    let rule = ListRule::up_to(most, Hash::LEN).named(count, entries);
    read_list(reader, rule, |reader| Hash::read(reader, "hash"))
}

/// Writes a list of hashes.
pub(crate) fn write_hashes(hashes: &[Hash], writer: &mut Writer) {
    write_list(hashes, writer, |hash, writer| {
        writer.bytes(&hash.0);
    });
}
