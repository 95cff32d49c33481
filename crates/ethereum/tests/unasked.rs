//! A session refuses what is too long, what is unknown and what was not asked, each on as few bytes
//! as can show it.

use bytes::{Bytes, BytesMut};
use peerage_core::{Failure, Kind, Session as _};
use peerage_ethereum::eth::{self, Answer, Ask, MESSAGES, MessageId, Request, Response, Role};
use peerage_ethereum::rlp::Writer;
use peerage_ethereum::{EthVersion, MAX_ASKED, Message, SessionError, WireError, p2p};

use crate::common::pair::Life;
use crate::common::promises::{ENOUGH, naive_session, needed, promised};
use crate::common::rogue::{Rogue, compressed, session_at};

#[track_caller]
fn session_needs(life: &mut Life, frame: &[u8]) -> (usize, SessionError) {
    let mut error = None;
    let needed = needed(frame, |byte| {
        error = life.hear(byte).err();
        error.is_some()
    });
    (needed, error.unwrap())
}

/// For every message of the newest version: one byte over what its limit can compress to.
#[test]
fn in_a_session_a_message_over_its_limit_is_refused_by_id_before_its_body_is_there() {
    for row in MESSAGES
        .iter()
        .filter(|row| row.role == Role::Announcement || matches!(row.role, Role::Request { .. }))
    {
        let (mut life, mut naive) = naive_session();
        let most = peerage_ethereum::snappy::max_compressed_len(row.max_len);
        let id = 0x10 + row.id;
        let frame = promised(&mut naive, id, most + 1);
        let (needed, error) = session_needs(&mut life, &frame);
        assert_eq!(needed, ENOUGH, "{}", row.name);
        let (len, limit) = (most + 1, most);
        assert_eq!(
            error,
            SessionError::Message(WireError::Oversized { id, len, limit })
        );
        assert!(life.input.len() <= ENOUGH);
    }
    for (id, limit) in [(p2p::PING, 64), (p2p::PONG, 64), (p2p::DISCONNECT, 64)] {
        let (mut life, mut rogue) = session_at(EthVersion::Eth72);
        let most = peerage_ethereum::snappy::max_compressed_len(limit);
        let frame = rogue.frame(id, &vec![0; most + 1]);
        let (needed, error) = session_needs(&mut life, &frame);
        assert_eq!((needed, error.kind()), (ENOUGH, Kind::Malformed));
    }
}

#[test]
fn in_a_session_an_unknown_id_is_refused_by_its_header() {
    // p2p's unused, eth's gaps, eth of a later version, beyond all.
    for id in [4, 0xf, 0x1b, 0x1d, 0x22, 0x23, u64::MAX] {
        let (mut life, mut rogue) = session_at(EthVersion::Eth69);
        let frame = rogue.frame(id, &[0; 500]);
        let (needed, error) = session_needs(&mut life, &frame);
        assert_eq!((needed, error.kind()), (ENOUGH, Kind::Violation), "{id:#x}");
        assert_eq!(error, SessionError::Message(WireError::Unknown { id }));
    }
}

#[test]
fn after_the_handshake_its_messages_are_refused() {
    let (mut life, mut rogue) = session_at(EthVersion::Eth69);
    let hello = rogue.honest_hello().encode();
    let error = life.hear(&rogue.message(p2p::HELLO, &hello)).unwrap_err();
    assert_eq!(error, SessionError::HandshakeAgain { name: "Hello" });
    let (mut life, mut rogue) = session_at(EthVersion::Eth69);
    let error = life.hear(&rogue.tell_honestly()).unwrap_err();
    assert_eq!(error, SessionError::HandshakeAgain { name: "Status" });
    assert_eq!(error.kind(), Kind::Violation);
}

fn list_of(items: usize, item: &[u8]) -> BytesMut {
    let mut list = BytesMut::new();
    Writer::new(&mut list).list_header(items * item.len());
    (0..items).for_each(|_| list.extend_from_slice(item));
    list
}

