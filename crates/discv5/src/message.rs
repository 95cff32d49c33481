//! Messages: what a packet says once it is opened (discv5-wire, "Protocol Messages").
//!
//! A message is its type byte and an RLP list that begins with the request id. Types 1 to 6 are
//! spoken. What is above is recognised and left unanswered, as every deployed peer does.

use std::fmt;
use std::net::IpAddr;

use peerage_core::Endpoint;

use crate::record::{Record, RecordError, Unverified};
use crate::rlp::{self, Item, Reader, RlpError};

/// The largest logarithmic distance.
pub const MAX_DISTANCE: u16 = 256;

/// The type bytes.
mod code {
    pub(super) const PING: u8 = 0x01;
    pub(super) const PONG: u8 = 0x02;
    pub(super) const FINDNODE: u8 = 0x03;
    pub(super) const NODES: u8 = 0x04;
    pub(super) const TALKREQ: u8 = 0x05;
    pub(super) const TALKRESP: u8 = 0x06;
}

/// What joins a response to its request: 0 to 8 bytes that the responder mirrors exactly.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    len: u8,
    bytes: [u8; 8],
}

impl RequestId {
    /// The most bytes.
    pub const MAX_LEN: usize = 8;

    /// These bytes as an id, if they are at most eight.
    pub fn new(id: &[u8]) -> Option<Self> {
        let mut bytes = [0; 8];
        bytes.get_mut(..id.len())?.copy_from_slice(id);
        let len = u8::try_from(id.len()).ok()?;
        Some(Self { len, bytes })
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Eight bytes, as our own requests carry.
impl From<u64> for RequestId {
    fn from(number: u64) -> Self {
        Self {
            len: 8,
            bytes: number.to_be_bytes(),
        }
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.as_bytes().iter();
        bytes.try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The distances of a FINDNODE: each once, in the order they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distances {
    list: Vec<u16>,
    beyond: bool,
}

impl Distances {
    /// These distances; repeated ones count once.
    pub fn new(distances: impl IntoIterator<Item = u16>) -> Self {
        let mut made = Self::default();
        let mut seen = [false; MAX_DISTANCE as usize + 1];
        for distance in distances {
            match seen.get_mut(usize::from(distance)) {
                Some(seen) if *seen => {}
                Some(seen) => {
                    *seen = true;
                    made.list.push(distance);
                }
                None => made.beyond = true,
            }
        }
        made
    }

    /// Those from 0 to 256: at most 257.
    pub fn as_slice(&self) -> &[u16] {
        &self.list
    }

    /// Whether there was one that cannot be: such a request gets an empty answer.
    pub const fn has_impossible(&self) -> bool {
        self.beyond
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A question.
    Request(RequestId, Request<'a>),
    /// An answer.
    Response(RequestId, Response<'a>),
    /// A type above 6: topics, or what is yet to come. Its contents are not read.
    Unimplemented(u8),
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Are you there?
    Ping {
        /// The sequence number of the sender's record.
        record_seq: u64,
    },
    /// Which nodes do you know at these distances from you?
    FindNode {
        /// The distances.
        distances: Distances,
    },
    /// A message of another protocol.
    Talk {
        /// The protocol's name.
        protocol: &'a [u8],
        /// What it says.
        payload: &'a [u8],
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response<'a> {
    /// Yes, and you are there.
    Pong {
        /// The sequence number of the sender's record.
        record_seq: u64,
        /// Where the request came from.
        observed: Endpoint,
    },
    /// Some nodes.
    Nodes {
        /// Of how many messages the answer consists. A claim.
        total: u64,
        /// The records in this one, not yet decoded.
        records: Records<'a>,
    },
    /// The answer of another protocol; empty if the protocol is not known.
    Talk {
        /// What it says.
        payload: &'a [u8],
    },
}

/// The records of a NODES message, decoded one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Records<'a>(Reader<'a>);

impl Iterator for Records<'_> {
    type Item = Result<Unverified, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        match self.0.item_and_raw() {
            Ok((_, raw)) => Some(Unverified::decode(raw)),
            Err(error) => {
                self.0 = Reader::new(&[]);
                Some(Err(error.into()))
            }
        }
    }
}

/// Why a plaintext is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// No bytes, or a type that can never be.
    #[error("the message has no type")]
    NoType,
    /// Not the list its type wants.
    #[error("message type {kind} is malformed")]
    Malformed {
        /// The type byte.
        kind: u8,
        /// What is wrong.
        #[source]
        error: RlpError,
    },
    /// A request id of more than eight bytes. It gets no answer.
    #[error("the request id has {0} bytes, 8 are allowed")]
    LongRequestId(usize),
    /// An address of neither 4 nor 16 bytes.
    #[error("the address has {0} bytes, 4 or 16 are allowed")]
    BadAddress(usize),
}

impl<'a> Message<'a> {
    /// Reads a plaintext.
    ///
    /// # Errors
    /// When it is malformed. Nothing in a message that is understood may be left over.
    pub fn decode(plaintext: &'a [u8]) -> Result<Self, MessageError> {
        let (&kind, rest) = plaintext.split_first().ok_or(MessageError::NoType)?;
        match kind {
            0 => return Err(MessageError::NoType),
            code::PING..=code::TALKRESP => {}
            _ => return Ok(Self::Unimplemented(kind)),
        }
        let malformed = |error| MessageError::Malformed { kind, error };
        let mut outer = Reader::new(rest);
        let mut list = outer.list().map_err(malformed)?;
        outer.finish().map_err(malformed)?;
        let id = list.string().map_err(malformed)?;
        let id = RequestId::new(id).ok_or(MessageError::LongRequestId(id.len()))?;
        let message = Self::read_body(kind, id, &mut list).map_err(|error| match error {
            BodyError::Rlp(error) => malformed(error),
            BodyError::BadAddress(len) => MessageError::BadAddress(len),
        })?;
        list.finish().map_err(malformed)?;
        Ok(message)
    }

    fn read_body(kind: u8, id: RequestId, list: &mut Reader<'a>) -> Result<Self, BodyError> {
        Ok(match kind {
            code::PING => Self::Request(
                id,
                Request::Ping {
                    record_seq: list.uint()?,
                },
            ),
            code::PONG => {
                let record_seq = list.uint()?;
                let ip = read_ip(list.string()?)?;
                let observed = Endpoint::new(ip, list.u16()?);
                Self::Response(
                    id,
                    Response::Pong {
                        record_seq,
                        observed,
                    },
                )
            }
            code::FINDNODE => {
                let distances = read_distances(list.list()?)?;
                Self::Request(id, Request::FindNode { distances })
            }
            code::NODES => {
                let total = list.uint()?;
                let records = Records(list.list()?);
                Self::Response(id, Response::Nodes { total, records })
            }
            code::TALKREQ => {
                let protocol = list.string()?;
                let payload = list.string()?;
                Self::Request(id, Request::Talk { protocol, payload })
            }
            _ => Self::Response(
                id,
                Response::Talk {
                    payload: list.string()?,
                },
            ),
        })
    }
}

enum BodyError {
    Rlp(RlpError),
    BadAddress(usize),
}

impl From<RlpError> for BodyError {
    fn from(error: RlpError) -> Self {
        Self::Rlp(error)
    }
}

fn read_ip(bytes: &[u8]) -> Result<IpAddr, BodyError> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Ok(v4.into());
    }
    let v6 = <[u8; 16]>::try_from(bytes).map_err(|_| BodyError::BadAddress(bytes.len()))?;
    Ok(v6.into())
}

fn read_distances(mut list: Reader<'_>) -> Result<Distances, RlpError> {
    // The datagram bounds the list; what is kept is bounded by the number of distances.
    let mut error = None;
    let distances = Distances::new(std::iter::from_fn(|| {
        if list.is_empty() {
            return None;
        }
        match list.item() {
            Ok(Item::String(bytes)) => match rlp::uint(bytes) {
                Ok(distance) => Some(u16::try_from(distance).unwrap_or(u16::MAX)),
                Err(bad) => {
                    error = Some(bad);
                    None
                }
            },
            Ok(Item::List(_)) => {
                error = Some(RlpError::NotAString);
                None
            }
            Err(bad) => {
                error = Some(bad);
                None
            }
        }
    }));
    match error {
        Some(error) => Err(error),
        None => Ok(distances),
    }
}

/// Appends the list of a message: its request id, then what `fields` appends.
fn put(out: &mut Vec<u8>, kind: u8, id: RequestId, fields: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    let start = out.len();
    rlp::put_string(out, id.as_bytes());
    fields(out);
    wrap_list(out, start);
}

/// Makes a list of what follows `start`.
fn wrap_list(out: &mut Vec<u8>, start: usize) {
    let mut header = Vec::with_capacity(3);
    rlp::put_list_header(&mut header, out.len() - start);
    out.splice(start..start, header);
}

impl Request<'_> {
    /// Appends the plaintext.
    pub fn encode(&self, out: &mut Vec<u8>, id: RequestId) {
        match self {
            Self::Ping { record_seq } => {
                put(out, code::PING, id, |out| rlp::put_uint(out, *record_seq));
            }
            Self::FindNode { distances } => put(out, code::FINDNODE, id, |out| {
                let start = out.len();
                for &distance in distances.as_slice() {
                    rlp::put_uint(out, distance.into());
                }
                wrap_list(out, start);
            }),
            Self::Talk { protocol, payload } => put(out, code::TALKREQ, id, |out| {
                rlp::put_string(out, protocol);
                rlp::put_string(out, payload);
            }),
        }
    }
}

/// Appends a PONG.
pub fn put_pong(out: &mut Vec<u8>, id: RequestId, record_seq: u64, observed: Endpoint) {
    put(out, code::PONG, id, |out| {
        rlp::put_uint(out, record_seq);
        match observed.ip() {
            IpAddr::V4(ip) => rlp::put_string(out, &ip.octets()),
            IpAddr::V6(ip) => rlp::put_string(out, &ip.octets()),
        }
        rlp::put_uint(out, observed.port().into());
    });
}

/// Appends one NODES message of `total`.
pub fn put_nodes(out: &mut Vec<u8>, id: RequestId, total: u64, records: &[Record]) {
    put(out, code::NODES, id, |out| {
        rlp::put_uint(out, total);
        let start = out.len();
        for record in records {
            out.extend_from_slice(record.as_bytes());
        }
        wrap_list(out, start);
    });
}

/// Appends a TALKRESP.
pub fn put_talk_response(out: &mut Vec<u8>, id: RequestId, payload: &[u8]) {
    put(out, code::TALKRESP, id, |out| {
        rlp::put_string(out, payload);
    });
}
