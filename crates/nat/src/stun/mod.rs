//! STUN messages: RFC 8489, with the attributes of RFC 5780.
//!
//! ```text
//!  00 method and class (14) | length (16) | magic cookie 0x2112A442 | transaction id (96)
//!  attribute: type (16) | length (16) | value, padded to 4 bytes
//! ```
//!
//! Only what a survey and its server need is taken apart; every other attribute is kept as bytes.
//! There is no authentication here: a public server has none, and the transaction id is what an
//! answer is believed by.

mod attribute;
mod error;

use bytes::Bytes;
use peerage_core::wire::{Reader, Writer};
use peerage_core::{Endpoint, PeerText};

pub use attribute::{Attribute, Change, ErrorCode, kind};
pub use error::StunError;

/// The longest message, in bytes: what passes everywhere in one datagram of IPv6 (RFC 8489 section
/// 6.1 asks to stay below the path's MTU, or 1280 and 576 bytes where that is not known).
pub const MAX_LEN: usize = 1280;

/// The most attributes of one message. The messages of RFC 5780 have seven.
pub const MAX_ATTRIBUTES: usize = 32;

/// The length of a header, in bytes.
pub const HEADER_LEN: usize = 20;

/// The method Binding, the only one here.
pub const BINDING: u16 = 0x001;

/// What stands in every message (RFC 8489 section 5).
pub const MAGIC_COOKIE: u32 = 0x2112_a442;

/// What the checksum of FINGERPRINT is combined with, `STUN` in ASCII (RFC 8489 section 14.7).
const FINGERPRINT_XOR: u32 = 0x5354_554e;

/// The length of FINGERPRINT with its header, in bytes.
const FINGERPRINT_LEN: usize = 8;

/// What a request and its answer share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub [u8; Self::LEN]);

impl TransactionId {
    /// Its length, in bytes.
    pub const LEN: usize = 12;
}

/// What kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Wants an answer.
    Request,
    /// Wants none.
    Indication,
    /// The answer to a request that could be met.
    Success,
    /// The answer to one that could not.
    Error,
}

impl Class {
    /// The two bits of the class, where they stand in the type (RFC 8489 section 5, figure 3).
    const fn bits(self) -> u16 {
        match self {
            Self::Request => 0x0000,
            Self::Indication => 0x0010,
            Self::Success => 0x0100,
            Self::Error => 0x0110,
        }
    }

    const fn of(message_type: u16) -> Self {
        match message_type & 0x0110 {
            0x0000 => Self::Request,
            0x0010 => Self::Indication,
            0x0100 => Self::Success,
            _ => Self::Error,
        }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its class.
    pub class: Class,
    /// Its method, 12 bits.
    pub method: u16,
    /// Its transaction.
    pub transaction: TransactionId,
    /// Its attributes but FINGERPRINT, in order. Those behind MESSAGE-INTEGRITY are left out.
    pub attributes: Vec<Attribute>,
    /// Whether it ends with FINGERPRINT.
    pub fingerprint: bool,
}

impl Message {
    /// A Binding message without attributes.
    pub const fn binding(class: Class, transaction: TransactionId) -> Self {
        Self {
            class,
            method: BINDING,
            transaction,
            attributes: Vec::new(),
            fingerprint: false,
        }
    }

    /// The same with one attribute more.
    #[must_use]
    pub fn with(mut self, attribute: Attribute) -> Self {
        self.attributes.push(attribute);
        self
    }

    /// The same with FINGERPRINT at its end.
    #[must_use]
    pub const fn fingerprinted(mut self, fingerprint: bool) -> Self {
        self.fingerprint = fingerprint;
        self
    }

    /// Whether `bytes` can be STUN at all, for whoever shares a port with other protocols: the
    /// first two bits, the cookie and the length fit (RFC 8489 section 5).
    pub fn is_one(bytes: &[u8]) -> bool {
        matches!(read_header(bytes), Ok((_, _, len)) if len + HEADER_LEN == bytes.len())
    }

    /// Reads one datagram.
    ///
    /// # Errors
    /// When it is not STUN, breaks the encoding or a bound, or has a wrong FINGERPRINT.
    pub fn decode(bytes: &[u8]) -> Result<Self, StunError> {
        let (message_type, transaction, len) = read_header(bytes)?;
        if len + HEADER_LEN != bytes.len() {
            return Err(StunError::Length {
                declared: len + HEADER_LEN,
                got: bytes.len(),
            });
        }
        let mut message = Self {
            class: Class::of(message_type),
            method: method_of(message_type),
            transaction,
            attributes: Vec::new(),
            fingerprint: false,
        };
        let mut reader = Reader::new(bytes);
        reader.bytes("header", HEADER_LEN)?;
        // Behind MESSAGE-INTEGRITY only FINGERPRINT counts (RFC 8489 section 14.5).
        let mut is_sealed = false;
        let mut count = 0;
        while !reader.is_empty() {
            if message.fingerprint {
                return Err(StunError::AfterFingerprint);
            }
            count += 1;
            if count > MAX_ATTRIBUTES {
                return Err(StunError::TooMany);
            }
            let start = reader.offset();
            let kind = reader.u16_be("attribute type")?;
            let len = reader.u16_be("attribute length")?;
            let value = reader.bytes("attribute value", len.into())?;
            reader.bytes("padding", padding(len.into()))?;
            if kind == kind::FINGERPRINT {
                check_fingerprint(bytes, start, value)?;
                message.fingerprint = true;
            } else if !is_sealed {
                is_sealed =
                    kind == kind::MESSAGE_INTEGRITY || kind == kind::MESSAGE_INTEGRITY_SHA256;
                let attribute = Attribute::decode(kind, value, start, &transaction)?;
                message.attributes.push(attribute);
            }
        }
        Ok(message)
    }

