//! Writing one payload of at most a given length.

use std::net::IpAddr;

use bytes::{BufMut, Bytes, BytesMut};

/// Room made beforehand, in bytes: enough for nearly every message of a handshake, so that writing
/// one allocates once.
const USUAL_LEN: usize = 256;

/// Writes one payload of at most a given length. Writing beyond it is remembered, not done.
#[derive(Debug)]
pub struct Writer {
    buffer: BytesMut,
    limit: usize,
    wanted: usize,
}

/// A payload that would be longer than its protocol allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the payload would have {len} bytes, the limit is {limit}")]
pub struct TooLong {
    /// The length it would have, in bytes.
    pub len: usize,
    /// The most allowed, in bytes.
    pub limit: usize,
}

impl Writer {
    /// A writer for at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::with_capacity(limit.min(USUAL_LEN)),
            limit,
            wanted: 0,
        }
    }

    /// Appends bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.wanted = self.wanted.saturating_add(bytes.len());
        if self.wanted <= self.limit {
            self.buffer.put_slice(bytes);
        }
        self
    }

    /// Appends one byte.
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    /// Appends two bytes, the most significant first.
    pub fn u16_be(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Appends two bytes, the least significant first.
    pub fn u16_le(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends four bytes, the least significant first.
    pub fn u32_le(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends four bytes, signed, the least significant first.
    pub fn i32_le(&mut self, value: i32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends eight bytes, the least significant first.
    pub fn u64_le(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends eight bytes, signed, the least significant first.
    pub fn i64_le(&mut self, value: i64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    /// Appends an address as 16 bytes of IPv6, IPv4 mapped into it.
    pub fn ip_mapped(&mut self, ip: IpAddr) -> &mut Self {
        let ip = match ip {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        self.bytes(&ip.octets())
    }

    /// Appends a CompactSize in its shortest form.
    pub fn compact_size(&mut self, value: u64) -> &mut Self {
        let le = value.to_le_bytes();
        match value {
            0..=0xfc => self.bytes(&le[..1]),
            0xfd..=0xffff => self.u8(0xfd).bytes(&le[..2]),
            0x1_0000..=0xffff_ffff => self.u8(0xfe).bytes(&le[..4]),
            _ => self.u8(0xff).bytes(&le),
        }
    }

    /// Appends bytes or text with their CompactSize length in front.
    pub fn var_text(&mut self, text: &[u8]) -> &mut Self {
        self.compact_size(text.len() as u64).bytes(text)
    }

    /// The payload as written so far.
    ///
    /// # Errors
    /// When it would be longer than the limit.
    pub fn payload(&self) -> Result<&[u8], TooLong> {
        if self.wanted > self.limit {
            return Err(TooLong {
                len: self.wanted,
                limit: self.limit,
            });
        }
        Ok(&self.buffer)
    }

    /// The finished payload.
    ///
    /// # Errors
    /// When it would be longer than the limit.
    pub fn finish(self) -> Result<Bytes, TooLong> {
        self.payload()?;
        Ok(self.buffer.freeze())
    }
}
