//! The steps of the handshake. Each awaits one message and consumes its predecessor.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use peerage_core::wire::ReadError;
use peerage_core::{Budget, Direction, Failed, Spent, Wakeup};

use crate::capability::{CapName, Capability, Layout, negotiate};
use crate::channel::{Channel, Packet};
use crate::disconnect;
use crate::error::{Awaited, HandshakeError, WireError};
use crate::eth::{EthVersion, MessageId, Status, check_status};
use crate::fork::ForkFilter;
use crate::frame::{FrameCipher, FrameError};
use crate::hello::Hello;
use crate::key::{PeerId, SecretKey};
use crate::local::{Local, Terms};
use crate::message::{Message, OtherMessage};
use crate::p2p;
use crate::peer::{Codec, Peer, PeerChain, PeerInfo};
use crate::policy::{Policy, Remote};
use crate::rlpx::{Fresh, Initiator, Packet as Exchange, Recipient, RlpxError, packet_len};

/// What an introduced peer may send before its Status: pings, and messages of other capabilities.
///
/// Nodes run their capabilities side by side, so another one's message may overtake the Status.
const BEFORE_STATUS: Budget = Budget::new(16, 64 << 10);

/// What every step needs to know.
#[derive(Debug)]
pub(crate) struct Cx {
    pub(crate) local: Local,
    pub(crate) terms: Box<Terms>,
    /// The key that this attempt goes by.
    pub(crate) key: SecretKey,
}

/// What a step came to.
#[derive(Debug)]
pub(crate) enum Next<Same, Other> {
    /// It needs more bytes.
    Wait(Same),
    /// It is done with one message and awaits another.
    Stay(Same),
    /// The next step.
    Go(Other),
}

/// A step that failed, and what may still be said.
pub(crate) struct Broken<R> {
    error: HandshakeError<R>,
    channel: Option<Box<Channel>>,
    /// What was to be said before.
    unsent: BytesMut,
}

impl<R> Broken<R> {
    /// A handshake that failed from outside. Frames that wait in `unsent` go out before the goodbye,
    /// which nobody could read without them.
    pub(crate) const fn new(
        error: HandshakeError<R>,
        channel: Option<Box<Channel>>,
        unsent: BytesMut,
    ) -> Self {
        Self {
            error,
            channel,
            unsent,
        }
    }

    /// Says goodbye where there is a word for it, and somebody who can read it.
    pub(crate) fn into_failed(self) -> Failed<HandshakeError<R>> {
        let mut last_words = BytesMut::new();
        if let (Some(mut channel), Some(reason)) = (self.channel, self.error.farewell()) {
            last_words = self.unsent;
            channel.say_goodbye(reason, &mut last_words);
        }
        Failed {
            error: self.error,
            last_words: last_words.freeze(),
        }
    }
}

/// Nobody could read what we would say.
impl<R> From<HandshakeError<R>> for Box<Broken<R>> {
    fn from(error: HandshakeError<R>) -> Self {
        Self::new(Broken::new(error, None, BytesMut::new()))
    }
}

fn broken<R>(error: HandshakeError<R>, channel: Box<Channel>) -> Box<Broken<R>> {
    Box::new(Broken::new(error, Some(channel), BytesMut::new()))
}

/// Waiting for whoever dialled us.
#[derive(Debug)]
pub(crate) struct AwaitAuth {
    pub(crate) fresh: Box<Fresh>,
}

/// Waiting for the answer of the peer we dialled.
#[derive(Debug)]
pub(crate) struct AwaitAck {
    pub(crate) initiator: Box<Initiator>,
    pub(crate) id: PeerId,
}

/// Both keys are there; waiting for the peer's introduction.
#[derive(Debug)]
pub(crate) struct AwaitHello {
    pub(crate) channel: Box<Channel>,
    id: PeerId,
}

/// Introduced; waiting for the peer's chain.
#[derive(Debug)]
pub(crate) struct AwaitStatus {
    pub(crate) channel: Box<Channel>,
    introduced: Introduced,
    /// The version agreed on.
    eth: EthVersion,
    /// The id of Status on the wire.
    status_id: u64,
    ours: Status,
    told: Told,
    early: VecDeque<Message>,
    spent: Spent,
}

