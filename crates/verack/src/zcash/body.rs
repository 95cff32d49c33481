//! What stands in Zcash messages.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use peerage_core::wire::{Problem, ReadError, Reader, Writer};
use peerage_core::{Endpoint, UnixTime};

use crate::message::{
    self, Hash, ListRule, Listed, MAX_ADDRS, Payload, read_list, saturated, write_list,
};
use crate::version::{ProtocolVersion, Services};

/// From this version on `inv` may name transactions by [`Inventory::Wtx`]. Source: ZIP 239.
const WTX_FROM: ProtocolVersion = ProtocolVersion(170_014);

/// One entry of `inv`, `getdata` or `notfound`. Source: ZIP 204, "Inventory Vectors".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Inventory {
    /// No data; any hash. Code 0, 36 bytes.
    Error(Hash),
    /// A transaction of version 4 or less, by its txid. Code 1, 36 bytes.
    Tx(Hash),
    /// A block. Code 2, 36 bytes.
    Block(Hash),
    /// A block, filtered by the bloom filter set before. Code 3, 36 bytes.
    FilteredBlock(Hash),
    /// A transaction of version 5 or more, by both its hashes. Code 5, 68 bytes; from protocol
    /// version 170014 on.
    Wtx {
        /// The transaction's id.
        txid: Hash,
        /// The hash of its authorising data.
        auth_digest: Hash,
    },
}

impl message::Inventory for Inventory {
    fn read(
        reader: &mut Reader<'_>,
        code: u32,
        offset: usize,
        version: ProtocolVersion,
    ) -> Result<Self, ReadError> {
        Ok(match code {
            0 => Self::Error(Hash::read(reader, "hash")?),
            1 => Self::Tx(Hash::read(reader, "txid")?),
            2 => Self::Block(Hash::read(reader, "block_hash")?),
            3 => Self::FilteredBlock(Hash::read(reader, "block_hash")?),
            5 if version >= WTX_FROM => Self::Wtx {
                txid: Hash::read(reader, "txid")?,
                auth_digest: Hash::read(reader, "auth_digest")?,
            },
            got => {
                let problem = Problem::BadValue { got: got.into() };
                return Err(Reader::error("type", offset, problem));
            }
        })
    }

    fn write(&self, writer: &mut Writer) {
        let (code, hash) = match self {
            Self::Error(hash) => (0, hash),
            Self::Tx(hash) => (1, hash),
            Self::Block(hash) => (2, hash),
            Self::FilteredBlock(hash) => (3, hash),
            Self::Wtx { txid, .. } => (5, txid),
        };
        writer.u32_le(code).bytes(&hash.0);
        if let Self::Wtx { auth_digest, .. } = self {
            writer.bytes(&auth_digest.0);
        }
    }
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
pub(super) const MAX_ADDRV2_PAYLOAD: usize = 3 + MAX_ADDRS * (4 + 9 + 1 + 3 + MAX_ADDR_LEN + 2);

/// Entries of networks that nobody knows are left out and so never gossiped on; id 3, the retired
/// Tor v2, is one of them.
impl Payload for Vec<AddrV2> {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        let rule = ListRule::up_to(MAX_ADDRS, MIN_ADDRV2_LEN).named("count", "addrs");
        let addrs = read_list(reader, rule, AddrV2::read)?;
        Ok(addrs.into_iter().flatten().collect())
    }

    fn write(&self, writer: &mut Writer) {
        write_list(self, writer, AddrV2::write);
    }
}

impl AddrV2 {
    /// The address, if it is one of IP.
    pub(super) fn listed(&self) -> Option<Listed> {
        let ip = match self.addr {
            NetworkAddr::Ipv4(ip) => ip.into(),
            NetworkAddr::Ipv6(ip) => ip.into(),
            NetworkAddr::TorV3(_) | NetworkAddr::I2p(_) | NetworkAddr::Cjdns(_) => return None,
        };
        Some(Listed {
            time: self.time,
            services: self.services,
            endpoint: Endpoint::new(ip, self.port),
        })
    }

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

/// A block header, its Equihash solution unchecked. Source: Zcash Protocol Specification, "Block
/// Header Encoding and Consensus".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Block version.
    pub version: i32,
    /// The block before.
    pub previous: Hash,
    /// The root of the transactions.
    pub merkle_root: Hash,
    /// What the chain commits to; its meaning depends on the upgrade.
    pub commitments: Hash,
    /// The miner's clock.
    pub time: u32,
    /// The target in its compact form.
    pub bits: u32,
    /// The miner's choice.
    pub nonce: [u8; 32],
    /// The Equihash solution: 1,344 bytes on the public chains, 36 on regtest.
    pub solution: Bytes,
}

