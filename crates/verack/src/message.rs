//! Parts of messages that both networks share.

use peerage_core::wire::{ReadError, Reader, Writer};
use peerage_core::{PeerText, UnixTime};

use crate::dialect::Reject;
use crate::version::NetAddr;

/// The most addresses in one `addr` or `addrv2`.
pub const MAX_ADDRS: usize = 1000;

/// An address in an `addr` message: when it was last seen, then the 26 bytes. 30 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimedAddr {
    /// When the sender last saw it, as claimed.
    pub time: UnixTime,
    /// Where.
    pub addr: NetAddr,
}

impl TimedAddr {
    /// Length on the wire, in bytes.
    pub const LEN: usize = 4 + NetAddr::LEN;

    /// The longest `addr` payload, in bytes.
    pub const MAX_PAYLOAD: usize = 3 + MAX_ADDRS * Self::LEN;
}

/// Reads the list of an `addr` message.
pub(crate) fn read_addrs(reader: &mut Reader<'_>) -> Result<Vec<TimedAddr>, ReadError> {
    let count = reader.count("count", MAX_ADDRS)?;
    let mut addrs = Vec::with_capacity(reader.room_for(count, TimedAddr::LEN));
    for index in 0..count {
        reader.enter("addrs", Some(index));
        let time = UnixTime(reader.u32_le("time")?.into());
        addrs.push(TimedAddr {
            time,
            addr: NetAddr::read(reader)?,
        });
    }
    reader.leave();
    Ok(addrs)
}

/// Writes the list of an `addr` message. A time before 1970 or after 2106 is written as the nearest
/// that fits.
pub(crate) fn write_addrs(addrs: &[TimedAddr], writer: &mut Writer) {
    writer.compact_size(addrs.len() as u64);
    for entry in addrs {
        writer.u32_le(saturated(entry.time));
        entry.addr.write(writer);
    }
}

/// A time as 32 bits.
pub(crate) fn saturated(time: UnixTime) -> u32 {
    u32::try_from(time.0.max(0)).unwrap_or(u32::MAX)
}

impl Reject {
    /// The longest message name in a reject, in bytes.
    pub const MAX_MESSAGE: usize = 12;
    /// The longest reason, in bytes.
    pub const MAX_REASON: usize = 111;
    /// The longest payload, in bytes.
    pub const MAX_PAYLOAD: usize = 1 + Self::MAX_MESSAGE + 1 + 1 + Self::MAX_REASON + 32;
}

/// Reads a `reject`. Source: ZIP 204, "reject".
pub(crate) fn read_reject(reader: &mut Reader<'_>) -> Result<Reject, ReadError> {
    let message = PeerText::new(reader.var_text("message", Reject::MAX_MESSAGE)?);
    let code = reader.u8("code")?;
    let reason = PeerText::new(reader.var_text("reason", Reject::MAX_REASON)?);
    let hash = if reader.is_empty() {
        None
    } else {
        Some(reader.fixed("hash")?)
    };
    Ok(Reject {
        message,
        code,
        reason,
        hash,
    })
}

/// Writes a `reject`.
pub(crate) fn write_reject(reject: &Reject, writer: &mut Writer) {
    writer
        .var_text(reject.message.as_bytes())
        .u8(reject.code)
        .var_text(reject.reason.as_bytes());
    if let Some(hash) = &reject.hash {
        writer.bytes(hash);
    }
}
