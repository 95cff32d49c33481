//! A whole run, and its figures.

use std::time::Duration;

use peerage_discv5::NodeId;

use super::plan::{Plan, PlanError};
use super::swarm::{Swarm, share};
use crate::traffic::Traffic;

/// One lookup of every node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Round {
    /// Lookups that ended.
    pub lookups: usize,
    /// Lookups that could not begin or did not end.
    pub unmade: usize,
    /// Nodes that a stranger reached when the round began.
    pub reachable: usize,
    /// Of the true nearest nodes that the searcher reaches, those found, and all.
    pub hits: (usize, usize),
    /// Of the true nearest nodes that any stranger reaches, those found, and all.
    pub public_hits: (usize, usize),
    /// How long each took, in the order of their ends.
    durations: Vec<Duration>,
}

impl Round {
    pub(super) fn new(reachable: usize) -> Self {
        Self {
            reachable,
            ..Self::default()
        }
    }

    pub(super) fn note(&mut self, took: Duration, truth: &[NodeId], found: &[NodeId]) {
        self.lookups += 1;
        self.hits.0 += truth.iter().filter(|id| found.contains(id)).count();
        self.hits.1 += truth.len();
        self.durations.push(took);
    }

    pub(super) fn note_public(&mut self, truth: &[NodeId], found: &[NodeId]) {
        self.public_hits.0 += truth.iter().filter(|id| found.contains(id)).count();
        self.public_hits.1 += truth.len();
    }

    /// The share of the true nearest reachable nodes that the lookups found. Reachable are those
    /// that the searcher reaches when its lookup ends, at the address that their record names.
    pub fn recall(&self) -> f64 {
        share(self.hits.0, self.hits.1)
    }

    /// The same where reachable are only those that any stranger reaches. A node behind a
    /// translator that the searcher knows takes the place of one of them in its results.
    pub fn public_recall(&self) -> f64 {
        share(self.public_hits.0, self.public_hits.1)
    }

    /// The duration that this share of the lookups did not exceed.
    pub fn took(&self, quantile: f64) -> Duration {
        let mut sorted = self.durations.clone();
        sorted.sort_unstable();
        let count = sorted.len() as f64;
        let passed = sorted.iter().enumerate();
        let mut passed = passed.filter(|(at, _)| (at + 1) as f64 >= quantile * count);
        passed.next().map_or(Duration::ZERO, |(_, took)| *took)
    }
}

/// How far a run is.
#[derive(Clone, Debug)]
pub enum Progress {
    /// Nodes arrive.
    Joining {
        /// Virtual time.
        at: Duration,
        /// How many are there.
        arrived: usize,
        /// Datagrams sent.
        sent: u64,
    },
    /// All have settled.
    Joined {
        /// Virtual time.
        at: Duration,
        /// The share of their nearest neighbours that nodes know.
        neighbours: f64,
        /// How many nodes a table has.
        table: f64,
    },
    /// A round is over.
    Round(usize, Round),
}

/// What a run showed. All of it follows from the plan.
#[derive(Clone, Debug)]
pub struct Report {
    /// How many nodes were behind a translator.
    pub behind_nat: usize,
    /// Once all had settled: the share of each node's true nearest reachable neighbours in its
    /// table.
    pub neighbours: f64,
    /// Once all had settled: how many nodes a table had.
    pub table: f64,
    /// When all had settled.
    pub joined_at: Duration,
    /// The rounds.
    pub rounds: Vec<Round>,
    /// Datagrams.
    pub traffic: Traffic,
    /// Handshakes, counted by each side.
    pub handshakes: u64,
    /// Records verified with a curve operation.
    pub records_verified: u64,
    /// Requests made.
    pub requests: u64,
    /// Requests that nobody answered.
    pub unanswered: u64,
    /// Virtual time.
    pub elapsed: Duration,
    /// The digest of everything that happened.
    pub trace: u128,
}

/// Lets a swarm join and look things up, and tells how it goes.
///
/// # Errors
/// When the plan cannot be carried out.
pub fn run(
    plan: &Plan,
    rounds: usize,
    mut tell: impl FnMut(Progress),
) -> Result<Report, PlanError> {
    let mut swarm = Swarm::new(plan)?;
    swarm.join(|swarm| {
        tell(Progress::Joining {
            at: swarm.network().elapsed(),
            arrived: swarm.arrived(),
            sent: swarm.network().traffic().sent,
        });
    });
    let joined_at = swarm.network().elapsed();
    let (neighbours, table) = swarm.convergence();
    tell(Progress::Joined {
        at: joined_at,
        neighbours,
        table,
    });
    let mut done = Vec::new();
    for number in 1..=rounds {
        let round = swarm.round();
        tell(Progress::Round(number, round.clone()));
        done.push(round);
    }
    Ok(Report {
        behind_nat: plan.behind_nat(),
        neighbours,
        table,
        joined_at,
        rounds: done,
        traffic: swarm.network().traffic(),
        handshakes: swarm.total(|metrics| metrics.handshakes),
        records_verified: swarm.total(|metrics| metrics.records_verified),
        requests: swarm.total(|metrics| metrics.requests_out),
        unanswered: swarm.total(|metrics| metrics.no_response),
        elapsed: swarm.network().elapsed(),
        trace: swarm.network().trace().digest(),
    })
}
