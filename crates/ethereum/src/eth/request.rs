//! Questions and answers: `[request id, …]`, both ways.

use bytes::{Bytes, BytesMut};
use peerage_core::wire::{Problem, ReadError};

use super::{EthVersion, MessageId, Role};
use crate::rlp::{Extra, ItemHeader, Reader, Writer, encoded, uint_of};

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Chosen by whoever asks; the answer has the same.
    pub id: u64,
    /// What is asked.
    pub ask: Ask,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask {
    /// Headers along the chain.
    BlockHeaders {
        /// The first.
        start: HashOrNumber,
        /// How many at most.
        limit: u64,
        /// How many blocks to leave out between two.
        skip: u64,
        /// Whether numbers fall.
        reverse: bool,
    },
    /// Bodies of these blocks.
    BlockBodies(Vec<[u8; 32]>),
    /// These transactions of the pool.
    PooledTransactions(Vec<[u8; 32]>),
    /// Receipts of these blocks.
    Receipts {
        /// How many receipts of the first block to leave out. eth/70 and later; 0 before.
        first_index: u64,
        /// The blocks.
        blocks: Vec<[u8; 32]>,
    },
    /// Access lists of these blocks.
    BlockAccessLists(Vec<[u8; 32]>),
    /// Cells of the blobs of these transactions.
    Cells {
        /// The transactions.
        transactions: Vec<[u8; 32]>,
        /// Which cells: one bit each.
        cells: [u8; 16],
    },
}

/// A block by its hash or its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashOrNumber {
    /// By hash.
    Hash([u8; 32]),
    /// By number.
    Number(u64),
}

/// An answer. What it holds stays encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The id of the question.
    pub id: u64,
    /// The answer itself.
    pub answer: Answer,
}

/// What is answered: each a list as it stands, its header included.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// Headers.
    BlockHeaders(Bytes),
    /// Bodies.
    BlockBodies(Bytes),
    /// Transactions.
    PooledTransactions(Bytes),
    /// Receipts, a list for each block. Their own encoding depends on the version.
    Receipts {
        /// Whether receipts of the last block are missing at its end. eth/70 and later; `false`
        /// before.
        last_incomplete: bool,
        /// The lists.
        receipts: Bytes,
    },
    /// Access lists; an empty string for each that is not to be had.
    BlockAccessLists(Bytes),
    /// Cells.
    Cells {
        /// The transactions answered.
        transactions: Vec<[u8; 32]>,
        /// A list of cells for each of them.
        groups: Bytes,
        /// Which cells: one bit each.
        cells: [u8; 16],
    },
}

/// The empty list.
const EMPTY: Bytes = Bytes::from_static(&[0xc0]);

impl Ask {
    /// The message that asks it.
    pub const fn message(&self) -> MessageId {
        match self {
            Self::BlockHeaders { .. } => MessageId::GetBlockHeaders,
            Self::BlockBodies(_) => MessageId::GetBlockBodies,
            Self::PooledTransactions(_) => MessageId::GetPooledTransactions,
            Self::Receipts { .. } => MessageId::GetReceipts,
            Self::BlockAccessLists(_) => MessageId::GetBlockAccessLists,
            Self::Cells { .. } => MessageId::GetCells,
        }
    }
}

impl Answer {
    /// The message that gives it.
    pub const fn message(&self) -> MessageId {
        match self {
            Self::BlockHeaders(_) => MessageId::BlockHeaders,
            Self::BlockBodies(_) => MessageId::BlockBodies,
            Self::PooledTransactions(_) => MessageId::PooledTransactions,
            Self::Receipts { .. } => MessageId::Receipts,
            Self::BlockAccessLists(_) => MessageId::BlockAccessLists,
            Self::Cells { .. } => MessageId::Cells,
        }
    }
}

impl Request {
    /// The truth of a node that has none of what is asked: the same id, and an empty list.
    #[must_use]
    pub const fn empty_answer(&self) -> Response {
        let answer = match &self.ask {
            Ask::BlockHeaders { .. } => Answer::BlockHeaders(EMPTY),
            Ask::BlockBodies(_) => Answer::BlockBodies(EMPTY),
            Ask::PooledTransactions(_) => Answer::PooledTransactions(EMPTY),
            Ask::Receipts { .. } => Answer::Receipts {
                last_incomplete: false,
                receipts: EMPTY,
            },
            Ask::BlockAccessLists(_) => Answer::BlockAccessLists(EMPTY),
            Ask::Cells { .. } => Answer::Cells {
                transactions: Vec::new(),
                groups: EMPTY,
                cells: [0; 16],
            },
        };
        Response {
            id: self.id,
            answer,
        }
    }

