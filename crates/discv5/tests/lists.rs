//! Bytes into decoders, and lists of operations on machines: random ones, and kept ones.
//!
//! `tests/corpus/` holds inputs worth keeping, a folder for each kind. A file's name says, up to the
//! first dot, what becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::decoders::{self, DECODERS};
use crate::common::operations;

fn corpus(kind: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let entries = fs::read_dir(folder.join(kind)).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

fn fits(file: &str, end: &str) -> bool {
    file.starts_with(&format!("{end}."))
}

#[test]
fn every_kept_packet_message_record_text_and_item_is_read_as_its_name_says() {
    let mut wrong = Vec::new();
    for (choice, (kind, _)) in DECODERS.iter().enumerate() {
        let corpus = corpus(kind);
        assert!(corpus.len() >= 5, "{} files of {kind}", corpus.len());
        for (file, bytes) in corpus {
            let choice = u8::try_from(choice).unwrap();
            let end = decoders::run(&[&[choice], &bytes[..]].concat());
            let end = end.strip_prefix(&format!("{kind}-")).unwrap();
            if !fits(&file, end) {
                wrong.push(format!("{kind}/{file} is {end}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_kept_list_ends_as_its_name_says_and_twice_the_same() {
    let corpus = corpus("lists");
    assert!(corpus.len() >= 30, "{} files", corpus.len());
    let mut wrong = Vec::new();
    for (file, program) in corpus {
        let end = operations::run(&program);
        assert_eq!(operations::run(&program), end, "nothing hides in a global");
        if !fits(&file, &end) {
            wrong.push(format!("{file} ends in {end}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_kept_lists_reach_everything_that_can_happen() {
    let names = corpus("lists").into_keys();
    let reached: BTreeSet<String> = names
        .flat_map(|name| {
            let ends = name.split('.').next().unwrap().split('-');
            ends.map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    for end in [
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
    ] {
        assert!(reached.contains(end), "no file ends in {end}");
    }
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
