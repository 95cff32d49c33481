//! What callers ask of a broker.

use bytes::Bytes;
use peerage_core::wire::{ReadError, Reader, TooLong, Writer};
use peerage_matcher::{CompartmentId, ConnectionId, NetworkProtocol};

use super::network::{Network, read_network, write_network};
use super::{
    MAX_COMPARTMENTS, MAX_DESTINATION_LEN, MAX_MESSAGE_LEN, VERSION, begin, read_bytes,
    read_connection, read_description,
};
use crate::destination::{SignedEntry, protocol_number, read_protocol};
use crate::wire::{bad, read_text};

/// A call to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// A volunteer has a free slot, and waits for a client.
    Announce(Announce),
    /// A client wants a volunteer, and waits for its answer.
    Offer(Box<Offer>),
    /// A volunteer answers the client it was given.
    Answer(Answer),
    /// A volunteer cannot answer the client it was given.
    AnswerError {
        /// Which.
        connection: ConnectionId,
    },
    /// A volunteer prepares its answer: it has not left, whatever else it does not say.
    Coming {
        /// To which client.
        connection: ConnectionId,
    },
    /// Why do the calls of this session wait?
    Explain,
    /// How many are there?
    Stats,
}

/// A volunteer's announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// Its network.
    pub network: Network,
    /// Clients it serves now.
    pub load: u16,
    /// How long it waits, in milliseconds.
    pub wait_ms: u32,
    /// Personal compartments; none: the broker's common one for it.
    pub personal: Vec<CompartmentId>,
}

/// A client's offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its network.
    pub network: Network,
    /// How long it waits, in milliseconds.
    pub wait_ms: u32,
    /// Personal compartments. One kind only: with any of these there are no common ones.
    pub personal: Vec<CompartmentId>,
    /// Common compartments.
    pub common: Vec<CompartmentId>,
    /// By which protocol.
    pub protocol: NetworkProtocol,
    /// Where to, `host:port`.
    pub destination: String,
    /// The signed entry that allows it.
    pub entry: Bytes,
    /// The session description.
    pub description: Bytes,
}

/// A volunteer's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which connection.
    pub connection: ConnectionId,
    /// The session description.
    pub description: Bytes,
}

fn write_ids(writer: &mut Writer, ids: &[CompartmentId]) {
    writer.compact_size(ids.len() as u64);
    for id in ids {
        writer.bytes(&id.0);
    }
}

fn read_ids(reader: &mut Reader<'_>, field: &'static str) -> Result<Vec<CompartmentId>, ReadError> {
    let count = reader.count(field, MAX_COMPARTMENTS)?;
    let mut ids = Vec::with_capacity(count);
    for _ in 0..count {
        ids.push(CompartmentId(reader.fixed(field)?));
    }
    Ok(ids)
}

impl Call {
    /// The bytes.
    ///
    /// # Errors
    /// When it is longer than [`MAX_MESSAGE_LEN`].
    pub fn encode(&self) -> Result<Bytes, TooLong> {
        let mut writer = Writer::new(MAX_MESSAGE_LEN);
        writer.u8(VERSION);
        match self {
            Self::Announce(announce) => {
                writer.u8(1);
                write_network(&mut writer, announce.network);
                writer.u16_be(announce.load).u32_le(announce.wait_ms);
                write_ids(&mut writer, &announce.personal);
            }
            Self::Offer(offer) => {
                writer.u8(2);
                write_network(&mut writer, offer.network);
                writer.u32_le(offer.wait_ms);
                write_ids(&mut writer, &offer.personal);
                write_ids(&mut writer, &offer.common);
                writer
                    .u8(protocol_number(offer.protocol))
                    .var_text(offer.destination.as_bytes())
                    .var_text(&offer.entry)
                    .var_text(&offer.description);
            }
            Self::Answer(answer) => {
                writer
                    .u8(3)
                    .bytes(&answer.connection.0)
                    .var_text(&answer.description);
            }
            Self::AnswerError { connection } => {
                writer.u8(4).bytes(&connection.0);
            }
            Self::Coming { connection } => {
                writer.u8(7).bytes(&connection.0);
            }
            Self::Explain => {
                writer.u8(5);
            }
            Self::Stats => {
                writer.u8(6);
            }
        }
        writer.finish()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReadError> {
        let (mut reader, kind) = begin(bytes)?;
        let call = match kind {
            1 => Self::Announce(Announce {
                network: read_network(&mut reader)?,
                load: reader.u16_be("load")?,
                wait_ms: reader.u32_le("wait_ms")?,
                personal: read_ids(&mut reader, "personal")?,
            }),
            2 => Self::Offer(Box::new(Offer {
                network: read_network(&mut reader)?,
                wait_ms: reader.u32_le("wait_ms")?,
                personal: read_ids(&mut reader, "personal")?,
                common: read_ids(&mut reader, "common")?,
                protocol: read_protocol(&mut reader)?,
                destination: read_text(&mut reader, "destination", MAX_DESTINATION_LEN)?,
                entry: read_bytes(&mut reader, "entry", SignedEntry::MAX_LEN)?,
                description: read_description(&mut reader)?,
            })),
            3 => Self::Answer(Answer {
                connection: read_connection(&mut reader)?,
                description: read_description(&mut reader)?,
            }),
            4 => Self::AnswerError {
                connection: read_connection(&mut reader)?,
            },
            5 => Self::Explain,
            6 => Self::Stats,
            7 => Self::Coming {
                connection: read_connection(&mut reader)?,
            },
            got => return Err(bad("kind", 1, got)),
        };
        reader.finish()?;
        Ok(call)
    }

    /// Lower-case name, for metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Announce(_) => "announce",
            Self::Offer(_) => "offer",
            Self::Answer(_) => "answer",
            Self::AnswerError { .. } => "answer_error",
            Self::Coming { .. } => "coming",
            Self::Explain => "explain",
            Self::Stats => "stats",
        }
    }
}
