//! RLP read by name and written in lists.
//!
//! The [`Reader`] is to RLP what [`peerage_core::wire::Reader`] is to the version family: every
//! read names its field, errors say which field and where, and a traced reader remembers each
//! field with its place. Only canonical encodings are read: shortest lengths, no leading zeros.
//!
//! Source: Ethereum Yellow Paper, appendix B; `ethereum.org`, "Recursive-length prefix".

use alloy_rlp::{Encodable as _, Header};
use bytes::{BufMut as _, BytesMut};
use peerage_core::wire::{Field, FieldValue, Problem, ReadError, Trace};

/// What to do with items of a list beyond those that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// They break the encoding.
    Refuse,
    /// A later version may have put them there: pass over them, unread.
    Ignore,
}

/// The first bytes of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ItemHeader {
    pub(crate) list: bool,
    /// 0 to 9 bytes; a byte below 0x80 is its own payload.
    pub(crate) header_len: usize,
    pub(crate) payload_len: usize,
}

impl ItemHeader {
    /// Reads the header that `bytes` start with. Its payload need not be there.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let missing = |needed: usize| Problem::Truncated {
            needed,
            left: bytes.len(),
        };
        let first = *bytes.first().ok_or_else(|| missing(1))?;
        let (list, short) = match first {
            0..=0x7f => {
                return Ok(Self {
                    list: false,
                    header_len: 0,
                    payload_len: 1,
                });
            }
            0x80..=0xbf => (false, first - 0x80),
            0xc0..=0xff => (true, first - 0xc0),
        };
        let Some(len_of_len) = short.checked_sub(55).map(usize::from).filter(|n| *n > 0) else {
            let header = Self {
                list,
                header_len: 1,
                payload_len: short.into(),
            };
            if first == 0x81 {
                let only = *bytes.get(1).ok_or_else(|| missing(2))?;
                if only < 0x80 {
                    let value = only.into();
                    return Err(Problem::NotCanonical { value });
                }
            }
            return Ok(header);
        };
        let header_len = 1 + len_of_len;
        let digits = bytes
            .get(1..header_len)
            .ok_or_else(|| missing(header_len))?;
        let value = be(digits);
        if value < 56 || digits.first() == Some(&0) {
            return Err(Problem::NotCanonical { value });
        }
        let payload_len = usize::try_from(value).map_err(|_| Problem::OverLimit {
            got: value,
            limit: usize::MAX as u64,
        })?;
        Ok(Self {
            list,
            header_len,
            payload_len,
        })
    }
}

/// At most eight bytes as a number, the most significant first.
fn be(digits: &[u8]) -> u64 {
    digits
        .iter()
        .fold(0, |value, digit| value << 8 | u64::from(*digit))
}

/// A canonical number of at most eight bytes.
pub(crate) fn uint_of(payload: &[u8]) -> Result<u64, Problem> {
    if payload.len() > 8 {
        return Err(Problem::OverLimit {
            got: payload.len() as u64,
            limit: 8,
        });
    }
    let value = be(payload);
    if payload.first() == Some(&0) {
        return Err(Problem::NotCanonical { value });
    }
    Ok(value)
}

/// Reads items from front to back. Never allocates by a length that a stranger declared.
///
/// After an error a reader is good for [`Self::into_fields`] only.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the list being read ends.
    end: usize,
    trace: Option<Box<Trace>>,
}

