//! Every message through a real session, of eth and of capabilities that this crate does not know.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use peerage_core::{Direction, Failure, Kind, Session as _};
use peerage_ethereum::eth::{self, Answer, Ask, HashOrNumber, MESSAGES, Request, Role};
use peerage_ethereum::{
    CapName, Capability, CapabilitySpec, Codec, EthVersion, Local, Message, OtherMessage,
    SessionError,
};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use crate::common::pair::{End, Life, answering, converse, dialling, established, node};
use crate::common::rogue::{Stage, at_stage_of};
use crate::eth_messages::messages_of;

/// The question that this answers.
fn question(id: u64, answer: &Answer) -> Message {
    let ask = match answer {
        Answer::BlockHeaders(_) => Ask::BlockHeaders {
            start: HashOrNumber::Number(1),
            limit: 1,
            skip: 0,
            reverse: false,
        },
        Answer::BlockBodies(_) => Ask::BlockBodies(vec![]),
        Answer::PooledTransactions(_) => Ask::PooledTransactions(vec![]),
        Answer::Receipts { .. } => Ask::Receipts {
            first_index: 0,
            blocks: vec![],
        },
        Answer::BlockAccessLists(_) => Ask::BlockAccessLists(vec![]),
        Answer::Cells { .. } => Ask::Cells {
            transactions: vec![],
            cells: [0; 16],
        },
        other => panic!("{other:?} is new: say what asks for it"),
    };
    Message::Eth(eth::Message::Request(Request { id, ask }))
}

/// Hands a message over.
#[track_caller]
fn passes(from: &mut Life, to: &mut Life, message: &Message) {
    let bytes = from.say(message);
    assert_eq!(to.hear(&bytes).unwrap().as_ref(), Some(message));
    assert!(to.input.is_empty());
}

#[test]
fn every_eth_message_of_every_version_passes_both_ways() {
    let mut runner = TestRunner::deterministic();
    for version in EthVersion::ALL {
        let ours = Local {
            capabilities: [version.spec()].into(),
            ..node(1)
        };
        let (a, b) = established(&ours, &node(2));
        let mut ends = [a, b];
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            let message = messages_of(*version)
                .new_tree(&mut runner)
                .unwrap()
                .current();
            seen.insert(message.message());
            ends.reverse();
            let [from, to] = &mut ends;
            if let eth::Message::Response(response) = &message {
                let asked = question(response.id, &response.answer);
                passes(to, from, &asked);
            }
            let message = Message::Eth(message);
            passes(from, to, &message);
            if let Some(answer) = Codec::empty_answer(&message) {
                passes(to, from, &answer);
            }
            assert_eq!((from.codec.waiting(), to.codec.waiting()), (0, 0));
        }
        let all = MESSAGES
            .iter()
            .filter(|row| row.role != Role::Handshake && row.since <= *version);
        assert_eq!(seen, all.map(|row| row.message).collect(), "{version}");
    }
}

/// A message that a later version brings cannot be sent before, and nothing of it is.
#[test]
fn a_message_of_a_later_version_is_not_sent() {
    let mut runner = TestRunner::deterministic();
    for version in EthVersion::ALL {
        let ours = Local {
            capabilities: [version.spec()].into(),
            ..node(1)
        };
        let (mut a, _) = established(&ours, &node(2));
        for _ in 0..50 {
            let message = messages_of(EthVersion::Eth72)
                .new_tree(&mut runner)
                .unwrap()
                .current();
            if message.message().row().since > *version {
                let mut output = BytesMut::new();
                let error = a
                    .codec
                    .encode(&Message::Eth(message), &mut output)
                    .unwrap_err();
                assert_eq!(error.kind(), Kind::Usage);
                assert!(output.is_empty());
            }
        }
    }
}

/// However the bytes are cut, the messages are the same.
#[test]
fn messages_may_come_in_any_pieces() {
    let (mut a, mut b) = established(&node(1), &node(2));
    let messages: Vec<_> = (0..20_usize)
        .map(|n| {
            let list = [&[0xf9, 0x01, 0x2c][..], &[0x80; 300]].concat();
            match n % 3 {
                0 => Message::Ping,
                1 => Message::Eth(eth::Message::Transactions(list.into())),
                _ => Message::Pong,
            }
        })
        .collect();
    for len in [1, 7, 16, 48, 333] {
        let mut wire = BytesMut::new();
        messages
            .iter()
            .for_each(|message| a.codec.encode(message, &mut wire).unwrap());
        let mut heard = Vec::new();
        for piece in wire.chunks(len) {
            b.input.extend_from_slice(piece);
            while let Some(message) = b.codec.decode(&mut b.input).unwrap() {
                heard.push(message);
            }
        }
        assert_eq!(heard, messages, "in pieces of {len}");
    }
}

const MIB: usize = 1 << 20;

fn spec(name: &'static str, version: u32, limits: &[Option<usize>]) -> CapabilitySpec {
    let capability = Capability {
        name: CapName::from_static(name),
        version,
    };
    CapabilitySpec::new(capability, limits)
}

fn toy() -> CapabilitySpec {
    spec("toy", 1, &[Some(100), Some(MIB)])
}

/// As snap/2 is: ids 6 and 7 are reserved.
fn snap() -> CapabilitySpec {
    let mut limits = [Some(2 * MIB); 10];
    limits[6..8].fill(None);
    spec("snap", 2, &limits)
}

