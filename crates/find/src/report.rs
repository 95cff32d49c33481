//! What a finder has done so far.

use std::sync::Arc;

use peerage_core::Reason;

use crate::candidate::Source;

/// What a finder has asked and found so far. How many of those found are alive, whoever dials them
/// knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The finder.
    pub source: Source,
    /// How many candidates it gave.
    pub gave: u64,
    /// Whom it asks, where it asks seeds.
    pub seeds: Vec<SeedReport>,
}

/// What became of asking one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedReport {
    /// The seed: a host name, an address.
    pub seed: Arc<str>,
    /// How often it was asked.
    pub asked: u64,
    /// How often it answered, were it with nobody.
    pub answered: u64,
    /// How often that failed.
    pub failed: u64,
    /// How many candidates it gave, those that others had given before included.
    pub gave: u64,
    /// Why it failed the last time, unless it has answered since.
    pub trouble: Option<Reason>,
}

impl SeedReport {
    pub(crate) const fn of(seed: Arc<str>) -> Self {
        Self {
            seed,
            asked: 0,
            answered: 0,
            failed: 0,
            gave: 0,
            trouble: None,
        }
    }
}
