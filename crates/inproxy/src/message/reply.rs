//! What a broker replies.

use bytes::Bytes;
use peerage_core::wire::{ReadError, TooLong, Writer};
use peerage_matcher::{ConnectionId, NetworkProtocol};

use super::{
    MAX_DESTINATION_LEN, MAX_EXPLANATIONS, MAX_MESSAGE_LEN, VERSION, begin, read_bool,
    read_connection, read_description,
};
use crate::destination::{protocol_number, read_protocol};
use crate::refusal::Refusal;
use crate::wire::{bad, read_text};

/// The client that a volunteer was given. Who or where the client is, is not in it, but for what the
/// description must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Which connection, to be named in the answer.
    pub connection: ConnectionId,
    /// The transport to use, by its number.
    pub transport: u8,
    /// Whether they met in a personal compartment.
    pub personal: bool,
    /// How long the client waits for the answer still, in milliseconds.
    pub answer_ms: u32,
    /// By which protocol.
    pub protocol: NetworkProtocol,
    /// Where to.
    pub destination: String,
    /// The client's session description.
    pub description: Bytes,
}

/// The volunteer that answered a client. Who it is, is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Which connection.
    pub connection: ConnectionId,
    /// The transport to use, by its number.
    pub transport: u8,
    /// The volunteer's session description.
    pub description: Bytes,
}

/// Why one call waits. Numbers of others are rounded up to multiples of 8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Whether it is an offer; else an announcement.
    pub offer: bool,
    /// How many of the other side wait.
    pub others: u32,
    /// How many each rule keeps away, in the order of `peerage_matcher::Rule::ALL`.
    pub excluded: [u32; 5],
    /// Of those in reach, how many have a NAT that gets along with ours.
    pub compatible: u32,
}

/// The broker's numbers, rounded up to multiples of 8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Volunteers' slots that wait.
    pub announcements: u32,
    /// Clients that wait.
    pub offers: u32,
    /// Pairs whose answer is awaited.
    pub pending: u32,
    /// Pairs made since the broker started.
    pub matches: u32,
}

/// The broker's reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To an announcement.
    Matched(Matched),
    /// To an offer.
    Answered(Answered),
    /// To an answer: whether the client is still there.
    Taken {
        /// Whether it is.
        delivered: bool,
    },
    /// To an answer error, or to one that is coming: whether an answer was awaited.
    Noted {
        /// Whether it was.
        awaited: bool,
    },
    /// To an explain.
    Explained(Vec<Waiting>),
    /// To a stats.
    Stats(Numbers),
    /// To anything.
    Refused(Refusal),
}

impl Reply {
    /// The bytes.
    ///
    /// # Errors
    /// When it is longer than [`MAX_MESSAGE_LEN`].
    pub fn encode(&self) -> Result<Bytes, TooLong> {
        let mut writer = Writer::new(MAX_MESSAGE_LEN);
        writer.u8(VERSION);
        match self {
            Self::Matched(matched) => {
                writer
                    .u8(1)
                    .bytes(&matched.connection.0)
                    .u8(matched.transport)
                    .u8(matched.personal.into())
                    .u32_le(matched.answer_ms)
                    .u8(protocol_number(matched.protocol))
                    .var_text(matched.destination.as_bytes())
                    .var_text(&matched.description);
            }
            Self::Answered(answered) => {
                writer
                    .u8(2)
                    .bytes(&answered.connection.0)
                    .u8(answered.transport)
                    .var_text(&answered.description);
            }
            Self::Taken { delivered } => {
                writer.u8(3).u8((*delivered).into());
            }
            Self::Noted { awaited } => {
                writer.u8(4).u8((*awaited).into());
            }
            Self::Explained(list) => {
                writer.u8(5).compact_size(list.len() as u64);
                for waiting in list {
                    writer.u8(waiting.offer.into()).u32_le(waiting.others);
                    for count in waiting.excluded {
                        writer.u32_le(count);
                    }
                    writer.u32_le(waiting.compatible);
                }
            }
            Self::Stats(numbers) => {
                writer
                    .u8(6)
                    .u32_le(numbers.announcements)
                    .u32_le(numbers.offers)
                    .u32_le(numbers.pending)
                    .u32_le(numbers.matches);
            }
            Self::Refused(refusal) => {
                writer.u8(255);
                refusal.write(&mut writer);
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
        let reply = match kind {
            1 => Self::Matched(Matched {
                connection: read_connection(&mut reader)?,
                transport: reader.u8("transport")?,
                personal: read_bool(&mut reader, "personal")?,
                answer_ms: reader.u32_le("answer_ms")?,
                protocol: read_protocol(&mut reader)?,
                destination: read_text(&mut reader, "destination", MAX_DESTINATION_LEN)?,
                description: read_description(&mut reader)?,
            }),
            2 => Self::Answered(Answered {
                connection: read_connection(&mut reader)?,
                transport: reader.u8("transport")?,
                description: read_description(&mut reader)?,
            }),
            3 => Self::Taken {
                delivered: read_bool(&mut reader, "delivered")?,
            },
            4 => Self::Noted {
                awaited: read_bool(&mut reader, "awaited")?,
            },
            5 => {
                let count = reader.count("explanations", MAX_EXPLANATIONS)?;
                let mut list = Vec::with_capacity(count);
                for _ in 0..count {
                    let mut waiting = Waiting {
                        offer: read_bool(&mut reader, "offer")?,
                        others: reader.u32_le("others")?,
                        ..Waiting::default()
                    };
                    for count in &mut waiting.excluded {
                        *count = reader.u32_le("excluded")?;
                    }
                    waiting.compatible = reader.u32_le("compatible")?;
                    list.push(waiting);
                }
                Self::Explained(list)
            }
            6 => Self::Stats(Numbers {
                announcements: reader.u32_le("announcements")?,
                offers: reader.u32_le("offers")?,
                pending: reader.u32_le("pending")?,
                matches: reader.u32_le("matches")?,
            }),
            255 => Self::Refused(Refusal::read(&mut reader)?),
            got => return Err(bad("kind", 1, got)),
        };
        reader.finish()?;
        Ok(reply)
    }
}
