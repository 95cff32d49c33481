//! eth messages of every version: the table, the wire, the request ids, the empty answers.

use bytes::{Bytes, BytesMut};
use peerage_core::Kind;
use peerage_ethereum::eth::{
    Answer, Ask, BlockRange, EthVersion, HashOrNumber, MAX_LEN, MESSAGES, Message, MessageError,
    MessageId, PooledHashes, Request, Response, Role, peek_request_id, row,
};
use peerage_ethereum::snappy::{Compressor, Prefix};
use proptest::prelude::*;

fn vectors() -> serde_json::Value {
    serde_json::from_str(include_str!("vectors/ethereum.json")).unwrap()
}

#[test]
fn the_table_has_the_published_ids_and_lengths() {
    let ids = vectors()["eth_message_ids"].clone();
    let mut checked = 0;
    for (name, id) in ids.as_object().unwrap() {
        let (name, since) = match name.split_once('(') {
            None => (name.as_str(), 68),
            Some((_, "<=66)")) => continue,
            Some((name, since)) => {
                let since = since.trim_start_matches(">=").trim_end_matches(')');
                (name, since.parse().unwrap())
            }
        };
        let row = MESSAGES.iter().find(|row| row.name == name).unwrap();
        assert_eq!((row.id, row.since.number()), (id.as_u64().unwrap(), since));
        assert_eq!(row.message.row(), row);
        assert_eq!(row.message.to_string(), name);
        checked += 1;
    }
    assert_eq!(checked, MESSAGES.len());
    for version in EthVersion::ALL {
        let published = vectors()["capability_lengths"][version.to_string()].as_u64();
        assert_eq!(Some(version.length()), published);
        let spec = version.spec();
        assert_eq!(spec.length(), version.length());
        for id in 0..30 {
            assert_eq!(spec.max_len(id), row(*version, id).map(|row| row.max_len));
        }
        assert_eq!(EthVersion::from_number(version.number()), Some(*version));
    }
    assert!(MESSAGES.iter().all(|row| row.max_len <= MAX_LEN));
    assert_eq!(EthVersion::from_number(67), None);
}

#[test]
fn every_request_is_answered_by_a_response() {
    let mut answers = Vec::new();
    for row in MESSAGES {
        if let Role::Request { answer } = row.role {
            assert_eq!(answer.row().role, Role::Response);
            assert_eq!(answer.row().since, row.since);
            answers.push(answer);
        }
    }
    let responses = MESSAGES.iter().filter(|row| row.role == Role::Response);
    assert_eq!(
        answers,
        responses.map(|row| row.message).collect::<Vec<_>>()
    );
}

/// Any list as it stands.
fn encoded_list() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..90).prop_map(|content| {
        let mut list = BytesMut::new();
        peerage_ethereum::rlp::Writer::new(&mut list)
            .list_header(content.len())
            .raw(&content);
        list.freeze()
    })
}

fn hashes() -> impl Strategy<Value = Vec<[u8; 32]>> {
    prop::collection::vec(any::<[u8; 32]>(), 0..6)
}

fn version() -> impl Strategy<Value = EthVersion> {
    prop::sample::select(EthVersion::ALL)
}

fn request_id() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64_u32).prop_map(|(id, shift)| id >> shift)
}

fn start() -> impl Strategy<Value = HashOrNumber> {
    prop_oneof![
        any::<[u8; 32]>().prop_map(HashOrNumber::Hash),
        any::<u64>().prop_map(HashOrNumber::Number),
    ]
}

fn asks(version: EthVersion) -> impl Strategy<Value = Ask> {
    let first_index = if version >= EthVersion::Eth70 {
        0..=u64::MAX
    } else {
        0..=0
    };
    let all = prop_oneof![
        (start(), any::<u64>(), any::<u64>(), any::<bool>()).prop_map(
            |(start, limit, skip, reverse)| Ask::BlockHeaders {
                start,
                limit,
                skip,
                reverse
            }
        ),
        hashes().prop_map(Ask::BlockBodies),
        hashes().prop_map(Ask::PooledTransactions),
        (first_index, hashes()).prop_map(|(first_index, blocks)| Ask::Receipts {
            first_index,
            blocks
        }),
        hashes().prop_map(Ask::BlockAccessLists),
        (hashes(), any::<[u8; 16]>()).prop_map(|(transactions, cells)| Ask::Cells {
            transactions,
            cells
        }),
    ];
    all.prop_filter("not in this version", move |ask| {
        ask.message().row().since <= version
    })
}

