//! Lists of operations on two parties and the wire between them: random ones, and kept ones.
//!
//! `tests/corpus/` holds inputs worth keeping. A file's name says how it must end: the dialler's
//! end, the listener's, and a few words, with dots between; what a fuzzer adds may begin with `any`.

use peerage_testkit::Corpus;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::operations::run;

fn corpus() -> Corpus {
    Corpus::of(env!("CARGO_MANIFEST_DIR"), "", 30)
}

#[test]
fn every_kept_list_ends_as_its_name_says_and_twice_the_same() {
    corpus().ends_as_named(|program| run(program).join("."));
}

#[test]
fn the_kept_lists_reach_every_kind_of_end() {
    let ends = [
        "waits-for-auth",
        "waits-for-ack",
        "waits-for-hello",
        "waits-for-status",
        "peer",
        "lost-malformed",
        "lost-violation",
        "lost-peer_full",
        "cancelled",
        "timeout",
        "closed",
        "transport",
        "not_this_protocol",
        "malformed",
        "violation",
        "flood",
        "wrong_network",
        "wrong_fork",
        "wrong_identity",
        "incompatible",
        "peer_full",
        "full",
        "refused",
    ];
    corpus().reaches(2, &ends);
}

/// Operations that get somewhere more often than noise does.
fn likely() -> impl Strategy<Value = Vec<u8>> {
    let party = || prop_oneof![Just(0_u8), Just(0x80)];
    let operation = prop_oneof![
        5 => Just(vec![9]),
        3 => party().prop_map(|who| vec![who]),
        3 => (party(), 0_u8..80).prop_map(|(who, len)| vec![who | 1, len]),
        1 => (party(), any::<u8>(), any::<u8>()).prop_map(|(who, at, with)| vec![who | 2, at, with]),
        1 => (party(), 0_u8..40).prop_map(|(who, len)| vec![who | 3, len]),
        2 => party().prop_map(|who| vec![who | 4]),
        1 => (party(), 0_u8..4).prop_map(|(who, cause)| vec![who | 5, cause]),
        8 => (party(), any::<u8>()).prop_map(|(who, which)| vec![who | 6, which]),
        4 => party().prop_map(|who| vec![who | 6, 0, who | 6, 5]),
        1 => party().prop_map(|who| vec![who | 8]),
        1 => (party(), 0_u8..3).prop_map(|(who, to)| vec![who | 10, to]),
        1 => (party(), any::<u8>(), 0_u8..32).prop_map(|(who, which, n)| vec![who | 11, which, n]),
    ];
    (any::<u8>(), vec(operation, 0..16)).prop_map(|(scene, operations)| {
        let mut program = vec![scene];
        program.extend(operations.concat());
        program
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_invariant_breaks_under_likely_operations(program in likely()) {
        run(&program);
    }

    #[test]
    fn no_invariant_breaks_under_any_bytes(program in vec(any::<u8>(), 0..120)) {
        run(&program);
    }
}
