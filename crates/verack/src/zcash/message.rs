//! Zcash messages after the handshake.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use peerage_core::UnixTime;
use peerage_core::wire::{Problem, ReadError, Reader, Writer};

use crate::dialect::{self, Reject};
use crate::envelope::Command;
use crate::message::{
    MAX_ADDRS, TimedAddr, read_addrs, read_reject, saturated, write_addrs, write_reject,
};
use crate::version::{ProtocolVersion, Services};

/// A Zcash message of an established peer.
///
/// There is no version and no verack: a second one cannot be represented.
///
/// ```compile_fail,E0599
/// let message = peerage_verack::zcash::Message::Verack;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// Asks for a pong with the same nonce.
    Ping(u64),
    /// Answers a ping.
    Pong(u64),
    /// Says why a message of ours was refused.
    Reject(Reject),
    /// Asks for addresses.
    GetAddr,
    /// Addresses, at most 1,000.
    Addr(Vec<TimedAddr>),
    /// Addresses of several kinds of network, at most 1,000. No deployed node sends it yet.
    AddrV2(Vec<AddrV2>),
    /// Any other message: its size is checked, its payload is carried as it came.
    Opaque {
        /// Its command.
        command: Command,
        /// Its payload.
        payload: Bytes,
    },
}

/// An address in an `addrv2` message. Source: ZIP 155.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddrV2 {
    /// When the sender last saw it, as claimed.
    pub time: UnixTime,
    /// Services claimed for it.
    pub services: Services,
    /// The address.
    pub addr: NetworkAddr,
    /// The port; 0 where the network has none.
    pub port: u16,
}

/// An address on one of the networks that ZIP 155 knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NetworkAddr {
    /// IPv4, id 1.
    Ipv4(Ipv4Addr),
    /// IPv6, id 2.
    Ipv6(Ipv6Addr),
    /// The Ed25519 key of a version 3 onion service, id 4.
    TorV3([u8; 32]),
    /// The SHA-256 hash of an I2P destination, id 5.
    I2p([u8; 32]),
    /// A CJDNS address, id 6.
    Cjdns(Ipv6Addr),
}

/// The longest address of a network nobody knows yet, in bytes. Source: ZIP 155.
const MAX_ADDR_LEN: usize = 512;

/// The shortest `addrv2` entry, in bytes: time, services, id, length, empty address, port.
const MIN_ADDRV2_LEN: usize = 4 + 1 + 1 + 1 + 2;

/// The longest `addrv2` payload, in bytes.
const MAX_ADDRV2_PAYLOAD: usize = 3 + MAX_ADDRS * (4 + 9 + 1 + 3 + MAX_ADDR_LEN + 2);

/// Commands and the longest payload of each, in bytes. Sources: ZIP 204, "Message Types"; where it
/// gives no number, the size follows from the counts it allows, capped by the overall limit.
const SIZES: &[(Command, usize)] = {
    const ALL: usize = 2_097_152;
    const fn row(name: &'static str, max: usize) -> (Command, usize) {
        (Command::from_static(name), max)
    }
    &[
        // Beyond the 344 bytes that have a meaning, trailing bytes are tolerated.
        row("version", 1024),
        row("ping", 8),
        row("pong", 8),
        row("reject", Reject::MAX_PAYLOAD),
        row("addr", TimedAddr::MAX_PAYLOAD),
        row("addrv2", MAX_ADDRV2_PAYLOAD),
        row("getaddr", 0),
        row("inv", ALL),
        row("getdata", ALL),
        row("notfound", ALL),
        row("getblocks", ALL),
        row("getheaders", ALL),
        // 160 headers of 1,487 bytes on the main chain, each followed by a zero.
        row("headers", 3 + 160 * (140 + 3 + 1344 + 1)),
        row("block", ALL),
        row("tx", ALL),
        row("mempool", 0),
        row("filterload", 3 + 36_000 + 9),
        row("filteradd", 3 + 520),
        row("filterclear", 0),
        row("alert", ALL),
    ]
};

