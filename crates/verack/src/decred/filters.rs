//! Committed filters: both kinds. Source: dcrd `wire`, one file per message.

use bytes::Bytes;
use peerage_core::wire::{ReadError, Reader, Writer};

use super::body::Header;
use crate::message::{
    Hash, ListRule, Locators, Payload, read_hashes, read_list, write_hashes, write_list,
};
use crate::version::ProtocolVersion;

/// The longest filter, in bytes.
const MAX_FILTER: usize = 262_144;

/// `getcfilter`: asks for a filter of the first kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetCFilter {
    /// The block.
    pub block: Hash,
    /// The kind of filter.
    pub filter_type: u8,
}

impl Payload for GetCFilter {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        Ok(Self {
            block: Hash::read(reader, "block_hash")?,
            filter_type: reader.u8("filter_type")?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.bytes(&self.block.0).u8(self.filter_type);
    }
}

/// `cfilter`: a filter of the first kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CFilter {
    /// The block.
    pub block: Hash,
    /// The kind of filter.
    pub filter_type: u8,
    /// The filter, at most 256 KiB.
    pub data: Bytes,
}

impl Payload for CFilter {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        Ok(Self {
            block: Hash::read(reader, "block_hash")?,
            filter_type: reader.u8("filter_type")?,
            data: Bytes::copy_from_slice(reader.var_bytes("data", MAX_FILTER)?),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer
            .bytes(&self.block.0)
            .u8(self.filter_type)
            .var_text(&self.data);
    }
}

/// `getcfheaders`: asks for filter headers of the first kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetCFHeaders {
    /// Known block hashes, newest first, at most 500.
    pub hashes: Vec<Hash>,
    /// Where to stop.
    pub stop: Hash,
    /// The kind of filter.
    pub filter_type: u8,
}

impl Payload for GetCFHeaders {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        Ok(Self {
            hashes: read_hashes(reader, "locator_count", "locators", Locators::MAX)?,
            stop: Hash::read(reader, "stop_hash")?,
            filter_type: reader.u8("filter_type")?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        write_hashes(&self.hashes, writer);
        writer.bytes(&self.stop.0).u8(self.filter_type);
    }
}

/// `cfheaders`: filter headers of the first kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CFHeaders {
    /// The last block.
    pub stop: Hash,
    /// The kind of filter.
    pub filter_type: u8,
    /// The headers, at most 2,000.
    pub headers: Vec<Hash>,
}

impl Payload for CFHeaders {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        Ok(Self {
            stop: Hash::read(reader, "stop_hash")?,
            filter_type: reader.u8("filter_type")?,
            headers: read_hashes(reader, "count", "headers", Header::MAX)?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.bytes(&self.stop.0).u8(self.filter_type);
        write_hashes(&self.headers, writer);
    }
}

/// `cftypes`: the kinds of filters there are, at most 256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CFTypes {
    /// The kinds.
    pub types: Vec<u8>,
}

impl Payload for CFTypes {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        Ok(Self {
            types: reader.var_bytes("types", 256)?.to_vec(),
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.var_text(&self.types);
    }
}

/// `getcfilterv2`: asks for the filter of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetCFilterV2 {
    /// The block.
    pub block: Hash,
}

impl Payload for GetCFilterV2 {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        Ok(Self {
            block: Hash::read(reader, "block_hash")?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.bytes(&self.block.0);
    }
}

/// `cfilterv2`: the filter of a block, with the proof that the header commits to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CFilterV2 {
    /// The block.
    pub block: Hash,
    /// The filter, at most 256 KiB.
    pub data: Bytes,
    /// Where the filter stands among the header's commitments.
    pub proof_index: u32,
    /// The hashes of the proof, at most 32.
    pub proof: Vec<Hash>,
}

impl CFilterV2 {
    /// The most hashes of a proof.
    pub const MAX_PROOF: usize = 32;
    /// The longest payload, in bytes.
    pub const MAX_PAYLOAD: usize = Hash::LEN + 5 + MAX_FILTER + 4 + 1 + Self::MAX_PROOF * Hash::LEN;
    /// The most filters in one `cfiltersv2`.
    pub const MAX_BATCH: usize = 100;
}

impl Payload for CFilterV2 {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        Ok(Self {
            block: Hash::read(reader, "block_hash")?,
            data: Bytes::copy_from_slice(reader.var_bytes("data", MAX_FILTER)?),
            proof_index: reader.u32_le("proof_index")?,
            proof: read_hashes(reader, "proof_count", "proof", Self::MAX_PROOF)?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer
            .bytes(&self.block.0)
            .var_text(&self.data)
            .u32_le(self.proof_index);
        write_hashes(&self.proof, writer);
    }
}

/// `getcfsv2`: asks for the filters of a span of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetCFsV2 {
    /// The first block.
    pub start: Hash,
    /// The last block.
    pub end: Hash,
}

impl Payload for GetCFsV2 {
    fn read(reader: &mut Reader<'_>, _: ProtocolVersion) -> Result<Self, ReadError> {
        Ok(Self {
            start: Hash::read(reader, "start_hash")?,
            end: Hash::read(reader, "end_hash")?,
        })
    }

    fn write(&self, writer: &mut Writer) {
        writer.bytes(&self.start.0).bytes(&self.end.0);
    }
}

impl Payload for Vec<CFilterV2> {
    fn read(reader: &mut Reader<'_>, version: ProtocolVersion) -> Result<Self, ReadError> {
        let least = Hash::LEN + 1 + 4 + 1;
        let rule = ListRule::up_to(CFilterV2::MAX_BATCH, least).named("count", "filters");
        read_list(reader, rule, |reader| CFilterV2::read(reader, version))
    }

    fn write(&self, writer: &mut Writer) {
        write_list(self, writer, CFilterV2::write);
    }
}