fn requests(version: EthVersion) -> impl Strategy<Value = Request> {
    (request_id(), asks(version)).prop_map(|(id, ask)| Request { id, ask })
}

fn answers(version: EthVersion) -> impl Strategy<Value = Answer> {
    let list = encoded_list;
    let paged = version >= EthVersion::Eth70;
    let all = prop_oneof![
        list().prop_map(Answer::BlockHeaders),
        list().prop_map(Answer::BlockBodies),
        list().prop_map(Answer::PooledTransactions),
        (any::<bool>(), list()).prop_map(move |(incomplete, receipts)| Answer::Receipts {
            last_incomplete: incomplete && paged,
            receipts,
        }),
        list().prop_map(Answer::BlockAccessLists),
        (hashes(), list(), any::<[u8; 16]>()).prop_map(|(transactions, groups, cells)| {
            Answer::Cells {
                transactions,
                groups,
                cells,
            }
        }),
    ];
    all.prop_filter("not in this version", move |answer| {
        answer.message().row().since <= version
    })
}

fn pooled(version: EthVersion) -> impl Strategy<Value = PooledHashes> {
    let entries = prop::collection::vec(any::<(u8, u64, [u8; 32])>(), 0..6);
    (entries, any::<[u8; 16]>()).prop_map(move |(entries, cells)| PooledHashes {
        types: entries.iter().map(|entry| entry.0).collect(),
        sizes: entries.iter().map(|entry| entry.1).collect(),
        hashes: entries.iter().map(|entry| entry.2).collect(),
        cells: if version >= EthVersion::Eth72 {
            cells
        } else {
            [0; 16]
        },
    })
}

prop_compose! {
    fn ranges()(a: u64, b: u64, latest_hash in any::<[u8; 32]>().prop_filter("zero", |h| *h != [0; 32]))
        -> BlockRange
    {
        BlockRange { earliest: a.min(b), latest: a.max(b), latest_hash }
    }
}

pub(crate) fn messages_of(version: EthVersion) -> impl Strategy<Value = Message> {
    let all = prop_oneof![
        prop::collection::vec(any::<([u8; 32], u64)>(), 0..4).prop_map(Message::NewBlockHashes),
        encoded_list().prop_map(Message::Transactions),
        encoded_list().prop_map(Message::NewBlock),
        pooled(version).prop_map(Message::NewPooledTransactionHashes),
        ranges().prop_map(Message::BlockRangeUpdate),
        requests(version).prop_map(Message::Request),
        (request_id(), answers(version))
            .prop_map(|(id, answer)| Message::Response(Response { id, answer })),
    ];
    all.prop_filter("not in this version", move |message| {
        message.message().row().since <= version
    })
}

fn messages() -> impl Strategy<Value = (EthVersion, Message)> {
    version().prop_flat_map(|version| (Just(version), messages_of(version)))
}

