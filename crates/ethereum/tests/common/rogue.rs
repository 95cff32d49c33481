//! The other end in the hands of the test: it has the keys, and says what the test wants.

use bytes::{Bytes, BytesMut};
use peerage_core::Direction;
use peerage_ethereum::capability::negotiate;
use peerage_ethereum::eth::{BlockRange, Progress, Status};
use peerage_ethereum::frame::{FrameCipher, FrameError, OpenError};
use peerage_ethereum::key::Ephemeral;
use peerage_ethereum::rlp::Reader;
use peerage_ethereum::rlpx::{Fresh, Initiator, Packet, Recipient, packet_len};
use peerage_ethereum::snappy::{self, Compressor};
use peerage_ethereum::{
    CapName, DisconnectReason, EthVersion, Head, Hello, Local, Policy, PublicKey, Remote, p2p,
};

use super::pair::{End, NOW, answering, dialling, node};

/// What a node hears, read as strictly as the strictest peer does: before both Hellos are through
/// nothing may be compressed, and after them everything must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Hello(Hello),
    Status(Status),
    Goodbye(DisconnectReason),
    Pong,
    Other(u64, Vec<u8>),
}

#[derive(Debug)]
pub(crate) struct Rogue {
    pub(crate) local: Local,
    pub(crate) cipher: FrameCipher,
    inbox: BytesMut,
    /// The end's Hello.
    pub(crate) hello: Option<Hello>,
    /// Whether it has introduced itself.
    introduced: bool,
}

pub(crate) fn fresh(seed: u8) -> Fresh {
    let mut pairs = [seed; 64];
    pairs[63] ^= 0x55;
    Fresh::new(Ephemeral::from_bytes(pairs).unwrap(), [seed; 50])
}

pub(crate) fn compressed(plain: &[u8]) -> BytesMut {
    let mut bytes = BytesMut::new();
    Compressor::new().encode(plain, &mut bytes).unwrap();
    bytes
}

impl Rogue {
    pub(crate) fn new(local: Local, cipher: FrameCipher, inbox: BytesMut) -> Self {
        Self {
            local,
            cipher,
            inbox,
            hello: None,
            introduced: false,
        }
    }

    /// Exchanges keys with a listener.
    pub(crate) fn dials<P: Policy<Remote>>(end: &mut End<P>, owner: &Local, as_: Local) -> Self {
        Self::dials_key(end, owner.key.public(), as_)
    }

    /// The same, to whom it takes the listener for.
    pub(crate) fn dials_key<P: Policy<Remote>>(
        end: &mut End<P>,
        to: &PublicKey,
        as_: Local,
    ) -> Self {
        let (initiator, auth) = Initiator::new(&as_.key, to, fresh(0x61)).unwrap();
        end.hear(&auth);
        let mut inbox = end.said();
        let len = packet_len(Packet::Ack, &inbox).unwrap().unwrap();
        let ack = inbox.split_to(len);
        let cipher = initiator.on_ack(&as_.key, &ack).unwrap();
        Self::new(as_, cipher, inbox)
    }

    /// Exchanges keys with a dialler.
    pub(crate) fn answers<P: Policy<Remote>>(end: &mut End<P>, as_: Local) -> Self {
        let auth = end.said().freeze();
        let recipient = Recipient::on_auth(&as_.key, auth).unwrap();
        let (cipher, ack) = recipient.answer(&as_.key, fresh(0x62)).unwrap();
        end.hear(&ack);
        let inbox = end.said();
        Self::new(as_, cipher, inbox)
    }

    /// One frame with this data as it is.
    pub(crate) fn frame(&mut self, id: u64, data: &[u8]) -> BytesMut {
        let mut wire = BytesMut::new();
        let write = |frame: &mut BytesMut| frame.extend_from_slice(data);
        self.cipher.egress.seal(&mut wire, id, write).unwrap();
        wire
    }

