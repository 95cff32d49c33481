//! What a finished handshake yields: who the peer is, and the codec of its messages.

use std::collections::{BTreeMap, VecDeque};

use bytes::BytesMut;
use peerage_core::{ConnectedAddr, Direction, Session};

use crate::capability::{CapName, Capability, Layout, Located};
use crate::channel::{Channel, Packet};
use crate::error::{SessionError, WireError};
use crate::eth::{self, EthVersion, MessageId, Role, Status, peek_request_id};
use crate::fork::Standing;
use crate::frame::{MAX_FRAME_SIZE, wire_len};
use crate::hello::Hello;
use crate::key::PeerId;
use crate::message::{Message, OtherMessage};
use crate::p2p;

/// A peer that was greeted. Only a finished handshake makes one.
///
/// ```compile_fail,E0451
/// # fn forge(info: peerage_ethereum::PeerInfo, codec: peerage_ethereum::Codec) {
/// let peer = peerage_ethereum::Peer { info, codec };
/// # }
/// ```
#[derive(Debug)]
pub struct Peer {
    info: PeerInfo,
    codec: Codec,
}

/// What is known of a greeted peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// What is connected.
    pub addr: ConnectedAddr,
    /// Who opened the connection.
    pub direction: Direction,
    /// Who it is: the key that it proved.
    pub id: PeerId,
    /// Its introduction. Of what is in it only the capabilities matter; the rest are claims.
    pub hello: Hello,
    /// What both sides speak.
    pub shared: Vec<Capability>,
    /// Its chain, where eth is shared.
    pub chain: Option<PeerChain>,
}

/// Where a peer stands on our chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerChain {
    /// What it said.
    pub status: Status,
    /// What that means on our schedule.
    pub standing: Standing,
    /// The name of the last fork that it has passed.
    pub fork: Box<str>,
}

impl PeerInfo {
    /// The version of eth agreed on, where eth is shared.
    pub fn eth_version(&self) -> Option<u32> {
        let mut shared = self.shared.iter();
        let eth = shared.find(|capability| capability.name == CapName::ETH)?;
        Some(eth.version)
    }
}

impl Peer {
    pub(crate) const fn new(info: PeerInfo, codec: Codec) -> Self {
        Self { info, codec }
    }

    pub(crate) fn into_channel(self) -> Box<Channel> {
        self.codec.channel
    }

    /// What is known of it.
    pub const fn info(&self) -> &PeerInfo {
        &self.info
    }

    /// How many messages came before its Status. [`Codec::decode`] returns them first.
    pub fn early(&self) -> usize {
        self.codec.early.len()
    }

    /// Taken apart: what is known of it, and the codec of its messages.
    pub fn into_parts(self) -> (PeerInfo, Codec) {
        (self.info, self.codec)
    }
}

/// The most questions of ours that may wait for their answers at once.
pub const MAX_ASKED: usize = 256;

/// The message codec of one established peer.
#[derive(Debug)]
pub struct Codec {
    channel: Box<Channel>,
    layout: Layout,
    eth: Option<EthVersion>,
    early: VecDeque<Message>,
    asked: Asked,
}

/// Our questions that wait for their answers: request ids, and the answer each wants.
///
/// A question stays until it is answered, however late: an answer to a question that the
/// application has given up is still an answer, and no breach.
#[derive(Debug, Default)]
struct Asked(BTreeMap<u64, MessageId>);

impl Asked {
    fn wants(&self, answer: MessageId) -> bool {
        self.0.values().any(|wanted| *wanted == answer)
    }

    fn is_free(&self, id: u64) -> Result<(), SessionError> {
        if self.0.contains_key(&id) {
            return Err(SessionError::RequestIdInUse { id });
        }
        if self.0.len() >= MAX_ASKED {
            return Err(SessionError::TooManyRequests { limit: MAX_ASKED });
        }
        Ok(())
    }
}

impl Codec {
    pub(crate) fn new(
        channel: Box<Channel>,
        layout: Layout,
        eth: Option<EthVersion>,
        early: VecDeque<Message>,
    ) -> Self {
        Self {
            channel,
            layout,
            eth,
            early,
            asked: Asked::default(),
        }
    }

    /// How many questions of ours wait for their answers.
    pub fn waiting(&self) -> usize {
        self.asked.0.len()
    }

    fn next(&mut self, input: &mut BytesMut) -> Result<Option<Packet>, SessionError> {
        let (layout, eth, asked) = (&self.layout, self.eth, &self.asked);
        self.channel.next(input, |id, _| {
            if id == p2p::HELLO {
                return Err(SessionError::HandshakeAgain { name: "Hello" });
            }
            if let Some(limit) = p2p::max_len(id) {
                return Ok(limit);
            }
            let unknown = SessionError::from(WireError::Unknown { id });
            let found = layout.locate(id).ok_or_else(|| unknown.clone())?;
            let row = row(layout, eth, found);
            match row.map(|row| (row.message, row.role)) {
                Some((_, Role::Handshake)) => {
                    return Err(SessionError::HandshakeAgain { name: "Status" });
                }
                // Not even waited for, where nothing it could answer was asked.
                Some((answer, Role::Response)) if !asked.wants(answer) => {
                    let request_id = None;
                    return Err(SessionError::Unasked { answer, request_id });
                }
                Some(_) | None => {}
            }
            layout.max_len(id).ok_or(unknown)
        })
    }