/// The longest Equihash solution, in bytes.
const MAX_SOLUTION: usize = 1344;

/// A header without its solution, in bytes.
const HEADER_LEN: usize = 140;

/// The most headers in one message. Source: ZIP 204, "headers".
const MAX_HEADERS: usize = 160;

/// The longest `headers` payload, in bytes: each header is followed by a zero count.
pub(super) const MAX_HEADERS_PAYLOAD: usize = 3 + MAX_HEADERS * (HEADER_LEN + 3 + MAX_SOLUTION + 1);

impl Payload for Vec<Header> {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        let rule = ListRule::up_to(MAX_HEADERS, HEADER_LEN + 2).named("count", "headers");
        read_list(reader, rule, |reader| {
            let header = Header {
                version: reader.i32_le("version")?,
                previous: Hash::read(reader, "previous")?,
                merkle_root: Hash::read(reader, "merkle_root")?,
                commitments: Hash::read(reader, "commitments")?,
                time: reader.u32_le("time")?,
                bits: reader.u32_le("bits")?,
                nonce: reader.fixed("nonce")?,
                solution: {
                    let solution = reader.var_bytes("solution", MAX_SOLUTION)?;
                    Bytes::copy_from_slice(solution)
                },
            };
            message::read_zero_count(reader)?;
            Ok(header)
        })
    }

    fn write(&self, writer: &mut Writer) {
        write_list(self, writer, |header, writer| {
            writer
                .i32_le(header.version)
                .bytes(&header.previous.0)
                .bytes(&header.merkle_root.0)
                .bytes(&header.commitments.0)
                .u32_le(header.time)
                .u32_le(header.bits)
                .bytes(&header.nonce)
                .var_text(&header.solution)
                .u8(0);
        });
    }
}

/// `filterload`: a bloom filter. Source: BIP 37.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterLoad {
    /// The filter, at most 36,000 bytes.
    pub filter: Bytes,
    /// How many hash functions.
    pub hash_functions: u32,
    /// What is mixed into their seeds.
    pub tweak: u32,
    /// How the filter is updated.
    pub flags: u8,
}

impl FilterLoad {
    /// The longest filter, in bytes.
    pub const MAX_FILTER: usize = 36_000;
    /// The longest payload, in bytes.
    pub const MAX_PAYLOAD: usize = 3 + Self::MAX_FILTER + 4 + 4 + 1;
}

impl Payload for FilterLoad {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        Ok(Self {
            filter: Bytes::copy_from_slice(reader.var_bytes("filter", Self::MAX_FILTER)?),
            hash_functions: reader.u32_le("hash_functions")?,
            tweak: reader.u32_le("tweak")?,
            flags: reader.u8("flags")?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer
            .var_text(&self.filter)
            .u32_le(self.hash_functions)
            .u32_le(self.tweak)
            .u8(self.flags);
    }
}

/// `filteradd`: data to add to the filter, at most 520 bytes. Source: BIP 37.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterAdd {
    /// The data.
    pub data: Bytes,
}

impl FilterAdd {
    /// The longest data, in bytes.
    pub const MAX_DATA: usize = 520;
    /// The longest payload, in bytes.
    pub const MAX_PAYLOAD: usize = 3 + Self::MAX_DATA;
}

impl Payload for FilterAdd {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        let data = reader.var_bytes("data", Self::MAX_DATA)?;
        Ok(Self {
            data: Bytes::copy_from_slice(data),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.var_text(&self.data);
    }
}

/// `alert`: retired; its two parts are kept as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// What was signed.
    pub payload: Bytes,
    /// The signature over it.
    pub signature: Bytes,
}

impl Payload for Alert {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        // The payload's own size bounds both.
        let most = reader.left();
        let payload = Bytes::copy_from_slice(reader.var_bytes("payload", most)?);
        let signature = Bytes::copy_from_slice(reader.var_bytes("signature", most)?);
        Ok(Self { payload, signature })
    }

    fn write(&self, writer: &mut Writer) {
        writer.var_text(&self.payload).var_text(&self.signature);
    }
}
