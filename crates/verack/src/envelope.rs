//! The 24-byte envelope around every message: magic, command, length, checksum.
//!
//! ```text
//!  0        4                 16       20       24
//!  | magic  | command, NUL    | length | check- | payload …
//!  |        | padded, 12      | u32 LE | sum    |
//! ```
//!
//! Source: ZIP 204, "Message Framing"; dcrd `wire`, "ReadMessage". The order of the checks is
//! magic, command, size, then — once the payload is there — checksum. A size is judged before a
//! single byte of the payload is waited for, and nothing is allocated on a declared length.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use peerage_core::wire::Hex;

pub use crate::command::{Command, shown};
use crate::magic::{Magic, identify};

/// Length of the envelope, in bytes.
pub const HEADER_LEN: usize = 24;

/// What an envelope declares about its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The message's name; `None` when its bytes are no name.
    pub command: Option<Command>,
    /// Declared payload length, in bytes.
    pub len: usize,
    /// Declared checksum of the payload.
    pub checksum: [u8; 4],
}

impl Header {
    /// Envelope and declared payload, in bytes.
    pub const fn wire_len(&self) -> usize {
        HEADER_LEN.saturating_add(self.len)
    }
}

/// A whole message, its checksum verified, its payload not yet understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The message's name; `None` when its bytes are no name.
    pub command: Option<Command>,
    /// The payload, a slice of the bytes read.
    pub payload: Bytes,
}

impl Frame {
    /// Envelope and payload, in bytes.
    pub fn wire_len(&self) -> usize {
        HEADER_LEN + self.payload.len()
    }
}

/// Why bytes are not a message of this chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The magic belongs to another network or chain that we know.
    #[error("magic {} belongs to {known}, expected {}", Hex(got), Hex(expected))]
    WrongNetwork {
        /// The magic of the chain expected.
        expected: [u8; 4],
        /// The magic received.
        got: [u8; 4],
        /// Whose magic it is.
        known: Magic,
    },
    /// The first bytes are no magic that we know.
    #[error(
        "expected magic {}, got {}{}",
        Hex(expected),
        Hex(got),
        looks_like.map(|what| format!(", which looks like {what}")).unwrap_or_default()
    )]
    NotThisProtocol {
        /// The magic of the chain expected.
        expected: [u8; 4],
        /// The first four bytes received.
        got: [u8; 4],
        /// The other protocol those bytes begin, where they tell.
        looks_like: Option<&'static str>,
    },
    /// The checksum does not fit the payload.
    #[error(
        "checksum of {} is {}, declared {}",
        command.map_or_else(|| "a nameless message".to_owned(), |command| command.to_string()),
        Hex(computed),
        Hex(declared)
    )]
    Checksum {
        /// The message.
        command: Option<Command>,
        /// What the envelope says.
        declared: [u8; 4],
        /// What the payload gives.
        computed: [u8; 4],
    },
}

/// The protocols people most often reach by mistake, by their first bytes.
const STRANGERS: [(&[u8], &str); 7] = [
    (b"HTTP", "an HTTP server"),
    (b"SSH-", "an SSH server"),
    (b"220 ", "a mail or FTP server"),
    (b"220-", "a mail or FTP server"),
    (&[0x15, 0x03], "a TLS server"),
    (&[0x16, 0x03], "a TLS server"),
    (&[0xf9, 0xbe, 0xb4, 0xd9], "a Bitcoin node"),
];

/// Splits a byte stream into messages of one chain.
#[derive(Clone, Copy, Debug)]
pub struct Envelope {
    /// The chain's magic, in wire order.
    pub magic: [u8; 4],
    /// The network's checksum.
    pub checksum: fn(&[u8]) -> [u8; 4],
}

impl Envelope {
    /// The next whole message, or `None` until more bytes are there.
    ///
    /// `admit` judges each header once its 24 bytes are there and before its payload is waited for;
    /// it may be called again for the same header as more bytes arrive.
    ///
    /// # Errors
    /// When the bytes are no message, or `admit` refuses the header.
    pub fn next<E: From<FrameError>>(
        &self,
        input: &mut BytesMut,
        admit: impl FnOnce(&Header) -> Result<(), E>,
    ) -> Result<Option<Frame>, E> {
        let Some(header) = self.header(input)? else {
            return Ok(None);
        };
        admit(&header)?;
        // Compared by subtraction, so that no declared length can overflow the sum.
        if input.len() - HEADER_LEN < header.len {
            return Ok(None);
        }
        input.advance(HEADER_LEN);
        // Splitting makes the buffer shared, which an empty payload is not worth.
        let payload = match header.len {
            0 => Bytes::new(),
            len => input.split_to(len).freeze(),
        };
        let computed = (self.checksum)(&payload);
        if computed != header.checksum {
            let (command, declared) = (header.command, header.checksum);
            return Err(FrameError::Checksum {
                command,
                declared,
                computed,
            }
            .into());
        }
        Ok(Some(Frame {
            command: header.command,
            payload,
        }))
    }

