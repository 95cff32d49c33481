//! Decred: its messages, its table, its hash and its rules.
//!
//! Sources: dcrd's `wire` and `peer` packages; pull request 3632 for the handshake, which is one
//! call and strict from protocol version 12 on.

pub mod blake256;
mod body;
mod filters;
mod message;

use std::time::Duration;

use peerage_core::wire::{Problem, ReadError, Reader};
use peerage_core::{Budget, Network, PeerText, UnixTime};

use crate::command::Command;
use crate::dialect::{
    Dialect, Early, OutboundVerack, PolicyTurn, Rules, ToMyself, Unknown, read_relay,
};
use crate::table::Table;
use crate::version::{Height, NetAddr, Nonce, ProtocolVersion, Services, Version};

pub use body::{
    AddrV2, FeeFilter, GetInitState, Header, InitState, Inventory, InventoryKind, MiningState,
    NetworkAddr,
};
pub use filters::{
    CFHeaders, CFTypes, CFilter, CFilterV2, GetCFHeaders, GetCFilter, GetCFilterV2, GetCFsV2,
};
pub use message::Message;

/// The network's name.
pub const NETWORK: Network = Network("decred");

/// From this version on the message after `version` must be `verack`.
pub const STRICT_FROM: ProtocolVersion = ProtocolVersion(12);

/// What an older peer may send between its `version` and its `verack`: 3 messages and 32 KiB
/// together, envelopes included. The text of dcrd's change speaks of up to 3 delayed messages; its
/// loop counts the verack among them and accepts 2. We follow the text. 32 KiB hold any two of the
/// messages that old peers are known to send early (getheaders has at most 16,039 bytes).
pub const LEGACY_WINDOW: Budget = Budget::new(3, 32 * 1024);

/// The checksum of an empty payload, which half the messages of a handshake have.
const CHECKSUM_OF_NOTHING: [u8; 4] = [0x71, 0x6f, 0x6e, 0x86];

/// The Decred dialect.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decred;

/// The compiled-in table.
///
/// # Panics
/// Never: a test reads the same text.
#[expect(clippy::expect_used, reason = "constant text, read by a test")]
pub fn builtin_table() -> Table {
    Table::parse(NETWORK, include_str!("decred.toml")).expect("the compiled-in table is sound")
}

impl Dialect for Decred {
    type Message = Message;

    const NETWORK: Network = NETWORK;

    const RULES: Rules = Rules {
        // dcrd `wire`, "MaxMessagePayload".
        max_payload: 32 * 1024 * 1024,
        max_early_payload: LEGACY_WINDOW.bytes,
        before_version: Budget::NONE,
        before_verack: |negotiated| {
            if negotiated >= STRICT_FROM {
                Early::Refuse
            } else {
                Early::Keep(LEGACY_WINDOW)
            }
        },
        outbound_verack: OutboundVerack::AfterVerack,
        policy_turn: PolicyTurn::BeforeMinimum,
        // As dcrd: the dialling side sees the end of the stream.
        to_myself: ToMyself::Nothing,
        unknown: Unknown::Refuse,
        signed_version: true,
        // Removed from the protocol at version 9.
        rejects: false,
        time_step: 1,
        // dcrd sends services only.
        tells_listen_addr: false,
        // dcrd `peer`, "negotiateTimeout".
        handshake_timeout: Duration::from_secs(30),
    };

    fn checksum(payload: &[u8]) -> [u8; 4] {
        if payload.is_empty() {
            return CHECKSUM_OF_NOTHING;
        }
        let [a, b, c, d, ..] = blake256::blake256(payload);
        [a, b, c, d]
    }

    fn max_payload(command: Command, version: ProtocolVersion) -> Option<usize> {
        message::max_payload(command, version)
    }

    /// Everything after the receiver's address may be missing, cut at a field's end only, and
    /// nothing may follow the relay flag.
    fn read_version(reader: &mut Reader<'_>) -> Result<Version, ReadError> {
        let protocol_version = ProtocolVersion(reader.u32_le("protocol_version")?);
        let services = Services(reader.u64_le("services")?);
        let time = UnixTime(reader.i64_le("time")?);
        reader.enter("addr_recv", None);
        let addr_recv = NetAddr::read(reader)?;
        let mut version = Version {
            protocol_version,
            services,
            time,
            addr_recv,
            addr_from: NetAddr::EMPTY,
            nonce: Nonce(0),
            user_agent: PeerText::default(),
            height: Height(0),
            relay: true,
        };
        if !reader.is_empty() {
            reader.enter("addr_from", None);
            version.addr_from = NetAddr::read(reader)?;
        }
        reader.leave();
        if !reader.is_empty() {
            version.nonce = Nonce(reader.u64_le("nonce")?);
        }
        if !reader.is_empty() {
            version.user_agent = read_printable(reader, "user_agent", Version::USER_AGENT_MAX)?;
        }
        if !reader.is_empty() {
            version.height = Height(reader.u32_le("height")?);
        }
        version.relay = read_relay(reader)?;
        reader.finish()?;
        Ok(version)
    }

    fn service_names() -> &'static [(u64, &'static str)] {
        &[(1, "NODE_NETWORK"), (2, "NODE_BLOOM"), (4, "NODE_CF")]
    }

    /// All zero, as dcrd's own address is.
    fn empty_addr(_: u16) -> NetAddr {
        NetAddr::EMPTY
    }
}

/// Text of at most `limit` bytes of printable ASCII. dcrd `wire`, "readAsciiVarString".
fn read_printable(
    reader: &mut Reader<'_>,
    field: &'static str,
    limit: usize,
) -> Result<PeerText, ReadError> {
    let offset = reader.offset();
    let text = reader.var_text(field, limit)?;
    match text.iter().find(|byte| !(0x20..=0x7e).contains(*byte)) {
        None => Ok(PeerText::new(text)),
        Some(&byte) => Err(Reader::error(field, offset, Problem::NotPrintable { byte })),
    }
}