/// Whether our Status was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// It was.
    Yes,
    /// Not yet: the peer may speak first, until then.
    Until(Instant),
}

/// How long a dialler holds its own Status back for the peer's.
///
/// Nodes hang up on a Status that does not fit, often before they have sent their own. Whoever
/// dialled would then never learn what does not fit. A listener does not wait, so this is over after
/// one way of the packets; two that both waited would lose this time and no more.
const PATIENCE: Duration = Duration::from_millis(500);

/// Who the peer is, proved, and what it speaks.
#[derive(Debug)]
struct Introduced {
    id: PeerId,
    hello: Hello,
    layout: Layout,
}

/// What Hello leads to: with eth its Status, without it the peer.
#[derive(Debug)]
pub(crate) enum AfterHello {
    Status(Box<AwaitStatus>),
    Over(Box<Peer>),
}

type Stepped<Same, Other, R> = Result<Next<Same, Other>, Box<Broken<R>>>;

impl AwaitAuth {
    pub(crate) fn on_input<P: Policy<Remote>>(
        self,
        cx: &Cx,
        policy: &mut P,
        input: &mut BytesMut,
        output: &mut BytesMut,
    ) -> Stepped<Self, AwaitHello, P::Rejection> {
        let Some(auth) = exchanged(Exchange::Auth, input)? else {
            return Ok(Next::Wait(self));
        };
        let failed = |error| of_exchange(Awaited::Auth, error);
        let recipient = Recipient::on_auth(&cx.key, auth).map_err(failed)?;
        let id = recipient.claimed().id();
        let named = Named::judge(cx, policy, id, Awaited::Auth);
        // Answered even when it is refused: only then can it be told why.
        let answered = match &cx.terms.shared {
            Some(shared) => recipient.answer_with(&cx.key, shared, *self.fresh),
            None => recipient.answer(&cx.key, *self.fresh),
        };
        let (cipher, ack) = answered.map_err(failed)?;
        output.extend_from_slice(&ack);
        named.begin(cx, cipher, output).map(Next::Go)
    }
}

impl AwaitAck {
    pub(crate) fn on_input<P: Policy<Remote>>(
        self,
        cx: &Cx,
        policy: &mut P,
        input: &mut BytesMut,
        output: &mut BytesMut,
    ) -> Stepped<Self, AwaitHello, P::Rejection> {
        let Some(ack) = exchanged(Exchange::Ack, input)? else {
            return Ok(Next::Wait(self));
        };
        let cipher = self.initiator.on_ack(&cx.key, &ack);
        let cipher = cipher.map_err(|error| of_exchange(Awaited::Ack, error))?;
        let named = Named::judge(cx, policy, self.id, Awaited::Ack);
        named.begin(cx, cipher, output).map(Next::Go)
    }
}

/// The whole packet of the key exchange at the front of the input, once it is there.
fn exchanged<R>(
    packet: Exchange,
    input: &mut BytesMut,
) -> Result<Option<Bytes>, HandshakeError<R>> {
    let awaited = match packet {
        Exchange::Auth => Awaited::Auth,
        Exchange::Ack => Awaited::Ack,
    };
    let len = packet_len(packet, input).map_err(|error| of_exchange(awaited, error))?;
    let whole = len.filter(|len| *len <= input.len());
    Ok(whole.map(|len| input.split_to(len).freeze()))
}

fn of_exchange<R>(awaited: Awaited, error: RlpxError) -> HandshakeError<R> {
    if error == RlpxError::SelfConnection {
        return HandshakeError::SelfConnection;
    }
    HandshakeError::Rlpx { awaited, error }
}

/// A peer whose id is known but not proved, and what the policy says of it.
struct Named<R> {
    id: PeerId,
    judged: Result<(), HandshakeError<R>>,
}