const PING: Command = Command::from_static("ping");
const PONG: Command = Command::from_static("pong");
const REJECT: Command = Command::from_static("reject");
const GETADDR: Command = Command::from_static("getaddr");
const ADDR: Command = Command::from_static("addr");
const ADDRV2: Command = Command::from_static("addrv2");

/// The longest payload of a command; `None` when nobody knows it.
pub(super) fn max_payload(command: Command) -> Option<usize> {
    SIZES
        .iter()
        .find(|(known, _)| *known == command)
        .map(|(_, max)| *max)
}

impl dialect::Message for Message {
    fn command(&self) -> Command {
        match self {
            Self::Ping(_) => PING,
            Self::Pong(_) => PONG,
            Self::Reject(_) => REJECT,
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
            REJECT => Self::Reject(read_reject(reader)?),
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
            Self::Reject(reject) => write_reject(reject, writer),
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

    fn reject(&self) -> Option<&Reject> {
        if let Self::Reject(reject) = self {
            Some(reject)
        } else {
            None
        }
    }
}

/// Reads an `addrv2` list. Entries of networks that nobody knows are left out and so never gossiped
/// on; id 3, the retired Tor v2, is one of them.
fn read_addrs_v2(reader: &mut Reader<'_>) -> Result<Vec<AddrV2>, ReadError> {
    let count = reader.count("count", MAX_ADDRS)?;
    let mut addrs = Vec::with_capacity(reader.room_for(count, MIN_ADDRV2_LEN));
    for index in 0..count {
        reader.enter("addrs", Some(index));
        addrs.extend(AddrV2::read(reader)?);
    }
    reader.leave();
    Ok(addrs)
}

impl AddrV2 {
    fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, ReadError> {
        let time = UnixTime(reader.u32_le("time")?.into());
        let services = Services(reader.compact_size("services")?);
        let id = reader.u8("network_id")?;
        let offset = reader.offset();
        let len = reader.count("addr_len", MAX_ADDR_LEN)?;
        let expected = match id {
            1 => Some(4),
            2 | 6 => Some(16),
            4 | 5 => Some(32),
            _ => None,
        };
        if let Some(expected) = expected.filter(|expected| *expected != len) {
            let problem = Problem::WrongLength {
                got: len as u64,
                expected: expected as u64,
            };
            return Err(Reader::error("addr_len", offset, problem));
        }
        let addr = match id {
            1 => Some(NetworkAddr::Ipv4(reader.ipv4("addr")?)),
            2 => Some(NetworkAddr::Ipv6(reader.ipv6("addr")?)),
            4 => Some(NetworkAddr::TorV3(reader.fixed("addr")?)),
            5 => Some(NetworkAddr::I2p(reader.fixed("addr")?)),
            6 => Some(NetworkAddr::Cjdns(reader.ipv6("addr")?)),
            _ => {
                reader.bytes("addr", len)?;
                None
            }
        };
        let port = reader.u16_be("port")?;
        Ok(addr.map(|addr| Self {
            time,
            services,
            addr,
            port,
        }))
    }

    fn write(&self, writer: &mut Writer) {
        writer
            .u32_le(saturated(self.time))
            .compact_size(self.services.0);
        match &self.addr {
            NetworkAddr::Ipv4(ip) => writer.u8(1).var_text(&ip.octets()),
            NetworkAddr::Ipv6(ip) => writer.u8(2).var_text(&ip.octets()),
            NetworkAddr::TorV3(key) => writer.u8(4).var_text(key),
            NetworkAddr::I2p(hash) => writer.u8(5).var_text(hash),
            NetworkAddr::Cjdns(ip) => writer.u8(6).var_text(&ip.octets()),
        };
        writer.u16_be(self.port);
    }
}
