//! dcrd's frames in full: each reads as its words say, and is written again byte for byte.

use bytes::Bytes;
use peerage_core::UnixTime;
use peerage_verack::decred::{
    AddrV2, CFilterV2, Decred, FeeFilter, GetCFilterV2, Header, InitState, Inventory,
    InventoryKind, Message, MiningState, NetworkAddr,
};
use peerage_verack::dialect::Message as _;
use peerage_verack::dissect::frame;
use peerage_verack::message::{Hash, Locators};
use peerage_verack::zcash::Zcash;
use peerage_verack::{Dialect as _, Services};
use sha2::{Digest as _, Sha256};

use crate::common::chain;
use crate::common::vectors::{bytes, number, rows, text};
use crate::roundtrip::{read, write};

/// `00..1f` and `ff..e0` of the words.
fn up() -> Hash {
    Hash(std::array::from_fn(|at| u8::try_from(at).unwrap()))
}

fn down() -> Hash {
    Hash(up().0.map(|byte| !byte))
}

const TIME: UnixTime = UnixTime(1_772_075_804);

fn inventory(kind: InventoryKind, hash: Hash) -> Inventory {
    Inventory { kind, hash }
}

fn locators(version: u32) -> Locators {
    Locators {
        version,
        hashes: vec![up()],
        stop: down(),
    }
}

/// Each frame after the handshake: its command, its words, and what they mean.
fn expected() -> Vec<(&'static str, &'static str, Message)> {
    let addr = |services, addr, port| AddrV2 {
        time: TIME,
        services: Services(services),
        addr,
        port,
    };
    let key = std::array::from_fn(|at| 0xa0 + u8::try_from(at).unwrap());
    let addrs = vec![
        addr(1, NetworkAddr::Ipv4("192.0.2.7".parse().unwrap()), 9108),
        addr(5, NetworkAddr::Ipv6("2001:db8::1".parse().unwrap()), 19_108),
        addr(1, NetworkAddr::TorV3(key), 9108),
    ];
    let inv = vec![
        inventory(InventoryKind::Tx, up()),
        inventory(InventoryKind::Block, down()),
        inventory(InventoryKind::Mix, up()),
    ];
    let init = InitState {
        blocks: vec![up()],
        votes: vec![down()],
        tspends: vec![up()],
    };
    let mining = MiningState {
        version: 1,
        height: 100,
        blocks: vec![up()],
        votes: vec![],
    };
    let cfilter = CFilterV2 {
        block: up(),
        data: Bytes::from_static(&[1, 2]),
        proof_index: 0,
        proof: vec![down()],
    };
    vec![
        ("getaddr", "empty", Message::GetAddr),
        ("mempool", "empty", Message::Mempool),
        ("sendheaders", "empty", Message::SendHeaders),
        (
            "ping",
            "nonce=0x1122334455667788",
            Message::Ping(0x1122_3344_5566_7788),
        ),
        (
            "pong",
            "nonce=0x1122334455667788",
            Message::Pong(0x1122_3344_5566_7788),
        ),
        (
            "feefilter",
            "min_fee=15000",
            Message::FeeFilter(FeeFilter { min_fee: 15_000 }),
        ),
        (
            "addrv2",
            "ipv4 192.0.2.7:9108 svc1; ipv6 [2001:db8::1]:19108 svc5; torv3 pubkey a0..bf port 9108 svc1; time 1772075804",
            Message::AddrV2(addrs),
        ),
        (
            "inv",
            "tx h=00..1f; block h=ff..e0; mix h=00..1f (internal byte order)",
            Message::Inv(inv),
        ),
        (
            "getdata",
            "block ff..e0",
            Message::GetData(vec![inventory(InventoryKind::Block, down())]),
        ),
        (
            "getheaders",
            "msg protocol_version field=0 locator=[00..1f] stop=ff..e0",
            Message::GetHeaders(locators(0)),
        ),
        (
            "getblocks",
            "msg protocol_version field=12 locator=[00..1f] stop=ff..e0",
            Message::GetBlocks(locators(12)),
        ),
        (
            "headers",
            "1 header: version10 prev=00..1f merkle=ff..e0 stake=00..1f votebits1 finalstate010203040506 voters5 fresh20 revs0 pool40960 bits1a00ffff sbits20000000000 height1062261 size12345 time1772075804 nonce deadbeef extradata0 stakeversion11; blake256 block hash (internal order) 27233afb66230ae5160a3a2941ba112a8830815d1dddecb51f917b7c7e6fb970 blake3 pow v2 (internal order) 2e997d3b9cbb83331e6c489f68fb85096370a63c93f8335c84059f942d42c330",
            Message::Headers(vec![header()]),
        ),
        (
            "initstate",
            "1 block 00..1f, 1 vote ff..e0, 1 tspend 00..1f",
            Message::InitState(init),
        ),
        (
            "miningstate",
            "version1 height100 block 00..1f no votes",
            Message::MiningState(mining),
        ),
        (
            "getcfilterv2",
            "block ff..e0",
            Message::GetCFilterV2(GetCFilterV2 { block: down() }),
        ),
        (
            "cfilterv2",
            "block 00..1f data 0102 proofindex 0 proofs [ff..e0]",
            Message::CFilterV2(cfilter),
        ),
    ]
}

