//! Reading one payload from front to back.

use std::net::{IpAddr, Ipv6Addr};

use super::trace::{Field, FieldValue, Trace};

/// Why a payload could not be read, with the field and the offset where it went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {field} at offset {offset}: {problem}")]
pub struct ReadError {
    /// The field being read.
    pub field: &'static str,
    /// Where it starts in the payload, in bytes.
    pub offset: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The payload ends too early.
    #[error("needs {needed} bytes, only {left} are left")]
    Truncated {
        /// Bytes the field needs.
        needed: usize,
        /// Bytes left.
        left: usize,
    },
    /// A number or a length in a longer form than its value needs.
    #[error("value {value} is not in its shortest form")]
    NotCanonical {
        /// The value.
        value: u64,
    },
    /// A count or length over its limit.
    #[error("{got} is over the limit of {limit}")]
    OverLimit {
        /// The value read.
        got: u64,
        /// The most allowed.
        limit: u64,
    },
    /// A count or length under its limit.
    #[error("{got} is under the least allowed, {limit}")]
    UnderLimit {
        /// The value read.
        got: u64,
        /// The least allowed.
        limit: u64,
    },
    /// A length that does not fit its kind.
    #[error("has length {got} where {expected} is the only one")]
    WrongLength {
        /// The length read.
        got: u64,
        /// The length its kind has.
        expected: u64,
    },
    /// A value that means nothing.
    #[error("value {got} has no meaning here")]
    BadValue {
        /// The value read.
        got: u64,
    },
    /// A text byte outside printable ASCII.
    #[error("byte 0x{byte:02x} is not printable ASCII")]
    NotPrintable {
        /// The byte.
        byte: u8,
    },
    /// A message that peers of this version do not have.
    #[error("there is no such message in protocol version {version}")]
    NotInVersion {
        /// The version agreed on.
        version: u32,
    },
    /// A list whose end stands where the field belongs.
    #[error("is missing: its list ends before it")]
    Missing,
    /// A list where a string belongs, or the other way round.
    #[error("must be a {expected}")]
    WrongShape {
        /// What belongs there: `list` or `string`.
        expected: &'static str,
    },
    /// Bytes after the last field.
    #[error("{extra} bytes follow the last field")]
    Trailing {
        /// How many.
        extra: usize,
    },
}

/// Reads one payload from front to back. Never allocates by a length that a stranger declared.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    trace: Option<Box<Trace>>,
}

