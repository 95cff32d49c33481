//! Attributes.

use std::net::IpAddr;

use bytes::Bytes;
use peerage_core::wire::{Problem, ReadError, Reader, Writer};
use peerage_core::{Endpoint, PeerText};

use super::{MAGIC_COOKIE, StunError, TransactionId, padding};

/// The numbers of attributes (IANA, "STUN Attributes").
pub mod kind {
    /// Where the other side sees us, in plain bytes, which some NATs rewrite.
    pub const MAPPED_ADDRESS: u16 = 0x0001;
    /// Whence the answer is wanted (RFC 5780 section 7.2).
    pub const CHANGE_REQUEST: u16 = 0x0003;
    /// Who asks.
    pub const USERNAME: u16 = 0x0006;
    /// A keyed hash of what stands before it.
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    /// Why a request could not be met.
    pub const ERROR_CODE: u16 = 0x0009;
    /// The attributes that were not understood.
    pub const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    /// For long-term credentials.
    pub const REALM: u16 = 0x0014;
    /// For long-term credentials.
    pub const NONCE: u16 = 0x0015;
    /// A keyed hash, SHA-256.
    pub const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
    /// Where the other side sees us.
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    /// What the other side runs.
    pub const SOFTWARE: u16 = 0x8022;
    /// A checksum.
    pub const FINGERPRINT: u16 = 0x8028;
    /// Whence the answer comes (RFC 5780 section 7.3).
    pub const RESPONSE_ORIGIN: u16 = 0x802b;
    /// The server's other address and port (RFC 5780 section 7.4).
    pub const OTHER_ADDRESS: u16 = 0x802c;

    /// Whether a message with this attribute must be refused by whoever does not know it (RFC 8489
    /// section 14).
    pub const fn must_be_understood(kind: u16) -> bool {
        kind < 0x8000
    }

    /// Known, and of no meaning to a server without users.
    pub(crate) const IGNORED: [u16; 5] = [
        USERNAME,
        MESSAGE_INTEGRITY,
        REALM,
        NONCE,
        MESSAGE_INTEGRITY_SHA256,
    ];
}

/// The most numbers read of UNKNOWN-ATTRIBUTES.
const MAX_UNKNOWN: usize = 32;

/// The longest SOFTWARE and reason phrase, in bytes (RFC 8489 sections 14.8 and 14.14).
const MAX_TEXT: usize = 763;

/// Whence an answer is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// From the other address.
    pub address: bool,
    /// From the other port.
    pub port: bool,
}

impl Change {
    /// The flags as RFC 5780 section 7.2 places them.
    const fn bits(self) -> u8 {
        (if self.address { 0x04 } else { 0 }) | (if self.port { 0x02 } else { 0 })
    }
}

/// Why a request could not be met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorCode {
    /// 300 to 699.
    pub code: u16,
    /// The reason in words of the other side.
    pub reason: PeerText,
}

impl ErrorCode {
    /// The request makes no sense.
    pub const BAD_REQUEST: u16 = 400;
    /// The request has an attribute that must be understood and is not.
    pub const UNKNOWN_ATTRIBUTE: u16 = 420;
}

/// One attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attribute {
    /// MAPPED-ADDRESS.
    MappedAddress(Endpoint),
    /// XOR-MAPPED-ADDRESS.
    XorMappedAddress(Endpoint),
    /// RESPONSE-ORIGIN.
    ResponseOrigin(Endpoint),
    /// OTHER-ADDRESS.
    OtherAddress(Endpoint),
    /// CHANGE-REQUEST.
    ChangeRequest(Change),
    /// ERROR-CODE.
    ErrorCode(ErrorCode),
    /// UNKNOWN-ATTRIBUTES.
    UnknownAttributes(Vec<u16>),
    /// SOFTWARE.
    Software(PeerText),
    /// Any other.
    Other {
        /// Its number.
        kind: u16,
        /// Its value.
        value: Bytes,
    },
}

impl Attribute {
    /// Reads the value of the attribute that starts at `start`.
    pub(super) fn decode(
        kind: u16,
        value: &[u8],
        start: usize,
        transaction: &TransactionId,
    ) -> Result<Self, StunError> {
        let mut reader = Reader::new(value);
        let read = Self::read(kind, &mut reader, transaction);
        // The offset is told as one of the message.
        read.map_err(|error| {
            StunError::Read(ReadError {
                offset: error.offset + start + 4,
                ..error
            })
        })
    }

    fn read(
        kind: u16,
        reader: &mut Reader<'_>,
        transaction: &TransactionId,
    ) -> Result<Self, ReadError> {
        let attribute = match kind {
            kind::MAPPED_ADDRESS => Self::MappedAddress(read_address(reader, None)?),
            kind::XOR_MAPPED_ADDRESS => {
                Self::XorMappedAddress(read_address(reader, Some(transaction))?)
            }
            kind::RESPONSE_ORIGIN => Self::ResponseOrigin(read_address(reader, None)?),
            kind::OTHER_ADDRESS => Self::OtherAddress(read_address(reader, None)?),
            kind::CHANGE_REQUEST => {
                let [_, _, _, bits] = reader.fixed("change request")?;
                Self::ChangeRequest(Change {
                    address: bits & 0x04 != 0,
                    port: bits & 0x02 != 0,
                })
            }
            kind::ERROR_CODE => Self::ErrorCode(read_error(reader)?),
            kind::UNKNOWN_ATTRIBUTES => {
                let mut kinds = Vec::new();
                while !reader.is_empty() && kinds.len() < MAX_UNKNOWN {
                    kinds.push(reader.u16_be("unknown attribute")?);
                }
                reader.rest("unknown attributes");
                Self::UnknownAttributes(kinds)
            }
            kind::SOFTWARE => Self::Software(PeerText::new(read_text(reader, "software")?)),
            _ => Self::Other {
                kind,
                value: Bytes::copy_from_slice(reader.rest("value")),
            },
        };
        reader.finish()?;
        Ok(attribute)
    }

