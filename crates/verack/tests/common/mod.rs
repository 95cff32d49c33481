//! What the tests share: two networks under one trait, nodes, frames, and [`Dialogue`], a
//! handshake whose other end is the test itself.

pub(crate) mod conn;
pub(crate) mod dialogue;
pub(crate) mod operations;
pub(crate) mod strategies;
pub(crate) mod vectors;

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use bytes::Bytes;
use peerage_core::wire::Writer;
use peerage_core::{ConnectedAddr, Direction, Endpoint, UnixTime};
use peerage_verack::decred::{self, Decred};
use peerage_verack::dissect::frame;
use peerage_verack::envelope::{Command, HEADER_LEN};
use peerage_verack::nonce::{Domain, NonceKeys};
use peerage_verack::version::NetAddr;
use peerage_verack::zcash::{self, Zcash};
use peerage_verack::{
    Attempt, ChainTable, Dialect, Height, Local, Nonce, ProtocolVersion, Services, Table, Version,
};

pub(crate) use dialogue::{Dialogue, Seen};

/// A network under test, on the chain that most tests use.
pub(crate) trait Net: Dialect {
    const CHAIN: &'static str;
    const OTHER_CHAIN: &'static str;
    /// Every command after the handshake.
    const NAMES: &'static [&'static str];

    fn table() -> &'static Table;

    /// The frames that [`operations`] names by number.
    fn catalogue() -> &'static [Bytes];

    fn chain() -> Arc<ChainTable> {
        chain::<Self>(Self::CHAIN)
    }
}

static ZCASH: LazyLock<Table> = LazyLock::new(zcash::builtin_table);
static DECRED: LazyLock<Table> = LazyLock::new(decred::builtin_table);

impl Net for Zcash {
    const CHAIN: &'static str = "mainnet";
    const OTHER_CHAIN: &'static str = "testnet";
    const NAMES: &'static [&'static str] = &[
        "getaddr",
        "mempool",
        "filterclear",
        "ping",
        "pong",
        "reject",
        "addr",
        "addrv2",
        "inv",
        "getdata",
        "notfound",
        "getblocks",
        "getheaders",
        "headers",
        "filterload",
        "filteradd",
        "alert",
        "block",
        "tx",
        "merkleblock",
    ];

    fn table() -> &'static Table {
        &ZCASH
    }

    fn catalogue() -> &'static [Bytes] {
        static FRAMES: LazyLock<Vec<Bytes>> = LazyLock::new(operations::frames::<Zcash>);
        &FRAMES
    }
}

impl Net for Decred {
    const CHAIN: &'static str = "simnet";
    const OTHER_CHAIN: &'static str = "mainnet";
    const NAMES: &'static [&'static str] = &[
        "getaddr",
        "mempool",
        "sendheaders",
        "getminings",
        "getcftypes",
        "ping",
        "pong",
        "addr",
        "addrv2",
        "feefilter",
        "inv",
        "getdata",
        "notfound",
        "getblocks",
        "getheaders",
        "headers",
        "getinitstate",
        "initstate",
        "miningstate",
        "getcfilter",
        "cfilter",
        "getcfheaders",
        "cfheaders",
        "cftypes",
        "getcfilterv2",
        "cfilterv2",
        "getcfsv2",
        "cfiltersv2",
        "block",
        "tx",
        "mixpairreq",
        "mixkeyxchg",
        "mixcphrtxt",
        "mixslotres",
        "mixdcnet",
        "mixfactpoly",
        "mixconfirm",
        "mixsecrets",
    ];

    fn table() -> &'static Table {
        &DECRED
    }

    fn catalogue() -> &'static [Bytes] {
        static FRAMES: LazyLock<Vec<Bytes>> = LazyLock::new(operations::frames::<Decred>);
        &FRAMES
    }
}

pub(crate) fn chain<D: Net>(name: &str) -> Arc<ChainTable> {
    Arc::clone(D::table().chain(name).unwrap())
}

/// Some moment. Every test has the same, and no result depends on it.
pub(crate) fn now() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant has no other constructor; it is only ever compared with itself"
    )]
    static NOW: LazyLock<Instant> = LazyLock::new(Instant::now);
    *NOW
}

/// Wall-clock time of every attempt; no multiple of 300, so that rounding shows.
pub(crate) const TIME: UnixTime = UnixTime(1_800_000_123);

pub(crate) const BOTH: [Direction; 2] = [Direction::Inbound, Direction::Outbound];

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