impl<'a> Reader<'a> {
    /// A reader over `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            trace: None,
        }
    }

    /// A reader that remembers every field.
    pub fn traced(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            trace: Some(Box::default()),
        }
    }

    /// The fields read so far, when traced.
    pub fn into_fields(self) -> Vec<Field> {
        self.trace
            .map(|trace| trace.into_fields())
            .unwrap_or_default()
    }

    /// Bytes consumed so far.
    pub const fn offset(&self) -> usize {
        self.at
    }

    /// Bytes left.
    pub const fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.left() == 0
    }

    /// Fields from here on belong to `name`, entry `index` where it is a list.
    pub fn enter(&mut self, name: &'static str, index: Option<usize>) {
        if let Some(trace) = &mut self.trace {
            trace.enter(name, index);
        }
    }

    /// Fields from here on belong to no group.
    pub fn leave(&mut self) {
        if let Some(trace) = &mut self.trace {
            trace.leave();
        }
    }

    fn note(&mut self, name: &'static str, offset: usize, value: impl FnOnce() -> FieldValue) {
        let len = self.at - offset;
        if let Some(trace) = &mut self.trace {
            trace.note(name, offset, len, value());
        }
    }

    /// An error about the field that starts at `offset`.
    pub const fn error(field: &'static str, offset: usize, problem: Problem) -> ReadError {
        ReadError {
            field,
            offset,
            problem,
        }
    }

    fn take(&mut self, field: &'static str, len: usize) -> Result<&'a [u8], ReadError> {
        let offset = self.at;
        let Some(taken) = self.bytes.get(offset..).and_then(|rest| rest.get(..len)) else {
            let problem = Problem::Truncated {
                needed: len,
                left: self.left(),
            };
            return Err(Self::error(field, offset, problem));
        };
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], ReadError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(field, N)?);
        Ok(array)
    }

    /// Exactly `len` bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn bytes(&mut self, field: &'static str, len: usize) -> Result<&'a [u8], ReadError> {
        let offset = self.at;
        let taken = self.take(field, len)?;
        self.note(field, offset, || FieldValue::Bytes(taken.to_vec()));
        Ok(taken)
    }

    /// Exactly `N` bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn fixed<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], ReadError> {
        let offset = self.at;
        let array: [u8; N] = self.array(field)?;
        self.note(field, offset, || FieldValue::Bytes(array.to_vec()));
        Ok(array)
    }

    /// One byte.
    ///
    /// # Errors
    /// When nothing is left.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, ReadError> {
        let offset = self.at;
        let [value] = self.array(field)?;
        self.note(field, offset, || FieldValue::Uint(value.into()));
        Ok(value)
    }

    /// Two bytes, the most significant first.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn u16_be(&mut self, field: &'static str) -> Result<u16, ReadError> {
        let offset = self.at;
        let value = u16::from_be_bytes(self.array(field)?);
        self.note(field, offset, || FieldValue::Uint(value.into()));
        Ok(value)
    }

    /// Two bytes, the least significant first.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn u16_le(&mut self, field: &'static str) -> Result<u16, ReadError> {
        let offset = self.at;
        let value = u16::from_le_bytes(self.array(field)?);
        self.note(field, offset, || FieldValue::Uint(value.into()));
        Ok(value)
    }

    /// Four bytes, the least significant first.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn u32_le(&mut self, field: &'static str) -> Result<u32, ReadError> {
        let offset = self.at;
        let value = u32::from_le_bytes(self.array(field)?);
        self.note(field, offset, || FieldValue::Uint(value.into()));
        Ok(value)
    }

    /// Four bytes, signed, the least significant first.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn i32_le(&mut self, field: &'static str) -> Result<i32, ReadError> {
        let offset = self.at;
        let value = i32::from_le_bytes(self.array(field)?);
        self.note(field, offset, || FieldValue::Int(value.into()));
        Ok(value)
    }

    /// Eight bytes, the least significant first.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn u64_le(&mut self, field: &'static str) -> Result<u64, ReadError> {
        let offset = self.at;
        let value = u64::from_le_bytes(self.array(field)?);
        self.note(field, offset, || FieldValue::Uint(value));
        Ok(value)
    }

    /// Eight bytes, signed, the least significant first.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn i64_le(&mut self, field: &'static str) -> Result<i64, ReadError> {
        let offset = self.at;
        let value = i64::from_le_bytes(self.array(field)?);
        self.note(field, offset, || FieldValue::Int(value));
        Ok(value)
    }

    /// Sixteen bytes of IPv6; an IPv4-mapped address comes back as IPv6 all the same, so that
    /// re-encoding gives the same bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn ipv6(&mut self, field: &'static str) -> Result<Ipv6Addr, ReadError> {
        let offset = self.at;
        let value = Ipv6Addr::from(self.array::<16>(field)?);
        self.note(field, offset, || {
            FieldValue::Ip(IpAddr::V6(value).to_canonical())
        });
        Ok(value)
    }

    /// Four bytes of IPv4.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn ipv4(&mut self, field: &'static str) -> Result<std::net::Ipv4Addr, ReadError> {
        let offset = self.at;
        let value = std::net::Ipv4Addr::from(self.array::<4>(field)?);
        self.note(field, offset, || FieldValue::Ip(IpAddr::V4(value)));
        Ok(value)
    }

    /// A CompactSize of 1, 3, 5 or 9 bytes, which must be in its shortest form.
    ///
    /// Source: ZIP 204, "CompactSize"; dcrd `wire`, "ReadVarInt".
    ///
    /// # Errors
    /// When bytes are missing or a shorter form would do.
    pub fn compact_size(&mut self, field: &'static str) -> Result<u64, ReadError> {
        let offset = self.at;
        let value = self.read_compact_size(field)?;
        self.note(field, offset, || FieldValue::Uint(value));
        Ok(value)
    }

    fn read_compact_size(&mut self, field: &'static str) -> Result<u64, ReadError> {
        let offset = self.at;
        let [first] = self.array(field)?;
        let (value, least) = match first {
            0xfd => (u64::from(u16::from_le_bytes(self.array(field)?)), 0xfd),
            0xfe => (u64::from(u32::from_le_bytes(self.array(field)?)), 0x1_0000),
            0xff => (u64::from_le_bytes(self.array(field)?), 0x1_0000_0000),
            small => (u64::from(small), 0),
        };
        if value < least {
            return Err(Self::error(field, offset, Problem::NotCanonical { value }));
        }
        Ok(value)
    }

    /// A CompactSize that counts something, at most `limit` of it.
    ///
    /// # Errors
    /// When it is over the limit, or cannot be read.
    pub fn count(&mut self, field: &'static str, limit: usize) -> Result<usize, ReadError> {
        let offset = self.at;
        let got = self.compact_size(field)?;
        Self::within(field, offset, got, limit)
    }

    fn within(
        field: &'static str,
        offset: usize,
        got: u64,
        limit: usize,
    ) -> Result<usize, ReadError> {
        match usize::try_from(got) {
            Ok(count) if count <= limit => Ok(count),
            _ => {
                let problem = Problem::OverLimit {
                    got,
                    limit: limit as u64,
                };
                Err(Self::error(field, offset, problem))
            }
        }
    }

    /// A text with a CompactSize length in front, at most `limit` bytes.
    ///
    /// # Errors
    /// When it is longer, or bytes are missing.
    pub fn var_text(&mut self, field: &'static str, limit: usize) -> Result<&'a [u8], ReadError> {
        let offset = self.at;
        let taken = self.take_var(field, limit)?;
        self.note(field, offset, || FieldValue::Text(taken.to_vec()));
        Ok(taken)
    }

    fn take_var(&mut self, field: &'static str, limit: usize) -> Result<&'a [u8], ReadError> {
        let offset = self.at;
        let declared = self.read_compact_size(field)?;
        let len = Self::within(field, offset, declared, limit)?;
        self.take(field, len)
    }

    /// Bytes with a CompactSize length in front, at most `limit` of them.
    ///
    /// # Errors
    /// When there are more, or bytes are missing.
    pub fn var_bytes(&mut self, field: &'static str, limit: usize) -> Result<&'a [u8], ReadError> {
        let offset = self.at;
        let taken = self.take_var(field, limit)?;
        self.note(field, offset, || FieldValue::Bytes(taken.to_vec()));
        Ok(taken)
    }

    /// Everything that is left.
    pub fn rest(&mut self, field: &'static str) -> &'a [u8] {
        let offset = self.at;
        let taken = self.bytes.get(offset..).unwrap_or_default();
        self.at = self.bytes.len();
        if !taken.is_empty() {
            self.note(field, offset, || FieldValue::Bytes(taken.to_vec()));
        }
        taken
    }

    /// How many entries to make room for: `count`, but no more than the bytes left can hold.
    pub const fn room_for(&self, count: usize, least_entry_len: usize) -> usize {
        let possible = self.left()
            / if least_entry_len == 0 {
                1
            } else {
                least_entry_len
            };
        if count < possible { count } else { possible }
    }

    /// Ends the payload.
    ///
    /// # Errors
    /// When bytes follow.
    pub const fn finish(&self) -> Result<(), ReadError> {
        if self.is_empty() {
            return Ok(());
        }
        Err(Self::error(
            "end",
            self.at,
            Problem::Trailing { extra: self.left() },
        ))
    }
}
