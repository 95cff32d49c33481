//! What a run showed.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fault::Fault;
use super::incident::Incident;
use super::tally::Tally;
use crate::stream::Streams;
use crate::traffic::Traffic;

/// How far a run is.
#[derive(Clone, Debug)]
pub enum Progress {
    /// A day is over.
    Day {
        /// Which, from 1.
        day: u64,
        /// The least and the mean number of outbound peers of a keeper now.
        peers: (usize, f64),
        /// Dials so far.
        dials: u64,
        /// Properties that did not hold so far.
        violations: u64,
    },
    /// Something happens.
    Incident {
        /// Virtual time.
        at: Duration,
        /// What.
        incident: Incident,
        /// To whom, where it is one.
        host: Option<usize>,
    },
    /// A keeper has its peers back after an outage of its own.
    Recovered {
        /// Which.
        host: usize,
        /// How long it took since its network worked again.
        took: Duration,
    },
    /// A property does not hold.
    Violation(Violation),
}

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Virtual time.
    pub at: Duration,
    /// The number of the host.
    pub host: usize,
    /// What.
    pub what: String,
}

/// What a run showed. All of it follows from the plan.
#[derive(Clone, Debug)]
pub struct Report {
    /// How many citizens keep peers and are at no fault.
    pub keepers: usize,
    /// How many have each fault.
    pub faults: BTreeMap<Fault, usize>,
    /// How often each thing happened.
    pub incidents: BTreeMap<Incident, u64>,
    /// Virtual time.
    pub elapsed: Duration,
    /// What the keepers counted, all together.
    pub tally: Tally,
    /// How long it took after each outage until the keeper had as many peers as before.
    pub recoveries: Vec<Duration>,
    /// The least number of outbound peers that any keeper had outside of what was declared.
    pub least_peers: usize,
    /// The mean number of outbound peers of a keeper, all the time.
    pub mean_peers: f64,
    /// The share of the time, outside of what was declared, in which a keeper had its whole target.
    pub full_share: f64,
    /// The longest that a keeper had less than the floor, outside of what was declared.
    pub longest_below: Duration,
    /// The most candidates in any book.
    pub most_known: usize,
    /// The most sessions of any keeper.
    pub most_sessions: usize,
    /// How often all that is derived was computed anew.
    pub audits: u64,
    /// Properties that did not hold; only the first few are kept.
    pub violations: Vec<Violation>,
    /// How many there were.
    pub violated: u64,
    /// Datagrams.
    pub traffic: Traffic,
    /// Streams.
    pub streams: Streams,
    /// The digest of everything that happened.
    pub trace: u128,
}

impl Report {
    /// The recovery that this share did not exceed; nothing if there was none.
    pub fn recovered_within(&self, quantile: f64) -> Option<Duration> {
        let mut sorted = self.recoveries.clone();
        sorted.sort_unstable();
        let count = sorted.len() as f64;
        let mut passed = sorted.iter().zip(1_u32..);
        let found = passed.find(|(_, at)| f64::from(*at) >= quantile * count);
        found.map(|(took, _)| *took)
    }

    /// The share of failed dials whose reason says nothing.
    pub fn unexplained(&self) -> f64 {
        let failed = self.tally.failed_dials();
        if failed == 0 {
            return 0.0;
        }
        self.tally.unexplained() as f64 / failed as f64
    }
}
