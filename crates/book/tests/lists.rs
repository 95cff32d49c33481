//! Lists of operations: random ones, and kept ones.
//!
//! `tests/corpus/` holds inputs worth keeping. A file's name says, up to the first dot, what happens
//! in it.

use peerage_testkit::{Corpus, Random};

use crate::operations;

fn corpus() -> Corpus {
    Corpus::of(env!("CARGO_MANIFEST_DIR"), "", 15)
}

#[test]
fn every_kept_list_ends_as_its_name_says_and_twice_the_same() {
    corpus().ends_as_named(operations::run);
}

#[test]
fn the_kept_lists_reach_everything_that_can_happen() {
    let ends = [
        "nothing",
        "barred",
        "banned",
        "dialled",
        "failed",
        "flapped",
        "forgotten",
        "groupfull",
        "greeted",
        "idle",
        "known",
        "lifted",
        "new",
        "pinned",
        "refused",
        "stayed",
        "unpinned",
    ];
    corpus().reaches(1, &ends);
}

#[test]
fn no_promise_breaks_under_any_bytes() {
    for number in 0..40 {
        let mut random = Random::new(number);
        let len = 20 + random.below(600);
        let bytes: Vec<_> = (0..len).map(|_| random.next().to_le_bytes()[0]).collect();
        operations::run(&bytes);
    }
}
