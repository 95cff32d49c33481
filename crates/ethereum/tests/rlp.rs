//! RLP against a second implementation, and within its bounds.

use alloy_rlp::{Decodable, Encodable, Header};
use bytes::BytesMut;
use peerage_core::wire::{FieldValue, Problem};
use peerage_ethereum::rlp::{Extra, Reader, Writer};
use proptest::prelude::*;

/// Bytes that often are headers of something.
fn rlp_like() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        3 => any::<u8>(),
        1 => Just(0_u8),
        1 => Just(0x80),
        1 => Just(0x81),
        1 => Just(0xb8),
        1 => Just(0xc0),
        1 => 0xc0..=0xc8_u8,
        1 => 0xf7..=0xf9_u8,
        1 => 55..=57_u8,
    ];
    (prop::collection::vec(byte, 0..8), 0..80_usize).prop_map(|(mut bytes, padding)| {
        bytes.extend(std::iter::repeat_n(0x2a, padding));
        bytes
    })
}

proptest! {
    #[test]
    fn an_item_is_one_exactly_when_another_implementation_says_so(bytes in rlp_like()) {
        let mut rest = &bytes[..];
        let theirs = Header::decode(&mut rest).ok().map(|header| {
            let end = bytes.len() - rest.len() + header.payload_length;
            (header.list, bytes[..end].to_vec())
        });
        let mut reader = Reader::new(&bytes);
        let list = reader.at_list();
        let ours = reader.raw("item").ok().map(|item| (list, item.to_vec()));
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn a_number_is_one_exactly_when_another_implementation_says_so(bytes in rlp_like()) {
        let theirs = u64::decode(&mut &bytes[..]).ok();
        prop_assert_eq!(Reader::new(&bytes).u64("n").ok(), theirs);
        prop_assert_eq!(Reader::new(&bytes).u32("n").ok(), u32::decode(&mut &bytes[..]).ok());
        prop_assert_eq!(Reader::new(&bytes).bool("n").ok(), bool::decode(&mut &bytes[..]).ok());
    }

    #[test]
    fn what_is_written_is_what_another_implementation_writes(
        numbers in prop::collection::vec(any::<u64>().prop_map(|n| n >> (n % 64)), 0..40),
        bytes in prop::collection::vec(any::<u8>(), 0..70),
    ) {
        let mut ours = BytesMut::from(&b"before"[..]);
        Writer::new(&mut ours).list(|writer| {
            writer.list(|writer| numbers.iter().for_each(|n| { writer.uint(*n); }));
            writer.bytes(&bytes);
        });
        let mut inner = Vec::new();
        numbers.encode(&mut inner);
        bytes[..].encode(&mut inner);
        let mut theirs = b"before".to_vec();
        Header { list: true, payload_length: inner.len() }.encode(&mut theirs);
        theirs.extend_from_slice(&inner);
        prop_assert_eq!(&ours[..], &theirs[..]);

        let mut reader = Reader::traced(&ours[6..]);
        let read = reader.list("all", Extra::Refuse, |reader| {
            let read = reader.items("numbers", 40, Extra::Refuse, |reader| reader.u64("number"))?;
            Ok((read, reader.bytes("bytes", 70)?.to_vec()))
        }).unwrap();
        reader.finish().unwrap();
        prop_assert_eq!(read, (numbers, bytes));
        // Every byte belongs to exactly one field, in order.
        let mut at = 0;
        for field in reader.into_fields() {
            prop_assert_eq!(field.offset, at);
            at += field.len;
        }
        prop_assert_eq!(at, ours.len() - 6);
    }

    #[test]
    fn whatever_the_bytes_a_reader_stays_within_them(
        bytes in rlp_like(),
        operations in prop::collection::vec(0..9_u8, 0..12),
    ) {
        let mut reader = Reader::traced(&bytes);
        for operation in operations {
            let before = reader.offset();
            let ok = match operation {
                0 => reader.u64("a").is_ok(),
                1 => reader.fixed::<4>("b").is_ok(),
                2 => reader.big_uint::<32>("c").is_ok(),
                3 => reader.bytes("d", 9).is_ok(),
                4 => reader.raw("e").is_ok(),
                5 => reader.raw_list("f").is_ok(),
                6 => reader.items("g", 3, Extra::Ignore, |r| r.raw("h").map(drop)).is_ok(),
                7 => reader.list("i", Extra::Ignore, |r| r.list("j", Extra::Ignore, |_| Ok(()))).is_ok(),
                _ => !reader.rest("k").is_empty(),
            };
            prop_assert!(reader.offset() >= before);
            prop_assert!(reader.offset() <= bytes.len());
            if !ok { break; }
            prop_assert_eq!(reader.offset() + reader.left(), bytes.len());
        }
    }
}

#[test]
fn an_error_names_the_field_where_it_starts_and_what_is_wrong() {
    // [1, "abc", [00]]
    let bytes = [0xc7, 1, 0x83, b'a', b'b', b'c', 0xc1, 0];
    let mut reader = Reader::new(&bytes);
    let error = reader
        .list("all", Extra::Refuse, |reader| {
            reader.u64("first")?;
            reader.fixed::<3>("second")?;
            reader.items("third", 9, Extra::Refuse, |reader| reader.u64("number"))
        })
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "field number at offset 7: value 0 is not in its shortest form"
    );
    let missing = Reader::new(&[0xc0]).list("all", Extra::Refuse, |reader| reader.u64("first"));
    assert_eq!(
        missing.unwrap_err().to_string(),
        "field first at offset 1: is missing: its list ends before it"
    );
    let string = Reader::new(&[0x80]).list("all", Extra::Refuse, |_| Ok(()));
    assert_eq!(
        string.unwrap_err().to_string(),
        "field all at offset 0: must be a list"
    );
}

