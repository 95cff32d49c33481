//! The messages every devp2p connection has, whatever its capabilities.
//!
//! Source: devp2p, `rlpx.md`, "p2p Capability".

use peerage_core::wire::{Problem, ReadError};

use crate::rlp::Reader;

/// The id of Hello.
pub const HELLO: u64 = 0x00;
/// The id of Disconnect.
pub const DISCONNECT: u64 = 0x01;
/// The id of Ping.
pub const PING: u64 = 0x02;
/// The id of Pong.
pub const PONG: u64 = 0x03;

/// The p2p version we speak: 5, the first with Snappy (EIP-706).
pub const VERSION: u64 = 5;

/// The body of Ping and of Pong: the empty list.
pub const EMPTY: &[u8] = &[0xc0];

/// The longest plain body of a Ping or Pong that is read, in bytes. One byte is enough; the rest
/// is room for a later version.
pub const MAX_PING_LEN: usize = 64;

/// The longest plain body of the p2p message with this id, in bytes; `None` where there is none.
pub const fn max_len(id: u64) -> Option<usize> {
    match id {
        HELLO => Some(crate::hello::Hello::MAX_LEN),
        DISCONNECT => Some(crate::disconnect::MAX_LEN),
        PING | PONG => Some(MAX_PING_LEN),
        _ => None,
    }
}

/// Reads the plain body of a Ping or Pong: an empty list, or whatever a later version makes of it,
/// up to [`MAX_PING_LEN`] bytes. Nodes that send no body at all exist.
///
/// # Errors
/// When it is longer.
pub const fn read_ping(body: &[u8]) -> Result<(), ReadError> {
    if body.len() <= MAX_PING_LEN {
        return Ok(());
    }
    let problem = Problem::OverLimit {
        got: body.len() as u64,
        limit: MAX_PING_LEN as u64,
    };
    Err(Reader::error("body", 0, problem))
}