    /// The header at the front of `input`, once it is whole. The magic is judged from four bytes.
    ///
    /// # Errors
    /// When the magic is another.
    pub fn header(&self, input: &[u8]) -> Result<Option<Header>, FrameError> {
        let Some((&got, rest)) = input.split_first_chunk::<4>() else {
            return Ok(None);
        };
        if got != self.magic {
            return Err(self.stranger(got));
        }
        let Some((&command, rest)) = rest.split_first_chunk::<12>() else {
            return Ok(None);
        };
        let Some((&len, rest)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let Some((&checksum, _)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        // A length that does not fit our own size type is over every limit all the same.
        let len = usize::try_from(u32::from_le_bytes(len)).unwrap_or(usize::MAX);
        Ok(Some(Header {
            command: Command::from_wire(command),
            len,
            checksum,
        }))
    }

    fn stranger(&self, got: [u8; 4]) -> FrameError {
        let expected = self.magic;
        if let Some(known) = identify(got) {
            return FrameError::WrongNetwork {
                expected,
                got,
                known,
            };
        }
        let looks_like = STRANGERS
            .iter()
            .find(|(prefix, _)| got.starts_with(prefix))
            .map(|(_, what)| *what);
        FrameError::NotThisProtocol {
            expected,
            got,
            looks_like,
        }
    }

    /// Appends a message to `output`.
    pub fn write(&self, command: Command, payload: &[u8], output: &mut BytesMut) {
        output.reserve(HEADER_LEN + payload.len());
        output.put_slice(&self.magic);
        output.put_slice(command.as_wire());
        // Payloads come from writers bounded far below 4 GiB.
        output.put_u32_le(u32::try_from(payload.len()).unwrap_or(u32::MAX));
        output.put_slice(&(self.checksum)(payload));
        output.put_slice(payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENVELOPE: Envelope = Envelope {
        magic: *b"\x24\xe9\x27\x64",
        checksum: |_| [1, 2, 3, 4],
    };

    fn wire(command: &'static str, payload: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        ENVELOPE.write(Command::from_static(command), payload, &mut out);
        out
    }

    fn next(input: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        ENVELOPE.next(input, |_| Ok(()))
    }

    #[test]
    fn no_complete_frame_is_stranded_behind_another() {
        let mut input = wire("one", b"1");
        input.extend_from_slice(&wire("two", b""));
        input.extend_from_slice(&wire("three", b"333")[..26]);
        let names: Vec<_> = std::iter::from_fn(|| next(&mut input).unwrap())
            .map(|frame| frame.command.unwrap().name().to_owned())
            .collect();
        assert_eq!(names, ["one", "two"]);
        assert_eq!(input.len(), 26, "an incomplete frame stays");
    }

    #[test]
    fn a_header_is_judged_before_its_payload_is_there() {
        let mut input = wire("big", &[0; 100]);
        input.truncate(HEADER_LEN);
        let refused = ENVELOPE.next(&mut input, |header| {
            assert_eq!(header.len, 100);
            Err(FrameError::Checksum {
                command: None,
                declared: [0; 4],
                computed: [0; 4],
            })
        });
        assert!(refused.is_err());
    }

    #[test]
    fn the_largest_declared_length_only_waits() {
        let mut input = wire("big", b"");
        input[16..20].copy_from_slice(&[0xff; 4]);
        assert_eq!(next(&mut input), Ok(None));
        assert!(input.capacity() < 4096, "nothing was allocated for it");
    }

    #[test]
    fn four_bytes_tell_a_stranger_and_often_which() {
        let stranger = |bytes: &[u8]| next(&mut BytesMut::from(bytes)).unwrap_err();
        assert!(matches!(
            stranger(b"HTTP"),
            FrameError::NotThisProtocol {
                looks_like: Some("an HTTP server"),
                ..
            }
        ));
        assert!(matches!(
            stranger(&[0x16, 0x03, 0x01, 0x00]),
            FrameError::NotThisProtocol {
                looks_like: Some("a TLS server"),
                ..
            }
        ));
        let error = stranger(&[0xfa, 0x1a, 0xf9, 0xbf]);
        assert_eq!(
            error.to_string(),
            "magic fa1af9bf belongs to zcash testnet, expected 24e92764"
        );
        assert_eq!(next(&mut BytesMut::from(&b"HTT"[..])), Ok(None));
    }
}