impl<'a> Reader<'a> {
    /// A reader over `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            end: bytes.len(),
            trace: None,
        }
    }

    /// A reader that remembers every field.
    pub fn traced(bytes: &'a [u8]) -> Self {
        Self {
            trace: Some(Box::default()),
            ..Self::new(bytes)
        }
    }

    /// The fields read so far, when traced. A list is a field as long as its header; what is in it
    /// follows.
    pub fn into_fields(self) -> Vec<Field> {
        self.trace
            .map(|trace| trace.into_fields())
            .unwrap_or_default()
    }

    /// Bytes consumed so far.
    pub const fn offset(&self) -> usize {
        self.at
    }

    /// Bytes left in the list being read, or in the whole outside of any.
    pub const fn left(&self) -> usize {
        self.end - self.at
    }

    /// Whether the list being read, or the whole, has no more items.
    pub const fn is_empty(&self) -> bool {
        self.left() == 0
    }

    /// Whether the next item is a list.
    pub fn at_list(&self) -> bool {
        !self.is_empty() && self.bytes.get(self.at).is_some_and(|first| *first >= 0xc0)
    }

    /// An error about the field that starts at `offset`.
    pub const fn error(field: &'static str, offset: usize, problem: Problem) -> ReadError {
        ReadError {
            field,
            offset,
            problem,
        }
    }

    fn note(&mut self, name: &'static str, offset: usize, value: impl FnOnce() -> FieldValue) {
        let len = self.at - offset;
        if let Some(trace) = &mut self.trace {
            trace.note(name, offset, len, value());
        }
    }

    fn ahead(&self) -> &'a [u8] {
        self.bytes.get(self.at..self.end).unwrap_or_default()
    }

    /// The header of the next item, whose payload is known to be there.
    fn header(&self, field: &'static str) -> Result<ItemHeader, ReadError> {
        let wrong = |problem| Self::error(field, self.at, problem);
        if self.is_empty() {
            return Err(wrong(Problem::Missing));
        }
        let header = ItemHeader::read(self.ahead()).map_err(wrong)?;
        let needed = header.header_len.saturating_add(header.payload_len);
        if needed > self.left() {
            let left = self.left();
            return Err(wrong(Problem::Truncated { needed, left }));
        }
        Ok(header)
    }

    /// The payload of the next item, which must be a string.
    fn string(&mut self, field: &'static str) -> Result<&'a [u8], ReadError> {
        let header = self.header(field)?;
        if header.list {
            let expected = "string";
            return Err(Self::error(
                field,
                self.at,
                Problem::WrongShape { expected },
            ));
        }
        let payload = self.ahead().get(header.header_len..).unwrap_or_default();
        self.at += header.header_len + header.payload_len;
        Ok(payload.get(..header.payload_len).unwrap_or_default())
    }

    /// A list, whose items `read` reads.
    ///
    /// # Errors
    /// When the next item is no list, `read` fails, or items are left that are refused.
    pub fn list<T>(
        &mut self,
        field: &'static str,
        extra: Extra,
        read: impl FnOnce(&mut Self) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let outer = self.open(field)?;
        let value = read(self)?;
        match extra {
            Extra::Refuse => self.finish()?,
            Extra::Ignore => {
                self.rest("extra");
            }
        }
        self.end = outer;
        Ok(value)
    }

    /// Enters a list and returns where the one around it ends.
    fn open(&mut self, field: &'static str) -> Result<usize, ReadError> {
        let header = self.header(field)?;
        let offset = self.at;
        if !header.list {
            let expected = "list";
            return Err(Self::error(field, offset, Problem::WrongShape { expected }));
        }
        self.at += header.header_len;
        self.note(field, offset, || FieldValue::List {
            len: header.payload_len,
        });
        Ok(std::mem::replace(
            &mut self.end,
            self.at + header.payload_len,
        ))
    }

    /// A list of at most `limit` items of one kind, each read by `read` within the group `field`.
    ///
    /// # Errors
    /// When the next item is no list, `read` fails, or more items follow and they are refused.
    pub fn items<T>(
        &mut self,
        field: &'static str,
        limit: usize,
        beyond: Extra,
        mut read: impl FnMut(&mut Self) -> Result<T, ReadError>,
    ) -> Result<Vec<T>, ReadError> {
        let offset = self.at;
        let outer = self.open(field)?;
        let mut items = Vec::new();
        while !self.is_empty() {
            if items.len() == limit {
                if beyond == Extra::Ignore {
                    self.rest("extra");
                    break;
                }
                let limit = limit as u64;
                let got = limit.saturating_add(1);
                return Err(Self::error(
                    field,
                    offset,
                    Problem::OverLimit { got, limit },
                ));
            }
            if let Some(trace) = &mut self.trace {
                trace.enter(field, Some(items.len()));
            }
            items.push(read(self)?);
        }
        if let Some(trace) = &mut self.trace {
            trace.leave();
        }
        self.end = outer;
        Ok(items)
    }

    /// A canonical number of at most eight bytes.
    ///
    /// # Errors
    /// When there is none, it is longer, or a shorter form would do.
    pub fn u64(&mut self, field: &'static str) -> Result<u64, ReadError> {
        self.uint(field, u64::MAX)
    }

    /// A canonical number up to `limit`.
    ///
    /// # Errors
    /// When there is none, it is larger, or a shorter form would do.
    pub fn uint(&mut self, field: &'static str, limit: u64) -> Result<u64, ReadError> {
        let offset = self.at;
        let payload = self.string(field)?;
        let value = uint_of(payload).map_err(|problem| Self::error(field, offset, problem))?;
        if value > limit {
            let problem = Problem::OverLimit { got: value, limit };
            return Err(Self::error(field, offset, problem));
        }
        self.note(field, offset, || FieldValue::Uint(value));
        Ok(value)
    }

    /// A canonical number of at most four bytes.
    ///
    /// # Errors
    /// When there is none, it is larger, or a shorter form would do.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, ReadError> {
        let value = self.uint(field, u32::MAX.into())?;
        Ok(u32::try_from(value).unwrap_or(u32::MAX))
    }

    /// Zero or one.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn bool(&mut self, field: &'static str) -> Result<bool, ReadError> {
        Ok(self.uint(field, 1)? == 1)
    }

    /// A canonical number of at most `N` bytes, the most significant first, zeros in front.
    ///
    /// # Errors
    /// When there is none, it is longer, or a shorter form would do.
    pub fn big_uint<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], ReadError> {
        let offset = self.at;
        let payload = self.string(field)?;
        let wrong = |problem| Err(Self::error(field, offset, problem));
        let mut value = [0; N];
        let Some(zeros) = N.checked_sub(payload.len()) else {
            let (got, limit) = (payload.len() as u64, N as u64);
            return wrong(Problem::OverLimit { got, limit });
        };
        if payload.first() == Some(&0) {
            let value = be(&payload[..payload.len().min(8)]);
            return wrong(Problem::NotCanonical { value });
        }
        value[zeros..].copy_from_slice(payload);
        self.note(field, offset, || FieldValue::Bytes(payload.to_vec()));
        Ok(value)
    }

    /// A string of at most `limit` bytes.
    ///
    /// # Errors
    /// When there is none or it is longer.
    pub fn bytes(&mut self, field: &'static str, limit: usize) -> Result<&'a [u8], ReadError> {
        self.limited(field, limit, FieldValue::Bytes)
    }

    /// A string of at most `limit` bytes that is meant as text.
    ///
    /// # Errors
    /// When there is none or it is longer.
    pub fn text(&mut self, field: &'static str, limit: usize) -> Result<&'a [u8], ReadError> {
        self.limited(field, limit, FieldValue::Text)
    }

    fn limited(
        &mut self,
        field: &'static str,
        limit: usize,
        value: impl FnOnce(Vec<u8>) -> FieldValue,
    ) -> Result<&'a [u8], ReadError> {
        let offset = self.at;
        let payload = self.string(field)?;
        if payload.len() > limit {
            let (got, limit) = (payload.len() as u64, limit as u64);
            return Err(Self::error(
                field,
                offset,
                Problem::OverLimit { got, limit },
            ));
        }
        self.note(field, offset, || value(payload.to_vec()));
        Ok(payload)
    }

    /// A string of exactly `N` bytes.
    ///
    /// # Errors
    /// When there is none or it has another length.
    pub fn fixed<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], ReadError> {
        let offset = self.at;
        let payload = self.string(field)?;
        let Ok(array) = payload.try_into() else {
            let problem = Problem::WrongLength {
                got: payload.len() as u64,
                expected: N as u64,
            };
            return Err(Self::error(field, offset, problem));
        };
        self.note(field, offset, || FieldValue::Bytes(payload.to_vec()));
        Ok(array)
    }

    /// One item as it stands, its header included. What is inside is not looked at.
    ///
    /// # Errors
    /// When there is none or its header is wrong.
    pub fn raw(&mut self, field: &'static str) -> Result<&'a [u8], ReadError> {
        let offset = self.at;
        let header = self.header(field)?;
        let item = self.ahead();
        let len = header.header_len + header.payload_len;
        self.at += len;
        let item = item.get(..len).unwrap_or_default();
        self.note(field, offset, || FieldValue::Bytes(item.to_vec()));
        Ok(item)
    }

    /// One list as it stands, its header included. What is inside is not looked at.
    ///
    /// # Errors
    /// When the next item is no list or its header is wrong.
    pub fn raw_list(&mut self, field: &'static str) -> Result<&'a [u8], ReadError> {
        if self.header(field)?.list {
            return self.raw(field);
        }
        let expected = "list";
        Err(Self::error(
            field,
            self.at,
            Problem::WrongShape { expected },
        ))
    }

    /// Everything that is left of the list being read, or of the whole, unread.
    pub fn rest(&mut self, field: &'static str) -> &'a [u8] {
        let offset = self.at;
        let rest = self.ahead();
        self.at = self.end;
        if !rest.is_empty() {
            self.note(field, offset, || FieldValue::Bytes(rest.to_vec()));
        }
        rest
    }

    /// Ends the list being read, or the whole.
    ///
    /// # Errors
    /// When bytes are left.
    pub const fn finish(&self) -> Result<(), ReadError> {
        if self.is_empty() {
            return Ok(());
        }
        let extra = self.left();
        Err(Self::error("end", self.at, Problem::Trailing { extra }))
    }
}

/// Appends items to a buffer.
#[derive(Debug)]
pub struct Writer<'a>(&'a mut BytesMut);

impl<'a> Writer<'a> {
    /// A writer that appends to `output`.
    pub const fn new(output: &'a mut BytesMut) -> Self {
        Self(output)
    }

    /// Appends a number in its shortest form.
    pub fn uint(&mut self, value: u64) -> &mut Self {
        value.encode(&mut *self.0);
        self
    }

    /// Appends a number given as bytes, the most significant first; zeros in front are left out.
    pub fn big_uint(&mut self, value: &[u8]) -> &mut Self {
        let zeros = value.iter().take_while(|byte| **byte == 0).count();
        self.bytes(&value[zeros..])
    }

    /// Appends a string.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        bytes.encode(&mut *self.0);
        self
    }

    /// Appends items that are encoded already.
    pub fn raw(&mut self, items: &[u8]) -> &mut Self {
        self.0.put_slice(items);
        self
    }

    /// Appends a list of what `write` writes. The contents move once, to make room for the header:
    /// for something long, encode the header with [`Self::list_header`].
    pub fn list(&mut self, write: impl FnOnce(&mut Writer<'_>)) -> &mut Self {
        let start = self.0.len();
        write(&mut Writer(self.0));
        let payload_length = self.0.len() - start;
        let header = Header {
            list: true,
            payload_length,
        };
        let header_len = header.length();
        self.0.put_bytes(0, header_len);
        self.0
            .copy_within(start..start + payload_length, start + header_len);
        header.encode(&mut &mut self.0[start..start + header_len]);
        self
    }

    /// Appends the header of a list whose contents, `payload_len` bytes, are appended next.
    pub fn list_header(&mut self, payload_len: usize) -> &mut Self {
        let header = Header {
            list: true,
            payload_length: payload_len,
        };
        header.encode(&mut *self.0);
        self
    }
}

/// The bytes of one item.
pub(crate) fn encoded(write: impl FnOnce(&mut Writer<'_>)) -> BytesMut {
    let mut output = BytesMut::new();
    write(&mut Writer::new(&mut output));
    output
}
