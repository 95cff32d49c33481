//! What stands around a sealed message, in the body of an HTTP request or response.

use bytes::Bytes;
use peerage_core::wire::{ReadError, Reader, TooLong, Writer};

use crate::message::MAX_MESSAGE_LEN;
use crate::noise::HELLO_LEN;
use crate::wire::bad;

/// Where first handshake messages go.
pub const HELLO_PATH: &str = "/v1/hello";
/// Where calls go.
pub const CALL_PATH: &str = "/v1/call";

const VERSION: u8 = 1;

/// A session's name, drawn by the broker. It proves nothing: the session's keys do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(pub [u8; 16]);

/// A body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// The first handshake message.
    Hello([u8; HELLO_LEN]),
    /// The broker's handshake message.
    HelloReply(SessionId, [u8; HELLO_LEN]),
    /// The third handshake message, with the first call.
    First(SessionId, Bytes),
    /// A call under its number.
    Call(SessionId, u64, Bytes),
    /// The reply to the call of this number.
    Reply(u64, Bytes),
}

impl Envelope {
    /// The bytes.
    ///
    /// # Errors
    /// When it is longer than [`MAX_MESSAGE_LEN`].
    pub fn encode(&self) -> Result<Bytes, TooLong> {
        let mut writer = Writer::new(MAX_MESSAGE_LEN);
        writer.u8(VERSION);
        match self {
            Self::Hello(message) => writer.u8(1).bytes(message),
            Self::HelloReply(id, message) => writer.u8(2).bytes(&id.0).bytes(message),
            Self::First(id, message) => writer.u8(3).bytes(&id.0).bytes(message),
            Self::Call(id, number, sealed) => {
                let writer = writer.u8(4).bytes(&id.0);
                writer.bytes(&number.to_be_bytes()).bytes(sealed)
            }
            Self::Reply(number, sealed) => writer.u8(5).bytes(&number.to_be_bytes()).bytes(sealed),
        };
        writer.finish()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReadError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8("version")?;
        if version != VERSION {
            return Err(bad("version", 0, version));
        }
        let envelope = match reader.u8("kind")? {
            1 => Self::Hello(reader.fixed("message")?),
            2 => Self::HelloReply(
                SessionId(reader.fixed("session")?),
                reader.fixed("message")?,
            ),
            3 => {
                let id = SessionId(reader.fixed("session")?);
                Self::First(id, Bytes::copy_from_slice(reader.rest("message")))
            }
            4 => {
                let id = SessionId(reader.fixed("session")?);
                let number = u64::from_be_bytes(reader.fixed("number")?);
                let sealed = Bytes::copy_from_slice(reader.rest("sealed"));
                Self::Call(id, number, sealed)
            }
            5 => {
                let number = u64::from_be_bytes(reader.fixed("number")?);
                Self::Reply(number, Bytes::copy_from_slice(reader.rest("sealed")))
            }
            got => return Err(bad("kind", 1, got)),
        };
        reader.finish()?;
        Ok(envelope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_envelope_reads_back() {
        let id = SessionId([9; 16]);
        let sealed = Bytes::from_static(b"sealed");
        for envelope in [
            Envelope::Hello([1; HELLO_LEN]),
            Envelope::HelloReply(id, [2; HELLO_LEN]),
            Envelope::First(id, sealed.clone()),
            Envelope::Call(id, 1 << 40, sealed.clone()),
            Envelope::Reply(7, sealed),
        ] {
            let bytes = envelope.encode().unwrap();
            assert_eq!(Envelope::decode(&bytes), Ok(envelope));
            assert!(Envelope::decode(&bytes[..9]).is_err());
        }
    }
}