pub(crate) fn proxied(direction: Direction) -> ConnectedAddr {
    let (proxy, local) = (endpoint("127.0.0.1:9050"), endpoint("127.0.0.1:51515"));
    match direction {
        Direction::Inbound => ConnectedAddr::InboundProxy { transient: local },
        Direction::Outbound => ConnectedAddr::OutboundProxy { proxy, local },
    }
}

pub(crate) const fn isolated(direction: Direction) -> ConnectedAddr {
    ConnectedAddr::Isolated { direction }
}

/// The five kinds, the isolated one in both directions.
pub(crate) fn kinds() -> [ConnectedAddr; 6] {
    let [inbound, outbound] = BOTH.map(|d| [direct(d), proxied(d), isolated(d)]);
    let [a, b, c] = inbound;
    let [d, e, f] = outbound;
    [a, b, c, d, e, f]
}

pub(crate) fn attempt(addr: ConnectedAddr) -> Attempt {
    Attempt {
        addr,
        domain: Domain::default(),
        time: TIME,
        random: [0x5e, 0xed, 0x0f, 0x0b, 0x5e, 0xed, 0x0f, 0x0b],
    }
}

/// A node that says nothing of itself, whose nonces depend on `secret`.
pub(crate) fn node<D: Net>(secret: u8) -> Local<D> {
    node_on::<D>(D::CHAIN, secret)
}

pub(crate) fn node_on<D: Net>(name: &str, secret: u8) -> Local<D> {
    Local::new(
        chain::<D>(name),
        D::table().protocol_version,
        "/suite:1/".into(),
        NonceKeys::new([secret; 16]),
    )
}

/// A good version of a stranger who speaks `version`.
pub(crate) fn their_version(version: u32) -> Version {
    let addr = |text| NetAddr::new(Services::NETWORK, endpoint(text));
    Version {
        protocol_version: ProtocolVersion(version),
        services: Services(5),
        time: UnixTime(1_800_000_000),
        addr_recv: addr("198.51.100.1:9000"),
        addr_from: addr("203.0.113.6:8233"),
        nonce: Nonce(0x9082_4908_8927_9238),
        user_agent: "/stranger:2/".into(),
        height: Height(540_000),
        relay: true,
    }
}

/// The version a current peer of the network speaks.
pub(crate) fn current<D: Net>() -> u32 {
    D::table().protocol_version.0
}

pub(crate) fn payload_of(version: &Version) -> Bytes {
    let mut writer = Writer::new(Version::MAX_LEN);
    version.write(&mut writer);
    writer.finish().unwrap()
}

pub(crate) fn version_frame<D: Net>(version: &Version) -> Bytes {
    frame::<D>(&D::chain(), Command::VERSION, &payload_of(version))
}

/// The version frame of a stranger who speaks `version`.
pub(crate) fn version<D: Net>(version: u32) -> Bytes {
    version_frame::<D>(&their_version(version))
}

pub(crate) fn verack<D: Net>() -> Bytes {
    frame::<D>(&D::chain(), Command::VERACK, &[])
}

pub(crate) fn message<D: Net>(command: &'static str, payload: &[u8]) -> Bytes {
    frame::<D>(&D::chain(), Command::from_static(command), payload)
}

/// A header alone: it declares `len` bytes that never come.
pub(crate) fn header<D: Net>(command: &'static str, len: u32) -> Bytes {
    let mut bytes = message::<D>(command, &[]).to_vec();
    bytes[16..20].copy_from_slice(&len.to_le_bytes());
    bytes.truncate(HEADER_LEN);
    bytes.into()
}

/// A whole frame whose command is no name, with the right checksum.
pub(crate) fn nameless<D: Net>(payload: &[u8]) -> Bytes {
    let mut bytes = message::<D>("x", payload).to_vec();
    bytes[4..16].copy_from_slice(b"\xffnot a name\0");
    bytes.into()
}

/// The same frame with its payload's checksum broken.
pub(crate) fn bad_checksum(frame: &[u8]) -> Bytes {
    let mut bytes = frame.to_vec();
    bytes[20] ^= 0x01;
    bytes.into()
}

/// The frame under the magic of another chain of its network.
pub(crate) fn other_chain<D: Net>(frame: &[u8]) -> Bytes {
    let mut bytes = frame.to_vec();
    bytes[..4].copy_from_slice(&chain::<D>(D::OTHER_CHAIN).magic);
    bytes.into()
}

pub(crate) fn concat<'a>(frames: impl IntoIterator<Item = &'a Bytes>) -> Vec<u8> {
    frames.into_iter().flatten().copied().collect()
}

/// Whether `needle` stands anywhere in `hay`.
pub(crate) fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|window| window == needle)
}
