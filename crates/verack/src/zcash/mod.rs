//! Zcash: its messages, its table and its rules.
//!
//! Sources: ZIP 204 (framing, handshake, messages), ZIP 155 (`addrv2`), ZIP 201 (minimum versions);
//! zebra-network 15 where deployed peers differ from the text.

mod body;
mod message;

use std::time::Duration;

use peerage_core::wire::{ReadError, Reader};
use peerage_core::{Budget, Endpoint, Network, PeerText, UnixTime};
use sha2::{Digest, Sha256};

use crate::command::Command;
use crate::dialect::{
    Dialect, Early, OutboundVerack, PolicyTurn, Rules, ToMyself, Unknown, read_relay,
};
use crate::table::Table;
use crate::version::{Height, NetAddr, Nonce, ProtocolVersion, Services, Version};

pub use body::{AddrV2, Alert, FilterAdd, FilterLoad, Header, Inventory, NetworkAddr};
pub use message::Message;

/// The network's name.
pub const NETWORK: Network = Network("zcash");

/// What an unintroduced peer may send before its `version`, and again before its `verack`:
/// 8 messages and 4 KiB, envelopes included. ZIP 204 allows none; zebra 15 was seen to read 980 MB
/// of pings, and zcashd's peers send a few by mistake.
pub const EARLY_BUDGET: Budget = Budget::new(8, 4096);

/// The checksum of an empty payload, which half the messages of a handshake have.
const CHECKSUM_OF_NOTHING: [u8; 4] = [0x5d, 0xf6, 0xe0, 0xe2];

/// The Zcash dialect.
#[derive(Clone, Copy, Debug, Default)]
pub struct Zcash;

/// The compiled-in table.
///
/// # Panics
/// Never: a test reads the same text.
#[expect(clippy::expect_used, reason = "constant text, read by a test")]
pub fn builtin_table() -> Table {
    Table::parse(NETWORK, include_str!("zcash.toml")).expect("the compiled-in table is sound")
}

impl Dialect for Zcash {
    type Message = Message;

    const NETWORK: Network = NETWORK;

    const RULES: Rules = Rules {
        // ZIP 204, "Maximum Message Size".
        max_payload: 2_097_152,
        // zebra 15; a version has at most 344 bytes.
        max_early_payload: 1024,
        before_version: EARLY_BUDGET,
        before_verack: |_| Early::Drop(EARLY_BUDGET),
        outbound_verack: OutboundVerack::AfterVersion,
        policy_turn: PolicyTurn::AfterMinimum,
        // As zebra, which speaks first on both sides: both recognise the nonce.
        to_myself: ToMyself::Version,
        unknown: Unknown::Tolerate,
        signed_version: false,
        rejects: true,
        // zebra: hides the skew of the clock; zcashd ignores differences below 600 s.
        time_step: 300,
        tells_listen_addr: true,
        // zebra 15.
        handshake_timeout: Duration::from_secs(3),
    };

    fn checksum(payload: &[u8]) -> [u8; 4] {
        if payload.is_empty() {
            return CHECKSUM_OF_NOTHING;
        }
        let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(Sha256::digest(payload)).into();
        [a, b, c, d]
    }

    fn max_payload(command: Command, version: ProtocolVersion) -> Option<usize> {
        message::max_payload(command, version)
    }

    /// All fields up to the height are required and bytes after the relay flag are tolerated, both
    /// as zebra does.
    fn read_version(reader: &mut Reader<'_>) -> Result<Version, ReadError> {
        let protocol_version = ProtocolVersion(reader.u32_le("protocol_version")?);
        let services = Services(reader.u64_le("services")?);
        let time = UnixTime(reader.i64_le("time")?);
        reader.enter("addr_recv", None);
        let addr_recv = NetAddr::read(reader)?;
        reader.enter("addr_from", None);
        let addr_from = NetAddr::read(reader)?;
        reader.leave();
        let nonce = Nonce(reader.u64_le("nonce")?);
        let user_agent = PeerText::new(reader.var_text("user_agent", Version::USER_AGENT_MAX)?);
        let height = Height(reader.u32_le("height")?);
        let relay = read_relay(reader)?;
        reader.rest("trailing");
        Ok(Version {
            protocol_version,
            services,
            time,
            addr_recv,
            addr_from,
            nonce,
            user_agent,
            height,
            relay,
        })
    }

    fn service_names() -> &'static [(u64, &'static str)] {
        &[(1, "NODE_NETWORK"), (4, "NODE_BLOOM")]
    }

    /// `0.0.0.0` with the customary port, as zebra's isolated connections say.
    fn empty_addr(port: u16) -> NetAddr {
        NetAddr::new(Services::NONE, Endpoint::unspecified(port))
    }
}
