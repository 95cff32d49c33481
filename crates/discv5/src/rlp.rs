//! RLP, as far as records and messages need it: a borrowed reader, and a writer into a vector.
//!
//! Source: the Ethereum Yellow Paper, appendix B. Only the canonical form is read.

/// Why bytes are no RLP, or not the RLP wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RlpError {
    /// An item ends beyond its surroundings.
    #[error("an item is cut off")]
    Truncated,
    /// A length or a single byte written longer than necessary.
    #[error("an item is not in its shortest form")]
    NotCanonical,
    /// A string where a list belongs.
    #[error("a list is expected, a string came")]
    NotAList,
    /// A list where a string belongs.
    #[error("a string is expected, a list came")]
    NotAString,
    /// A number with a leading zero or of more bits than its field.
    #[error("a number has a leading zero or too many bits")]
    BadNumber,
    /// A string of another length than its field has.
    #[error("a string of {got} bytes stands where {expected} belong")]
    BadLength {
        /// The field's length, in bytes.
        expected: usize,
        /// The length that came, in bytes.
        got: usize,
    },
    /// Something follows the end.
    #[error("{0} bytes follow the end")]
    TrailingBytes(usize),
}

/// One item, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A string of bytes.
    String(&'a [u8]),
    /// The items of a list, still to be read.
    List(Reader<'a>),
}

/// Reads items from the front of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the front of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What has not been read.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next item.
    ///
    /// # Errors
    /// When there is none, or it is malformed.
    pub fn item(&mut self) -> Result<Item<'a>, RlpError> {
        Ok(self.item_and_raw()?.0)
    }

    /// The next item, and its encoding with the header.
    ///
    /// # Errors
    /// When there is none, or it is malformed.
    pub fn item_and_raw(&mut self) -> Result<(Item<'a>, &'a [u8]), RlpError> {
        let bytes = self.rest;
        let &tag = bytes.first().ok_or(RlpError::Truncated)?;
        let (header_len, len) = match tag {
            0..=0x7f => (0, 1),
            0x80..=0xb7 => (1, usize::from(tag - 0x80)),
            0xb8..=0xbf => long_len(bytes, usize::from(tag - 0xb7))?,
            0xc0..=0xf7 => (1, usize::from(tag - 0xc0)),
            0xf8..=0xff => long_len(bytes, usize::from(tag - 0xf7))?,
        };
        let end = header_len.checked_add(len).ok_or(RlpError::Truncated)?;
        let raw = bytes.get(..end).ok_or(RlpError::Truncated)?;
        let payload = &raw[header_len..];
        let item = if tag < 0xc0 {
            if header_len == 1 && len == 1 && payload[0] < 0x80 {
                return Err(RlpError::NotCanonical);
            }
            Item::String(payload)
        } else {
            Item::List(Reader::new(payload))
        };
        self.rest = &bytes[end..];
        Ok((item, raw))
    }

    /// The next item, which is a string.
    ///
    /// # Errors
    /// When it is not.
    pub fn string(&mut self) -> Result<&'a [u8], RlpError> {
        match self.item()? {
            Item::String(bytes) => Ok(bytes),
            Item::List(_) => Err(RlpError::NotAString),
        }
    }

    /// The next item, which is a string of `N` bytes.
    ///
    /// # Errors
    /// When it is not.
    pub fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], RlpError> {
        let bytes = self.string()?;
        bytes.try_into().map_err(|_| RlpError::BadLength {
            expected: N,
            got: bytes.len(),
        })
    }

    /// The next item, which is a list.
    ///
    /// # Errors
    /// When it is not.
    pub fn list(&mut self) -> Result<Self, RlpError> {
        match self.item()? {
            Item::List(items) => Ok(items),
            Item::String(_) => Err(RlpError::NotAList),
        }
    }

    /// The next item, which is a number.
    ///
    /// # Errors
    /// When it is not, or not in its shortest form, or beyond 64 bits.
    pub fn uint(&mut self) -> Result<u64, RlpError> {
        uint(self.string()?)
    }

    /// The next item, which is a number below 2^16.
    ///
    /// # Errors
    /// When it is not.
    pub fn u16(&mut self) -> Result<u16, RlpError> {
        u16::try_from(self.uint()?).map_err(|_| RlpError::BadNumber)
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// [`RlpError::TrailingBytes`] when something is.
    pub const fn finish(self) -> Result<(), RlpError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(RlpError::TrailingBytes(left)),
        }
    }
}

/// The number that a string spells.
///
/// # Errors
/// When it has a leading zero or more than eight bytes.
pub fn uint(bytes: &[u8]) -> Result<u64, RlpError> {
    if bytes.len() > 8 || bytes.first() == Some(&0) {
        return Err(RlpError::BadNumber);
    }
    let fold = |sum: u64, &byte: &u8| sum << 8 | u64::from(byte);
    Ok(bytes.iter().fold(0, fold))
}

