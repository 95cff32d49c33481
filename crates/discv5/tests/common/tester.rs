//! A peer that speaks the protocol by hand, one datagram at a time, as the conformance suites do.

use std::net::SocketAddr;
use std::time::Instant;

use peerage_discv5::cipher::{Cipher, Mask};
use peerage_discv5::curve::SecretKey;
use peerage_discv5::discovery::{Action, Discovery, Event, Received};
use peerage_discv5::keys::{Agreement, SessionKeys};
use peerage_discv5::message::{Message, Request, RequestId};
use peerage_discv5::packet::{Envelope, HandshakeAuth, Kind, Nonce, Packet, Protocol};
use peerage_discv5::record::{Builder, Record};
use peerage_discv5::{Config, NodeId};

use super::net::{addr, secret};
use super::start;

/// One machine under test, and everything it has sent.
pub(crate) struct Bench {
    pub(crate) now: Instant,
    pub(crate) machine: Discovery,
    pub(crate) events: Vec<Event>,
}

impl Bench {
    pub(crate) fn new(config: Config) -> Self {
        let at = addr(0);
        let record = Builder::new(1).ip(at.ip()).udp4(at.port());
        Self {
            now: start(),
            machine: Discovery::new(config, secret(0), record, [9; 32]).unwrap(),
            events: Vec::new(),
        }
    }

    /// Hands a datagram over and returns what comes back at once, to whom.
    pub(crate) fn give(&mut self, from: SocketAddr, datagram: &[u8]) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut datagram = datagram.to_vec();
        let taken = self.machine.handle_datagram(self.now, from, &mut datagram);
        assert_eq!(taken, Received::Taken);
        self.drain()
    }

    pub(crate) fn drain(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut sent = Vec::new();
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Transmit { to, datagram } => sent.push((to.socket_addr(), datagram)),
                Action::Event(event) => self.events.push(event),
            }
        }
        sent
    }
}

/// A WHOAREYOU as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) nonce: Nonce,
    pub(crate) challenge_data: Vec<u8>,
    pub(crate) record_seq: u64,
    pub(crate) datagram: Vec<u8>,
}

pub(crate) struct Tester {
    pub(crate) key: SecretKey,
    pub(crate) record: Record,
    pub(crate) addr: SocketAddr,
    remote: Record,
    mask: Mask,
    pub(crate) keys: Option<SessionKeys>,
    count: u8,
}

impl Tester {
    pub(crate) fn new(n: usize, remote: &Record) -> Self {
        let (key, at) = (secret(n), addr(n));
        let record = Builder::new(1).ip(at.ip()).udp4(at.port());
        let record = record.sign(&key).unwrap();
        Self::of(key, record, at, remote)
    }

    /// Somebody with this key and record.
    pub(crate) fn of(key: SecretKey, record: Record, addr: SocketAddr, remote: &Record) -> Self {
        Self {
            record,
            key,
            addr,
            mask: Mask::new(&remote.node_id()),
            remote: remote.clone(),
            keys: None,
            count: 0,
        }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.record.node_id()
    }

