//! What an established eth peer says.

use bytes::Bytes;
use peerage_core::wire::{Problem, ReadError};
use peerage_core::{Detail, Kind};

use super::range::{BlockRange, RangeError};
use super::request::{Request, Response, read_hashes, write_hashes};
use super::{EthVersion, MessageId, Role, row};
use crate::rlp::{Extra, Reader, Writer, encoded};

/// A message of an established peer. A Status is none: it comes once, before there is a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// New blocks by hash and number. Only before proof of stake.
    NewBlockHashes(Vec<([u8; 32], u64)>),
    /// Whole transactions: the list as it stands, its header included.
    Transactions(Bytes),
    /// A whole block and its total difficulty: the list as it stands. Only before proof of stake.
    NewBlock(Bytes),
    /// Transactions that may be asked for.
    NewPooledTransactionHashes(PooledHashes),
    /// The blocks that the peer now serves.
    BlockRangeUpdate(BlockRange),
    /// A question.
    Request(Request),
    /// An answer.
    Response(Response),
}

/// Announced transactions: as many types as sizes as hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PooledHashes {
    /// The type of each.
    pub types: Vec<u8>,
    /// The encoded length of each, in bytes.
    pub sizes: Vec<u64>,
    /// The hash of each.
    pub hashes: Vec<[u8; 32]>,
    /// Which cells of their blobs the sender has: one bit each. eth/72 and later; zeros before.
    pub cells: [u8; 16],
}

/// Why a message was refused, or cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// An id that this version does not have.
    #[error("{version} has no message 0x{id:02x}")]
    NoSuchMessage {
        /// The version agreed on.
        version: EthVersion,
        /// The relative id.
        id: u64,
    },
    /// A second Status.
    #[error("a second Status came")]
    StatusAgain,
    /// A body longer than its message may ever be.
    #[error("{message} has {len} bytes, its limit is {limit}")]
    Oversized {
        /// The message.
        message: MessageId,
        /// Its length before compression, in bytes.
        len: usize,
        /// The most allowed, in bytes.
        limit: usize,
    },
    /// A body that breaks the message's encoding.
    #[error("{message} is malformed")]
    Malformed {
        /// The message.
        message: MessageId,
        /// Where and how.
        #[source]
        error: ReadError,
    },
    /// A block range that makes no sense.
    #[error("the peer's block range makes no sense")]
    Range(#[from] RangeError),
}

impl MessageError {
    /// What went wrong, when the peer sent it.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::NoSuchMessage { .. } | Self::StatusAgain => Kind::Violation,
            Self::Oversized { .. } | Self::Malformed { .. } => Kind::Malformed,
            Self::Range(error) => error.kind(),
        }
    }

    /// The typed facts.
    pub fn detail(&self) -> Detail {
        let detail = Detail::none();
        match self {
            Self::NoSuchMessage { version, id } => {
                detail.with("version", version.number()).with("id", *id)
            }
            Self::StatusAgain => detail.with("message", MessageId::Status.row().name),
            Self::Oversized {
                message,
                len,
                limit,
            } => detail
                .with("message", message.row().name)
                .with("len", *len)
                .with("limit", *limit),
            Self::Malformed { message, error } => detail
                .with("message", message.row().name)
                .with("field", error.field)
                .with("offset", error.offset),
            Self::Range(RangeError::Inverted { earliest, latest }) => {
                detail.with("earliest", *earliest).with("latest", *latest)
            }
            Self::Range(RangeError::ZeroHash) => detail.with("field", "latest_hash"),
        }
    }
}

impl Message {
    /// Which message it is.
    pub const fn message(&self) -> MessageId {
        match self {
            Self::NewBlockHashes(_) => MessageId::NewBlockHashes,
            Self::Transactions(_) => MessageId::Transactions,
            Self::NewBlock(_) => MessageId::NewBlock,
            Self::NewPooledTransactionHashes(_) => MessageId::NewPooledTransactionHashes,
            Self::BlockRangeUpdate(_) => MessageId::BlockRangeUpdate,
            Self::Request(request) => request.ask.message(),
            Self::Response(response) => response.answer.message(),
        }
    }

    /// Reads the plain body of the message with this relative id.
    ///
    /// # Errors
    /// When the version has no such message, it is a Status, it is too long, it breaks its
    /// encoding, or it is a block range that makes no sense.
    pub fn decode(version: EthVersion, id: u64, body: &Bytes) -> Result<Self, MessageError> {
        Self::read(version, id, &mut Reader::new(body), body)
    }

    /// Reads as [`Self::decode`] does, from a reader over the whole `body`.
    ///
    /// # Errors
    /// As for [`Self::decode`].
    pub fn read(
        version: EthVersion,
        id: u64,
        reader: &mut Reader<'_>,
        body: &Bytes,
    ) -> Result<Self, MessageError> {
        let row = row(version, id).ok_or(MessageError::NoSuchMessage { version, id })?;
        let message = row.message;
        if body.len() > row.max_len {
            return Err(MessageError::Oversized {
                message,
                len: body.len(),
                limit: row.max_len,
            });
        }
        let malformed = |error| MessageError::Malformed { message, error };
        let read = match row.role {
            Role::Handshake => return Err(MessageError::StatusAgain),
            Role::Request { .. } => {
                Request::read(reader, message, version).map(|r| r.map(Self::Request))
            }
            Role::Response => {
                Response::read(reader, body, message, version).map(|r| r.map(Self::Response))
            }
            Role::Announcement => Self::read_announcement(message, version, reader, body),
        };
        let read = read.and_then(|read| reader.finish().map(|()| read));
        let Some(read) = read.map_err(malformed)? else {
            // The table gives every message a role, and a reader reads each of its role: a test
            // goes through them all.
            return Err(MessageError::NoSuchMessage { version, id });
        };
        if let Self::BlockRangeUpdate(range) = &read {
            range.check()?;
        }
        Ok(read)
    }