    /// One message in the form that is right now.
    pub(crate) fn message(&mut self, id: u64, plain: &[u8]) -> BytesMut {
        if self.introduced {
            return self.frame(id, &compressed(plain));
        }
        self.frame(id, plain)
    }

    pub(crate) fn honest_hello(&self) -> Hello {
        Hello {
            p2p_version: p2p::VERSION,
            client_id: self.local.client_id.clone(),
            capabilities: self
                .local
                .capabilities
                .iter()
                .map(|s| s.capability)
                .collect(),
            listen_port: 0,
            id: self.local.id(),
        }
    }

    /// The frame of a Hello. From then on it compresses.
    pub(crate) fn introduce(&mut self, hello: &Hello) -> BytesMut {
        let frame = self.message(p2p::HELLO, &hello.encode());
        self.introduced = hello.speaks_snappy();
        frame
    }

    pub(crate) fn introduce_honestly(&mut self) -> BytesMut {
        self.introduce(&self.honest_hello())
    }

    /// The id on the wire of eth's message.
    pub(crate) fn eth_id(&self, relative: u64) -> u64 {
        self.wire_id(CapName::ETH, relative)
    }

    pub(crate) fn wire_id(&self, capability: CapName, relative: u64) -> u64 {
        let layout = self.layout();
        layout
            .wire_id(layout.position(capability).unwrap(), relative)
            .unwrap()
    }

    fn layout(&self) -> peerage_ethereum::capability::Layout {
        let theirs = self.hello.as_ref().expect("it has heard the Hello");
        negotiate(&self.local.capabilities, &theirs.capabilities)
    }

    pub(crate) fn eth(&self) -> EthVersion {
        EthVersion::from_number(self.layout().version(CapName::ETH).unwrap()).unwrap()
    }

    /// A Status that fits everybody on its chain who has not fallen behind.
    pub(crate) fn honest_status(&self) -> Status {
        self.status_of(self.eth())
    }

    /// The same in this version.
    pub(crate) fn status_of(&self, version: EthVersion) -> Status {
        let chain = &self.local.chain;
        let head = Head {
            number: u64::MAX,
            time: u64::try_from(NOW.0).unwrap(),
        };
        let progress = if version == EthVersion::Eth68 {
            Progress::Best {
                total_difficulty: 17.into(),
                hash: [7; 32],
            }
        } else {
            Progress::Range(BlockRange {
                earliest: 1,
                latest: 9,
                latest_hash: [7; 32],
            })
        };
        Status {
            version: version.number(),
            network_id: chain.network_id,
            genesis: chain.genesis_hash,
            fork_id: chain.fork_filter(head).fork_id(),
            progress,
        }
    }

    pub(crate) fn tell(&mut self, status: &Status) -> BytesMut {
        let id = self.eth_id(0);
        self.message(id, &status.encode())
    }

    pub(crate) fn tell_honestly(&mut self) -> BytesMut {
        self.tell(&self.honest_status())
    }

    /// Reads everything that was said so far.
    #[track_caller]
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Vec<Heard> {
        self.try_hear(bytes).unwrap()
    }

    pub(crate) fn try_hear(&mut self, bytes: &[u8]) -> Result<Vec<Heard>, FrameError> {
        self.inbox.extend_from_slice(bytes);
        let mut heard = Vec::new();
        loop {
            let frame = self
                .cipher
                .ingress
                .next(&mut self.inbox, |_, _| Ok::<_, ()>(()));
            let frame = frame.map_err(|error| match error {
                OpenError::Frame(error) => error,
                OpenError::Refused { .. } => unreachable!("all is admitted"),
            })?;
            let Some(frame) = frame else { return Ok(heard) };
            heard.push(self.read(frame.id, &frame.data));
        }
    }

