//! Handshake packets that nobody asked for, sent by a bare socket.

use std::net::UdpSocket;

use peerage_bench_kit::{Error, Meter, Report, resident};
use peerage_discv5::NodeId;
use peerage_discv5::cipher::{Cipher, Mask};
use peerage_discv5::curve::SecretKey;
use peerage_discv5::packet::{Envelope, HandshakeAuth, Nonce, Protocol};
use peerage_discv5::record::Builder;

use crate::node::{Ask, Node, secret};

/// How many are sent before a PING shows that they have been dealt with: well below what fits in a
/// socket's buffer.
const BURST: u64 = 50;

/// A handshake packet as a forger makes it: the record is genuine, so that a node that verifies
/// records first does all of that work; the rest is noise.
pub fn packet(to: &NodeId) -> Result<Vec<u8>, Error> {
    let record = Builder::new(1).ip([127, 0, 0, 1].into()).udp4(9);
    let record = record.sign(&SecretKey::from_bytes(secret(u64::MAX))?)?;
    let envelope = Envelope {
        mask: &Mask::new(to),
        protocol: Protocol::V5,
        iv: [1; 16],
        nonce: Nonce([2; 12]),
    };
    let auth = HandshakeAuth {
        signature: &[1; 64],
        ephemeral: &SecretKey::from_bytes(secret(7))?.public_key().compressed(),
        record: record.as_bytes(),
    };
    let noise = Cipher::new(&[1; 16]);
    Ok(envelope.handshake(&record.node_id(), &auth, &noise, |out| out.extend([1; 20])))
}

/// Sends bursts of them, each followed by a PING of a node with a session. Its processor time is
/// told apart by leaving the packets out (`peer`).
pub async fn spoofed<N: Node>(count: u64) -> Result<(), Error> {
    let (one, two) = (N::start(1, None).await?, N::start(2, None).await?);
    let to = two.record();
    one.ask(&to, Ask::Ping).await?;
    let forged = packet(&two.id())?;
    let forger = UdpSocket::bind(("127.0.0.1", 0))?;
    let bursts = count.div_ceil(BURST);
    let mut lines = Vec::new();
    for forged_each in [0, BURST] {
        let meter = Meter::start();
        for _ in 0..bursts {
            for _ in 0..forged_each {
                forger.send_to(&forged, two.addr())?;
            }
            one.ask(&to, Ask::Ping).await?;
        }
        lines.push(meter.finish().await);
    }
    let [(_, without), (wall, with)] = lines[..] else {
        return Err("two runs were made".into());
    };
    Report {
        name: N::NAME,
        count: bursts * BURST,
        at_once: BURST,
        wall,
        cpu: with.saturating_sub(without),
        bytes: forged.len() as u64,
        rss: resident()?,
    }
    .print();
    Ok(())
}