fn long_len(bytes: &[u8], len_of_len: usize) -> Result<(usize, usize), RlpError> {
    let spelled = bytes.get(1..=len_of_len).ok_or(RlpError::Truncated)?;
    if spelled[0] == 0 {
        return Err(RlpError::NotCanonical);
    }
    let len = usize::try_from(uint(spelled)?).map_err(|_| RlpError::Truncated)?;
    if len < 56 {
        return Err(RlpError::NotCanonical);
    }
    Ok((1 + len_of_len, len))
}

/// Appends a string.
pub fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes {
        [byte @ 0..=0x7f] => out.push(*byte),
        _ => {
            put_header(out, 0x80, bytes.len());
            out.extend_from_slice(bytes);
        }
    }
}

/// Appends a number in its shortest form.
pub fn put_uint(out: &mut Vec<u8>, number: u64) {
    let bytes = number.to_be_bytes();
    put_string(out, &bytes[number.leading_zeros() as usize / 8..]);
}

/// Appends the header of a list whose items take `payload_len` bytes.
pub fn put_list_header(out: &mut Vec<u8>, payload_len: usize) {
    put_header(out, 0xc0, payload_len);
}

/// How many bytes a string of this many bytes takes, one of a single byte below 0x80 aside.
pub const fn string_len(len: usize) -> usize {
    header_len(len) + len
}

/// How many bytes [`put_uint`] appends.
pub const fn uint_len(number: u64) -> usize {
    if number < 0x80 {
        1
    } else {
        1 + (64 - number.leading_zeros() as usize).div_ceil(8)
    }
}

/// How many bytes the header of a payload of this many bytes takes.
pub const fn header_len(payload_len: usize) -> usize {
    if payload_len < 56 {
        1
    } else {
        1 + (usize::BITS as usize - payload_len.leading_zeros() as usize).div_ceil(8)
    }
}

fn put_header(out: &mut Vec<u8>, base: u8, len: usize) {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "below 56, and at most 8 bytes of length"
    )]
    if len < 56 {
        out.push(base + len as u8);
    } else {
        let bytes = len.to_be_bytes();
        let spelled = &bytes[len.leading_zeros() as usize / 8..];
        out.push(base + 55 + spelled.len() as u8);
        out.extend_from_slice(spelled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_the_specification_are_read_and_written() {
        let mut out = Vec::new();
        put_string(&mut out, b"dog");
        put_string(&mut out, b"");
        put_uint(&mut out, 0);
        put_uint(&mut out, 15);
        put_uint(&mut out, 1024);
        assert_eq!(out, b"\x83dog\x80\x80\x0f\x82\x04\x00");
        let mut reader = Reader::new(&out);
        assert_eq!(reader.string(), Ok(&b"dog"[..]));
        assert_eq!(reader.string(), Ok(&b""[..]));
        assert_eq!(reader.uint(), Ok(0));
        assert_eq!(reader.uint(), Ok(15));
        assert_eq!(reader.u16(), Ok(1024));
        assert_eq!(reader.finish(), Ok(()));

        let long = b"Lorem ipsum dolor sit amet, consectetur adipisicing elit";
        let mut out = Vec::new();
        put_string(&mut out, long);
        assert_eq!(out[..2], [0xb8, 56]);
        assert_eq!(Reader::new(&out).string(), Ok(&long[..]));
    }

    #[test]
    fn only_the_shortest_form_is_read() {
        for (bytes, error) in [
            (&b"\x81\x05"[..], RlpError::NotCanonical),
            (b"\xb8\x01\x80", RlpError::NotCanonical),
            (b"\xb9\x00\x38", RlpError::NotCanonical),
            (b"\x82\x00", RlpError::Truncated),
            (b"\xb8", RlpError::Truncated),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff", RlpError::Truncated),
            (b"", RlpError::Truncated),
        ] {
            assert_eq!(Reader::new(bytes).item(), Err(error), "{bytes:02x?}");
        }
        assert_eq!(
            Reader::new(b"\x82\x00\x01").uint(),
            Err(RlpError::BadNumber)
        );
        assert_eq!(Reader::new(b"\x00").uint(), Err(RlpError::BadNumber));
        assert_eq!(
            Reader::new(b"\x83\x01\x00\x00").u16(),
            Err(RlpError::BadNumber)
        );
    }

    proptest! {
        #[test]
        fn numbers_and_strings_go_both_ways(number: u64, bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut out = Vec::new();
            put_uint(&mut out, number);
            prop_assert_eq!(out.len(), uint_len(number));
            put_string(&mut out, &bytes);
            let mut reader = Reader::new(&out);
            prop_assert_eq!(reader.uint(), Ok(number));
            prop_assert_eq!(reader.string(), Ok(&bytes[..]));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut reader = Reader::new(&bytes);
            while let Ok((_, raw)) = reader.item_and_raw() {
                prop_assert!(!raw.is_empty());
            }
        }
    }
}
