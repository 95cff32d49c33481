//! Reading items from front to back.

use peerage_core::wire::{Field, FieldValue, Problem, ReadError, Trace};

use super::header::{ItemHeader, be, uint_of};

/// What to do with items of a list beyond those that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// They break the encoding.
    Refuse,
    /// A later version may have put them there: pass over them, unread.
    Ignore,
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
