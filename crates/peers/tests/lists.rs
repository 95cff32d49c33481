//! Lists of operations: random ones, and kept ones.
//!
//! `tests/corpus/` holds inputs worth keeping. A file's name says, up to the first dot, what happens
//! in it.

use peerage_testkit::Corpus;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::operations;

fn corpus() -> Corpus {
    Corpus::of(env!("CARGO_MANIFEST_DIR"), "", 20)
}

#[test]
fn every_kept_list_ends_as_its_name_says_and_twice_the_same() {
    corpus().ends_as_named(operations::run);
}

#[test]
fn the_kept_lists_reach_everything_that_can_happen() {
    let ends = [
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
    ];
    corpus().reaches(1, &ends);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_promise_breaks_under_any_bytes(program in vec(any::<u8>(), 0..300)) {
        operations::run(&program);
    }
}
