//! What stands in Decred messages, filters apart. Source: dcrd `wire`, one file per message.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use peerage_core::wire::{Problem, ReadError, Reader, Writer};
use peerage_core::{Endpoint, PeerText, UnixTime};

use crate::message::{
    self, Hash, ListRule, Listed, MAX_ADDRS, Payload, read_hashes, read_list, write_hashes,
    write_list,
};
use crate::version::{ProtocolVersion, Services};

/// One entry of `inv`, `getdata` or `notfound`, 36 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inventory {
    /// What it is.
    pub kind: InventoryKind,
    /// Its hash.
    pub hash: Hash,
}

/// What an inventory entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InventoryKind {
    /// Nothing. Code 0.
    Error,
    /// A transaction. Code 1.
    Tx,
    /// A block. Code 2.
    Block,
    /// A block, filtered. Code 3.
    FilteredBlock,
    /// A mixing message. Code 4.
    Mix,
    /// A kind that nobody knows yet; it does not block the entries beside it.
    Other(u32),
}

impl message::Inventory for Inventory {
    fn read(
        reader: &mut Reader<'_>,
        code: u32,
        _: usize,
        _: ProtocolVersion,
    ) -> Result<Self, ReadError> {
        let kind = match code {
            0 => InventoryKind::Error,
            1 => InventoryKind::Tx,
            2 => InventoryKind::Block,
            3 => InventoryKind::FilteredBlock,
            4 => InventoryKind::Mix,
            other => InventoryKind::Other(other),
        };
        Ok(Self {
            kind,
            hash: Hash::read(reader, "hash")?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        let code = match self.kind {
            InventoryKind::Error => 0,
            InventoryKind::Tx => 1,
            InventoryKind::Block => 2,
            InventoryKind::FilteredBlock => 3,
            InventoryKind::Mix => 4,
            InventoryKind::Other(code) => code,
        };
        writer.u32_le(code).bytes(&self.hash.0);
    }
}

/// An address in an `addrv2` message. Not the format of BIP 155: the time has 64 bits, services have
/// a fixed size, there is no length, and the port is little-endian.
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
pub(super) const MAX_ADDRV2_PAYLOAD: usize = 3 + MAX_ADDRS * (8 + 8 + 1 + 32 + 2);

/// The list is not empty, and an id that nobody knows fails the whole message.
impl Payload for Vec<AddrV2> {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        let rule = ListRule::up_to(MAX_ADDRS, MIN_ADDRV2_LEN).named("count", "addrs");
        read_list(reader, rule.not_empty(), AddrV2::read)
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
            NetworkAddr::TorV3(_) => return None,
        };
        Some(Listed {
            time: self.time,
            services: self.services,
            endpoint: Endpoint::new(ip, self.port),
        })
    }

    pub(super) fn of(listed: &Listed) -> Self {
        Self {
            time: listed.time,
            services: listed.services,
            addr: match listed.endpoint.ip() {
                IpAddr::V4(ip) => NetworkAddr::Ipv4(ip),
                IpAddr::V6(ip) => NetworkAddr::Ipv6(ip),
            },
            port: listed.endpoint.port(),
        }
    }

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

/// `feefilter`: transactions that pay less are not to be announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeFilter {
    /// The least fee, in atoms a kilobyte.
    pub min_fee: i64,
}

impl Payload for FeeFilter {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        Ok(Self {
            min_fee: reader.i64_le("min_fee")?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.i64_le(self.min_fee);
    }
}

/// A block header, 180 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Block version.
    pub version: i32,
    /// The block before.
    pub previous: Hash,
    /// The root of the regular transactions.
    pub merkle_root: Hash,
    /// The root of the stake transactions.
    pub stake_root: Hash,
    /// What the votes in it say of the block before.
    pub vote_bits: u16,
    /// The state of the lottery after the block before.
    pub final_state: [u8; 6],
    /// How many votes it holds.
    pub voters: u16,
    /// How many tickets were bought in it.
    pub fresh_stake: u8,
    /// How many tickets were revoked in it.
    pub revocations: u8,
    /// How many tickets are live.
    pub pool_size: u32,
    /// The target in its compact form.
    pub bits: u32,
    /// The price of a ticket, in atoms.
    pub ticket_price: i64,
    /// Its height.
    pub height: u32,
    /// The size of its block, in bytes.
    pub size: u32,
    /// The miner's clock.
    pub time: u32,
    /// The miner's choice.
    pub nonce: u32,
    /// More room for the miner's choice.
    pub extra_data: [u8; 32],
    /// The stake version.
    pub stake_version: u32,
}

impl Header {
    /// Length on the wire, in bytes.
    pub const LEN: usize = 180;
    /// The most headers in one message.
    pub const MAX: usize = 2000;
    /// The longest `headers` payload, in bytes: each header is followed by a zero count.
    pub const MAX_PAYLOAD: usize = 3 + Self::MAX * (Self::LEN + 1);