    /// The datagram.
    ///
    /// # Errors
    /// When it would be longer than [`MAX_LEN`].
    pub fn encode(&self) -> Result<Bytes, StunError> {
        let mut body = Writer::new(MAX_LEN - HEADER_LEN);
        for attribute in &self.attributes {
            attribute.encode(&mut body, &self.transaction);
        }
        let body = body.finish()?;
        let tail = if self.fingerprint { FINGERPRINT_LEN } else { 0 };
        let len = u16::try_from(body.len() + tail).map_err(|_| StunError::TooMany)?;
        let mut writer = Writer::new(MAX_LEN);
        writer.u16_be(type_of(self.method, self.class)).u16_be(len);
        writer.bytes(&MAGIC_COOKIE.to_be_bytes());
        writer.bytes(&self.transaction.0).bytes(&body);
        if self.fingerprint {
            let sum = crc32fast::hash(writer.payload()?) ^ FINGERPRINT_XOR;
            writer.u16_be(kind::FINGERPRINT).u16_be(4);
            writer.bytes(&sum.to_be_bytes());
        }
        Ok(writer.finish()?)
    }

    /// Where the other side sees us: XOR-MAPPED-ADDRESS, or MAPPED-ADDRESS of an old server.
    pub fn mapped(&self) -> Option<Endpoint> {
        let xored = self.attributes.iter().find_map(|attribute| {
            if let Attribute::XorMappedAddress(at) = attribute {
                Some(*at)
            } else {
                None
            }
        });
        xored.or_else(|| {
            self.attributes.iter().find_map(|attribute| {
                if let Attribute::MappedAddress(at) = attribute {
                    Some(*at)
                } else {
                    None
                }
            })
        })
    }

    /// OTHER-ADDRESS: the server's address and port that are both not the ones asked.
    pub fn other_address(&self) -> Option<Endpoint> {
        self.attributes.iter().find_map(|attribute| {
            if let Attribute::OtherAddress(at) = attribute {
                Some(*at)
            } else {
                None
            }
        })
    }

    /// RESPONSE-ORIGIN: whence the server says that it answers.
    pub fn origin(&self) -> Option<Endpoint> {
        self.attributes.iter().find_map(|attribute| {
            if let Attribute::ResponseOrigin(at) = attribute {
                Some(*at)
            } else {
                None
            }
        })
    }

    /// CHANGE-REQUEST: whence the answer is wanted.
    pub fn change(&self) -> Option<Change> {
        self.attributes.iter().find_map(|attribute| {
            if let Attribute::ChangeRequest(change) = attribute {
                Some(*change)
            } else {
                None
            }
        })
    }

    /// ERROR-CODE.
    pub fn error(&self) -> Option<&ErrorCode> {
        self.attributes.iter().find_map(|attribute| {
            if let Attribute::ErrorCode(error) = attribute {
                Some(error)
            } else {
                None
            }
        })
    }

    /// SOFTWARE: what the other side runs, in its words.
    pub fn software(&self) -> Option<&PeerText> {
        self.attributes.iter().find_map(|attribute| {
            if let Attribute::Software(text) = attribute {
                Some(text)
            } else {
                None
            }
        })
    }

    /// The attributes that must be understood and are not, each once, in the order of their numbers
    /// (RFC 8489 section 6.3.1).
    pub fn not_understood(&self) -> Vec<u16> {
        let mut kinds: Vec<u16> = self
            .attributes
            .iter()
            .filter_map(|attribute| {
                if let Attribute::Other { kind, .. } = attribute {
                    Some(*kind)
                } else {
                    None
                }
            })
            .filter(|kind| kind::must_be_understood(*kind) && !kind::IGNORED.contains(kind))
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }
}

fn read_header(bytes: &[u8]) -> Result<(u16, TransactionId, usize), StunError> {
    if bytes.len() > MAX_LEN {
        return Err(StunError::TooLong { got: bytes.len() });
    }
    let mut reader = Reader::new(bytes);
    let not_stun = |_| StunError::NotStun;
    let message_type = reader.u16_be("type").map_err(not_stun)?;
    let len = reader.u16_be("length").map_err(not_stun)?;
    let cookie: [u8; 4] = reader.fixed("magic cookie").map_err(not_stun)?;
    let transaction = reader.fixed("transaction").map_err(not_stun)?;
    let is_stun = message_type & 0xc000 == 0 && cookie == MAGIC_COOKIE.to_be_bytes();
    if !is_stun || len % 4 != 0 {
        return Err(StunError::NotStun);
    }
    Ok((message_type, TransactionId(transaction), len.into()))
}

/// The method, whose bits stand around those of the class.
const fn method_of(message_type: u16) -> u16 {
    let low = message_type & 0x000f;
    let middle = (message_type & 0x00e0) >> 1;
    let high = (message_type & 0x3e00) >> 2;
    low | middle | high
}

const fn type_of(method: u16, class: Class) -> u16 {
    let low = method & 0x000f;
    let middle = (method & 0x0070) << 1;
    let high = (method & 0x0f80) << 2;
    low | middle | high | class.bits()
}

/// How many bytes fill a value up.
const fn padding(len: usize) -> usize {
    (4 - len % 4) % 4
}

fn check_fingerprint(bytes: &[u8], start: usize, value: &[u8]) -> Result<(), StunError> {
    let covered = bytes.get(..start).unwrap_or_default();
    let sum = crc32fast::hash(covered) ^ FINGERPRINT_XOR;
    if value == sum.to_be_bytes() {
        Ok(())
    } else {
        Err(StunError::BadFingerprint)
    }
}
