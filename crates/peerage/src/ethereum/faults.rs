//! How a peer on Ethereum is broken on purpose.
//!
//! Most play their part inside the cipher: such a peer exchanges keys as it should, and then says what
//! it likes without listening. It does so to whoever dialled it; whom it dialled itself it leaves at
//! once, since nobody can be dialled without knowing its key.

use std::io;

use bytes::{Bytes, BytesMut};
use peerage_core::Direction;
use peerage_ethereum::eth::EthVersion;
use peerage_ethereum::fork::{Activation, Fork, Schedule};
use peerage_ethereum::frame::FrameCipher;
use peerage_ethereum::rlpx::{Packet, Recipient, packet_len};
use peerage_ethereum::snappy::Compressor;
use peerage_ethereum::{CapName, DisconnectReason, Hello, Local, PeerId, p2p};
use peerage_net::{Conn, Connection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::Ethereum;
use crate::faults::{Act, Fault, play};
use crate::greeter::Greeter;

/// The ways in which a peer on Ethereum can be broken.
pub(super) const FAULTS: &[Fault] = &[
    Fault::Silent,
    Fault::Obsolete,
    Fault::WrongNetwork,
    Fault::WrongGenesis,
    Fault::WrongFork,
    Fault::WrongIdentity,
    Fault::Full,
    Fault::Flooding,
    Fault::Garbage,
    Fault::Closing,
];

/// Treats the other end as a peer with this fault does.
pub(super) async fn misbehave(
    node: &Greeter<Ethereum>,
    fault: Fault,
    connection: Connection<TcpStream>,
    deadline: Instant,
) {
    let plain = match fault {
        Fault::Silent => vec![Act::Listen],
        Fault::Closing => vec![],
        Fault::Garbage => vec![
            Act::Send(Bytes::from_static(
                b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
            )),
            Act::Listen,
        ],
        Fault::Obsolete if passed(node.local()) == 0 => {
            vec![Act::Send(Bytes::from_static(&OLD_ACK)), Act::Listen]
        }
        Fault::Obsolete
        | Fault::WrongNetwork
        | Fault::WrongGenesis
        | Fault::WrongFork
        | Fault::WrongIdentity
        | Fault::Full
        | Fault::Flooding => {
            let mut conn = connection.io;
            if connection.addr.direction() == Direction::Outbound {
                return play(&[], conn, deadline).await;
            }
            // Whoever does not speak RLPx gets nothing.
            let opened = timeout_at(deadline, open(node, &mut conn)).await;
            let Ok(Ok((ack, mut cipher))) = opened else {
                return;
            };
            let mut said = BytesMut::from(&ack[..]);
            say(fault, node.local(), &mut cipher, &mut said);
            return play(&[Act::Send(said.freeze()), Act::Listen], conn, deadline).await;
        }
    };
    play(&plain, connection.io, deadline).await;
}

/// Exchanges keys with whoever dialled us. The answer is still to be sent.
async fn open(node: &Greeter<Ethereum>, conn: &mut impl Conn) -> io::Result<(Bytes, FrameCipher)> {
    let wrong = |error: &dyn std::fmt::Display| io::Error::other(error.to_string());
    let mut input = BytesMut::new();
    let len = loop {
        if let Some(len) = packet_len(Packet::Auth, &input).map_err(|error| wrong(&error))?
            && input.len() >= len
        {
            break len;
        }
        if conn.read_buf(&mut input).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let key = &node.local().key;
    let auth = input.split_to(len).freeze();
    let recipient = Recipient::on_auth(key, auth).map_err(|error| wrong(&error))?;
    let fresh = super::fresh().map_err(|error| wrong(&error))?;
    let (cipher, ack) = recipient
        .answer(key, fresh)
        .map_err(|error| wrong(&error))?;
    conn.flush().await?;
    Ok((ack, cipher))
}

/// How an ack began before EIP-8, and how long it was: a key where its size stands today. Whoever
/// speaks so is obsolete on every chain, even one that has passed no fork.
const OLD_ACK: [u8; 210] = {
    let mut ack = [0x5a; 210];
    ack[0] = 0x04;
    ack
};

/// How many forks a node has passed.
fn passed(local: &Local) -> usize {
    let forks = local.forks(crate::os::wall_clock());
    forks.schedule().passed(forks.head())
}

/// The version of eth that a broken peer speaks: the newest that the node does, whom its own kind
/// shall understand.
fn version(local: &Local) -> EthVersion {
    let offered = local.capabilities.iter().map(|spec| spec.capability);
    let eth = offered.filter(|capability| capability.name == CapName::ETH);
    let versions = eth.filter_map(|eth| EthVersion::from_number(eth.version));
    versions.max().unwrap_or(EthVersion::Eth69)
}

/// The id of Status where eth is the only capability.
const STATUS: u64 = 0x10;

/// Says everything at once.
fn say(fault: Fault, local: &Local, cipher: &mut FrameCipher, said: &mut BytesMut) {
    let mut frame = |id, body: &[u8], compressed| {
        let write = |output: &mut BytesMut| {
            if compressed {
                // A few hundred bytes always compress.
                let _written = Compressor::new().encode(body, output);
            } else {
                output.extend_from_slice(body);
            }
        };
        // A few hundred bytes always fit into a frame.
        let _sealed = cipher.egress.seal(said, id, write);
    };
    if fault == Fault::Full {
        let goodbye = DisconnectReason::TooManyPeers.encode();
        return frame(p2p::DISCONNECT, &goodbye, false);
    }
    let mut id = local.id();
    if fault == Fault::WrongIdentity {
        id = PeerId(id.0.map(|byte| !byte));
    }
    let hello = Hello {
        p2p_version: p2p::VERSION,
        client_id: "faulty/v1.0.0".into(),
        capabilities: vec![version(local).capability()],
        listen_port: 0,
        id,
    };
    frame(p2p::HELLO, &hello.encode(), false);
    if fault == Fault::Flooding {
        (0..1000).for_each(|_| frame(p2p::PING, p2p::EMPTY, true));
    } else if fault != Fault::WrongIdentity {
        frame(STATUS, &status(fault, local), true);
    }
}

/// The Status of a peer with this fault.
fn status(fault: Fault, local: &Local) -> Bytes {
    let now = crate::os::wall_clock();
    let mut status = local.status_at(version(local), now);
    let forks = local.forks(now);
    let schedule = forks.schedule();
    match fault {
        Fault::WrongNetwork => status.network_id = status.network_id.wrapping_add(1),
        Fault::WrongGenesis => status.genesis = status.genesis.map(|byte| !byte),
        Fault::WrongFork => {
            // A fork of its own, long ago.
            let mut own = schedule.forks().to_vec();
            let at = Activation::Time(1_500_000_000);
            let name = "its own".into();
            own.push(Fork { name, at });
            let own = Schedule::new(&local.chain.genesis_hash, 0, &own);
            status.fork_id = own.fork_id(own.forks().len());
        }
        Fault::Obsolete => {
            // It has passed all forks but the last one, of which it knows nothing.
            status.fork_id = schedule.fork_id(passed(local).saturating_sub(1));
            status.fork_id.next = 0;
        }
        // These never get as far as a Status.
        Fault::Silent
        | Fault::Closing
        | Fault::Garbage
        | Fault::Full
        | Fault::WrongIdentity
        | Fault::Flooding => {}
    }
    status.encode()
}