    /// Reads the body of `message`; `None` where that is no request.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        message: MessageId,
        version: EthVersion,
    ) -> Result<Option<Self>, ReadError> {
        reader.list("request", Extra::Refuse, |reader| {
            let id = reader.u64("request_id")?;
            let ask = match message {
                MessageId::GetBlockHeaders => read_headers(reader)?,
                MessageId::GetBlockBodies => Ask::BlockBodies(read_hashes(reader)?),
                MessageId::GetPooledTransactions => Ask::PooledTransactions(read_hashes(reader)?),
                MessageId::GetReceipts => Ask::Receipts {
                    first_index: if version >= EthVersion::Eth70 {
                        reader.u64("first_index")?
                    } else {
                        0
                    },
                    blocks: read_hashes(reader)?,
                },
                MessageId::GetBlockAccessLists => Ask::BlockAccessLists(read_hashes(reader)?),
                MessageId::GetCells => Ask::Cells {
                    transactions: read_hashes(reader)?,
                    cells: reader.fixed("cells")?,
                },
                MessageId::Status
                | MessageId::NewBlockHashes
                | MessageId::Transactions
                | MessageId::BlockHeaders
                | MessageId::BlockBodies
                | MessageId::NewBlock
                | MessageId::NewPooledTransactionHashes
                | MessageId::PooledTransactions
                | MessageId::Receipts
                | MessageId::BlockRangeUpdate
                | MessageId::BlockAccessLists
                | MessageId::Cells => {
                    reader.rest("body");
                    return Ok(None);
                }
            };
            Ok(Some(Self { id, ask }))
        })
    }

    /// The plain message body between peers of `version`.
    pub fn encode(&self, version: EthVersion) -> Bytes {
        let body = encoded(|writer| {
            writer.list(|writer| {
                writer.uint(self.id);
                self.ask.write(writer, version);
            });
        });
        body.freeze()
    }
}

impl Ask {
    fn write(&self, writer: &mut Writer<'_>, version: EthVersion) {
        match self {
            Self::BlockHeaders {
                start,
                limit,
                skip,
                reverse,
            } => {
                writer.list(|writer| {
                    match start {
                        HashOrNumber::Hash(hash) => writer.bytes(hash),
                        HashOrNumber::Number(number) => writer.uint(*number),
                    };
                    writer.uint(*limit).uint(*skip).uint((*reverse).into());
                });
            }
            Self::BlockBodies(hashes)
            | Self::PooledTransactions(hashes)
            | Self::BlockAccessLists(hashes) => write_hashes(writer, hashes),
            Self::Receipts {
                first_index,
                blocks,
            } => {
                if version >= EthVersion::Eth70 {
                    writer.uint(*first_index);
                }
                write_hashes(writer, blocks);
            }
            Self::Cells {
                transactions,
                cells,
            } => {
                write_hashes(writer, transactions);
                writer.bytes(cells);
            }
        }
    }
}

impl Response {
    /// Reads the body of `message`; `None` where that is no response. `body` is what `reader` reads.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        body: &Bytes,
        message: MessageId,
        version: EthVersion,
    ) -> Result<Option<Self>, ReadError> {
        let list = |reader: &mut Reader<'_>, field| {
            reader.raw_list(field).map(|list| body.slice_ref(list))
        };
        reader.list("response", Extra::Refuse, |reader| {
            let id = reader.u64("request_id")?;
            let answer = match message {
                MessageId::BlockHeaders => Answer::BlockHeaders(list(reader, "headers")?),
                MessageId::BlockBodies => Answer::BlockBodies(list(reader, "bodies")?),
                MessageId::PooledTransactions => {
                    Answer::PooledTransactions(list(reader, "transactions")?)
                }
                MessageId::Receipts => Answer::Receipts {
                    last_incomplete: version >= EthVersion::Eth70
                        && reader.bool("last_incomplete")?,
                    receipts: list(reader, "receipts")?,
                },
                MessageId::BlockAccessLists => {
                    Answer::BlockAccessLists(list(reader, "access_lists")?)
                }
                MessageId::Cells => Answer::Cells {
                    transactions: read_hashes(reader)?,
                    groups: list(reader, "groups")?,
                    cells: reader.fixed("cells")?,
                },
                MessageId::Status
                | MessageId::NewBlockHashes
                | MessageId::Transactions
                | MessageId::GetBlockHeaders
                | MessageId::GetBlockBodies
                | MessageId::NewBlock
                | MessageId::NewPooledTransactionHashes
                | MessageId::GetPooledTransactions
                | MessageId::GetReceipts
                | MessageId::BlockRangeUpdate
                | MessageId::GetBlockAccessLists
                | MessageId::GetCells => {
                    reader.rest("body");
                    return Ok(None);
                }
            };
            Ok(Some(Self { id, answer }))
        })
    }

    /// The plain message body between peers of `version`.
    pub fn encode(&self, version: EthVersion) -> Bytes {
        let mut head = BytesMut::new();
        let mut tail = BytesMut::new();
        Writer::new(&mut head).uint(self.id);
        let encoded = match &self.answer {
            Answer::BlockHeaders(list)
            | Answer::BlockBodies(list)
            | Answer::PooledTransactions(list)
            | Answer::BlockAccessLists(list) => list,
            Answer::Receipts {
                last_incomplete,
                receipts,
            } => {
                if version >= EthVersion::Eth70 {
                    Writer::new(&mut head).uint((*last_incomplete).into());
                }
                receipts
            }
            Answer::Cells {
                transactions,
                groups,
                cells,
            } => {
                write_hashes(&mut Writer::new(&mut head), transactions);
                Writer::new(&mut tail).bytes(cells);
                groups
            }
        };
        let payload_len = head.len() + encoded.len() + tail.len();
        let mut body = BytesMut::with_capacity(9 + payload_len);
        let mut writer = Writer::new(&mut body);
        writer.list_header(payload_len);
        writer.raw(&head).raw(encoded).raw(&tail);
        body.freeze()
    }
}

