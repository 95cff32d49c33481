//! A peer that holds a key, knows the protocol, and keeps to it only when that suits it.

use std::net::SocketAddr;

use peerage_core::Endpoint;
use peerage_discv5::cipher::Mask;
use peerage_discv5::curve::{PublicKey, SecretKey};
use peerage_discv5::keys::{Agreement, SessionKeys};
use peerage_discv5::message::{
    Distances, Message, Request, RequestId, put_nodes, put_pong, put_talk_response,
};
use peerage_discv5::packet::{Envelope, Kind, Nonce, Packet, Protocol};
use peerage_discv5::record::{Builder, Record};

use super::net::secret;
use super::scene::{BYSTANDERS, place};
use super::tester::{Asked, Tester, ping, plain};

/// What the rogue knows of one machine.
struct Dealings {
    tester: Tester,
    remote: Record,
    /// The last WHOAREYOU that came.
    asked: Option<Asked>,
    /// The nonce of the last packet that came.
    nonce: Option<Nonce>,
    /// What a WHOAREYOU of the rogue's own said.
    challenge: Option<Vec<u8>>,
    /// The request to be answered.
    request: Option<(RequestId, u8)>,
}

pub(crate) struct Rogue {
    key: SecretKey,
    pub(crate) addr: SocketAddr,
    dealings: Vec<Dealings>,
    count: u8,
}

impl Rogue {
    pub(crate) fn new(n: usize, is_private: bool, machines: &[Record]) -> Self {
        let addr = place(n, is_private);
        let key = secret(n);
        let record = Builder::new(1).ip(addr.ip()).udp4(addr.port());
        let record = record.sign(&key).unwrap();
        let dealings = machines.iter().map(|remote| {
            let tester = Tester::of(key.clone(), record.clone(), addr, remote);
            Dealings {
                tester,
                remote: remote.clone(),
                asked: None,
                nonce: None,
                challenge: None,
                request: None,
            }
        });
        Self {
            addr,
            dealings: dealings.collect(),
            key,
            count: 0,
        }
    }

    pub(crate) fn record(&self) -> &Record {
        &self.dealings[0].tester.record
    }

    /// A datagram has come from a machine.
    pub(crate) fn hear(&mut self, n: usize, datagram: &[u8]) {
        let dealings = &mut self.dealings[n];
        if let Some(asked) = dealings.tester.read_asked(datagram) {
            dealings.asked = Some(asked);
            return;
        }
        let mut copy = datagram.to_vec();
        let id = dealings.tester.id();
        let Ok(packet) = Packet::unmask(&Mask::new(&id), Protocol::V5, &mut copy) else {
            return;
        };
        dealings.nonce = Some(packet.nonce);
        if let (Kind::Handshake { ephemeral, .. }, Some(challenge)) =
            (packet.kind, &dealings.challenge)
        {
            let agreement = Agreement {
                initiator: &dealings.remote.node_id(),
                recipient: &id,
                challenge_data: challenge,
            };
            if let Ok(theirs) = PublicKey::from_compressed(ephemeral) {
                let keys = agreement.keys(&self.key.shared_point(&theirs));
                // The tester seals with the initiator's key.
                dealings.tester.keys = Some(SessionKeys {
                    initiator: keys.recipient,
                    recipient: keys.initiator,
                });
            }
        }
        if let Some(opened) = dealings.tester.open(datagram)
            && let Ok(Message::Request(id, request)) = Message::decode(&opened)
        {
            let kind = match request {
                Request::Ping { .. } => 1,
                Request::FindNode { .. } => 3,
                Request::Talk { .. } => 5,
            };
            dealings.request = Some((id, kind));
        }
    }

    /// Datagrams to a machine, and whose address they come from.
    pub(crate) fn say(&mut self, n: usize, what: u8) -> Vec<(SocketAddr, Vec<u8>)> {
        self.count = self.count.wrapping_add(1);
        let (choice, more) = (what % 20, what / 20);
        if choice == 0 {
            let flood = |k: u8| SocketAddr::new([30, 0, k % 3, k].into(), 1000);
            let count = usize::from(more) * 3;
            let random = (0..count).map(|k| {
                let (_, datagram) = self.dealings[n].tester.random();
                (flood(u8::try_from(k).unwrap()), datagram)
            });
            return random.collect();
        }
        let said = self.datagram(n, choice, more);
        said.map(|bytes| (self.addr, bytes)).into_iter().collect()
    }

