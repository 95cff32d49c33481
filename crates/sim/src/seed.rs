//! One number from which all randomness comes.

use std::fmt;

use peerage_discv5::curve::keccak256;
use peerage_discv5::rng::Rng;

/// The variable that makes [`each`] run one seed only.
pub const VARIABLE: &str = "PEERAGE_SIM_SEED";

/// The seed of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seed(pub u64);

impl Seed {
    /// Bytes for one purpose and one of its users, independent of all others.
    pub fn derive(self, purpose: &str, number: u64) -> [u8; 32] {
        keccak256(&[
            b"peerage sim",
            &self.0.to_be_bytes(),
            &number.to_be_bytes(),
            purpose.as_bytes(),
        ])
    }

    /// A generator for one purpose and one of its users.
    pub fn rng(self, purpose: &str, number: u64) -> Rng {
        Rng::new(self.derive(purpose, number))
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Runs a test for each seed; or, if `PEERAGE_SIM_SEED` is set, for that one alone. When a run
/// panics, how to repeat it is written to stderr.
///
/// # Panics
/// When the run does, or when the variable is no number.
#[expect(clippy::print_stderr, reason = "a failing test tells how to repeat it")]
pub fn each(seeds: impl IntoIterator<Item = u64>, run: impl FnMut(Seed)) {
    each_of(
        std::env::var(VARIABLE).ok().as_deref(),
        seeds,
        run,
        |hint| {
            eprintln!("{hint}");
        },
    );
}

/// [`each`] without the environment: `only` is the variable's value, and `tell` gets the hint.
///
/// # Panics
/// As [`each`].
pub fn each_of(
    only: Option<&str>,
    seeds: impl IntoIterator<Item = u64>,
    mut run: impl FnMut(Seed),
    tell: impl Fn(&str),
) {
    let mut one = |seed| {
        let _hint = Hint { seed, tell: &tell };
        run(seed);
    };
    let Some(only) = only else {
        seeds.into_iter().map(Seed).for_each(one);
        return;
    };
    match only.parse() {
        Ok(seed) => one(Seed(seed)),
        Err(_) => panic!("{VARIABLE} is {only:?}: expected a number of 64 bits"),
    }
}

/// Speaks when a panic passes by.
struct Hint<'a> {
    seed: Seed,
    tell: &'a dyn Fn(&str),
}

impl Drop for Hint<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.tell)(&format!("to repeat this run: {VARIABLE}={}", self.seed));
        }
    }
}