    fn read(reader: &mut Reader<'_>) -> Result<Self, ReadError> {
        Ok(Self {
            version: reader.i32_le("version")?,
            previous: Hash::read(reader, "previous")?,
            merkle_root: Hash::read(reader, "merkle_root")?,
            stake_root: Hash::read(reader, "stake_root")?,
            vote_bits: reader.u16_le("vote_bits")?,
            final_state: reader.fixed("final_state")?,
            voters: reader.u16_le("voters")?,
            fresh_stake: reader.u8("fresh_stake")?,
            revocations: reader.u8("revocations")?,
            pool_size: reader.u32_le("pool_size")?,
            bits: reader.u32_le("bits")?,
            ticket_price: reader.i64_le("ticket_price")?,
            height: reader.u32_le("height")?,
            size: reader.u32_le("size")?,
            time: reader.u32_le("time")?,
            nonce: reader.u32_le("nonce")?,
            extra_data: reader.fixed("extra_data")?,
            stake_version: reader.u32_le("stake_version")?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer
            .i32_le(self.version)
            .bytes(&self.previous.0)
            .bytes(&self.merkle_root.0)
            .bytes(&self.stake_root.0)
            .u16_le(self.vote_bits)
            .bytes(&self.final_state)
            .u16_le(self.voters)
            .u8(self.fresh_stake)
            .u8(self.revocations)
            .u32_le(self.pool_size)
            .u32_le(self.bits)
            .i64_le(self.ticket_price)
            .u32_le(self.height)
            .u32_le(self.size)
            .u32_le(self.time)
            .u32_le(self.nonce)
            .bytes(&self.extra_data)
            .u32_le(self.stake_version);
    }
}

impl Payload for Vec<Header> {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        let rule = ListRule::up_to(Header::MAX, Header::LEN + 1).named("count", "headers");
        read_list(reader, rule, |reader| {
            let header = Header::read(reader)?;
            message::read_zero_count(reader)?;
            Ok(header)
        })
    }

    fn write(&self, writer: &mut Writer) {
        write_list(self, writer, |header, writer| {
            header.write(writer);
            writer.u8(0);
        });
    }
}

/// `getinitstate`: which parts of the state are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetInitState {
    /// Names such as `headblocks`, `headblockvotes` and `tspends`: at most 32 of at most 32 bytes of
    /// printable ASCII.
    pub types: Vec<PeerText>,
}

impl GetInitState {
    /// The most names.
    pub const MAX_TYPES: usize = 32;
    /// The longest name, in bytes.
    pub const MAX_TYPE_LEN: usize = 32;
}

impl Payload for GetInitState {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        let rule = ListRule::up_to(Self::MAX_TYPES, 1).named("count", "types");
        let types = read_list(reader, rule, |reader| {
            super::read_printable(reader, "name", Self::MAX_TYPE_LEN)
        })?;
        Ok(Self { types })
    }

    fn write(&self, writer: &mut Writer) {
        write_list(&self.types, writer, |name, writer| {
            writer.var_text(name.as_bytes());
        });
    }
}

/// The most blocks in `initstate` and `miningstate`.
const MAX_STATE_BLOCKS: usize = 8;
/// The most votes in `initstate` and `miningstate`.
const MAX_STATE_VOTES: usize = 40;
/// The most treasury spends in `initstate`.
const MAX_STATE_TSPENDS: usize = 7;

/// `initstate`: what a node needs to start mining or voting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitState {
    /// Blocks at the tip, at most 8.
    pub blocks: Vec<Hash>,
    /// Votes on them, at most 40.
    pub votes: Vec<Hash>,
    /// Treasury spends, at most 7.
    pub tspends: Vec<Hash>,
}

impl Payload for InitState {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        Ok(Self {
            blocks: read_hashes(reader, "block_count", "blocks", MAX_STATE_BLOCKS)?,
            votes: read_hashes(reader, "vote_count", "votes", MAX_STATE_VOTES)?,
            tspends: read_hashes(reader, "tspend_count", "tspends", MAX_STATE_TSPENDS)?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        write_hashes(&self.blocks, writer);
        write_hashes(&self.votes, writer);
        write_hashes(&self.tspends, writer);
    }
}

/// `miningstate`: the old form of [`InitState`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MiningState {
    /// The version of the message.
    pub version: u32,
    /// The height of the blocks.
    pub height: u32,
    /// Blocks at the tip, at most 8.
    pub blocks: Vec<Hash>,
    /// Votes on them, at most 40.
    pub votes: Vec<Hash>,
}

impl Payload for MiningState {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        Ok(Self {
            version: reader.u32_le("version")?,
            height: reader.u32_le("height")?,
            blocks: read_hashes(reader, "block_count", "blocks", MAX_STATE_BLOCKS)?,
            votes: read_hashes(reader, "vote_count", "votes", MAX_STATE_VOTES)?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.u32_le(self.version).u32_le(self.height);
        write_hashes(&self.blocks, writer);
        write_hashes(&self.votes, writer);
    }
}