    fn datagram(&mut self, n: usize, choice: u8, more: u8) -> Option<Vec<u8>> {
        let dealings = &mut self.dealings[n];
        let Dealings { tester, asked, .. } = dealings;
        match choice {
            1 => return Some(tester.random().1),
            2 => return Some(tester.handshake(asked.as_ref()?, &ping())),
            3 => return Some(tester.handshake_with(asked.as_ref()?, &ping(), &[])),
            4 => {
                let foreign = BYSTANDERS[usize::from(more)].as_bytes();
                return Some(tester.handshake_with(asked.as_ref()?, &ping(), foreign));
            }
            5 => {
                let mut blind = asked.clone()?;
                blind.challenge_data[62] ^= 1;
                return Some(tester.handshake(&blind, &ping()));
            }
            6 => {
                let envelope = Envelope {
                    mask: &Mask::new(&dealings.remote.node_id()),
                    protocol: Protocol::V5,
                    iv: [self.count; 16],
                    nonce: dealings.nonce?,
                };
                let question = envelope.who_are_you(&[self.count; 16], u64::from(more % 3));
                dealings.challenge = Some(question.challenge_data.to_vec());
                return Some(question.packet.to_vec());
            }
            _ => {}
        }
        tester.keys.as_ref()?;
        let plaintext = plaintext(dealings.request, self.addr, choice, more)?;
        Some(self.dealings[n].tester.sealed(&plaintext))
    }
}

/// What it says under the keys of a session.
fn plaintext(
    request: Option<(RequestId, u8)>,
    addr: SocketAddr,
    choice: u8,
    more: u8,
) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let few = usize::from(more);
    match choice {
        7 => out = plain(&Request::Ping { record_seq: 9 }, 1),
        8 => {
            let distances = Distances::new((250..=256).skip(few % 7));
            out = plain(&Request::FindNode { distances }, 2);
        }
        9 => {
            let (protocol, payload) = (&b"toy"[..], &b"hello"[..few % 6]);
            out = plain(&Request::Talk { protocol, payload }, 3);
        }
        // A request id of nine bytes.
        10 => out = [&[1, 0xcb, 0x89][..], &[0xaa; 9], &[1]].concat(),
        11 => out = vec![more, 0xc1, 0x80],
        _ => {
            let (id, kind) = request?;
            match (choice, kind) {
                (12 | 13, 1) => put_pong(&mut out, id, 1, Endpoint::from(addr)),
                (12 | 13, 3) => {
                    // The right total, or one that lies.
                    let total = if choice == 12 { 1 } else { u64::MAX };
                    let records = BYSTANDERS.iter().skip(few).step_by(3);
                    let records: Vec<_> = records.take(6).cloned().collect();
                    put_nodes(&mut out, id, total, &records);
                }
                (12 | 13, _) => put_talk_response(&mut out, id, b"so"),
                (14, _) => put_talk_response(&mut out, id, b"?"),
                (15, _) => put_nodes(&mut out, id, u64::from(more), &[]),
                (16, _) => {
                    let mapped = std::net::Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0x1463, 0x6301);
                    let stuffed: [std::net::IpAddr; 6] = [
                        mapped.into(),
                        [20, 7, 7, 7].into(),
                        [127, 0, 0, 1].into(),
                        [10, 9, 9, 9].into(),
                        [0, 0, 0, 0].into(),
                        [224, 0, 0, 1].into(),
                    ];
                    let observed = Endpoint::new(stuffed[few % 6], 9000);
                    put_pong(&mut out, id, u64::from(more), observed);
                }
                (17, _) => put_nodes(&mut out, id, 2, &BYSTANDERS[few..few + 1]),
                _ => put_pong(&mut out, RequestId::from(7), 1, Endpoint::from(addr)),
            }
        }
    }
    Some(out)
}
