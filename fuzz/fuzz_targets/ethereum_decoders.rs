//! Bytes into every decoder of Ethereum: what is accepted is written again and read the same.
//!
//! The first byte chooses the decoder, the second a message, the rest is its input.
#![no_main]

use std::fmt::Debug;
use std::sync::LazyLock;

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use peerage_ethereum::capability::negotiate;
use peerage_ethereum::enode::Enode;
use peerage_ethereum::eth::{EthVersion, MESSAGES, Message, Status, peek_request_id};
use peerage_ethereum::frame::{FrameCipher, wire_len};
use peerage_ethereum::key::{Ephemeral, PeerId, PublicKey, SecretKey};
use peerage_ethereum::rlp::Reader;
use peerage_ethereum::rlpx::{Fresh, Initiator, Packet, Recipient, packet_len};
use peerage_ethereum::snappy::{self, Compressor, Prefix};
use peerage_ethereum::table::{NETWORK, Table};
use peerage_ethereum::{DisconnectReason, ForkFilter, Head, Hello, p2p};

static FORKS: LazyLock<ForkFilter> = LazyLock::new(|| {
    let table = Table::builtin();
    let head = Head {
        number: 24_000_000,
        time: 1_770_000_000,
    };
    table.chain("mainnet").unwrap().fork_filter(head)
});

static KEYS: LazyLock<[SecretKey; 2]> =
    LazyLock::new(|| [1, 2].map(|seed| SecretKey::from_bytes([seed; 32]).unwrap()));

fn fresh(seed: u8) -> Fresh {
    let mut pairs = [seed; 64];
    pairs[63] ^= 0x55;
    Fresh::new(Ephemeral::from_bytes(pairs).unwrap(), [seed; 50])
}

/// Two sides that share a session, made anew since reading changes it.
fn session() -> [FrameCipher; 2] {
    let [a, b] = &*KEYS;
    let (initiator, auth) = Initiator::new(a, b.public(), fresh(3)).unwrap();
    let (at_b, ack) = Recipient::on_auth(b, auth)
        .unwrap()
        .answer(b, fresh(4))
        .unwrap();
    [initiator.on_ack(a, &ack).unwrap(), at_b]
}

fuzz_target!(|bytes: &[u8]| {
    let [choice, which, input @ ..] = bytes else {
        return;
    };
    match choice % 12 {
        0 => hello(input),
        1 => status(*which, input),
        2..=4 => message(*choice, *which, input),
        5 => disconnect(*which, input),
        6 => record(input),
        7 => text(input),
        8 => table(input),
        9 => packet(*which, input),
        10 => frames(*which, input),
        _ => snappy_block(input),
    }
});

/// Whatever explains an error does so.
fn explained<T, E: std::error::Error>(result: Result<T, E>) -> Option<T> {
    result
        .map_err(|error| assert!(!error.to_string().is_empty()))
        .ok()
}