    fn envelope(&mut self) -> Envelope<'_> {
        self.count = self.count.wrapping_add(1);
        Envelope {
            mask: &self.mask,
            protocol: Protocol::V5,
            iv: [self.count; 16],
            nonce: Nonce([self.count; 12]),
        }
    }

    /// Random bytes, and the nonce they have.
    pub(crate) fn random(&mut self) -> (Nonce, Vec<u8>) {
        let id = self.id();
        let envelope = self.envelope();
        (envelope.nonce, envelope.random(&id, &[0x77; 20]))
    }

    /// A message under the session's keys, whatever its plaintext is.
    pub(crate) fn sealed(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let id = self.id();
        let keys = self.keys.clone().expect("a session");
        let cipher = Cipher::new(&keys.initiator);
        let envelope = self.envelope();
        envelope.ordinary(&id, &cipher, |out| out.extend_from_slice(plaintext))
    }

    /// The answer to a WHOAREYOU; its keys are used from now on.
    pub(crate) fn handshake(&mut self, asked: &Asked, plaintext: &[u8]) -> Vec<u8> {
        let record = if asked.record_seq < self.record.seq() {
            self.record.as_bytes().to_vec()
        } else {
            Vec::new()
        };
        self.handshake_with(asked, plaintext, &record)
    }

    fn agree(&self, asked: &Asked) -> (([u8; 64], [u8; 33]), SessionKeys) {
        let ephemeral_key = SecretKey::from_bytes([0x31; 32]).unwrap();
        let ephemeral = ephemeral_key.public_key().compressed();
        let (initiator, recipient) = (self.id(), self.remote.node_id());
        let agreement = Agreement {
            initiator: &initiator,
            recipient: &recipient,
            challenge_data: &asked.challenge_data,
        };
        let theirs = self.remote.public_key().unwrap();
        let keys = agreement.keys(&ephemeral_key.shared_point(&theirs));
        ((agreement.prove(&self.key, &ephemeral), ephemeral), keys)
    }

    /// The same with this record, which may be anything.
    pub(crate) fn handshake_with(
        &mut self,
        asked: &Asked,
        plaintext: &[u8],
        record: &[u8],
    ) -> Vec<u8> {
        let ((signature, ephemeral), keys) = self.agree(asked);
        let id = self.id();
        let cipher = Cipher::new(&keys.initiator);
        self.keys = Some(keys);
        let auth = HandshakeAuth {
            signature: &signature,
            ephemeral: &ephemeral,
            record,
        };
        let envelope = self.envelope();
        envelope.handshake(&id, &auth, &cipher, |out| out.extend_from_slice(plaintext))
    }

    /// The WHOAREYOU in a datagram, if it is one.
    pub(crate) fn read_asked(&self, datagram: &[u8]) -> Option<Asked> {
        let mut copy = datagram.to_vec();
        let mask = Mask::new(&self.id());
        let packet = Packet::unmask(&mask, Protocol::V5, &mut copy).ok()?;
        let Kind::WhoAreYou { record_seq, .. } = packet.kind else {
            return None;
        };
        Some(Asked {
            nonce: packet.nonce,
            challenge_data: packet.header.to_vec(),
            record_seq,
            datagram: datagram.to_vec(),
        })
    }

    /// The plaintext in a datagram, if the session opens it.
    pub(crate) fn open(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        let mut copy = datagram.to_vec();
        let mask = Mask::new(&self.id());
        let packet = Packet::unmask(&mask, Protocol::V5, &mut copy).ok()?;
        let cipher = Cipher::new(&self.keys.as_ref()?.recipient);
        let opened = cipher.open(packet.nonce, packet.header, packet.message);
        Some(opened.ok()?.to_vec())
    }

    /// Sends random bytes and returns what is asked.
    pub(crate) fn provoke(&mut self, bench: &mut Bench) -> Asked {
        let (nonce, datagram) = self.random();
        let sent = bench.give(self.addr, &datagram);
        assert_eq!(sent.len(), 1, "one WHOAREYOU");
        assert_eq!(sent[0].0, self.addr);
        let asked = self.read_asked(&sent[0].1).expect("a WHOAREYOU");
        assert_eq!(asked.nonce, nonce);
        asked
    }

    /// Makes a session and returns the plaintexts that answer the first message.
    pub(crate) fn meet(&mut self, bench: &mut Bench, plaintext: &[u8]) -> Vec<Vec<u8>> {
        let asked = self.provoke(bench);
        let datagram = self.handshake(&asked, plaintext);
        self.give(bench, &datagram)
    }

    /// Sends a datagram and opens what comes back to us.
    pub(crate) fn give(&self, bench: &mut Bench, datagram: &[u8]) -> Vec<Vec<u8>> {
        let sent = bench.give(self.addr, datagram);
        let ours = sent.iter().filter(|(to, _)| *to == self.addr);
        ours.map(|(_, datagram)| self.open(datagram).expect("under our keys"))
            .collect()
    }

    /// Sends a request over the session and opens what comes back.
    pub(crate) fn ask(&mut self, bench: &mut Bench, request: &Request<'_>) -> Vec<Vec<u8>> {
        let datagram = self.sealed(&plain(request, 1));
        self.give(bench, &datagram)
    }
}

/// The plaintext of a request.
pub(crate) fn plain(request: &Request<'_>, id: u64) -> Vec<u8> {
    let mut out = Vec::new();
    request.encode(&mut out, RequestId::from(id));
    out
}

pub(crate) fn ping() -> Vec<u8> {
    plain(&Request::Ping { record_seq: 1 }, 1)
}

pub(crate) fn decode(plaintext: &[u8]) -> Message<'_> {
    Message::decode(plaintext).unwrap()
}

/// A machine and a stranger to it.
pub(crate) fn bench_and_tester() -> (Bench, Tester) {
    let bench = Bench::new(Config::default());
    let tester = Tester::new(1, bench.machine.record());
    (bench, tester)
}