fn header() -> Header {
    Header {
        version: 10,
        previous: up(),
        merkle_root: down(),
        stake_root: up(),
        vote_bits: 1,
        final_state: [1, 2, 3, 4, 5, 6],
        voters: 5,
        fresh_stake: 20,
        revocations: 0,
        pool_size: 40_960,
        bits: 0x1a00_ffff,
        ticket_price: 20_000_000_000,
        height: 1_062_261,
        size: 12_345,
        time: 1_772_075_804,
        nonce: 0xdead_beef,
        extra_data: [0; 32],
        stake_version: 11,
    }
}

#[test]
fn every_decred_frame_reads_as_its_words_say_and_is_written_again() {
    let vectors = rows("decred-frames", "vectors");
    let vectors = vectors
        .iter()
        .filter(|row| text(row, "command") != "version");
    let expected = expected();
    assert_eq!(vectors.clone().count(), expected.len());
    for (row, (command, words, message)) in vectors.zip(expected) {
        assert_eq!(
            (text(row, "command"), text(row, "fields")),
            (command, words)
        );
        let payload = Bytes::from(bytes(row, "payload"));
        let read = read::<Decred>(message.command(), &payload, number(row, "pver"));
        assert_eq!(read.as_ref(), Some(&message), "{command}");
        assert_eq!(write(&message), payload, "{command}");
        let again = frame::<Decred>(
            &chain::<Decred>(text(row, "chain")),
            message.command(),
            &payload,
        );
        assert_eq!(again, bytes(row, "frame"), "{command}");
    }
}

/// The words of the header frame give its hash, so its 180 bytes are the ones that are hashed.
#[test]
fn the_hash_of_the_header_frame_is_dcrds() {
    let payload = write(&Message::Headers(vec![header()]));
    let (count, rest) = payload.split_at(1);
    assert_eq!((count, rest.len()), (&[1][..], Header::LEN + 1));
    let hash = peerage_verack::decred::blake256::blake256(&rest[..Header::LEN]);
    assert_eq!(
        hex::encode(hash),
        "27233afb66230ae5160a3a2941ba112a8830815d1dddecb51f917b7c7e6fb970"
    );
    // The checksum of a frame is the front of the same hash.
    assert_eq!(Decred::checksum(&rest[..Header::LEN]), hash[..4]);
}

#[test]
fn the_checksum_of_nothing_is_the_front_of_its_hash() {
    let blake256 = peerage_verack::decred::blake256::blake256(&[]);
    assert_eq!(Decred::checksum(&[]), blake256[..4]);
    let sha256d = Sha256::digest(Sha256::digest([]));
    assert_eq!(Zcash::checksum(&[]), sha256d[..4]);
}