proptest! {
    #[test]
    fn any_message_survives_the_wire((version, message) in messages()) {
        let body = message.encode(version).unwrap();
        let id = message.message().row().id;
        prop_assert_eq!(Message::decode(version, id, &body).unwrap(), message);
    }

    #[test]
    fn a_peeked_request_id_is_the_one_of_the_whole((version, message) in messages()) {
        let body = message.encode(version).unwrap();
        let id = match &message {
            Message::Request(request) => request.id,
            Message::Response(response) => response.id,
            _ => {
                prop_assert!(!message.message().has_request_id());
                return Ok(());
            }
        };
        prop_assert!(message.message().has_request_id());
        prop_assert_eq!(peek_request_id(&body), Ok(id));
        prop_assert_eq!(peek_request_id(&body[..body.len().min(19)]), Ok(id));
        let mut compressed = BytesMut::new();
        Compressor::new().encode(&body, &mut compressed).unwrap();
        let prefix = Prefix::<19>::of(&compressed, body.len()).unwrap();
        prop_assert_eq!(peek_request_id(prefix.as_bytes()), Ok(id));
    }

    #[test]
    fn a_damaged_message_never_panics_and_what_is_read_is_canonical(
        (version, message) in messages(),
        at: prop::sample::Index,
        byte: u8,
        cut: prop::sample::Index,
        id in 0..0x17_u64,
    ) {
        let mut body = message.encode(version).unwrap().to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        body.truncate(1 + cut.index(2 * body.len()));
        let body = Bytes::from(body);
        for id in [id, message.message().row().id] {
            let read = Message::decode(version, id, &body);
            let peeked = peek_request_id(&body);
            if let Ok(read) = read {
                prop_assert_eq!(&read.encode(version).unwrap(), &body);
                match read {
                    Message::Request(request) => prop_assert_eq!(peeked, Ok(request.id)),
                    Message::Response(response) => prop_assert_eq!(peeked, Ok(response.id)),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn an_empty_answer_has_the_id_and_the_kind_that_was_asked_for(
        (version, request) in version().prop_flat_map(|v| (Just(v), requests(v))),
    ) {
        let Role::Request { answer } = request.ask.message().row().role else {
            panic!("an ask is asked by a request");
        };
        let empty = request.empty_answer();
        prop_assert_eq!(empty.id, request.id);
        prop_assert_eq!(empty.answer.message(), answer);
        let body = empty.encode(version);
        let read = Message::decode(version, answer.row().id, &body).unwrap();
        prop_assert_eq!(read, Message::Response(empty));
    }
}

#[test]
fn the_test_cases_of_eip_2481_are_read_and_written_alike() {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("vectors/eip-2481.json")).unwrap();
    for vector in file["messages"].as_array().unwrap() {
        let name = vector["message"].as_str().unwrap();
        let row = MESSAGES.iter().find(|row| row.name == name).unwrap();
        let bytes = body(vector["body"].as_str().unwrap());
        let message = Message::decode(EthVersion::Eth68, row.id, &bytes).unwrap();
        assert_eq!(message.encode(EthVersion::Eth68).unwrap(), bytes, "{name}");
        assert_eq!(peek_request_id(&bytes), Ok(1111), "{name}");
        let mut asked = [[0; 32]; 2];
        asked[0][28..].copy_from_slice(&[0xde, 0xad, 0xc0, 0xde]);
        asked[1][28..].copy_from_slice(&[0xfe, 0xed, 0xbe, 0xef]);
        match message {
            Message::Request(Request { ask, .. }) => match ask {
                Ask::BlockHeaders {
                    start,
                    limit,
                    skip,
                    reverse,
                } => {
                    let starts = [HashOrNumber::Hash(asked[0]), HashOrNumber::Number(9999)];
                    assert!(starts.contains(&start));
                    assert_eq!((limit, skip, reverse), (5, 5, false));
                }
                Ask::BlockBodies(hashes)
                | Ask::PooledTransactions(hashes)
                | Ask::Receipts {
                    blocks: hashes,
                    first_index: 0,
                } => assert_eq!(hashes, asked),
                other => panic!("{other:?}"),
            },
            Message::Response(Response { answer, .. }) => assert_eq!(answer.message(), row.message),
            other => panic!("{other:?}"),
        }
    }
}

fn body(hex_digits: &str) -> Bytes {
    hex::decode(hex_digits).unwrap().into()
}

#[test]
fn empty_answers_are_written_as_each_version_has_them() {
    let receipts = Request {
        id: 0x1234,
        ask: Ask::Receipts {
            first_index: 0,
            blocks: vec![[1; 32]],
        },
    };
    let encode = |version| hex::encode(receipts.empty_answer().encode(version));
    assert_eq!(encode(EthVersion::Eth69), "c4821234c0");
    assert_eq!(encode(EthVersion::Eth70), "c582123480c0");
    let cells = Request {
        id: 1,
        ask: Ask::Cells {
            transactions: vec![[1; 32]],
            cells: [0xff; 16],
        },
    };
    let encoded = hex::encode(cells.empty_answer().encode(EthVersion::Eth72));
    assert_eq!(encoded, format!("d401c0c090{}", "00".repeat(16)));
}

#[test]
fn a_request_for_receipts_in_parts_is_read_as_the_specification_writes_it() {
    // Request id 7, from the receipt with index 6 on.
    let digits = format!("e40706e1a0{}", "de".repeat(32));
    let id = MessageId::GetReceipts.row().id;
    let expected = Message::Request(Request {
        id: 7,
        ask: Ask::Receipts {
            first_index: 6,
            blocks: vec![[0xde; 32]],
        },
    });
    let paged = Message::decode(EthVersion::Eth70, id, &body(&digits));
    assert_eq!(paged, Ok(expected));
    Message::decode(EthVersion::Eth69, id, &body(&digits)).unwrap_err();
}

#[test]
fn a_second_status_an_unknown_id_and_an_oversized_body_are_refused() {
    let version = EthVersion::Eth69;
    let again = Message::decode(version, 0, &body("c0")).unwrap_err();
    assert_eq!(again, MessageError::StatusAgain);
    assert_eq!(again.kind(), Kind::Violation);
    for id in [0x0b, 0x0d, 0x12, 0x15, 0x99] {
        let error = Message::decode(version, id, &body("c0")).unwrap_err();
        assert_eq!(error, MessageError::NoSuchMessage { version, id });
    }
    let id = MessageId::GetBlockHeaders.row().id;
    let error = Message::decode(version, id, &vec![0; 1025].into()).unwrap_err();
    assert!(matches!(
        error,
        MessageError::Oversized {
            len: 1025,
            limit: 1024,
            ..
        }
    ));
    let update = Message::BlockRangeUpdate(BlockRange {
        earliest: 1,
        latest: 2,
        latest_hash: [1; 32],
    });
    update.encode(EthVersion::Eth68).unwrap_err();
}

#[test]
fn an_inverted_range_is_a_breach() {
    let id = MessageId::BlockRangeUpdate.row().id;
    let inverted = body(&format!("e30201a0{}", "11".repeat(32)));
    let error = Message::decode(EthVersion::Eth69, id, &inverted).unwrap_err();
    assert!(matches!(error, MessageError::Range(_)));
    assert_eq!(error.kind(), Kind::Violation);
    let zero = body(&format!("e30102a0{}", "00".repeat(32)));
    let error = Message::decode(EthVersion::Eth69, id, &zero).unwrap_err();
    assert!(matches!(error, MessageError::Range(_)));
}

#[test]
fn an_announcement_has_as_many_sizes_and_hashes_as_types() {
    let id = MessageId::NewPooledTransactionHashes.row().id;
    let hash = format!("a0{}", "11".repeat(32));
    let sound = format!("e502c10ae1{hash}");
    let sound = Message::decode(EthVersion::Eth68, id, &body(&sound));
    assert!(matches!(
        sound,
        Ok(Message::NewPooledTransactionHashes(PooledHashes { .. }))
    ));
    for (digits, field) in [
        // Two types, one size.
        (format!("e7820203c10ae1{hash}"), "sizes"),
        // One type, two sizes.
        (format!("e602c20a0be1{hash}"), "sizes"),
        // One type, no hash.
        ("c402c10ac0".to_owned(), "hashes"),
    ] {
        let error = Message::decode(EthVersion::Eth68, id, &body(&digits)).unwrap_err();
        let MessageError::Malformed { error, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(error.field, field, "{error}");
    }
    // eth/72 adds the cells; before, they are one item too many.
    let with_cells = format!("f602c10ae1{hash}90{}", "ff".repeat(16));
    Message::decode(EthVersion::Eth72, id, &body(&with_cells)).unwrap();
    Message::decode(EthVersion::Eth71, id, &body(&with_cells)).unwrap_err();
}

#[test]
fn a_request_id_that_is_none_is_refused_at_a_glance() {
    for digits in [
        "",
        "80",
        "c0",
        "c100",
        "c2820001",
        "ca89010203040506070809",
        "c1c0",
        "f8",
    ] {
        peek_request_id(&body(digits)).unwrap_err();
    }
    // A length that would reach beyond memory buys none.
    assert_eq!(peek_request_id(&body("ffffffffffffffffff01")), Ok(1));
}
