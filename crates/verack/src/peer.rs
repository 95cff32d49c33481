//! What a finished handshake yields.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use peerage_core::wire::{Reader, Writer};
use peerage_core::{ConnectedAddr, Endpoint, Session};

use crate::command::Command;
use crate::dialect::{Dialect, Message};
use crate::envelope::{Envelope, HEADER_LEN};
use crate::error::SessionError;
use crate::reading::{check_header, read_message};
use crate::version::{ProtocolVersion, Version};

/// A peer that finished its handshake. There is no other way to make one.
///
/// ```compile_fail,E0451
/// use peerage_verack::{Peer, zcash::Zcash};
/// let peer: Peer<Zcash> = Peer { info: todo!(), codec: todo!() }; // private fields
/// ```
///
/// Nothing says whether its handshake is done, and nothing can be sent before it is:
///
/// ```compile_fail,E0599
/// # use peerage_verack::{Attempt, Local, zcash::Zcash};
/// # use peerage_core::Session;
/// # fn too_early(local: Local<Zcash>, attempt: Attempt, out: &mut bytes::BytesMut) {
/// local.greet(attempt).encode(&peerage_verack::zcash::Message::GetAddr, out);
/// # }
/// ```
#[derive(Debug)]
pub struct Peer<D: Dialect> {
    info: PeerInfo,
    codec: Codec<D>,
}

/// What is known of a peer since its handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerInfo {
    /// What is connected.
    pub addr: ConnectedAddr,
    /// The version we sent.
    pub ours: Version,
    /// The version it sent.
    pub theirs: Version,
    /// The protocol version agreed on.
    pub negotiated: ProtocolVersion,
    /// How many messages were dropped because they came where the network ignores them.
    pub dropped: u32,
}

impl PeerInfo {
    /// Whether it claims other services for its address than for itself. Odd, but no fault: zebra
    /// only logs it.
    pub fn services_disagree(&self) -> bool {
        self.theirs.services != self.theirs.addr_from.services
    }

    /// The addresses its own claim suggests for it: gossip from that peer, never facts.
    pub fn alternates(&self) -> impl Iterator<Item = Endpoint> + use<> {
        self.addr.alternates(self.theirs.addr_from.endpoint())
    }
}

impl<D: Dialect> Peer<D> {
    pub(crate) fn new(info: PeerInfo, magic: [u8; 4], early: Vec<D::Message>) -> Self {
        let codec = Codec {
            envelope: Envelope {
                magic,
                checksum: D::checksum,
            },
            negotiated: info.negotiated,
            early: early.into(),
        };
        Self { info, codec }
    }

    /// What is known of it.
    pub const fn info(&self) -> &PeerInfo {
        &self.info
    }

    /// Messages that came legally before the verack and have not been taken by the session yet.
    pub fn early(&self) -> impl ExactSizeIterator<Item = &D::Message> {
        self.codec.early.iter()
    }

    /// Taken apart: the facts, and the codec of its messages, early ones first.
    pub fn into_parts(self) -> (PeerInfo, Codec<D>) {
        (self.info, self.codec)
    }
}

/// The message codec of one established peer.
#[derive(Debug)]
pub struct Codec<D: Dialect> {
    envelope: Envelope,
    negotiated: ProtocolVersion,
    early: VecDeque<D::Message>,
}

impl<D: Dialect> Session for Codec<D> {
    type Message = D::Message;
    type Error = SessionError;

    const MAX_WIRE_LEN: usize = HEADER_LEN + D::RULES.max_payload;

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<D::Message>, SessionError> {
        if let Some(message) = self.early.pop_front() {
            return Ok(Some(message));
        }
        loop {
            let frame = self.envelope.next(input, |header| match header.command {
                Some(command @ (Command::VERSION | Command::VERACK)) => {
                    Err(SessionError::HandshakeAgain { command })
                }
                _ => check_header::<D>(header, self.negotiated).map_err(SessionError::from),
            })?;
            let Some(frame) = frame else { return Ok(None) };
            // A nameless message that the network tolerates is dropped; the next one may be whole.
            let Some(command) = frame.command else {
                continue;
            };
            return Ok(Some(read_message::<D>(
                command,
                &frame.payload,
                self.negotiated,
            )?));
        }
    }

    fn encode(&mut self, message: &D::Message, output: &mut BytesMut) -> Result<(), SessionError> {
        let (command, payload) = encode_payload::<D>(message, self.negotiated)?;
        self.envelope.write(command, &payload, output);
        Ok(())
    }

    fn ping(nonce: u64) -> D::Message {
        D::Message::ping(nonce)
    }

    fn is_pong(message: &D::Message, nonce: u64) -> bool {
        message.pong_nonce() == Some(nonce)
    }

    fn answer_to_ping(message: &D::Message) -> Option<D::Message> {
        message.ping_nonce().map(D::Message::pong)
    }
}

/// The command and payload of a message, if `version` knows it and it fits.
pub(crate) fn encode_payload<D: Dialect>(
    message: &D::Message,
    version: ProtocolVersion,
) -> Result<(Command, Bytes), SessionError> {
    let command = message.command();
    if matches!(command, Command::VERSION | Command::VERACK) {
        return Err(SessionError::NotInVersion { command, version });
    }
    let limit =
        D::max_payload(command, version).ok_or(SessionError::NotInVersion { command, version })?;
    let mut writer = Writer::new(limit);
    message.write(&mut writer);
    let payload = writer.finish().map_err(|error| match error.limit {
        0 => SessionError::NotInVersion { command, version },
        _ => SessionError::TooLong { command, error },
    })?;
    // Symmetry: what we would refuse to read is not sent either.
    D::Message::read(command, &mut Reader::new(&payload), &payload, version)
        .map_err(|error| SessionError::Unsendable { command, error })?;
    Ok((command, payload))
}