fn read_headers(reader: &mut Reader<'_>) -> Result<Ask, ReadError> {
    reader.list("query", Extra::Refuse, |reader| {
        let offset = reader.offset();
        let start = reader.bytes("start", 32)?;
        let start = match <[u8; 32]>::try_from(start) {
            Ok(hash) => HashOrNumber::Hash(hash),
            Err(_) => HashOrNumber::Number(
                uint_of(start).map_err(|problem| Reader::error("start", offset, problem))?,
            ),
        };
        Ok(Ask::BlockHeaders {
            start,
            limit: reader.u64("limit")?,
            skip: reader.u64("skip")?,
            reverse: reader.bool("reverse")?,
        })
    })
}

/// As many hashes as the longest body of any message of hashes can hold.
const MAX_HASHES: usize = super::ANNOUNCED / 33;

pub(super) fn read_hashes(reader: &mut Reader<'_>) -> Result<Vec<[u8; 32]>, ReadError> {
    reader.items("hashes", MAX_HASHES, Extra::Refuse, |reader| {
        reader.fixed("hash")
    })
}

pub(super) fn write_hashes(writer: &mut Writer<'_>, hashes: &[[u8; 32]]) {
    writer.list(|writer| {
        for hash in hashes {
            writer.bytes(hash);
        }
    });
}

/// The request id of a request or a response, from the first bytes of its plain body: nothing
/// behind the id is looked at, or need be there. Nineteen bytes are enough.
///
/// Reads exactly what reading the whole message would, so that an answer which nobody asked for
/// can be refused before it is decompressed or decoded.
///
/// # Errors
/// When the body does not begin with a list whose first item is a number of 64 bits.
pub fn peek_request_id(body: &[u8]) -> Result<u64, ReadError> {
    let wrong = |field, offset| move |problem| Reader::error(field, offset, problem);
    let list = ItemHeader::read(body).map_err(wrong("body", 0))?;
    if !list.list {
        let expected = "list";
        return Err(wrong("body", 0)(Problem::WrongShape { expected }));
    }
    let offset = list.header_len;
    let wrong_id = wrong("request_id", offset);
    if list.payload_len == 0 {
        return Err(wrong_id(Problem::Missing));
    }
    // What lies beyond the list is not part of it.
    let inside = body.get(offset..).unwrap_or_default();
    let inside = &inside[..inside.len().min(list.payload_len)];
    let id = ItemHeader::read(inside).map_err(wrong_id)?;
    if id.list {
        let expected = "string";
        return Err(wrong_id(Problem::WrongShape { expected }));
    }
    let needed = id.header_len.saturating_add(id.payload_len);
    let digits = inside.get(id.header_len..needed).ok_or_else(|| {
        let left = inside.len();
        wrong_id(Problem::Truncated { needed, left })
    })?;
    uint_of(digits).map_err(wrong_id)
}

impl MessageId {
    /// Whether its body begins with a request id.
    pub const fn has_request_id(self) -> bool {
        matches!(self.row().role, Role::Request { .. } | Role::Response)
    }
}
