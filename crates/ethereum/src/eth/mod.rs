//! The `eth` capability, versions 68 to 72: who is on which chain, and who asks whom for what.
//!
//! - [`MESSAGES`]: every message with its id, its versions, its role and its longest body.
//! - [`Status`] and [`check_status`]: the one message before all others.
//! - [`Message`]: what an established peer says. It has no Status.
//! - [`Request`], [`Response`], [`peek_request_id`], [`Request::empty_answer`].
//!
//! Headers, bodies, transactions and receipts stay encoded: this layer carries them.
//!
//! Source: devp2p, `caps/eth.md` at 51dc101 (July 2026).

mod message;
mod range;
mod request;
mod status;

pub use message::{Message, MessageError, PooledHashes};
pub use range::{BlockRange, RangeError};
pub use request::{Answer, Ask, HashOrNumber, Request, Response, peek_request_id};
pub use status::{Progress, Status, StatusError, TotalDifficulty, check_status};

use crate::capability::{CapName, Capability, CapabilitySpec};

/// A version of `eth` that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EthVersion {
    /// EIP-5793: announcements carry types and sizes.
    Eth68 = 68,
    /// EIP-7642: Status carries a block range; receipts lose their bloom.
    Eth69 = 69,
    /// EIP-7975: receipts in parts.
    Eth70 = 70,
    /// EIP-8159: block access lists.
    Eth71 = 71,
    /// EIP-8070: cells of blobs.
    Eth72 = 72,
}

impl EthVersion {
    /// Every version, ascending.
    pub const ALL: &'static [Self] = &[
        Self::Eth68,
        Self::Eth69,
        Self::Eth70,
        Self::Eth71,
        Self::Eth72,
    ];

    /// The version of that number.
    pub fn from_number(number: u32) -> Option<Self> {
        let all = Self::ALL.iter().copied();
        all.into_iter().find(|version| version.number() == number)
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The capability: `eth/69`.
    pub const fn capability(self) -> Capability {
        Capability {
            name: CapName::ETH,
            version: self.number(),
        }
    }

    /// How many message ids it takes.
    ///
    /// Source: go-ethereum, `eth/protocols/eth`, `protocolLengths`.
    pub const fn length(self) -> u64 {
        match self {
            Self::Eth68 => 17,
            Self::Eth69 | Self::Eth70 => 18,
            Self::Eth71 => 20,
            Self::Eth72 => 22,
        }
    }

    /// The capability as a plug-in, with the limits of [`MESSAGES`].
    pub fn spec(self) -> CapabilitySpec {
        let limits = (0..self.length()).map(|id| row(self, id).map(|row| row.max_len));
        CapabilitySpec::new(self.capability(), limits.collect::<Vec<_>>())
    }
}

impl std::fmt::Display for EthVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.capability().fmt(f)
    }
}

/// A message, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the names are the specification's; MESSAGES describes them"
)]
pub enum MessageId {
    Status,
    NewBlockHashes,
    Transactions,
    GetBlockHeaders,
    BlockHeaders,
    GetBlockBodies,
    BlockBodies,
    NewBlock,
    NewPooledTransactionHashes,
    GetPooledTransactions,
    PooledTransactions,
    GetReceipts,
    Receipts,
    BlockRangeUpdate,
    GetBlockAccessLists,
    BlockAccessLists,
    GetCells,
    Cells,
}

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Once, before all others.
    Handshake,
    /// Unasked, and not answered.
    Announcement,
    /// Answered by the message named, with the same request id.
    Request {
        /// The answer.
        answer: MessageId,
    },
    /// An answer to a request.
    Response,
}

/// One message of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which.
    pub message: MessageId,
    /// Its relative id.
    pub id: u64,
    /// Its name.
    pub name: &'static str,
    /// The first version that has it, of those we speak.
    pub since: EthVersion,
    /// What it is for.
    pub role: Role,
    /// The longest plain body that is read, in bytes.
    pub max_len: usize,
}

/// The longest plain body of any eth message, in bytes: the limit of all implementations.
pub const MAX_LEN: usize = 10 * MIB;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// A Status or block range has at most 200 bytes; the rest is room for a later version.
const STATE: usize = KIB;
/// One start, two numbers and a flag.
const HEADERS_ASKED: usize = KIB;
/// 7,900 hashes, eight times what is served.
const HASHES: usize = 256 * KIB;
/// About 13,000 announced transactions; 4,096 are usual.
const ANNOUNCED: usize = 512 * KIB;

macro_rules! messages {
    ($($message:ident = $id:literal, $since:ident, $role:expr, $max_len:expr;)+) => {
        /// Every message of every version we speak, in the order of the ids. None of them has
        /// gone since.
        pub const MESSAGES: &[Row] = &[$(Row {
            message: MessageId::$message,
            id: $id,
            name: stringify!($message),
            since: EthVersion::$since,
            role: $role,
            max_len: $max_len,
        }),+];

        impl MessageId {
            /// The row of [`MESSAGES`] about it.
            pub const fn row(self) -> &'static Row {
                match self { $(Self::$message => const { &Row {
                    message: MessageId::$message,
                    id: $id,
                    name: stringify!($message),
                    since: EthVersion::$since,
                    role: $role,
                    max_len: $max_len,
                } }),+ }
            }
        }
    };
}

use Role::{Announcement, Handshake, Response as Answers};

const fn answered_by(answer: MessageId) -> Role {
    Role::Request { answer }
}

messages! {
    Status = 0x00, Eth68, Handshake, STATE;
    NewBlockHashes = 0x01, Eth68, Announcement, HASHES;
    Transactions = 0x02, Eth68, Announcement, MAX_LEN;
    GetBlockHeaders = 0x03, Eth68, answered_by(MessageId::BlockHeaders), HEADERS_ASKED;
    BlockHeaders = 0x04, Eth68, Answers, MAX_LEN;
    GetBlockBodies = 0x05, Eth68, answered_by(MessageId::BlockBodies), HASHES;
    BlockBodies = 0x06, Eth68, Answers, MAX_LEN;
    NewBlock = 0x07, Eth68, Announcement, MAX_LEN;
    NewPooledTransactionHashes = 0x08, Eth68, Announcement, ANNOUNCED;
    GetPooledTransactions = 0x09, Eth68, answered_by(MessageId::PooledTransactions), HASHES;
    PooledTransactions = 0x0a, Eth68, Answers, MAX_LEN;
    GetReceipts = 0x0f, Eth68, answered_by(MessageId::Receipts), HASHES;
    Receipts = 0x10, Eth68, Answers, MAX_LEN;
    BlockRangeUpdate = 0x11, Eth69, Announcement, STATE;
    GetBlockAccessLists = 0x12, Eth71, answered_by(MessageId::BlockAccessLists), HASHES;
    BlockAccessLists = 0x13, Eth71, Answers, MAX_LEN;
    GetCells = 0x14, Eth72, answered_by(MessageId::Cells), HASHES;
    Cells = 0x15, Eth72, Answers, MAX_LEN;
}

/// The message with this relative id, if this version has it.
pub fn row(version: EthVersion, id: u64) -> Option<&'static Row> {
    MESSAGES
        .iter()
        .find(|row| row.id == id && row.since <= version)
}

impl std::fmt::Display for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.row().name)
    }
}
