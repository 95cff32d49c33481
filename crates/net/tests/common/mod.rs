//! What the tests share: two networks under one trait, frames, connections with a will of their
//! own ([`conns`]), and greeted peers ([`pairs`]).

pub(crate) mod conns;
pub(crate) mod pairs;

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::Poll;

use bytes::Bytes;
use peerage_core::wire::Writer;
use peerage_core::{ConnectedAddr, Direction, Endpoint, UnixTime};
use peerage_verack::decred::{self, Decred};
use peerage_verack::dissect::frame;
use peerage_verack::envelope::Command;
use peerage_verack::nonce::{Domain, NonceKeys};
use peerage_verack::policy::AcceptAll;
use peerage_verack::version::NetAddr;
use peerage_verack::zcash::{self, Zcash};
use peerage_verack::{
    Attempt, ChainTable, Dialect, Greeting, Height, Local, Nonce, ProtocolVersion, Services, Table,
    Version,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Duration, Instant};

/// A network under test.
pub(crate) trait Net: Dialect {
    fn table() -> &'static Table;

    fn chain() -> &'static ChainTable {
        &Self::table().chains[0]
    }
}

static ZCASH: LazyLock<Table> = LazyLock::new(zcash::builtin_table);
static DECRED: LazyLock<Table> = LazyLock::new(decred::builtin_table);

impl Net for Zcash {
    fn table() -> &'static Table {
        &ZCASH
    }
}

impl Net for Decred {
    fn table() -> &'static Table {
        &DECRED
    }
}

pub(crate) const BOTH: [Direction; 2] = [Direction::Inbound, Direction::Outbound];

pub(crate) const fn other(direction: Direction) -> Direction {
    match direction {
        Direction::Inbound => Direction::Outbound,
        Direction::Outbound => Direction::Inbound,
    }
}

pub(crate) fn endpoint(text: &str) -> Endpoint {
    text.parse::<SocketAddr>().unwrap().into()
}

/// A direct connection with a peer in the documentation range.
pub(crate) fn direct(direction: Direction) -> ConnectedAddr {
    let addr = endpoint("192.0.2.77:40123");
    match direction {
        Direction::Inbound => ConnectedAddr::InboundDirect { addr },
        Direction::Outbound => ConnectedAddr::OutboundDirect { addr },
    }
}

/// A handshake of the node with this secret over `addr`.
pub(crate) fn greeting<D: Net>(secret: u8, addr: ConnectedAddr) -> Greeting<D, AcceptAll> {
    let table = D::table();
    let keys = NonceKeys::new([secret; 16]);
    let agent = "/suite:1/".into();
    let chain = table.chains[0].clone();
    let local = Local::<D>::new(chain, table.protocol_version, agent, keys);
    local.greet(Attempt {
        addr,
        domain: Domain::default(),
        time: UnixTime(1_800_000_123),
        random: [secret; 8],
    })
}

/// A handshake of ours, over a direct connection.
pub(crate) fn ours<D: Net>(direction: Direction) -> Greeting<D, AcceptAll> {
    greeting(1, direct(direction))
}

/// The other end of that connection, a healthy node.
pub(crate) fn theirs<D: Net>(direction: Direction) -> Greeting<D, AcceptAll> {
    greeting(2, direct(other(direction)))
}

/// A deadline that no test reaches.
pub(crate) fn never() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// The version frame of a stranger who speaks `version`.
pub(crate) fn version_frame<D: Net>(version: u32) -> Bytes {
    let addr = |text| NetAddr::new(Services::NETWORK, endpoint(text));
    let version = Version {
        protocol_version: ProtocolVersion(version),
        services: Services(1),
        time: UnixTime(1_800_000_000),
        addr_recv: addr("198.51.100.1:9000"),
        addr_from: addr("203.0.113.6:8233"),
        nonce: Nonce(0x9082_4908_8927_9238),
        user_agent: "/stranger:2/".into(),
        height: Height(540_000),
        relay: true,
    };
    let mut writer = Writer::new(Version::MAX_LEN);
    version.write(&mut writer);
    frame::<D>(D::chain(), Command::VERSION, &writer.finish().unwrap())
}

/// The version a current peer of the network speaks.
pub(crate) fn current<D: Net>() -> u32 {
    D::table().protocol_version.0
}

pub(crate) fn verack<D: Net>() -> Bytes {
    message::<D>("verack", &[])
}

pub(crate) fn message<D: Net>(command: &'static str, payload: &[u8]) -> Bytes {
    frame::<D>(D::chain(), Command::from_static(command), payload)
}

pub(crate) fn ping<D: Net>(nonce: u64) -> Bytes {
    message::<D>("ping", &nonce.to_le_bytes())
}

pub(crate) fn pong<D: Net>(nonce: u64) -> Bytes {
    message::<D>("pong", &nonce.to_le_bytes())
}

pub(crate) fn concat(frames: &[Bytes]) -> Vec<u8> {
    frames.iter().flatten().copied().collect()
}

/// The commands and payloads of whole frames, each of them sound; anything else fails the test.
pub(crate) fn frames<D: Net>(bytes: &[u8]) -> Vec<(String, Bytes)> {
    let envelope = peerage_verack::envelope::Envelope {
        magic: D::chain().magic,
        checksum: D::checksum,
    };
    let mut input = bytes::BytesMut::from(bytes);
    let next = || {
        envelope
            .next::<peerage_verack::envelope::FrameError>(&mut input, |_| Ok(()))
            .unwrap()
    };
    let found = std::iter::from_fn(next)
        .map(|frame| (frame.command.unwrap().to_string(), frame.payload))
        .collect();
    assert!(input.is_empty(), "half a frame is left: {input:?}");
    found
}

/// The commands alone.
pub(crate) fn commands<D: Net>(bytes: &[u8]) -> Vec<String> {
    let frames = frames::<D>(bytes).into_iter();
    frames.map(|(command, _)| command).collect()
}

/// Polls once and drops the future. Outside of the runtime's budget, which would answer "not yet"
/// after a while in a test that never waits.
pub(crate) async fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    let mut future = pin!(tokio::task::unconstrained(future));
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Runs both to their ends.
pub(crate) async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    tokio::join!(a, b)
}

/// Says `bytes` while hearing whatever comes, until the other end closes; what was heard.
pub(crate) async fn say_and_hear(conn: impl AsyncRead + AsyncWrite, bytes: &[u8]) -> Vec<u8> {
    let (mut hears, mut says) = tokio::io::split(conn);
    let mut heard = Vec::new();
    // The other end may be gone before everything is said.
    let (_said, all) = join(says.write_all(bytes), hears.read_to_end(&mut heard)).await;
    all.unwrap();
    heard
}

/// How many tasks the runtime of this test has besides the test itself.
pub(crate) fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}
