//! Writing items.

use alloy_rlp::{Encodable as _, Header};
use bytes::{BufMut as _, BytesMut};

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
