//! What callers ask of a broker, and what it replies: the bytes inside a session.
//!
//! `docs/inproxy.md` has each message byte by byte. Everything is bounded here; what a field means is
//! decided in the broker.

mod call;
mod network;
mod reply;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use peerage_core::wire::{ReadError, Reader};
use peerage_matcher::ConnectionId;

use crate::description::Description;
use crate::wire::bad;

pub use call::{Announce, Answer, Call, Offer};
pub use network::Network;
pub use reply::{Answered, Matched, Numbers, Reply, Waiting};

/// The most bytes in a call or a reply, sealed or not, its envelope included.
pub const MAX_MESSAGE_LEN: usize = 4096;
/// The most ids in a list of compartments.
pub const MAX_COMPARTMENTS: usize = 10;
/// The longest destination, `host:port`, in bytes.
pub const MAX_DESTINATION_LEN: usize = 260;
/// The longest text of a refusal, in bytes.
pub const MAX_TEXT_LEN: usize = 200;
/// The most explanations in a reply.
pub const MAX_EXPLANATIONS: usize = 8;
/// The version of everything here.
const VERSION: u8 = 1;

fn read_bytes(
    reader: &mut Reader<'_>,
    field: &'static str,
    limit: usize,
) -> Result<Bytes, ReadError> {
    reader.var_bytes(field, limit).map(Bytes::copy_from_slice)
}

fn read_description(reader: &mut Reader<'_>) -> Result<Bytes, ReadError> {
    read_bytes(reader, "description", Description::MAX_LEN)
}

fn read_connection(reader: &mut Reader<'_>) -> Result<ConnectionId, ReadError> {
    reader.fixed("connection").map(ConnectionId)
}

fn read_bool(reader: &mut Reader<'_>, field: &'static str) -> Result<bool, ReadError> {
    let offset = reader.offset();
    match reader.u8(field)? {
        0 => Ok(false),
        1 => Ok(true),
        got => Err(bad(field, offset, got)),
    }
}

fn begin(bytes: &[u8]) -> Result<(Reader<'_>, u8), ReadError> {
    let mut reader = Reader::new(bytes);
    let version = reader.u8("version")?;
    if version != VERSION {
        return Err(bad("version", 0, version));
    }
    let kind = reader.u8("kind")?;
    Ok((reader, kind))
}
