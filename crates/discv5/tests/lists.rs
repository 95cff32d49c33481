//! Bytes into decoders, and lists of operations on machines: random ones, and kept ones.
//!
//! `tests/corpus/` holds inputs worth keeping, a folder for each kind. A file's name says, up to the
//! first dot, what becomes of it.

use peerage_testkit::Corpus;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::decoders::{self, DECODERS};
use crate::common::operations;

fn corpus(kind: &str, least: usize) -> Corpus {
    Corpus::of(env!("CARGO_MANIFEST_DIR"), kind, least)
}

#[test]
fn every_kept_packet_message_record_text_and_item_is_read_as_its_name_says() {
    for (choice, (kind, _)) in DECODERS.iter().enumerate() {
        let choice = u8::try_from(choice).unwrap();
        corpus(kind, 5).ends_as_named(|bytes| {
            let end = decoders::run(&[&[choice], bytes].concat());
            end.strip_prefix(&format!("{kind}-")).unwrap().to_owned()
        });
    }
}

#[test]
fn every_kept_list_ends_as_its_name_says_and_twice_the_same() {
    corpus("lists", 30).ends_as_named(operations::run);
}

#[test]
fn the_kept_lists_reach_everything_that_can_happen() {
    let ends = [
        "nothing",
        "met",
        "parted",
        "elsewhere",
        "pong",
        "nodes",
        "talk",
        "timeout",
        "invalid",
        "refused",
        "found",
        "lost",
        "moved",
        "banned",
        "outage",
    ];
    corpus("lists", 30).reaches(1, &ends);
}

/// Operations that get somewhere more often than noise does.
fn likely() -> impl Strategy<Value = Vec<u8>> {
    let who = || 0_u8..3;
    let operation = prop_oneof![
        8 => Just(vec![1]),
        1 => (0_u8..5).prop_map(|op| vec![op]),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(at, with)| vec![5, at, with]),
        1 => (0_u8..8).prop_map(|from| vec![6, from]),
        2 => (0_u8..8).prop_map(|span| vec![7, span]),
        3 => who().prop_map(|n| vec![8, n]),
        6 => (who(), 0_u8..10, any::<u8>()).prop_map(|(n, to, what)| vec![9, n, to, what]),
        2 => (who(), any::<u8>(), 0_u8..10).prop_map(|(n, how, to)| vec![10, n, how, to]),
        6 => (who(), any::<u8>()).prop_map(|(n, what)| vec![11, n, what]),
        3 => who().prop_map(|n| vec![11, n, 1, 1, 11, n, 2, 1]),
        3 => (who(), 0_u8..3).prop_map(|(n, what)| vec![9, n, 3, what, 1, 11, n, 6, 1, 11, n, 12, 1]),
        4 => (who(), any::<u8>()).prop_map(|(n, what)| vec![13, n, what]),
        1 => (who(), any::<u8>()).prop_map(|(n, len)| vec![14, n, len]),
        1 => any::<u8>().prop_map(|which| vec![15, which]),
    ];
    (0_u8..64, vec(operation, 0..24)).prop_map(|(scene, operations)| {
        let mut program = vec![scene];
        program.extend(operations.concat());
        program
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_promise_breaks_under_likely_operations(program in likely()) {
        operations::run(&program);
    }

    #[test]
    fn no_promise_breaks_under_any_bytes(program in vec(any::<u8>(), 0..120)) {
        operations::run(&program);
    }

    #[test]
    fn no_decoder_breaks_on_any_bytes(input in vec(any::<u8>(), 0..200)) {
        decoders::run(&input);
    }
}
