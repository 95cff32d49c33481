use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn compact(value: u64) -> Bytes {
    let mut writer = Writer::new(9);
    writer.compact_size(value);
    writer.finish().unwrap()
}

#[test]
fn compact_size_takes_its_shortest_form_at_every_edge() {
    for (value, len) in [
        (0, 1),
        (0xfc, 1),
        (0xfd, 3),
        (0xffff, 3),
        (0x1_0000, 5),
        (0xffff_ffff, 5),
        (0x1_0000_0000, 9),
        (u64::MAX, 9),
    ] {
        let bytes = compact(value);
        assert_eq!(bytes.len(), len, "{value:#x}");
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.compact_size("n").unwrap(), value);
        reader.finish().unwrap();
    }
}

#[test]
fn a_longer_form_than_needed_is_refused() {
    for (bytes, value) in [
        (&[0xfd, 0xfc, 0][..], 0xfc),
        (&[0xfe, 0xff, 0xff, 0, 0], 0xffff),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], 0xffff_ffff),
    ] {
        let error = Reader::new(bytes).compact_size("n").unwrap_err();
        assert_eq!(error.problem, Problem::NotCanonical { value });
        assert_eq!(error.offset, 0);
    }
}

#[test]
fn an_error_names_the_field_and_where_it_starts() {
    let mut reader = Reader::new(&[1, 2, 3, 4, 5]);
    reader.u32_le("first").unwrap();
    let error = reader.u16_be("second").unwrap_err();
    assert_eq!(
        error,
        ReadError {
            field: "second",
            offset: 4,
            problem: Problem::Truncated { needed: 2, left: 1 }
        }
    );
    assert_eq!(
        error.to_string(),
        "field second at offset 4: needs 2 bytes, only 1 are left"
    );
}

#[test]
fn a_declared_length_buys_no_memory() {
    let mut reader = Reader::new(&[0xfe, 0xff, 0xff, 0xff, 0x7f, 0]);
    assert_eq!(reader.count("n", usize::MAX).unwrap(), 0x7fff_ffff);
    assert_eq!(reader.room_for(0x7fff_ffff, 30), 0);
}

#[test]
fn a_traced_reader_remembers_names_places_and_groups() {
    let mut reader = Reader::traced(&[7, 0, 0, 0, 3, b'a', b'b', b'c', 9]);
    reader.u32_le("height").unwrap();
    reader.enter("entries", Some(2));
    reader.var_text("name", 10).unwrap();
    reader.leave();
    reader.rest("tail");
    let fields = reader.into_fields();
    let paths: Vec<_> = fields
        .iter()
        .map(|field| (field.path(), field.offset, field.len))
        .collect();
    assert_eq!(
        paths,
        [
            ("height".into(), 0, 4),
            ("entries[2].name".into(), 4, 4),
            ("tail".into(), 8, 1)
        ]
    );
}

#[test]
fn a_writer_refuses_what_is_too_long_and_says_how_long() {
    let mut writer = Writer::new(4);
    writer.u32_le(1).u8(2);
    assert_eq!(writer.finish().unwrap_err(), TooLong { len: 5, limit: 4 });
}

proptest! {
    #[test]
    fn compact_size_round_trips(value: u64) {
        let bytes = compact(value);
        prop_assert_eq!(Reader::new(&bytes).compact_size("n").unwrap(), value);
    }

    /// Whatever the bytes and the operations, the reader stays within its input and keeps count.
    #[test]
    fn random_operations_never_panic_and_account_for_every_byte(
        bytes in proptest::collection::vec(any::<u8>(), 0..64),
        operations in proptest::collection::vec(0_u8..10, 0..20),
    ) {
        let mut reader = Reader::traced(&bytes);
        let mut failed = false;
        for operation in operations {
            let before = reader.offset();
            let ok = match operation {
                0 => reader.u8("a").is_ok(),
                1 => reader.u16_be("b").is_ok(),
                2 => reader.u32_le("c").is_ok(),
                3 => reader.i64_le("d").is_ok(),
                4 => reader.compact_size("e").is_ok(),
                5 => reader.var_text("f", 20).is_ok(),
                6 => reader.ipv6("g").is_ok(),
                7 => reader.fixed::<5>("h").is_ok(),
                8 => reader.count("i", 3).is_ok(),
                _ => reader.bytes("j", 7).is_ok(),
            };
            prop_assert!(reader.offset() >= before);
            prop_assert_eq!(reader.offset() + reader.left(), bytes.len());
            failed |= !ok;
            if failed { break; }
        }
        let end = reader.offset();
        let fields = reader.into_fields();
        if !failed {
            prop_assert_eq!(fields.iter().map(|field| field.len).sum::<usize>(), end);
        }
    }
}