impl<R> Named<R> {
    fn judge<P: Policy<Remote, Rejection = R>>(
        cx: &Cx,
        policy: &mut P,
        id: PeerId,
        awaited: Awaited,
    ) -> Self {
        let addr = cx.terms.addr;
        let judged = policy.judge(&Remote::Named { addr, id });
        let judged = judged.map_err(|rejection| rejected::<P>(awaited, rejection));
        Self { id, judged }
    }

    /// Begins to speak over the cipher: a Hello, or goodbye.
    fn begin(
        self,
        cx: &Cx,
        cipher: FrameCipher,
        output: &mut BytesMut,
    ) -> Result<AwaitHello, Box<Broken<R>>> {
        let mut channel = Box::new(Channel::new(cipher));
        if let Err(error) = self.judged {
            return Err(Box::new(Broken::new(error, Some(channel), output.split())));
        }
        let hello = cx.local.hello_for(&cx.terms, cx.key.id());
        // A Hello fits into a frame many thousand times over.
        let _sealed = channel.send(p2p::HELLO, &hello.encode(), output);
        let id = self.id;
        Ok(AwaitHello { channel, id })
    }
}

fn rejected<P: Policy<Remote>>(
    awaited: Awaited,
    rejection: P::Rejection,
) -> HandshakeError<P::Rejection> {
    HandshakeError::Rejected {
        awaited,
        told: P::refusal(&rejection),
        rejection,
    }
}

impl AwaitHello {
    pub(crate) fn on_input<P: Policy<Remote>>(
        mut self,
        cx: &Cx,
        policy: &mut P,
        now: Instant,
        input: &mut BytesMut,
        output: &mut BytesMut,
    ) -> Stepped<Self, AfterHello, P::Rejection> {
        let packet = match self.next(input) {
            Ok(Some(packet)) => packet,
            Ok(None) => return Ok(Next::Wait(self)),
            Err(error) => return Err(broken(error, self.channel)),
        };
        match self.introduce(cx, policy, packet) {
            Ok(introduced) => Ok(Next::Go(introduced.go_on(cx, self.channel, now, output))),
            Err(error) => Err(broken(error, self.channel)),
        }
    }

    fn next<R>(&mut self, input: &mut BytesMut) -> Result<Option<Packet>, HandshakeError<R>> {
        let awaited = Awaited::Hello;
        let packet = self.channel.next(input, |id, _| match id {
            p2p::HELLO => Ok(Hello::MAX_LEN),
            p2p::DISCONNECT => Ok(disconnect::MAX_LEN),
            id => Err(Failing::Handshake(HandshakeError::Unexpected {
                awaited,
                id,
            })),
        });
        packet.map_err(|failing| match failing {
            // The first frame: whoever lacks the key fails here and nowhere else.
            Failing::Wire(WireError::Frame(FrameError::HeaderTag)) => {
                HandshakeError::Unproved { id: self.id }
            }
            failing @ (Failing::Wire(_) | Failing::Handshake(_)) => failing.at(awaited),
        })
    }

    fn introduce<P: Policy<Remote>>(
        &mut self,
        cx: &Cx,
        policy: &mut P,
        packet: Packet,
    ) -> Result<Introduced, HandshakeError<P::Rejection>> {
        let awaited = Awaited::Hello;
        if packet.id == p2p::DISCONNECT {
            let reason = packet.goodbye();
            return Err(HandshakeError::Disconnected { awaited, reason });
        }
        let hello = read("hello", awaited, packet, Hello::decode)?;
        // Both Hellos are through: whatever follows is compressed, a goodbye too.
        if hello.speaks_snappy() {
            self.channel.compress();
        }
        let id = self.id;
        if hello.id != id {
            return Err(HandshakeError::WrongIdentity {
                proved: Box::new(id),
                claimed: Box::new(hello.id),
            });
        }
        let layout = negotiate(&cx.local.capabilities, &hello.capabilities);
        if layout.is_empty() {
            let theirs = hello.capabilities;
            return Err(HandshakeError::NothingShared { theirs });
        }
        let remote = Remote::Introduced {
            addr: cx.terms.addr,
            id,
            shared: capabilities(&layout),
        };
        policy
            .judge(&remote)
            .map_err(|rejection| rejected::<P>(awaited, rejection))?;
        Ok(Introduced { id, hello, layout })
    }
}

