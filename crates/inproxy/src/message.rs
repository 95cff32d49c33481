//! What callers ask of a broker, and what it replies: the bytes inside a session.
//!
//! `docs/inproxy.md` has each message byte by byte. Everything is bounded here; what a field means is
//! decided in the broker.

use bytes::Bytes;
use peerage_core::wire::{ReadError, Reader, TooLong, Writer};
use peerage_matcher::{
    Behaviour, CompartmentId, ConnectionId, NatType, NetworkProtocol, NetworkType, PortMappings,
    Versions,
};

use crate::description::Description;
use crate::destination::{SignedEntry, protocol_number, read_protocol};
use crate::refusal::Refusal;
use crate::wire::{bad, read_text};

/// The most bytes in a call or a reply, sealed or not, its envelope included.
pub const MAX_MESSAGE_LEN: usize = 4096;
/// The most ids in a list of compartments.
pub const MAX_COMPARTMENTS: usize = 10;
/// The longest destination, `host:port`, in bytes.
pub const MAX_DESTINATION_LEN: usize = 260;
/// The longest text of a refusal, in bytes.
pub const MAX_TEXT_LEN: usize = 200;
/// The most explanations in a reply.
pub const MAX_EXPLANATIONS: usize = 8;
/// The version of everything here.
const VERSION: u8 = 1;

/// What a party says of its network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// The NAT, as configured or measured.
    pub nat: NatType,
    /// Ports mapped at the router.
    pub mappings: PortMappings,
    /// What kind of network.
    pub kind: NetworkType,
    /// The transports it speaks, by their numbers.
    pub transports: Versions,
}

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
    /// To an answer error: whether an answer was awaited.
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

fn write_network(writer: &mut Writer, network: Network) {
    let PortMappings { upnp, nat_pmp, pcp } = network.mappings;
    let kind = match network.kind {
        NetworkType::Unknown => 0,
        NetworkType::Wired => 1,
        NetworkType::Wifi => 2,
        NetworkType::Mobile => 3,
    };
    writer
        .u8(network.nat.value())
        .u8(u8::from(upnp) | u8::from(nat_pmp) << 1 | u8::from(pcp) << 2)
        .u8(kind)
        .u8(network.transports.bits());
}

fn read_network(reader: &mut Reader<'_>) -> Result<Network, ReadError> {
    const BEHAVIOURS: [Behaviour; 4] = [
        Behaviour::Unknown,
        Behaviour::EndpointIndependent,
        Behaviour::AddressDependent,
        Behaviour::AddressAndPortDependent,
    ];
    let offset = reader.offset();
    let nat = reader.u8("nat")?;
    let (Some(&mapping), Some(&filtering)) = (
        BEHAVIOURS.get(usize::from(nat >> 2)),
        BEHAVIOURS.get(usize::from(nat & 3)),
    ) else {
        return Err(bad("nat", offset, nat));
    };
    let offset = reader.offset();
    let bits = reader.u8("mappings")?;
    if bits > 7 {
        return Err(bad("mappings", offset, bits));
    }
    let mappings = PortMappings {
        upnp: bits & 1 != 0,
        nat_pmp: bits & 2 != 0,
        pcp: bits & 4 != 0,
    };
    let offset = reader.offset();
    let kind = match reader.u8("network")? {
        0 => NetworkType::Unknown,
        1 => NetworkType::Wired,
        2 => NetworkType::Wifi,
        3 => NetworkType::Mobile,
        got => return Err(bad("network", offset, got)),
    };
    let bits = reader.u8("transports")?;
    let set = |set: Versions, bit: u8| {
        if bits >> (bit - 1) & 1 == 1 {
            set.with(bit)
        } else {
            set
        }
    };
    Ok(Network {
        nat: NatType::new(mapping, filtering),
        mappings,
        kind,
        transports: (1..=8).fold(Versions::NONE, set),
    })
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

fn read_bytes(
    reader: &mut Reader<'_>,
    field: &'static str,
    limit: usize,
) -> Result<Bytes, ReadError> {
    reader.var_bytes(field, limit).map(Bytes::copy_from_slice)
}

fn read_description(reader: &mut Reader<'_>) -> Result<Bytes, ReadError> {
    read_bytes(reader, "description", Description::MAX_LEN)
}

fn read_connection(reader: &mut Reader<'_>) -> Result<ConnectionId, ReadError> {
    reader.fixed("connection").map(ConnectionId)
}

fn read_bool(reader: &mut Reader<'_>, field: &'static str) -> Result<bool, ReadError> {
    let offset = reader.offset();
    match reader.u8(field)? {
        0 => Ok(false),
        1 => Ok(true),
        got => Err(bad(field, offset, got)),
    }
}

fn begin(bytes: &[u8]) -> Result<(Reader<'_>, u8), ReadError> {
    let mut reader = Reader::new(bytes);
    let version = reader.u8("version")?;
    if version != VERSION {
        return Err(bad("version", 0, version));
    }
    let kind = reader.u8("kind")?;
    Ok((reader, kind))
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
            Self::Explain => "explain",
            Self::Stats => "stats",
        }
    }
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

#[cfg(test)]
mod tests;
