//! Zcash messages after the handshake.
//!
//! Sources: ZIP 204, "Message Types"; ZIP 155 for `addrv2`; ZIP 239 for inventory.

use bytes::Bytes;
use peerage_core::wire::{Problem, ReadError, Reader, Writer};

use super::body::{
    AddrV2, Alert, FilterAdd, FilterLoad, Header, Inventory, MAX_ADDRV2_PAYLOAD,
    MAX_HEADERS_PAYLOAD,
};
use crate::command::Command;
use crate::dialect;
use crate::message::{ALWAYS, Listed, Locators, MAX_ADDRS, Payload, Reject, TimedAddr, messages};
use crate::version::ProtocolVersion;

/// Where no count gives a smaller bound: the overall limit. ZIP 204, "Maximum Message Size".
const ALL: usize = 2_097_152;

messages! {
    /// A Zcash message of an established peer.
    ///
    /// There is no version and no verack: a second one cannot be represented.
    ///
    /// ```compile_fail,E0599
    /// let message = peerage_verack::zcash::Message::Verack;
    /// ```
    pub enum Message {
        empty {
            /// Asks for addresses.
            GetAddr = "getaddr", ALWAYS;
            /// Asks for the hashes of transactions that wait for a block.
            Mempool = "mempool", ALWAYS;
            /// Takes the bloom filter back.
            FilterClear = "filterclear", ALWAYS;
        }
        body {
            /// Asks for a pong with the same nonce.
            Ping(u64) = "ping", 8, ALWAYS;
            /// Answers a ping.
            Pong(u64) = "pong", 8, ALWAYS;
            /// Says why a message of ours was refused.
            Reject(Reject) = "reject", Reject::MAX_PAYLOAD, ALWAYS;
            /// Addresses, at most 1,000.
            Addr(Vec<TimedAddr>) = "addr", TimedAddr::MAX_PAYLOAD, ALWAYS;
            /// Addresses of several kinds of network, at most 1,000. No deployed node sends it yet.
            AddrV2(Vec<AddrV2>) = "addrv2", MAX_ADDRV2_PAYLOAD, ALWAYS;
            /// Says what the sender has, at most 50,000 entries.
            Inv(Vec<Inventory>) = "inv", ALL, ALWAYS;
            /// Asks for things, at most 50,000 entries.
            GetData(Vec<Inventory>) = "getdata", ALL, ALWAYS;
            /// Says what the sender does not have, at most 50,000 entries.
            NotFound(Vec<Inventory>) = "notfound", ALL, ALWAYS;
            /// Asks for block hashes, answered by at most 500.
            GetBlocks(Locators) = "getblocks", Locators::MAX_PAYLOAD, ALWAYS;
            /// Asks for headers, answered by at most 160.
            GetHeaders(Locators) = "getheaders", Locators::MAX_PAYLOAD, ALWAYS;
            /// Headers, at most 160.
            Headers(Vec<Header>) = "headers", MAX_HEADERS_PAYLOAD, ALWAYS;
            /// Sets a bloom filter.
            FilterLoad(FilterLoad) = "filterload", FilterLoad::MAX_PAYLOAD, ALWAYS;
            /// Adds to a bloom filter.
            FilterAdd(FilterAdd) = "filteradd", FilterAdd::MAX_PAYLOAD, ALWAYS;
            /// A signed alert; retired.
            Alert(Alert) = "alert", ALL, ALWAYS;
        }
        opaque {
            // Beyond the 344 bytes that have a meaning, trailing bytes are tolerated.
            "version", 1024, ALWAYS;
            "block", ALL, ALWAYS;
            "tx", ALL, ALWAYS;
            // The answer to a getdata for a filtered block.
            "merkleblock", ALL, ALWAYS;
        }
    }
}

impl Message {
    /// No deployed node knows `addrv2`.
    pub(crate) fn listing(addrs: &[Listed], _: ProtocolVersion) -> Self {
        Self::Addr(addrs.iter().take(MAX_ADDRS).map(Into::into).collect())
    }

    pub(crate) fn rejection(&self) -> Option<&Reject> {
        if let Self::Reject(reject) = self {
            Some(reject)
        } else {
            None
        }
    }
}
