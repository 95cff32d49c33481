//! Random operations on the book, beside its naive model and without one.

use crate::operations::{chaos, stream};
use peerage_testkit::Random;

#[test]
fn the_book_does_what_a_vector_and_a_scan_would() {
    let mut earlies = 0;
    for number in 0..20 {
        let words = stream(Random::new(number), 1_200);
        for word in ["dialled", "idle"] {
            assert!(words.0[word] > 50, "seed {number}: nothing happens");
        }
        earlies += words.0.get("early").copied().unwrap_or_default();
    }
    assert!(earlies > 5, "{earlies} dials ahead of their time");
}

/// All kinds of failures, small bounds, outages, flapping: every bound holds, whatever follows from
/// the candidates does, and the same seed gives the same run.
#[test]
fn whatever_happens_the_book_stays_sound_and_replays() {
    for number in 0..5 {
        let run = || chaos(Random::new(1_000 + number), 3_000);
        let (said, longest) = run();
        assert!(longest > 60, "seed {number}: {longest}");
        assert_eq!(run(), (said, longest), "seed {number}");
    }
}