/// A traced reading is the plain one, and names only bytes that are there.
fn traced<T: PartialEq + Debug, E: PartialEq + Debug>(
    input: &[u8],
    read: impl Fn(&mut Reader<'_>) -> Result<T, E>,
    plain: &Result<T, E>,
) {
    let mut reader = Reader::traced(input);
    assert_eq!(read(&mut reader), *plain);
    for field in reader.into_fields() {
        assert!(field.offset + field.len <= input.len());
    }
}

fn hello(input: &[u8]) {
    let read = Hello::decode(input);
    traced(input, Hello::read, &read);
    let Some(hello) = explained(read) else { return };
    assert!(hello.capabilities.len() <= 64);
    if hello.encode().len() <= Hello::MAX_LEN {
        assert_eq!(Hello::decode(&hello.encode()).unwrap(), hello);
    }
    let ours: Vec<_> = EthVersion::ALL
        .iter()
        .map(|version| version.spec())
        .collect();
    let layout = negotiate(&ours, &hello.capabilities);
    for id in 0..64 {
        assert!(layout.max_len(id).is_none_or(|len| len <= 10 << 20));
    }
    let _point = PublicKey::try_from(hello.id);
}

fn version(which: u8) -> EthVersion {
    EthVersion::ALL[usize::from(which) % EthVersion::ALL.len()]
}

fn status(which: u8, input: &[u8]) {
    let agreed = version(which);
    let read = Status::decode(input, agreed);
    traced(input, |reader| Status::read(reader, agreed), &read);
    let Some(status) = explained(read) else {
        return;
    };
    assert_eq!(status.encode(), input, "there is one form of it");
    explained(FORKS.judge(status.fork_id));
}

fn message(choice: u8, which: u8, input: &[u8]) {
    let version = version(choice / 12);
    let row = &MESSAGES[usize::from(which) % MESSAGES.len()];
    let body = Bytes::copy_from_slice(input);
    let peeked = peek_request_id(&input[..input.len().min(19)]);
    let read = Message::decode(version, row.id, &body);
    traced(
        &body,
        |reader| Message::read(version, row.id, reader, &body),
        &read,
    );
    let Some(message) = explained(read) else {
        return;
    };
    assert_eq!(message.message(), row.message);
    assert_eq!(
        message.encode(version).unwrap(),
        body,
        "there is one form of it"
    );
    match &message {
        Message::Request(request) => {
            assert_eq!(peeked, Ok(request.id));
            let answer = Message::Response(request.empty_answer());
            let body = answer.encode(version).unwrap();
            let id = answer.message().row().id;
            assert_eq!(Message::decode(version, id, &body).unwrap(), answer);
        }
        Message::Response(response) => assert_eq!(peeked, Ok(response.id)),
        _ => {}
    }
}

fn disconnect(which: u8, input: &[u8]) {
    let _ping = p2p::read_ping(input);
    explained(DisconnectReason::decode_any(input, which & 1 == 1));
    if let Some(reason) = explained(DisconnectReason::decode(input)) {
        assert_eq!(DisconnectReason::decode(&reason.encode()).unwrap(), reason);
        assert!(!reason.name().is_empty() && !reason.words().is_empty());
    }
}

fn record(input: &[u8]) {
    explained(FORKS.judge_record_entry(input));
}

fn text(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    explained(text.parse::<PeerId>());
    for text in [text.to_owned(), format!("enode://{text}")] {
        if let Some(enode) = explained(text.parse::<Enode>()) {
            assert_eq!(enode.to_string().parse::<Enode>().unwrap(), enode);
        }
    }
}

fn table(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let text = format!("network = \"ethereum\"\n{text}");
    if let Some(table) = explained(Table::parse(NETWORK, &text)) {
        for chain in &table.chains {
            let forks = chain.schedule.forks().len();
            for passed in 0..=forks {
                let id = chain.schedule.fork_id(passed);
                assert!(chain.schedule.find(id.hash).is_some());
            }
        }
    }
}

fn packet(which: u8, input: &[u8]) {
    let [a, b] = &*KEYS;
    let packet = [Packet::Auth, Packet::Ack][usize::from(which & 1)];
    if let Ok(Some(len)) = packet_len(packet, input) {
        assert!(len <= 2050);
    }
    // As it came, and with the honest packet's place overwritten, so that something opens.
    let (initiator, auth) = Initiator::new(a, b.public(), fresh(3)).unwrap();
    if which & 1 == 0 {
        explained(Recipient::on_auth(b, Bytes::copy_from_slice(input)));
        let sealed = sealed(b, input);
        if let Some(recipient) = explained(Recipient::on_auth(b, sealed.freeze())) {
            explained(recipient.answer(b, fresh(4)));
        }
    } else {
        assert!(
            initiator.on_ack(a, &auth).is_err(),
            "our own auth is no ack"
        );
        for bytes in [BytesMut::from(input), sealed(a, input)] {
            let (initiator, _) = Initiator::new(a, b.public(), fresh(3)).unwrap();
            explained(initiator.on_ack(a, &bytes));
        }
    }
}

/// A packet with this body, cut or filled up, that opens.
fn sealed(to: &SecretKey, body: &[u8]) -> BytesMut {
    let mut filled = [0; 200];
    let len = body.len().min(filled.len());
    filled[..len].copy_from_slice(&body[..len]);
    let pair = SecretKey::from_bytes([9; 32]).unwrap();
    peerage_ethereum::ecies::seal(to.public(), &pair, [5; 16], &filled, 0)
}

/// The input as sizes and ids of true frames, and as noise between them.
fn frames(which: u8, input: &[u8]) {
    let [mut a, mut b] = session();
    let mut wire = BytesMut::new();
    let mut sent = Vec::new();
    for (n, part) in input.chunks(64).enumerate().take(64) {
        let id = u64::from(part[0]) << (n % 60);
        a.egress
            .seal(&mut wire, id, |data| data.extend_from_slice(part))
            .unwrap();
        sent.push((id, part.to_vec()));
    }
    if which & 1 == 1 && !wire.is_empty() {
        let place = usize::from(which) * 7 % wire.len();
        wire[place] ^= which;
    }
    let len = usize::from(which >> 1) + 1;
    let mut heard = Vec::new();
    let mut arrived = BytesMut::new();
    'all: for piece in wire.chunks(len) {
        arrived.extend_from_slice(piece);
        loop {
            let admit = |_, len| if len <= 64 { Ok(()) } else { Err(()) };
            match b.ingress.next(&mut arrived, admit) {
                Ok(Some(frame)) => heard.push((frame.id, frame.data.to_vec())),
                Ok(None) => break,
                Err(_) => break 'all,
            }
        }
        assert!(
            arrived.len() < wire_len(64 + 9),
            "{} bytes kept",
            arrived.len()
        );
    }
    assert!(sent.starts_with(&heard));
    assert!(which & 1 == 1 || sent == heard);
    // Noise is nothing.
    let mut noise = BytesMut::from(input);
    let [_, mut b] = session();
    if noise.len() >= 32 {
        assert!(b.ingress.next(&mut noise, |_, _| Ok::<_, ()>(())).is_err());
    }
}

fn snappy_block(input: &[u8]) {
    const LIMIT: usize = 1 << 16;
    let mut plain = BytesMut::new();
    let prefix = Prefix::<19>::of(input, LIMIT);
    if explained(snappy::decode(input, LIMIT, &mut plain)).is_some() {
        assert!(plain.len() <= LIMIT);
        assert_eq!(prefix.unwrap().as_bytes(), &plain[..plain.len().min(19)]);
        let mut again = BytesMut::new();
        Compressor::new().encode(&plain, &mut again).unwrap();
        let mut twice = BytesMut::new();
        snappy::decode(&again, LIMIT, &mut twice).unwrap();
        assert_eq!(twice, plain);
    } else {
        assert!(plain.is_empty());
    }
}