/// Many small items in a body that compresses to nearly nothing.
#[test]
fn an_inflated_list_is_refused_within_its_limits() {
    // 10 MB of empty lists where hashes should be, in half a megabyte.
    let (mut life, mut rogue) = session_at(EthVersion::Eth69);
    let id = rogue.eth_id(MessageId::NewBlockHashes.row().id);
    let error = life
        .hear(&rogue.message(id, &list_of(200_000, &[0xc0])))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Malformed, "{error}");
    // A header that promises more than there is.
    for body in [&[0xfb, 0xff, 0xff, 0xff, 0xff][..], &[0xff; 9], &[0xc1]] {
        let (mut life, mut rogue) = session_at(EthVersion::Eth69);
        let error = life.hear(&rogue.message(id, body)).unwrap_err();
        assert_eq!(error.kind(), Kind::Malformed, "{error}");
    }
}

/// As dense as Snappy can be: 64 bytes of every three.
fn bomb(declared: usize) -> Vec<u8> {
    let mut block = Vec::new();
    let mut rest = declared;
    while rest >= 0x80 {
        block.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    block.push(u8::try_from(rest).unwrap());
    block.extend_from_slice(&[0, 0xaa]);
    let mut left = declared - 1;
    while left > 0 {
        let len = left.min(64);
        block.push(u8::try_from(len - 1).unwrap() << 2 | 2);
        block.extend_from_slice(&[1, 0]);
        left -= len;
    }
    block
}

#[test]
fn a_snappy_bomb_is_refused_by_what_it_declares() {
    let id = 0x10 + MessageId::BlockRangeUpdate.row().id;
    for (data, why) in [
        (bomb(1025), "declares 1025 bytes, its limit is 1024"),
        (bomb(1024), ""),
        (vec![0xff, 0xff, 0xff, 0xff, 0x0f], "declares"),
        (vec![0xff; 20], "no length"),
        (vec![0x80, 8, 0], "cannot yield so many"),
        (vec![], "no length"),
    ] {
        let (mut life, mut rogue) = session_at(EthVersion::Eth69);
        let error = life.hear(&rogue.frame(id, &data)).unwrap_err();
        assert_eq!(error.kind(), Kind::Malformed);
        let reason = error.reason().message;
        assert!(reason.contains(why), "{reason}");
        if why.is_empty() {
            assert!(
                matches!(error, SessionError::Message(WireError::Eth(_))),
                "{error}"
            );
        } else {
            assert!(
                matches!(error, SessionError::Message(WireError::Snappy { .. })),
                "{error}"
            );
        }
    }
}

fn question(id: u64, ask: Ask) -> Message {
    Message::Eth(eth::Message::Request(Request { id, ask }))
}

fn answer(id: u64, answer: Answer) -> eth::Message {
    eth::Message::Response(Response { id, answer })
}

const EMPTY: Bytes = Bytes::from_static(&[0xc0]);

fn bodies_asked(id: u64) -> Message {
    question(id, Ask::BlockBodies(vec![[1; 32]]))
}

fn bodies(id: u64) -> eth::Message {
    answer(id, Answer::BlockBodies(EMPTY))
}

/// The frame of an answer.
fn said(rogue: &mut Rogue, message: &eth::Message) -> BytesMut {
    let id = rogue.eth_id(message.message().row().id);
    let body = message.encode(rogue.eth()).unwrap();
    rogue.message(id, &body)
}

#[test]
fn an_answer_to_nothing_is_refused_by_its_header() {
    let answers = MESSAGES.iter().filter(|row| row.role == Role::Response);
    for row in answers {
        let (mut life, mut naive) = naive_session();
        // Another question is under way, and it does not matter.
        let asks_for_headers = row.message == MessageId::BlockHeaders;
        if !asks_for_headers {
            life.say(&question(
                1,
                Ask::BlockHeaders {
                    start: eth::HashOrNumber::Number(1),
                    limit: 1,
                    skip: 0,
                    reverse: false,
                },
            ));
        }
        // Ten megabytes are promised; 48 bytes are taken.
        let frame = promised(&mut naive, 0x10 + row.id, 10 << 20);
        let (needed, error) = session_needs(&mut life, &frame);
        assert_eq!(needed, ENOUGH);
        let (answer, request_id) = (row.message, None);
        assert_eq!(error, SessionError::Unasked { answer, request_id });
        assert_eq!(error.kind(), Kind::Violation);
    }
}

#[test]
fn an_answer_under_another_id_is_refused_before_it_is_decompressed() {
    let (mut life, mut rogue) = session_at(EthVersion::Eth69);
    life.say(&bodies_asked(7));
    let wrong = bodies(8).encode(EthVersion::Eth69).unwrap();
    let long: Vec<u8> = [&wrong[..], &[0; 1000]].concat();
    let mut broken = compressed(&long);
    // Whoever decompressed it all would trip over its end.
    let end = broken.len();
    broken[end - 3..].copy_from_slice(&[0xff; 3]);
    let id = rogue.eth_id(MessageId::BlockBodies.row().id);
    let error = life.hear(&rogue.frame(id, &broken)).unwrap_err();
    let (answer, request_id) = (MessageId::BlockBodies, Some(8));
    assert_eq!(error, SessionError::Unasked { answer, request_id });

    // Under the right one it does trip.
    let (mut life, mut rogue) = session_at(EthVersion::Eth69);
    life.say(&bodies_asked(8));
    let error = life.hear(&rogue.frame(id, &broken)).unwrap_err();
    assert!(
        matches!(error, SessionError::Message(WireError::Snappy { .. })),
        "{error}"
    );
}

#[test]
fn the_right_id_with_another_kind_of_answer_is_refused() {
    let (mut life, mut rogue) = session_at(EthVersion::Eth69);
    life.say(&bodies_asked(7));
    life.say(&question(
        8,
        Ask::Receipts {
            first_index: 0,
            blocks: vec![],
        },
    ));
    let swapped = answer(
        7,
        Answer::Receipts {
            last_incomplete: false,
            receipts: EMPTY,
        },
    );
    let frame = said(&mut rogue, &swapped);
    let error = life.hear(&frame).unwrap_err();
    let (answer, request_id) = (MessageId::Receipts, Some(7));
    assert_eq!(error, SessionError::Unasked { answer, request_id });
}

#[test]
fn answers_may_come_late_and_in_any_order_and_each_once() {
    let (mut life, mut rogue) = session_at(EthVersion::Eth69);
    (0..10).for_each(|id| drop(life.say(&bodies_asked(id))));
    for id in [9, 0, 5, 1, 2, 8, 7, 6, 4] {
        let frame = said(&mut rogue, &bodies(id));
        assert_eq!(life.hear(&frame).unwrap(), Some(Message::Eth(bodies(id))));
    }
    assert_eq!(life.codec.waiting(), 1);
    let frame = said(&mut rogue, &bodies(9));
    let error = life.hear(&frame).unwrap_err();
    let (answer, request_id) = (MessageId::BlockBodies, Some(9));
    assert_eq!(error, SessionError::Unasked { answer, request_id });
}

#[test]
fn no_more_questions_wait_than_the_limit_and_none_under_one_id_twice() {
    let (mut life, mut rogue) = session_at(EthVersion::Eth69);
    let most = u64::try_from(MAX_ASKED).unwrap();
    (0..most).for_each(|id| drop(life.say(&bodies_asked(id))));
    let mut output = BytesMut::new();
    let error = life
        .codec
        .encode(&bodies_asked(most), &mut output)
        .unwrap_err();
    assert_eq!(error, SessionError::TooManyRequests { limit: MAX_ASKED });
    assert_eq!(error.kind(), Kind::Full);
    let error = life
        .codec
        .encode(&bodies_asked(3), &mut output)
        .unwrap_err();
    assert_eq!(error, SessionError::RequestIdInUse { id: 3 });
    assert!(output.is_empty(), "a question not asked is not on the wire");
    assert_eq!(life.codec.waiting(), MAX_ASKED);
    // The peer has heard the others, and an answer makes room, for the same id as well.
    let frame = said(&mut rogue, &bodies(3));
    life.hear(&frame).unwrap().unwrap();
    life.say(&bodies_asked(3));
}

/// A question that cannot be sent in this version is not waited for either.
#[test]
fn a_question_that_was_not_sent_may_not_be_answered() {
    let (mut life, _) = session_at(EthVersion::Eth69);
    let cells = question(
        1,
        Ask::Cells {
            transactions: vec![],
            cells: [0; 16],
        },
    );
    let mut output = BytesMut::new();
    let error = life.codec.encode(&cells, &mut output).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert_eq!((life.codec.waiting(), output.len()), (0, 0));
}
