//! `inv`, `getdata` and `notfound`: lists of things by their hashes.

use peerage_core::wire::{ReadError, Reader, Writer};

use super::{ListRule, Payload, read_list, write_list};
use crate::version::ProtocolVersion;

/// The most entries in one `inv`, `getdata` or `notfound`.
pub const MAX_INV: usize = 50_000;

/// The shortest entry, in bytes: a type and one hash.
const MIN_LEN: usize = 4 + 32;

/// One network's kind of inventory entry.
pub(crate) trait Inventory: Sized {
    /// Reads what follows the type code `code`, which stands at `offset`.
    fn read(
        reader: &mut Reader<'_>,
        code: u32,
        offset: usize,
        version: ProtocolVersion,
    ) -> Result<Self, ReadError>;

    /// Writes the type code and what follows it.
    fn write(&self, writer: &mut Writer);
}

pub(crate) fn read_inv<I: Inventory>(
    reader: &mut Reader<'_>,
    version: ProtocolVersion,
) -> Result<Vec<I>, ReadError> {
    let rule = ListRule::up_to(MAX_INV, MIN_LEN).named("count", "inventory");
    read_list(reader, rule, |reader| {
        let offset = reader.offset();
        let code = reader.u32_le("type")?;
        I::read(reader, code, offset, version)
    })
}

impl<I: Inventory> Payload for Vec<I> {
    fn read(reader: &mut Reader<'_>, version: ProtocolVersion) -> Result<Self, ReadError> {
        read_inv(reader, version)
    }

    fn write(&self, writer: &mut Writer) {
        write_list(self, writer, I::write);
    }
}