    pub(super) fn encode(&self, writer: &mut Writer, transaction: &TransactionId) {
        let mut value = Writer::new(usize::from(u16::MAX));
        let kind = match self {
            Self::MappedAddress(at) => {
                write_address(&mut value, at, None);
                kind::MAPPED_ADDRESS
            }
            Self::XorMappedAddress(at) => {
                write_address(&mut value, at, Some(transaction));
                kind::XOR_MAPPED_ADDRESS
            }
            Self::ResponseOrigin(at) => {
                write_address(&mut value, at, None);
                kind::RESPONSE_ORIGIN
            }
            Self::OtherAddress(at) => {
                write_address(&mut value, at, None);
                kind::OTHER_ADDRESS
            }
            Self::ChangeRequest(change) => {
                value.bytes(&[0, 0, 0, change.bits()]);
                kind::CHANGE_REQUEST
            }
            Self::ErrorCode(error) => {
                let [class, number] = [error.code / 100 % 10, error.code % 100];
                // Both are below 100.
                let bytes = [class.to_be_bytes()[1], number.to_be_bytes()[1]];
                value.bytes(&[0, 0]).bytes(&bytes);
                value.bytes(error.reason.as_bytes());
                kind::ERROR_CODE
            }
            Self::UnknownAttributes(kinds) => {
                for kind in kinds.iter().take(MAX_UNKNOWN) {
                    value.u16_be(*kind);
                }
                kind::UNKNOWN_ATTRIBUTES
            }
            Self::Software(text) => {
                value.bytes(text.as_bytes());
                kind::SOFTWARE
            }
            Self::Other { kind, value: bytes } => {
                value.bytes(bytes);
                *kind
            }
        };
        // A value that is too long makes the message too long, which its writer remembers.
        let Ok(value) = value.finish() else {
            writer.bytes(&[0; super::MAX_LEN]);
            return;
        };
        let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
        writer.u16_be(kind).u16_be(len).bytes(&value);
        writer.bytes(&[0; 3][..padding(value.len())]);
    }
}

fn read_text<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<&'a [u8], ReadError> {
    let (offset, left) = (reader.offset(), reader.left());
    if left > MAX_TEXT {
        let problem = Problem::OverLimit {
            got: left as u64,
            limit: MAX_TEXT as u64,
        };
        return Err(Reader::error(field, offset, problem));
    }
    Ok(reader.rest(field))
}

fn read_error(reader: &mut Reader<'_>) -> Result<ErrorCode, ReadError> {
    let [_, _, class, number] = reader.fixed("error code")?;
    let (class, number) = (u16::from(class & 0x07), u16::from(number));
    if !(3..=6).contains(&class) || number > 99 {
        let got = u64::from(class * 100 + number);
        return Err(Reader::error("error code", 0, Problem::BadValue { got }));
    }
    let reason = PeerText::new(read_text(reader, "reason phrase")?);
    let code = class * 100 + number;
    Ok(ErrorCode { code, reason })
}

/// The bytes an address is combined with: the cookie and the transaction (RFC 8489 section 14.2).
fn mask(transaction: Option<&TransactionId>) -> [u8; 16] {
    let mut mask = [0; 16];
    if let Some(transaction) = transaction {
        mask[..4].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        mask[4..].copy_from_slice(&transaction.0);
    }
    mask
}

fn masked<const N: usize>(bytes: [u8; N], mask: &[u8; 16]) -> [u8; N] {
    let mut bytes = bytes;
    for (byte, mask) in bytes.iter_mut().zip(mask) {
        *byte ^= mask;
    }
    bytes
}

fn read_address(
    reader: &mut Reader<'_>,
    transaction: Option<&TransactionId>,
) -> Result<Endpoint, ReadError> {
    let mask = mask(transaction);
    reader.u8("reserved")?;
    let offset = reader.offset();
    let family = reader.u8("family")?;
    let port = u16::from_be_bytes(masked(reader.fixed("port")?, &mask));
    let ip = match family {
        0x01 => IpAddr::from(masked::<4>(reader.fixed("address")?, &mask)),
        0x02 => IpAddr::from(masked::<16>(reader.fixed("address")?, &mask)),
        _ => {
            let got = family.into();
            return Err(Reader::error("family", offset, Problem::BadValue { got }));
        }
    };
    Ok(Endpoint::new(ip, port))
}

fn write_address(writer: &mut Writer, at: &Endpoint, transaction: Option<&TransactionId>) {
    let mask = mask(transaction);
    let port = masked(at.port().to_be_bytes(), &mask);
    match at.ip() {
        IpAddr::V4(ip) => {
            writer.u8(0).u8(0x01).bytes(&port);
            writer.bytes(&masked(ip.octets(), &mask));
        }
        IpAddr::V6(ip) => {
            writer.u8(0).u8(0x02).bytes(&port);
            writer.bytes(&masked(ip.octets(), &mask));
        }
    }
}
