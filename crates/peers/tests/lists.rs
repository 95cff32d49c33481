//! Lists of operations: random ones, and kept ones.
//!
//! `tests/corpus/` holds inputs worth keeping. A file's name says, up to the first dot, what happens
//! in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::operations;

fn corpus() -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

#[test]
fn every_kept_list_ends_as_its_name_says_and_twice_the_same() {
    let corpus = corpus();
    assert!(corpus.len() >= 20, "{} files", corpus.len());
    let mut wrong = Vec::new();
    for (file, program) in corpus {
        let end = operations::run(&program);
        assert_eq!(operations::run(&program), end, "nothing hides in a global");
        if !file.starts_with(&format!("{end}.")) {
            wrong.push(format!("{file} ends in {end}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_kept_lists_reach_everything_that_can_happen() {
    let names: Vec<_> = corpus().into_keys().collect();
    let reached: BTreeSet<&str> = names
        .iter()
        .flat_map(|name| name.split('.').next().unwrap().split('-'))
        .collect();
    for end in [
        "nothing",
        "abort",
        "already",
        "already_connected",
        "answer",
        "cancelled",
        "close",
        "closed",
        "established",
        "full",
        "given_up",
        "gossip",
        "incompatible",
        "late",
        "misbehaved",
        "obsolete",
        "overdue",
        "pause",
        "request",
        "resume",
        "timeout",
        "wake",
        "wrong_identity",
    ] {
        assert!(reached.contains(end), "no file ends in {end}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_promise_breaks_under_any_bytes(program in vec(any::<u8>(), 0..300)) {
        operations::run(&program);
    }
}
