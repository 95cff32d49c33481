//! Messages over the frame cipher: an id and a body, compressed once both sides said so.

use bytes::{Bytes, BytesMut};

use crate::disconnect::DisconnectReason;
use crate::error::WireError;
use crate::frame::{FrameCipher, OpenError, SealError};
use crate::p2p;
use crate::snappy::{self, Compressor, Prefix};

/// Both directions of an authenticated connection.
#[derive(Debug)]
pub(crate) struct Channel {
    cipher: FrameCipher,
    compresses: bool,
    /// The longest plain body of the message under way, in bytes, once it is admitted.
    allowed: usize,
}

/// A message as it came.
#[derive(Debug)]
pub(crate) struct Packet {
    /// Its id on the wire.
    pub(crate) id: u64,
    data: BytesMut,
    compressed: bool,
    /// The longest its plain body may be, in bytes.
    limit: usize,
}

impl Packet {
    /// The first bytes of the plain body, at most 19: enough for a request id.
    pub(crate) fn front(&self) -> Result<Front, WireError> {
        const LEN: usize = 19;
        let id = self.id;
        if self.compressed {
            let prefix = Prefix::<LEN>::of(&self.data, self.limit);
            return prefix
                .map(Front::Compressed)
                .map_err(|error| WireError::Snappy { id, error });
        }
        let front = &self.data[..self.data.len().min(LEN)];
        Ok(Front::Plain(Bytes::copy_from_slice(front)))
    }

    /// Length of its data as it came, in bytes.
    pub(crate) fn wire_len(&self) -> usize {
        self.data.len()
    }

    /// Length of its plain body, in bytes, as far as it can be known without decompressing it: the
    /// true one, or `into_body` fails.
    pub(crate) fn plain_len(&self) -> Result<usize, WireError> {
        if !self.compressed {
            return Ok(self.data.len());
        }
        let id = self.id;
        snappy::declared_len(&self.data, self.limit)
            .map_err(|error| WireError::Snappy { id, error })
    }

    /// The plain body.
    pub(crate) fn into_body(self) -> Result<Bytes, WireError> {
        if !self.compressed {
            return Ok(self.data.freeze());
        }
        let mut plain = BytesMut::new();
        let id = self.id;
        snappy::decode(&self.data, self.limit, &mut plain)
            .map_err(|error| WireError::Snappy { id, error })?;
        Ok(plain.freeze())
    }

    /// What it says as a Disconnect, in whatever form it came: one that cannot be read is one all the
    /// same.
    pub(crate) fn goodbye(&self) -> DisconnectReason {
        let read = DisconnectReason::decode_any(&self.data, self.compressed);
        read.unwrap_or(DisconnectReason::Unstated)
    }
}

/// The first bytes of a plain body.
pub(crate) enum Front {
    Plain(Bytes),
    Compressed(Prefix<19>),
}

impl AsRef<[u8]> for Front {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Compressed(prefix) => prefix.as_bytes(),
        }
    }
}

impl Channel {
    /// A channel on which nothing is compressed yet.
    pub(crate) const fn new(cipher: FrameCipher) -> Self {
        Self {
            cipher,
            compresses: false,
            allowed: 0,
        }
    }

    /// From here on every message is compressed.
    pub(crate) const fn compress(&mut self) {
        self.compresses = true;
    }

    /// The next message, once it is whole. `admit` gets its id and its length on the wire before its
    /// body is waited for, and says how long the plain body may be, in bytes, or refuses it.
    pub(crate) fn next<E: From<WireError>>(
        &mut self,
        input: &mut BytesMut,
        admit: impl FnOnce(u64, usize) -> Result<usize, E>,
    ) -> Result<Option<Packet>, E> {
        let (compressed, allowed) = (self.compresses, &mut self.allowed);
        let frame = self.cipher.ingress.next(input, |id, len| {
            *allowed = admit(id, len)?;
            let limit = if compressed {
                snappy::max_compressed_len(*allowed)
            } else {
                *allowed
            };
            if len > limit {
                return Err(WireError::Oversized { id, len, limit }.into());
            }
            Ok(())
        });
        let frame = frame.map_err(|error| match error {
            OpenError::Frame(error) => E::from(WireError::Frame(error)),
            OpenError::Refused { error, .. } => error,
        })?;
        let Some(frame) = frame else { return Ok(None) };
        Ok(Some(Packet {
            id: frame.id,
            data: frame.data,
            compressed,
            limit: self.allowed,
        }))
    }

    /// Reads nothing any more.
    pub(crate) const fn hang_up(&mut self) {
        self.cipher.ingress.close();
    }

    /// Appends a message to `output`; on error nothing is appended.
    pub(crate) fn send(
        &mut self,
        id: u64,
        body: &[u8],
        output: &mut BytesMut,
    ) -> Result<(), SealError> {
        if !self.compresses {
            let seal = |frame: &mut BytesMut| frame.extend_from_slice(body);
            return self.cipher.egress.seal(output, id, seal);
        }
        self.cipher.egress.seal(output, id, |frame| {
            // Only a body beyond 4 GiB is refused, and no message of ours comes near.
            let _compressed = Compressor::new().encode(body, frame);
        })
    }

    /// Appends a Disconnect to `output`.
    pub(crate) fn say_goodbye(&mut self, reason: DisconnectReason, output: &mut BytesMut) {
        // A few bytes always fit into a frame.
        let _sealed = self.send(p2p::DISCONNECT, &reason.encode(), output);
    }
}