    fn read(&mut self, id: u64, data: &[u8]) -> Heard {
        let mut plain = BytesMut::from(data);
        if self.introduced && self.hello.is_some() {
            plain.clear();
            snappy::decode(data, 1 << 24, &mut plain).expect("compressed, as everything now");
        }
        match id {
            p2p::HELLO => {
                let hello = Hello::decode(&plain).unwrap();
                assert!(self.hello.replace(hello.clone()).is_none(), "Hello twice");
                Heard::Hello(hello)
            }
            p2p::DISCONNECT => {
                let mut reader = Reader::new(&plain);
                assert!(reader.at_list(), "the form of the specification");
                Heard::Goodbye(DisconnectReason::read(&mut reader).unwrap())
            }
            p2p::PONG => Heard::Pong,
            id if id == self.status_id() => {
                Heard::Status(Status::decode(&plain, self.eth()).unwrap())
            }
            id => Heard::Other(id, plain.to_vec()),
        }
    }

    fn status_id(&self) -> u64 {
        let layout = self.layout();
        let eth = layout.position(CapName::ETH);
        eth.and_then(|eth| layout.wire_id(eth, 0))
            .unwrap_or(u64::MAX)
    }
}

/// How far a conversation with a rogue has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// The keys are there; its Hello is awaited.
    Hello,
    /// It is introduced; its Status is awaited.
    Status,
}

pub(crate) const STAGES: [Stage; 2] = [Stage::Hello, Stage::Status];
pub(crate) const BOTH: [Direction; 2] = [Direction::Outbound, Direction::Inbound];

/// The rogue of most tests.
pub(crate) fn mallory() -> Local {
    node(9)
}

/// An end and a rogue that have come this far; what the end said until then is heard.
pub(crate) fn at_stage(direction: Direction, stage: Stage) -> (End, Rogue) {
    at_stage_of(&node(1), &mallory(), direction, stage)
}

pub(crate) fn at_stage_of(
    local: &Local,
    rogue: &Local,
    direction: Direction,
    stage: Stage,
) -> (End, Rogue) {
    at_stage_with(local, rogue, direction, stage, peerage_ethereum::AcceptAll)
}

pub(crate) fn at_stage_with<P: Policy<Remote>>(
    local: &Local,
    rogue: &Local,
    direction: Direction,
    stage: Stage,
    policy: P,
) -> (End<P>, Rogue) {
    let (mut end, mut rogue) = keyed(local, rogue, direction, policy);
    rogue.hear(&[]);
    if stage == Stage::Status {
        let hello = rogue.introduce_honestly();
        end.hear(&hello);
        rogue.hear(&end.said());
    }
    (end, rogue)
}

/// The keys are exchanged; nothing that followed was read yet.
pub(crate) fn keyed<P: Policy<Remote>>(
    local: &Local,
    rogue: &Local,
    direction: Direction,
    policy: P,
) -> (End<P>, Rogue) {
    match direction {
        Direction::Outbound => {
            let mut end = End::with(local, dialling(rogue.key.public(), 1), policy);
            let rogue = Rogue::answers(&mut end, rogue.clone());
            (end, rogue)
        }
        Direction::Inbound => {
            let mut end = End::with(local, answering(2), policy);
            let rogue = Rogue::dials(&mut end, local, rogue.clone());
            (end, rogue)
        }
    }
}

/// An established session of an end with a rogue, at this version of eth.
pub(crate) fn session_at(version: EthVersion) -> (super::pair::Life, Rogue) {
    let local = Local {
        capabilities: [version.spec()].into(),
        ..node(1)
    };
    session_of(&local, &mallory())
}

pub(crate) fn session_of(local: &Local, rogue: &Local) -> (super::pair::Life, Rogue) {
    let (mut end, mut rogue) = at_stage_of(local, rogue, Direction::Inbound, Stage::Status);
    let status = rogue.tell_honestly();
    end.hear(&status);
    rogue.hear(&end.said());
    (end.into_peer(), rogue)
}

/// What is made of bytes when they come at once, and when they come one at a time.
pub(crate) fn pieces(bytes: &[u8]) -> [Vec<Bytes>; 2] {
    let bytes = Bytes::copy_from_slice(bytes);
    let one = (0..bytes.len()).map(|at| bytes.slice(at..=at)).collect();
    [vec![bytes], one]
}
