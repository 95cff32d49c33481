//! Scenarios of Bitcoin Core's functional tests, re-created where a connection or the clock is the
//! point. Those that bytes alone decide are in `crates/verack/tests/scenarios/`; `docs/scenarios.md`
//! lists all of them.
//!
//! Connections are pipes in memory and time is paused, except where a socket is named.

mod capture;
mod deadlock;
mod keeping;
mod ping;
mod strangers;
mod timeouts;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use peerage::core::Handshake as _;
use peerage::net::{Connection, LinkError, Listener, Tape, Tapped};
use peerage::networks::Builtin;
use peerage::verack::dialect::Message as _;
use peerage::verack::dissect::{dissect_stream, frame};
use peerage::verack::envelope::Command;
use peerage::verack::nonce::Domain;
use peerage::verack::policy::AcceptAll;
use peerage::verack::{Attempt, Awaited, Dialect, HandshakeError, SessionError};
use peerage::{
    ConnectedAddr, Decred, Direction, Failure, Greeter, Kind, Peer, ProbeOptions, UnixTime, Zcash,
    decred, zcash,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep, timeout};

/// A pipe that holds any handshake.
const ROOMY: usize = 1 << 16;

/// Longer than any test may take of paused time.
const LONG: Duration = Duration::from_secs(3600);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A network under test.
trait Net: Dialect + Builtin {
    const CHAIN: &'static str;
}

impl Net for Zcash {
    const CHAIN: &'static str = "testnet";
}

impl Net for Decred {
    const CHAIN: &'static str = "simnet";
}

fn node<D: Net>() -> Greeter<D> {
    Greeter::new(D::CHAIN).unwrap()
}

fn connected(direction: Direction) -> ConnectedAddr {
    let addr = "192.0.2.9:9108".parse::<std::net::SocketAddr>().unwrap();
    match direction {
        Direction::Inbound => ConnectedAddr::InboundDirect { addr: addr.into() },
        Direction::Outbound => ConnectedAddr::OutboundDirect { addr: addr.into() },
    }
}

fn connection<C>(io: C, direction: Direction) -> Connection<C> {
    Connection {
        io,
        addr: connected(direction),
        resolved_in: None,
        reached_in: Duration::ZERO,
    }
}

const BOTH: [Direction; 2] = [Direction::Inbound, Direction::Outbound];

/// A message as a stranger writes it.
fn message<D: Net>(command: &'static str, payload: &[u8]) -> Bytes {
    let node = node::<D>();
    frame::<D>(&node.local().chain, Command::from_static(command), payload)
}

/// The version of a stranger, as it goes over the wire.
fn version<D: Net>() -> Bytes {
    let attempt = Attempt {
        addr: connected(Direction::Outbound),
        domain: Domain::default(),
        time: UnixTime(1_800_000_000),
        random: [7; 8],
    };
    let mut stranger = node::<D>().local().greet_with(attempt, AcceptAll);
    stranger.poll_transmit().unwrap()
}

fn verack<D: Net>() -> Bytes {
    message::<D>("verack", &[])
}

/// The commands of whole frames.
fn commands<D: Net>(stream: &[u8]) -> Vec<String> {
    let local = node::<D>().local().clone();
    dissect_stream::<D>(&local.chain, local.protocol_version, stream)
        .into_iter()
        .map(|(_, found)| {
            assert_eq!(found.error, None);
            found.header.unwrap().command.unwrap().to_string()
        })
        .collect()
}

/// Everything that still comes until the other side closes.
async fn rest(far: &mut DuplexStream) -> Vec<u8> {
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).await.unwrap();
    heard
}

/// Two nodes that greeted each other over a pipe of `room` bytes.
async fn two_peers<D: Net>(room: usize) -> [Peer<D, DuplexStream>; 2] {
    let (near, far) = duplex(room);
    let (one, two) = (node::<D>(), node::<D>());
    let deadline = Instant::now() + LONG;
    let (near, far) = tokio::join!(
        one.greet(connection(near, Direction::Outbound), AcceptAll, deadline),
        two.greet(connection(far, Direction::Inbound), AcceptAll, deadline),
    );
    [near.unwrap(), far.unwrap()]
}

/// One node that was greeted by the test, which keeps the other end.
async fn peer_and_far_end<D: Net>() -> (Peer<D, DuplexStream>, DuplexStream) {
    let (near, mut far) = duplex(ROOMY);
    far.write_all(&[version::<D>(), verack::<D>()].concat())
        .await
        .unwrap();
    let deadline = Instant::now() + LONG;
    let inbound = connection(near, Direction::Inbound);
    let peer = node::<D>()
        .greet(inbound, AcceptAll, deadline)
        .await
        .unwrap();
    let mut said = vec![0; ROOMY];
    let len = far.read(&mut said).await.unwrap();
    assert_eq!(commands::<D>(&said[..len]), ["version", "verack"]);
    (peer, far)
}
