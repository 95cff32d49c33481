//! Decred messages after the handshake.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use peerage_core::UnixTime;
use peerage_core::wire::{Problem, ReadError, Reader, Writer};

use crate::dialect::{self, Reject};
use crate::envelope::Command;
use crate::message::{MAX_ADDRS, TimedAddr, read_addrs, write_addrs};
use crate::version::{ProtocolVersion, Services};

/// A Decred message of an established peer.
///
/// There is no version and no verack: a second one cannot be represented.
///
/// ```compile_fail,E0599
/// let message = peerage_verack::decred::Message::Verack;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// Asks for a pong with the same nonce.
    Ping(u64),
    /// Answers a ping.
    Pong(u64),
    /// Asks for addresses.
    GetAddr,
    /// Addresses, at most 1,000; below protocol version 12 only.
    Addr(Vec<TimedAddr>),
    /// Addresses of several kinds of network, 1 to 1,000; from protocol version 12 on.
    AddrV2(Vec<AddrV2>),
    /// Any other message: its size is checked, its payload is carried as it came.
    Opaque {
        /// Its command.
        command: Command,
        /// Its payload.
        payload: Bytes,
    },
}

/// An address in an `addrv2` message. Not the format of BIP 155: the time has 64 bits, services have
/// a fixed size, there is no length, and the port is little-endian. Source: dcrd `wire`,
/// "MsgAddrV2".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddrV2 {
    /// When the sender last saw it, as claimed.
    pub time: UnixTime,
    /// Services claimed for it.
    pub services: Services,
    /// The address.
    pub addr: NetworkAddr,
    /// The port.
    pub port: u16,
}

/// An address on one of the networks that Decred knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NetworkAddr {
    /// IPv4, id 1.
    Ipv4(Ipv4Addr),
    /// IPv6, id 2.
    Ipv6(Ipv6Addr),
    /// The Ed25519 key of a version 3 onion service, id 3.
    TorV3([u8; 32]),
}

/// The shortest `addrv2` entry, in bytes: time, services, id, IPv4, port.
const MIN_ADDRV2_LEN: usize = 8 + 8 + 1 + 4 + 2;

/// The longest `addrv2` payload, in bytes.
const MAX_ADDRV2_PAYLOAD: usize = 3 + MAX_ADDRS * (8 + 8 + 1 + 32 + 2);

/// A command, its longest payload in bytes, and the protocol versions that have it.
type Row = (Command, usize, u32, u32);

/// Commands and sizes. Source: dcrd `wire`, the "MaxPayloadLength" of each message.
const SIZES: &[Row] = {
    /// `addrv2` replaces `addr` here.
    const ADDR_V2: u32 = 12;
    /// Mixing begins here.
    const MIX: u32 = 10;
    const fn always(name: &'static str, max: usize) -> Row {
        (Command::from_static(name), max, 0, u32::MAX)
    }
    const fn from(first: u32, name: &'static str, max: usize) -> Row {
        (Command::from_static(name), max, first, u32::MAX)
    }
    const fn until(last: u32, name: &'static str, max: usize) -> Row {
        (Command::from_static(name), max, 0, last)
    }
    &[
        always("version", 358),
        always("ping", 8),
        always("pong", 8),
        always("getaddr", 0),
        until(ADDR_V2 - 1, "addr", TimedAddr::MAX_PAYLOAD),
        from(ADDR_V2, "addrv2", MAX_ADDRV2_PAYLOAD),
        always("mempool", 0),
        always("sendheaders", 0),
        always("feefilter", 8),
        always("inv", 1_800_003),
        always("getdata", 1_800_003),
        always("notfound", 1_800_003),
        always("getblocks", 16_039),
        always("getheaders", 16_039),
        always("headers", 362_003),
        always("block", 1_310_720),
        always("tx", 1_310_720),
        always("getminings", 0),
        always("miningstate", 1_546),
        always("getinitstate", 1_057),
        always("initstate", 1_763),
        always("getcfilter", 33),
        always("cfilter", 262_182),
        always("getcfheaders", 16_036),
        always("cfheaders", 64_036),
        always("getcftypes", 0),
        always("cftypes", 259),
        always("getcfilterv2", 32),
        always("cfilterv2", 263_210),
        always("getcfsv2", 64),
        always("cfiltersv2", 26_321_001),
        from(MIX, "mixpairreq", 8_476_848),
        from(MIX, "mixkeyxchg", 17_815),
        from(MIX, "mixcphrtxt", 552_584),
        from(MIX, "mixslotres", 17_318_030),
        from(MIX, "mixdcnet", 20_988_047),
        from(MIX, "mixfactpoly", 49_291),
        from(MIX, "mixconfirm", 1_016_520),
        from(MIX, "mixsecrets", 70_831),
    ]
};