fn capabilities(layout: &Layout) -> Vec<Capability> {
    let shared = layout.shared().iter();
    shared.map(|shared| shared.spec.capability).collect()
}

/// Reads a message of the handshake.
fn read<T, R>(
    name: &'static str,
    awaited: Awaited,
    packet: Packet,
    read: impl FnOnce(&[u8]) -> Result<T, ReadError>,
) -> Result<T, HandshakeError<R>> {
    let body = packet.into_body();
    let message =
        body.and_then(|body| read(&body).map_err(|error| WireError::Malformed { name, error }));
    message.map_err(|error| HandshakeError::Message { awaited, error })
}

/// Why the channel has no message.
enum Failing<R> {
    Wire(WireError),
    Handshake(HandshakeError<R>),
}

impl<R> From<WireError> for Failing<R> {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl<R> Failing<R> {
    fn at(self, awaited: Awaited) -> HandshakeError<R> {
        match self {
            Self::Wire(error) => HandshakeError::Message { awaited, error },
            Self::Handshake(error) => error,
        }
    }
}

impl Introduced {
    fn go_on(
        self,
        cx: &Cx,
        channel: Box<Channel>,
        now: Instant,
        output: &mut BytesMut,
    ) -> AfterHello {
        let shared = self.layout.position(CapName::ETH);
        let eth = self.layout.version(CapName::ETH);
        let eth = eth.and_then(EthVersion::from_number);
        let status_id = shared.and_then(|index| self.layout.wire_id(index, STATUS));
        let Some((eth, status_id)) = eth.zip(status_id) else {
            return AfterHello::Over(self.into_peer(cx, channel, None, VecDeque::new()));
        };
        let mut step = Box::new(AwaitStatus {
            channel,
            introduced: self,
            eth,
            status_id,
            ours: cx.local.status_for(&cx.terms, eth),
            told: Told::Until(now + PATIENCE),
            early: VecDeque::new(),
            spent: Spent::default(),
        });
        if cx.terms.direction() == Direction::Inbound {
            step.tell(output);
        }
        AfterHello::Status(step)
    }

    fn into_peer(
        self,
        cx: &Cx,
        channel: Box<Channel>,
        chain: Option<(EthVersion, PeerChain)>,
        early: VecDeque<Message>,
    ) -> Box<Peer> {
        let (eth, chain) = chain.unzip();
        let info = PeerInfo {
            addr: cx.terms.addr,
            direction: cx.terms.direction(),
            id: self.id,
            shared: capabilities(&self.layout),
            hello: self.hello,
            chain,
        };
        let codec = Codec::new(channel, self.layout, eth, early);
        Box::new(Peer::new(info, codec))
    }
}

/// The relative id of eth's Status.
const STATUS: u64 = MessageId::Status.row().id;

/// One message more before the Status.
fn spend<R>(spent: &mut Spent, len: usize) -> Result<(), HandshakeError<R>> {
    let awaited = Awaited::Status;
    spent
        .spend(BEFORE_STATUS, len)
        .map_err(|over| HandshakeError::Flood { awaited, over })
}

impl AwaitStatus {
    /// When to go on although nothing was heard.
    pub(crate) const fn wakeup(&self) -> Option<Wakeup> {
        match self.told {
            Told::Yes => None,
            Told::Until(at) => Some(Wakeup {
                at,
                why: "the peer has not told its chain first",
            }),
        }
    }

    /// Sends our Status, once.
    fn tell(&mut self, output: &mut BytesMut) {
        if self.told != Told::Yes {
            self.told = Told::Yes;
            // A Status fits into a frame many thousand times over.
            let _sealed = self
                .channel
                .send(self.status_id, &self.ours.encode(), output);
        }
    }