    /// What a packet says; `None` for one that only the protocol itself cares about.
    fn read(&mut self, packet: Packet) -> Result<Message, SessionError> {
        let id = packet.id;
        match id {
            p2p::DISCONNECT => {
                let reason = packet.goodbye();
                return Err(SessionError::Disconnected { reason });
            }
            p2p::PING | p2p::PONG => {
                p2p::read_ping(&packet.into_body()?).map_err(|error| WireError::Malformed {
                    name: if id == p2p::PING { "Ping" } else { "Pong" },
                    error,
                })?;
                return Ok(if id == p2p::PING {
                    Message::Ping
                } else {
                    Message::Pong
                });
            }
            _ => {}
        }
        let found = self.layout.locate(id).ok_or(WireError::Unknown { id })?;
        let Some((version, row)) = self.eth.zip(row(&self.layout, self.eth, found)) else {
            let shared = self.layout.shared().get(found.index);
            let capability = shared
                .ok_or(WireError::Unknown { id })?
                .spec
                .capability
                .name;
            return Ok(Message::Other(OtherMessage {
                capability,
                id: found.relative,
                body: packet.into_body()?,
            }));
        };
        if row.role == Role::Response {
            self.settle(row.message, &packet)?;
        }
        let message = eth::Message::decode(version, found.relative, &packet.into_body()?);
        Ok(Message::Eth(message.map_err(WireError::from)?))
    }

    /// Takes note of an answer, before it is decompressed.
    fn settle(&mut self, answer: MessageId, packet: &Packet) -> Result<(), SessionError> {
        let malformed = |error| WireError::Malformed {
            name: answer.row().name,
            error,
        };
        let id = peek_request_id(packet.front()?.as_ref()).map_err(malformed)?;
        if self.asked.0.get(&id) != Some(&answer) {
            let request_id = Some(id);
            return Err(SessionError::Unasked { answer, request_id });
        }
        self.asked.0.remove(&id);
        Ok(())
    }

    fn encode_eth(
        &mut self,
        message: &eth::Message,
        output: &mut BytesMut,
    ) -> Result<(), SessionError> {
        let not_shared = SessionError::NotShared {
            capability: CapName::ETH,
        };
        let version = self.eth.ok_or_else(|| not_shared.clone())?;
        let body = message.encode(version).map_err(SessionError::Unsendable)?;
        let row = message.message().row();
        if let eth::Message::Request(request) = message {
            self.asked.is_free(request.id)?;
        }
        let index = self.layout.position(CapName::ETH);
        let id = index
            .and_then(|index| self.layout.wire_id(index, row.id))
            .ok_or(not_shared)?;
        self.channel.send(id, &body, output)?;
        if let (eth::Message::Request(request), Role::Request { answer }) = (message, row.role) {
            self.asked.0.insert(request.id, answer);
        }
        Ok(())
    }

    fn encode_other(
        &mut self,
        message: &OtherMessage,
        output: &mut BytesMut,
    ) -> Result<(), SessionError> {
        let OtherMessage {
            capability,
            id,
            body,
        } = message;
        let (capability, id, len) = (*capability, *id, body.len());
        let index = self.layout.position(capability);
        let index = index.filter(|_| capability != CapName::ETH || self.eth.is_none());
        let index = index.ok_or(SessionError::NotShared { capability })?;
        let wrong = SessionError::NoSuchMessage {
            capability,
            id,
            len,
        };
        let wire_id = self
            .layout
            .wire_id(index, id)
            .ok_or_else(|| wrong.clone())?;
        if self.layout.max_len(wire_id).is_none_or(|limit| len > limit) {
            return Err(wrong);
        }
        Ok(self.channel.send(wire_id, body, output)?)
    }
}

/// The row of eth's table for this message, where it is one of eth's.
fn row(layout: &Layout, eth: Option<EthVersion>, found: Located) -> Option<&'static eth::Row> {
    let of_eth = layout.position(CapName::ETH) == Some(found.index);
    eth::row(eth.filter(|_| of_eth)?, found.relative)
}

impl Session for Codec {
    type Message = Message;
    type Error = SessionError;

    const MAX_WIRE_LEN: usize = wire_len(MAX_FRAME_SIZE);

    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Message>, SessionError> {
        if let Some(message) = self.early.pop_front() {
            return Ok(Some(message));
        }
        // Those that came early are there once; their room is not needed again.
        self.early = VecDeque::new();
        let read = match self.next(input) {
            Ok(Some(packet)) => self.read(packet).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        // Whatever follows a breach or a goodbye is not listened to.
        read.inspect_err(|_| self.channel.hang_up())
    }

    fn encode(&mut self, message: &Message, output: &mut BytesMut) -> Result<(), SessionError> {
        match message {
            Message::Ping => Ok(self.channel.send(p2p::PING, p2p::EMPTY, output)?),
            Message::Pong => Ok(self.channel.send(p2p::PONG, p2p::EMPTY, output)?),
            Message::Disconnect(reason) => {
                Ok(self
                    .channel
                    .send(p2p::DISCONNECT, &reason.encode(), output)?)
            }
            Message::Eth(message) => self.encode_eth(message, output),
            Message::Other(message) => self.encode_other(message, output),
        }
    }

    fn ping(_: u64) -> Message {
        Message::Ping
    }

    fn is_pong(message: &Message, _: u64) -> bool {
        *message == Message::Pong
    }

    fn answer_to_ping(message: &Message) -> Option<Message> {
        (*message == Message::Ping).then_some(Message::Pong)
    }

    fn empty_answer(message: &Message) -> Option<Message> {
        let Message::Eth(eth::Message::Request(request)) = message else {
            return None;
        };
        Some(Message::Eth(eth::Message::Response(request.empty_answer())))
    }
}