    fn read_announcement(
        message: MessageId,
        version: EthVersion,
        reader: &mut Reader<'_>,
        body: &Bytes,
    ) -> Result<Option<Self>, ReadError> {
        Ok(Some(match message {
            MessageId::NewBlockHashes => Self::NewBlockHashes(read_new_blocks(reader)?),
            MessageId::Transactions => {
                Self::Transactions(body.slice_ref(reader.raw_list("transactions")?))
            }
            MessageId::NewBlock => Self::NewBlock(body.slice_ref(reader.raw_list("block")?)),
            MessageId::NewPooledTransactionHashes => {
                Self::NewPooledTransactionHashes(PooledHashes::read(reader, version)?)
            }
            MessageId::BlockRangeUpdate => {
                Self::BlockRangeUpdate(reader.list("range", Extra::Refuse, BlockRange::read)?)
            }
            MessageId::Status
            | MessageId::GetBlockHeaders
            | MessageId::BlockHeaders
            | MessageId::GetBlockBodies
            | MessageId::BlockBodies
            | MessageId::GetPooledTransactions
            | MessageId::PooledTransactions
            | MessageId::GetReceipts
            | MessageId::Receipts
            | MessageId::GetBlockAccessLists
            | MessageId::BlockAccessLists
            | MessageId::GetCells
            | MessageId::Cells => return Ok(None),
        }))
    }

    /// The plain body between peers of `version`.
    ///
    /// # Errors
    /// When that version has no such message, or it would be longer than its receiver reads.
    pub fn encode(&self, version: EthVersion) -> Result<Bytes, MessageError> {
        let row = self.message().row();
        if row.since > version {
            let id = row.id;
            return Err(MessageError::NoSuchMessage { version, id });
        }
        let body = match self {
            Self::Transactions(list) | Self::NewBlock(list) => list.clone(),
            Self::Request(request) => request.encode(version),
            Self::Response(response) => response.encode(version),
            Self::NewBlockHashes(blocks) => encoded(|writer| {
                writer.list(|writer| {
                    for (hash, number) in blocks {
                        writer.list(|writer| {
                            writer.bytes(hash).uint(*number);
                        });
                    }
                });
            })
            .freeze(),
            Self::NewPooledTransactionHashes(hashes) => {
                encoded(|writer| hashes.write(writer, version)).freeze()
            }
            Self::BlockRangeUpdate(range) => encoded(|writer| {
                writer.list(|writer| range.write(writer));
            })
            .freeze(),
        };
        if body.len() > row.max_len {
            return Err(MessageError::Oversized {
                message: row.message,
                len: body.len(),
                limit: row.max_len,
            });
        }
        Ok(body)
    }
}

/// As many announced blocks as the longest body can hold.
const MAX_NEW_BLOCKS: usize = super::HASHES / 35;

fn read_new_blocks(reader: &mut Reader<'_>) -> Result<Vec<([u8; 32], u64)>, ReadError> {
    reader.items("blocks", MAX_NEW_BLOCKS, Extra::Refuse, |reader| {
        reader.list("block", Extra::Refuse, |reader| {
            Ok((reader.fixed("hash")?, reader.u64("number")?))
        })
    })
}

impl PooledHashes {
    fn read(reader: &mut Reader<'_>, version: EthVersion) -> Result<Self, ReadError> {
        reader.list("announcement", Extra::Refuse, |reader| {
            let types = reader.bytes("types", super::ANNOUNCED)?.to_vec();
            let offset = reader.offset();
            let sizes = reader.items("sizes", types.len(), Extra::Refuse, |reader| {
                reader.u64("size")
            })?;
            let hashes_offset = reader.offset();
            let hashes = read_hashes(reader)?;
            for (field, at, got) in [
                ("sizes", offset, sizes.len()),
                ("hashes", hashes_offset, hashes.len()),
            ] {
                if got != types.len() {
                    let (got, expected) = (got as u64, types.len() as u64);
                    let problem = Problem::WrongLength { got, expected };
                    return Err(Reader::error(field, at, problem));
                }
            }
            let cells = if version >= EthVersion::Eth72 {
                reader.fixed("cells")?
            } else {
                [0; 16]
            };
            Ok(Self {
                types,
                sizes,
                hashes,
                cells,
            })
        })
    }

    fn write(&self, writer: &mut Writer<'_>, version: EthVersion) {
        writer.list(|writer| {
            writer.bytes(&self.types);
            writer.list(|writer| {
                for size in &self.sizes {
                    writer.uint(*size);
                }
            });
            write_hashes(writer, &self.hashes);
            if version >= EthVersion::Eth72 {
                writer.bytes(&self.cells);
            }
        });
    }
}