    pub(crate) fn on_input<R>(
        mut self: Box<Self>,
        cx: &Cx,
        now: Instant,
        input: &mut BytesMut,
        output: &mut BytesMut,
    ) -> Stepped<Box<Self>, Box<Peer>, R> {
        let packet = match self.next(input) {
            Ok(Some(packet)) => packet,
            Ok(None) => {
                if matches!(self.told, Told::Until(at) if now >= at) {
                    self.tell(output);
                }
                return Ok(Next::Wait(self));
            }
            Err(error) => return Err(broken(error, self.channel)),
        };
        match self.on_packet(cx, packet, output) {
            Ok(None) => Ok(Next::Stay(self)),
            Ok(Some(chain)) => {
                self.tell(output);
                let chain = Some((self.eth, chain));
                let peer = self
                    .introduced
                    .into_peer(cx, self.channel, chain, self.early);
                Ok(Next::Go(peer))
            }
            Err(error) => Err(broken(error, self.channel)),
        }
    }

    fn next<R>(&mut self, input: &mut BytesMut) -> Result<Option<Packet>, HandshakeError<R>> {
        let awaited = Awaited::Status;
        let (layout, spent) = (&self.introduced.layout, self.spent);
        let packet = self.channel.next(input, |id, len| {
            if id == p2p::DISCONNECT {
                return Ok(disconnect::MAX_LEN);
            }
            let unexpected = || Failing::Handshake(HandshakeError::Unexpected { awaited, id });
            let located = layout.locate(id);
            let of_eth = located.is_some_and(|l| layout.position(CapName::ETH) == Some(l.index));
            let limit = match located {
                Some(found) if of_eth && found.relative == STATUS => {
                    return Ok(MessageId::Status.row().max_len);
                }
                Some(_) if of_eth => return Err(unexpected()),
                Some(_) => layout.max_len(id).ok_or(WireError::Unknown { id })?,
                None if id == p2p::PING || id == p2p::PONG => p2p::MAX_PING_LEN,
                None if id == p2p::HELLO => return Err(unexpected()),
                None => return Err(WireError::Unknown { id }.into()),
            };
            // Only asked; it is spent when the message is there, at its plain length.
            let mut asked = spent;
            spend(&mut asked, len).map_err(Failing::Handshake)?;
            Ok(limit)
        });
        packet.map_err(|failing| failing.at(awaited))
    }

    /// Where the peer stands, when this was its Status.
    fn on_packet<R>(
        &mut self,
        cx: &Cx,
        packet: Packet,
        output: &mut BytesMut,
    ) -> Result<Option<PeerChain>, HandshakeError<R>> {
        let awaited = Awaited::Status;
        match packet.id {
            p2p::DISCONNECT => {
                let reason = packet.goodbye();
                return Err(HandshakeError::Disconnected { awaited, reason });
            }
            p2p::PING => {
                spend(&mut self.spent, packet.wire_len())?;
                // One byte always fits into a frame.
                let _sealed = self.channel.send(p2p::PONG, p2p::EMPTY, output);
                return Ok(None);
            }
            p2p::PONG => {
                spend(&mut self.spent, packet.wire_len())?;
                return Ok(None);
            }
            _ => {}
        }
        let located = self.introduced.layout.locate(packet.id);
        let shared = self.introduced.layout.shared();
        let other = located.and_then(|l| Some((shared.get(l.index)?.spec.capability, l.relative)));
        if let Some((capability, id)) = other.filter(|(c, _)| c.name != CapName::ETH) {
            let wrong = |error| HandshakeError::Message { awaited, error };
            // It is kept as it is when decompressed.
            let cost = packet.plain_len().map_err(wrong)?.max(packet.wire_len());
            spend(&mut self.spent, cost)?;
            let body = packet.into_body().map_err(wrong)?;
            let capability = capability.name;
            self.early.push_back(Message::Other(OtherMessage {
                capability,
                id,
                body,
            }));
            return Ok(None);
        }
        let eth = self.eth;
        let status = read("Status", awaited, packet, |body| Status::decode(body, eth))?;
        let forks: ForkFilter = cx.local.forks(cx.terms.time);
        let standing = check_status(&self.ours, &status, &forks)?;
        let fork = forks.schedule().name(standing.passed).into();
        Ok(Some(PeerChain {
            status,
            standing,
            fork,
        }))
    }
}
