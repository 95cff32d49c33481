//! What one network of the family does differently, as data and a few pure functions.

use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use peerage_core::wire::{Problem, ReadError, Reader, Writer};
use peerage_core::{Budget, Network};

use crate::command::Command;
use crate::message::{Listed, Reject};
use crate::version::{NetAddr, ProtocolVersion, Version};

/// A network of the version/verack family.
pub trait Dialect: Copy + Debug + Default + Send + Sync + Unpin + 'static {
    /// Every message after the handshake. It has no version and no verack.
    type Message: Message;

    /// The network's name.
    const NETWORK: Network;
    /// Its rules.
    const RULES: Rules;

    /// The envelope's checksum of a payload.
    fn checksum(payload: &[u8]) -> [u8; 4];

    /// The longest payload of a message, in bytes, between peers who agreed on `version`; `None`
    /// when there is no such message then.
    fn max_payload(command: Command, version: ProtocolVersion) -> Option<usize>;

    /// Reads a `version` message as strictly as this network does.
    ///
    /// # Errors
    /// When it breaks the encoding.
    fn read_version(reader: &mut Reader<'_>) -> Result<Version, ReadError>;

    /// Names of the service bits, for people.
    fn service_names() -> &'static [(u64, &'static str)];

    /// The address that says nothing, given the chain's customary port.
    fn empty_addr(port: u16) -> NetAddr;
}

/// A message of an established peer.
pub trait Message: Debug + Clone + PartialEq + Send + Sync + Sized + 'static {
    /// Its command.
    fn command(&self) -> Command;

    /// Reads a payload. `payload` holds the same bytes as `reader`, for messages kept opaque.
    ///
    /// # Errors
    /// When it breaks the encoding.
    fn read(
        command: Command,
        reader: &mut Reader<'_>,
        payload: &Bytes,
        version: ProtocolVersion,
    ) -> Result<Self, ReadError>;

    /// Writes the payload.
    fn write(&self, writer: &mut Writer);

    /// A ping.
    fn ping(nonce: u64) -> Self;

    /// The answer to a ping.
    fn pong(nonce: u64) -> Self;

    /// The nonce of a ping.
    fn ping_nonce(&self) -> Option<u64>;

    /// The nonce of a pong.
    fn pong_nonce(&self) -> Option<u64>;

    /// The length of its payload in bytes, where it is kept as it came.
    fn opaque_len(&self) -> Option<usize>;

    /// Asks for addresses.
    fn get_addr() -> Self;

    /// The addresses it tells of, those that can be dialled over IP, when it is a message that does
    /// so.
    fn listed(&self) -> Option<Vec<Listed>>;

    /// Tells a peer with whom `version` was agreed of these addresses, at most 1,000.
    fn list(addrs: &[Listed], version: ProtocolVersion) -> Self;

    /// Whether it asks for addresses.
    fn asks_for_addrs(&self) -> bool;

    /// The peer's word of refusal, when this is one.
    fn reject(&self) -> Option<&Reject>;
}

/// The differences between handshakes of the family, as a table.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The longest payload of any message, in bytes.
    pub max_payload: usize,
    /// The longest payload before the handshake is over, in bytes.
    pub max_early_payload: usize,
    /// What may come before `version`; it is read and dropped.
    pub before_version: Budget,
    /// What may come between `version` and `verack`, by negotiated version.
    pub before_verack: fn(ProtocolVersion) -> Early,
    /// When the side that dialled sends its verack.
    pub outbound_verack: OutboundVerack,
    /// Whether the caller's policy is asked before or after the minimum version is checked.
    pub policy_turn: PolicyTurn,
    /// What a side that was dialled by itself says.
    pub to_myself: ToMyself,
    /// What to do about commands that no table knows, and about bytes that are no command.
    pub unknown: Unknown,
    /// Whether the protocol version is signed, so that half its values are negative.
    pub signed_version: bool,
    /// Whether a failed handshake is explained to the peer by `reject`.
    pub rejects: bool,
    /// Our clock is rounded down to this many seconds, on direct connections.
    pub time_step: i64,
    /// Whether a direct connection tells the sender's own listening address.
    pub tells_listen_addr: bool,
    /// How long the network's own software waits for a handshake.
    pub handshake_timeout: Duration,
}

/// What to do with messages between `version` and `verack`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Early {
    /// The very next message must be the verack.
    Refuse,
    /// They break the rules but are dropped, up to a budget.
    Drop(Budget),
    /// They are legal: kept in order and handed over with the peer, up to a budget.
    Keep(Budget),
}

/// When the side that dialled sends its verack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboundVerack {
    /// As soon as the peer's version is accepted.
    AfterVersion,
    /// Once the peer's verack is there.
    AfterVerack,
}

/// When the caller's policy is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyTurn {
    /// Before the minimum version is checked.
    BeforeMinimum,
    /// After.
    AfterMinimum,
}

/// What a side that was dialled by itself says before it hangs up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToMyself {
    /// Nothing: the dialling side only sees the end of the stream.
    Nothing,
    /// Its version, so that the dialling side recognises itself too.
    Version,
}

/// What to do about messages that no table knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// They are passed on opaque; a command that is no name is dropped.
    Tolerate,
    /// They end the connection.
    Refuse,
}

/// Reads the relay flag: absent means yes, and only 0 and 1 have a meaning.
pub(crate) fn read_relay(reader: &mut Reader<'_>) -> Result<bool, ReadError> {
    if reader.is_empty() {
        return Ok(true);
    }
    let offset = reader.offset();
    match reader.u8("relay")? {
        0 => Ok(false),
        1 => Ok(true),
        got => Err(Reader::error(
            "relay",
            offset,
            Problem::BadValue { got: got.into() },
        )),
    }
}