const PING: Command = Command::from_static("ping");
const PONG: Command = Command::from_static("pong");
const GETADDR: Command = Command::from_static("getaddr");
const ADDR: Command = Command::from_static("addr");
const ADDRV2: Command = Command::from_static("addrv2");

/// The longest payload of a command between peers of `version`: 0 where the command is known but
/// not in that version, `None` where nobody knows it.
pub(super) fn max_payload(command: Command, version: ProtocolVersion) -> Option<usize> {
    let row = SIZES.iter().find(|(known, ..)| *known == command);
    row.map(|&(_, max, first, last)| {
        if (first..=last).contains(&version.0) {
            max
        } else {
            0
        }
    })
}

impl dialect::Message for Message {
    fn command(&self) -> Command {
        match self {
            Self::Ping(_) => PING,
            Self::Pong(_) => PONG,
            Self::GetAddr => GETADDR,
            Self::Addr(_) => ADDR,
            Self::AddrV2(_) => ADDRV2,
            Self::Opaque { command, .. } => *command,
        }
    }

    fn read(
        command: Command,
        reader: &mut Reader<'_>,
        payload: &Bytes,
        _: ProtocolVersion,
    ) -> Result<Self, ReadError> {
        let message = match command {
            PING => Self::Ping(reader.u64_le("nonce")?),
            PONG => Self::Pong(reader.u64_le("nonce")?),
            GETADDR => Self::GetAddr,
            ADDR => Self::Addr(read_addrs(reader)?),
            ADDRV2 => Self::AddrV2(read_addrs_v2(reader)?),
            _ => {
                reader.rest("payload");
                Self::Opaque {
                    command,
                    payload: payload.clone(),
                }
            }
        };
        reader.finish()?;
        Ok(message)
    }

    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Ping(nonce) | Self::Pong(nonce) => {
                writer.u64_le(*nonce);
            }
            Self::GetAddr => {}
            Self::Addr(addrs) => write_addrs(addrs, writer),
            Self::AddrV2(addrs) => {
                writer.compact_size(addrs.len() as u64);
                addrs.iter().for_each(|addr| addr.write(writer));
            }
            Self::Opaque { payload, .. } => {
                writer.bytes(payload);
            }
        }
    }

    fn ping(nonce: u64) -> Self {
        Self::Ping(nonce)
    }

    fn pong(nonce: u64) -> Self {
        Self::Pong(nonce)
    }

    fn ping_nonce(&self) -> Option<u64> {
        if let Self::Ping(nonce) = self {
            Some(*nonce)
        } else {
            None
        }
    }

    fn pong_nonce(&self) -> Option<u64> {
        if let Self::Pong(nonce) = self {
            Some(*nonce)
        } else {
            None
        }
    }

    /// Decred removed `reject` at version 9, below the least that is accepted.
    fn reject(&self) -> Option<&Reject> {
        None
    }
}

/// Reads an `addrv2` list: not empty, and an id that nobody knows fails the whole message.
fn read_addrs_v2(reader: &mut Reader<'_>) -> Result<Vec<AddrV2>, ReadError> {
    let offset = reader.offset();
    let count = reader.count("count", MAX_ADDRS)?;
    if count == 0 {
        return Err(Reader::error(
            "count",
            offset,
            Problem::UnderLimit { got: 0, limit: 1 },
        ));
    }
    let mut addrs = Vec::with_capacity(reader.room_for(count, MIN_ADDRV2_LEN));
    for index in 0..count {
        reader.enter("addrs", Some(index));
        addrs.push(AddrV2::read(reader)?);
    }
    reader.leave();
    Ok(addrs)
}

impl AddrV2 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, ReadError> {
        let time = UnixTime(reader.u64_le("time")?.cast_signed());
        let services = Services(reader.u64_le("services")?);
        let offset = reader.offset();
        let addr = match reader.u8("network_id")? {
            1 => NetworkAddr::Ipv4(reader.ipv4("addr")?),
            2 => NetworkAddr::Ipv6(reader.ipv6("addr")?),
            3 => NetworkAddr::TorV3(reader.fixed("addr")?),
            got => {
                let problem = Problem::BadValue { got: got.into() };
                return Err(Reader::error("network_id", offset, problem));
            }
        };
        let port = reader.u16_le("port")?;
        Ok(Self {
            time,
            services,
            addr,
            port,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer
            .u64_le(self.time.0.cast_unsigned())
            .u64_le(self.services.0);
        match &self.addr {
            NetworkAddr::Ipv4(ip) => writer.u8(1).bytes(&ip.octets()),
            NetworkAddr::Ipv6(ip) => writer.u8(2).bytes(&ip.octets()),
            NetworkAddr::TorV3(key) => writer.u8(3).bytes(key),
        };
        writer.u16_le(self.port);
    }
}