fn speaking(seed: u8, capabilities: &[CapabilitySpec]) -> Local {
    Local {
        capabilities: capabilities.into(),
        ..node(seed)
    }
}

fn other(capability: &'static str, id: u64, body: &[u8]) -> Message {
    Message::Other(OtherMessage {
        capability: CapName::from_static(capability),
        id,
        body: Bytes::copy_from_slice(body),
    })
}

#[test]
fn a_capability_alone_makes_a_peer_without_a_chain() {
    let (mut a, mut b) = established(&speaking(1, &[toy()]), &speaking(2, &[toy()]));
    for life in [&a, &b] {
        assert_eq!(life.info.chain, None);
        assert_eq!(life.info.eth_version(), None);
        assert_eq!(life.info.shared, [toy().capability]);
    }
    passes(&mut a, &mut b, &other("toy", 0, b"hello"));
    passes(&mut b, &mut a, &other("toy", 1, &[7; 70_000]));
    passes(&mut b, &mut a, &other("toy", 1, b""));
    let message = Message::Eth(eth::Message::Transactions(Bytes::from_static(&[0xc0])));
    let mut output = BytesMut::new();
    let error = a.codec.encode(&message, &mut output).unwrap_err();
    let capability = CapName::ETH;
    assert_eq!(error, SessionError::NotShared { capability });
}

#[test]
fn capabilities_beside_eth_keep_their_messages_apart() {
    let both = |seed| {
        let eth = EthVersion::Eth69.spec();
        // One before eth in the alphabet, so that eth's ids move.
        let first = spec("aaa", 3, &[Some(10); 5]);
        speaking(seed, &[toy(), snap(), eth, first])
    };
    let (mut a, mut b) = established(&both(1), &both(2));
    let names: Vec<_> = a.info.shared.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["aaa/3", "eth/69", "snap/2", "toy/1"]);
    assert!(a.info.chain.is_some());
    let list = Bytes::from_static(&[0xc2, 1, 2]);
    for message in [
        other("aaa", 4, b"0123456789"),
        other("snap", 0, &[1; 1000]),
        other("snap", 9, b"x"),
        other("toy", 1, b"y"),
        Message::Eth(eth::Message::Transactions(list)),
        Message::Ping,
    ] {
        passes(&mut a, &mut b, &message);
        passes(&mut b, &mut a, &message);
    }
}

#[test]
fn the_highest_version_of_a_plug_in_counts_as_well() {
    let (a, b) = established(
        &speaking(
            1,
            &[spec("toy", 1, &[Some(9)]), spec("toy", 2, &[Some(9); 3])],
        ),
        &speaking(
            2,
            &[spec("toy", 2, &[Some(9); 3]), spec("toy", 3, &[Some(9)])],
        ),
    );
    assert_eq!(a.info.shared[0].version, 2);
    assert_eq!(a.info.shared, b.info.shared);
}

#[test]
fn what_a_plug_in_does_not_have_is_not_sent() {
    let speaks = |seed| speaking(seed, &[EthVersion::Eth69.spec(), snap(), toy()]);
    let (mut a, mut b) = established(&speaks(1), &speaks(2));
    let mut output = BytesMut::new();
    for message in [
        other("snap", 6, b"reserved"),
        other("snap", 10, b"beyond"),
        other("toy", 0, &[0; 101]),
        other("toy", u64::MAX, b""),
        // eth's messages have types.
        other("eth", 2, &[0xc0]),
        other("les", 0, b"not shared"),
    ] {
        let error = a.codec.encode(&message, &mut output).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage, "{error}");
    }
    assert!(output.is_empty());
    passes(&mut a, &mut b, &other("toy", 0, &[0; 100]));
}

/// What overtakes the Status is there afterwards, first, once.
#[test]
fn a_plug_ins_message_may_overtake_the_status() {
    let speaks = |seed| speaking(seed, &[EthVersion::Eth69.spec(), toy()]);
    let (local, peer) = (speaks(1), speaks(9));
    for direction in [Direction::Inbound, Direction::Outbound] {
        let (mut end, mut rogue) = at_stage_of(&local, &peer, direction, Stage::Status);
        let id = rogue.wire_id(CapName::from_static("toy"), 1);
        end.hear(&rogue.message(id, b"early"));
        end.hear(&rogue.tell_honestly());
        let behind = rogue.message(id, b"later");
        end.hear(&behind);
        let mut life = end.into_peer();
        assert_eq!(
            life.hear(&behind[..0]).unwrap(),
            Some(other("toy", 1, b"early"))
        );
        life.input.clear();
        assert_eq!(life.hear(&behind).unwrap(), Some(other("toy", 1, b"later")));
        assert_eq!(life.hear(&[]).unwrap(), None);
    }
}

#[test]
fn nothing_shared_is_no_peer_on_both_sides() {
    let (ours, theirs) = (speaking(1, &[toy()]), speaking(2, &[snap()]));
    let mut a = End::new(&ours, dialling(theirs.key.public(), 1));
    let mut b = End::new(&theirs, answering(2));
    converse(&mut a, &mut b);
    for end in [&a, &b] {
        assert_eq!(end.error().kind(), Kind::Incompatible, "{}", end.error());
    }
    assert!(a.error().to_string().contains("snap/2"));
}
