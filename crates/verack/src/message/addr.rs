//! `addr`: addresses with the time they were last seen.

use peerage_core::wire::{ReadError, Reader, Writer};
use peerage_core::{Endpoint, UnixTime};

use super::{ListRule, Payload, read_list, write_list};
use crate::version::{NetAddr, ProtocolVersion, Services};

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

/// An address that a peer tells of, whatever the form of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Listed {
    /// When the peer last saw it, as claimed.
    pub time: UnixTime,
    /// Services claimed for it.
    pub services: Services,
    /// Where it can be dialled.
    pub endpoint: Endpoint,
}

impl From<&TimedAddr> for Listed {
    fn from(entry: &TimedAddr) -> Self {
        Self {
            time: entry.time,
            services: entry.addr.services,
            endpoint: entry.addr.endpoint(),
        }
    }
}

impl From<&Listed> for TimedAddr {
    fn from(listed: &Listed) -> Self {
        Self {
            time: listed.time,
            addr: NetAddr::new(listed.services, listed.endpoint),
        }
    }
}

impl TimedAddr {
    /// Length on the wire, in bytes.
    pub const LEN: usize = 4 + NetAddr::LEN;

    /// The longest `addr` payload, in bytes.
    pub const MAX_PAYLOAD: usize = 3 + MAX_ADDRS * Self::LEN;
}

/// A time before 1970 or after 2106 is written as the nearest that fits.
impl Payload for Vec<TimedAddr> {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        let rule = ListRule::up_to(MAX_ADDRS, TimedAddr::LEN).named("count", "addrs");
        read_list(reader, rule, |reader| {
            let time = UnixTime(reader.u32_le("time")?.into());
            Ok(TimedAddr {
                time,
                addr: NetAddr::read(reader)?,
            })
        })
    }

    fn write(&self, writer: &mut Writer) {
        write_list(self, writer, |entry, writer| {
            writer.u32_le(saturated(entry.time));
            entry.addr.write(writer);
        });
    }
}

/// A time as 32 bits.
pub(crate) fn saturated(time: UnixTime) -> u32 {
    u32::try_from(time.0.max(0)).unwrap_or(u32::MAX)
}
