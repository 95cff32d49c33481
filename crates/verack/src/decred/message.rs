//! Decred messages after the handshake.
//!
//! Source: dcrd `wire`, the "MaxPayloadLength" of each message for the sizes.

use bytes::Bytes;
use peerage_core::wire::{Problem, ReadError, Reader, Writer};

use super::body::{
    AddrV2, FeeFilter, GetInitState, Header, InitState, Inventory, MAX_ADDRV2_PAYLOAD, MiningState,
};
use super::filters::{
    CFHeaders, CFTypes, CFilter, CFilterV2, GetCFHeaders, GetCFilter, GetCFilterV2, GetCFsV2,
};
use crate::command::Command;
use crate::dialect;
use crate::message::{ALWAYS, Listed, Locators, MAX_ADDRS, Payload, Reject, TimedAddr, messages};
use crate::version::ProtocolVersion;

/// Versions that know `addr`.
const ADDR: std::ops::RangeInclusive<u32> = 0..=11;
/// Versions that know `addrv2`, which replaces `addr`.
const ADDR_V2: std::ops::RangeInclusive<u32> = 12..=u32::MAX;
/// Versions that mix.
const MIX: std::ops::RangeInclusive<u32> = 10..=u32::MAX;

messages! {
    /// A Decred message of an established peer.
    ///
    /// There is no version and no verack: a second one cannot be represented.
    ///
    /// ```compile_fail,E0599
    /// let message = peerage_verack::decred::Message::Verack;
    /// ```
    pub enum Message {
        empty {
            /// Asks for addresses.
            GetAddr = "getaddr", ALWAYS;
            /// Asks for the hashes of transactions that wait for a block.
            Mempool = "mempool", ALWAYS;
            /// Asks that blocks be announced by their headers.
            SendHeaders = "sendheaders", ALWAYS;
            /// Asks for the mining state; its old form.
            GetMiningState = "getminings", ALWAYS;
            /// Asks which filters there are.
            GetCFTypes = "getcftypes", ALWAYS;
        }
        body {
            /// Asks for a pong with the same nonce.
            Ping(u64) = "ping", 8, ALWAYS;
            /// Answers a ping.
            Pong(u64) = "pong", 8, ALWAYS;
            /// Addresses, at most 1,000; below protocol version 12 only.
            Addr(Vec<TimedAddr>) = "addr", TimedAddr::MAX_PAYLOAD, ADDR;
            /// Addresses of several kinds of network, 1 to 1,000; from protocol version 12 on.
            AddrV2(Vec<AddrV2>) = "addrv2", MAX_ADDRV2_PAYLOAD, ADDR_V2;
            /// The least fee of transactions to announce, in atoms a kilobyte.
            FeeFilter(FeeFilter) = "feefilter", 8, ALWAYS;
            /// Says what the sender has, at most 50,000 entries.
            Inv(Vec<Inventory>) = "inv", 1_800_003, ALWAYS;
            /// Asks for things, at most 50,000 entries.
            GetData(Vec<Inventory>) = "getdata", 1_800_003, ALWAYS;
            /// Says what the sender does not have, at most 50,000 entries.
            NotFound(Vec<Inventory>) = "notfound", 1_800_003, ALWAYS;
            /// Asks for block hashes.
            GetBlocks(Locators) = "getblocks", Locators::MAX_PAYLOAD, ALWAYS;
            /// Asks for headers.
            GetHeaders(Locators) = "getheaders", Locators::MAX_PAYLOAD, ALWAYS;
            /// Headers, at most 2,000.
            Headers(Vec<Header>) = "headers", Header::MAX_PAYLOAD, ALWAYS;
            /// Asks for what a node needs to start mining or voting.
            GetInitState(GetInitState) = "getinitstate", 1_057, ALWAYS;
            /// Blocks, votes and treasury spends to start with.
            InitState(InitState) = "initstate", 1_763, ALWAYS;
            /// Blocks and votes to mine on; its old form.
            MiningState(MiningState) = "miningstate", 1_546, ALWAYS;
            /// Asks for a filter of the first kind; retired.
            GetCFilter(GetCFilter) = "getcfilter", 33, ALWAYS;
            /// A filter of the first kind; retired.
            CFilter(CFilter) = "cfilter", 262_182, ALWAYS;
            /// Asks for filter headers; retired.
            GetCFHeaders(GetCFHeaders) = "getcfheaders", 16_036, ALWAYS;
            /// Filter headers; retired.
            CFHeaders(CFHeaders) = "cfheaders", 64_036, ALWAYS;
            /// Kinds of filters; retired.
            CFTypes(CFTypes) = "cftypes", 259, ALWAYS;
            /// Asks for the filter of a block.
            GetCFilterV2(GetCFilterV2) = "getcfilterv2", 32, ALWAYS;
            /// The filter of a block, with its proof.
            CFilterV2(CFilterV2) = "cfilterv2", CFilterV2::MAX_PAYLOAD, ALWAYS;
            /// Asks for the filters of a span of blocks.
            GetCFsV2(GetCFsV2) = "getcfsv2", 64, ALWAYS;
            /// The filters of a span of blocks, at most 100.
            CFiltersV2(Vec<CFilterV2>) = "cfiltersv2", 26_321_001, ALWAYS;
        }
        opaque {
            "version", 358, ALWAYS;
            "block", 1_310_720, ALWAYS;
            "tx", 1_310_720, ALWAYS;
            "mixpairreq", 8_476_848, MIX;
            "mixkeyxchg", 17_815, MIX;
            "mixcphrtxt", 552_584, MIX;
            "mixslotres", 17_318_030, MIX;
            "mixdcnet", 20_988_047, MIX;
            "mixfactpoly", 49_291, MIX;
            "mixconfirm", 1_016_520, MIX;
            "mixsecrets", 70_831, MIX;
        }
    }
}

impl Message {
    /// `addrv2` replaces `addr` where both know it, and may not be empty.
    pub(crate) fn listing(addrs: &[Listed], version: ProtocolVersion) -> Self {
        let addrs = addrs.iter().take(MAX_ADDRS);
        if ADDR_V2.contains(&version.0) {
            Self::AddrV2(addrs.map(AddrV2::of).collect())
        } else {
            Self::Addr(addrs.map(Into::into).collect())
        }
    }

    /// Decred removed `reject` at version 9, below the least that is accepted.
    #[expect(clippy::unused_self, reason = "the other network has one")]
    pub(crate) const fn rejection(&self) -> Option<&Reject> {
        None
    }
}