#[test]
fn a_list_cannot_reach_beyond_the_one_around_it() {
    // [[1, 2]] whose inner list claims one byte more than the outer one has.
    let error = Reader::new(&[0xc2, 0xc2, 1, 2])
        .list("outer", Extra::Ignore, |reader| {
            reader.items("inner", 9, Extra::Ignore, |reader| reader.u64("n"))
        })
        .unwrap_err();
    assert_eq!((error.field, error.offset), ("inner", 1));
    assert_eq!(error.problem, Problem::Truncated { needed: 3, left: 2 });
}

#[test]
fn items_beyond_the_limit_are_refused_or_passed_over() {
    let bytes = [0xc3, 1, 2, 3];
    let read = |beyond| Reader::new(&bytes).items("list", 2, beyond, |reader| reader.u64("n"));
    assert_eq!(read(Extra::Ignore).unwrap(), [1, 2]);
    let error = read(Extra::Refuse).unwrap_err();
    assert_eq!(error.problem, Problem::OverLimit { got: 3, limit: 2 });
}

#[test]
fn a_traced_reader_remembers_lists_groups_and_what_it_passed_over() {
    let mut reader = Reader::traced(&[0xc6, 5, 0xc2, 7, 8, 9, 9]);
    reader
        .list("all", Extra::Ignore, |reader| {
            reader.u64("version")?;
            reader.items("ports", 8, Extra::Refuse, |reader| reader.u64("port"))
        })
        .unwrap();
    let fields: Vec<_> = reader
        .into_fields()
        .iter()
        .map(|field| (field.path(), field.offset, field.len, field.value.clone()))
        .collect();
    let uint = FieldValue::Uint;
    assert_eq!(
        fields,
        [
            ("all".into(), 0, 1, FieldValue::List { len: 6 }),
            ("version".into(), 1, 1, uint(5)),
            ("ports".into(), 2, 1, FieldValue::List { len: 2 }),
            ("ports[0].port".into(), 3, 1, uint(7)),
            ("ports[1].port".into(), 4, 1, uint(8)),
            ("extra".into(), 5, 2, FieldValue::Bytes(vec![9, 9])),
        ]
    );
}
