//! Snappy around the data of every message after Hello, in the block format.
//!
//! The declared length is checked before a byte of memory is bought for it: against the limit of
//! the message, and against what the compressed bytes can yield at all.
//!
//! Source: EIP-706; google/snappy, "format_description.txt".

use std::fmt;

use bytes::BytesMut;
use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

/// Why compressed bytes were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnappyError {
    /// No declared length, or one that no format allows.
    #[error("the length in front is no length")]
    NoLength,
    /// More than the message may have.
    #[error("declares {declared} bytes, its limit is {limit}")]
    TooLong {
        /// Declared length, in bytes.
        declared: usize,
        /// The most allowed, in bytes.
        limit: usize,
    },
    /// More than the compressed bytes can yield.
    #[error("declares {declared} bytes, {compressed} compressed ones cannot yield so many")]
    Impossible {
        /// Declared length, in bytes.
        declared: usize,
        /// The compressed length, in bytes.
        compressed: usize,
    },
    /// A length that is a lie, or elements that make no sense.
    #[error("the compressed bytes do not yield the {declared} that they declare")]
    Corrupt {
        /// Declared length, in bytes.
        declared: usize,
    },
}

/// The most bytes that `plain_len` bytes have when they are compressed. A message with more is over
/// its limit, whatever it declares.
pub fn max_compressed_len(plain_len: usize) -> usize {
    // 0 stands for what the format cannot say: more than 4 GiB.
    match max_compress_len(plain_len) {
        0 => usize::MAX,
        len => len,
    }
}

/// The length that `compressed` declares, in bytes.
///
/// # Errors
/// When it declares none, more than `limit`, or more than it can yield.
pub fn declared_len(compressed: &[u8], limit: usize) -> Result<usize, SnappyError> {
    let declared = decompress_len(compressed).map_err(|_| SnappyError::NoLength)?;
    if compressed.is_empty() {
        return Err(SnappyError::NoLength);
    }
    if declared > limit {
        return Err(SnappyError::TooLong { declared, limit });
    }
    // The densest element is a copy of 64 bytes in three.
    if declared > compressed.len().saturating_mul(64) / 3 {
        let compressed = compressed.len();
        return Err(SnappyError::Impossible {
            declared,
            compressed,
        });
    }
    Ok(declared)
}

/// Appends what `compressed` holds, at most `limit` bytes, to `output`. On error nothing is
/// appended.
///
/// # Errors
/// When the declared length is over the limit or a lie, or the bytes make no sense.
pub fn decode(compressed: &[u8], limit: usize, output: &mut BytesMut) -> Result<(), SnappyError> {
    let declared = declared_len(compressed, limit)?;
    let start = output.len();
    output.resize(start + declared, 0);
    match Decoder::new().decompress(compressed, &mut output[start..]) {
        Ok(len) if len == declared => Ok(()),
        Ok(_) | Err(_) => {
            output.truncate(start);
            Err(SnappyError::Corrupt { declared })
        }
    }
}

/// Compresses. One serves any number of peers; it keeps its tables of at most 34 KiB between calls.
pub struct Compressor(Encoder);

impl Compressor {
    /// A compressor.
    pub fn new() -> Self {
        Self(Encoder::new())
    }

    /// Appends `plain` compressed to `output`.
    ///
    /// # Errors
    /// When `plain` is longer than the format can say, 4 GiB; nothing is appended then.
    pub fn encode(&mut self, plain: &[u8], output: &mut BytesMut) -> Result<(), SnappyError> {
        let start = output.len();
        let room = max_compress_len(plain.len());
        let too_long = SnappyError::TooLong {
            declared: plain.len(),
            limit: u32::MAX as usize,
        };
        if room == 0 {
            return Err(too_long);
        }
        output.resize(start + room, 0);
        let compressed = self.0.compress(plain, &mut output[start..]);
        output.truncate(start + compressed.as_ref().unwrap_or(&0));
        compressed.map(drop).map_err(|_| too_long)
    }
}

impl Default for Compressor {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compressor")
    }
}

/// The first bytes that `compressed` holds, at most `N`, without decompressing the rest.
///
/// Enough to read a request id, so that an answer nobody asked for costs no memory. What a full
/// [`decode`] would yield begins with these bytes; bytes that only a full decode could refuse are
/// not refused here.
#[derive(Clone, Copy, Debug)]
pub struct Prefix<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Prefix<N> {
    /// Reads as much as it takes.
    ///
    /// # Errors
    /// When the declared length is wrong or an element in front makes no sense.
    pub fn of(compressed: &[u8], limit: usize) -> Result<Self, SnappyError> {
        let declared = declared_len(compressed, limit)?;
        let corrupt = SnappyError::Corrupt { declared };
        let wanted = declared.min(N);
        let mut prefix = Self {
            bytes: [0; N],
            len: 0,
        };
        // The length in front ends at its first byte below 0x80.
        let len_of_len = compressed.iter().position(|byte| *byte < 0x80);
        let mut rest = &compressed[len_of_len.map_or(compressed.len(), |last| last + 1)..];
        while prefix.len < wanted {
            let (tag, after) = rest.split_first().ok_or(corrupt)?;
            let top = usize::from(tag >> 2);
            let (extra_len, len) = match tag & 3 {
                0 => (top.saturating_sub(59), 0),
                1 => (1, 4 + (top & 7)),
                2 => (2, 1 + top),
                _ => (4, 1 + top),
            };
            let (extra, after) = after.split_at_checked(extra_len).ok_or(corrupt)?;
            let value = extra
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | usize::from(*byte));
            match tag & 3 {
                0 => {
                    let len = if extra_len == 0 { top } else { value }.saturating_add(1);
                    let (literal, after) = after.split_at_checked(len).ok_or(corrupt)?;
                    prefix.push(literal.iter().copied());
                    rest = after;
                }
                kind => {
                    let high = if kind == 1 { (top >> 3) << 8 } else { 0 };
                    let distance = high | value;
                    let from = prefix.len.checked_sub(distance).ok_or(corrupt)?;
                    if distance == 0 {
                        return Err(corrupt);
                    }
                    let already = prefix.bytes;
                    let cycle = already[from..prefix.len].iter().copied().cycle();
                    prefix.push(cycle.take(len));
                    rest = after;
                }
            }
        }
        prefix.len = prefix.len.min(wanted);
        Ok(prefix)
    }

    fn push(&mut self, bytes: impl Iterator<Item = u8>) {
        for (slot, byte) in self.bytes[self.len..].iter_mut().zip(bytes) {
            *slot = byte;
            self.len += 1;
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
