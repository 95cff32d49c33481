//! What to simulate.

use std::time::Duration;

use crate::chance::Chance;
use crate::seed::Seed;
use crate::weather::Weather;

const DAY: Duration = Duration::from_secs(86_400);

/// The most citizens: each has a /16 of its own.
pub const MAX_NODES: usize = 2_000;

/// The longest run: ten years.
pub const MAX_DAYS: u32 = 3_653;

/// A town of keepers, some of its citizens faulty, and what happens to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// How many citizens. 40.
    pub nodes: usize,
    /// For how long. 7 days.
    pub span: Duration,
    /// The share of citizens that is faulty. A quarter.
    pub faulty: Chance,
    /// How many outbound peers each keeper wants. 8.
    pub target: usize,
    /// How many inbound ones it takes. 16: where two are connected, neither can dial the other again,
    /// so that one which everybody dials would find nobody in a small town.
    pub inbound: usize,
    /// How many citizens everybody knows. 4.
    pub seeds: usize,
    /// What happens to packets.
    pub weather: Weather,
    /// Where all randomness comes from.
    pub seed: Seed,
    /// How long nothing happens at first. 1 h.
    pub quiet: Duration,
    /// How often something happens: an outage, a partition, a clock that jumps, a restart. 6 h.
    pub every: Duration,
    /// How long a partition, a storm, a wrong date and a night asleep last. 2 h.
    pub ordeal: Duration,
    /// Whether the rules of the network change when half of the time has passed. They do.
    pub upgrade: bool,
    /// The share of the target that a keeper must have outside of what was declared. A half.
    pub floor: Chance,
    /// For how long it may have less. 10 min.
    pub grace: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            nodes: 40,
            span: 7 * DAY,
            faulty: Chance::QUARTER,
            target: 8,
            inbound: 16,
            seeds: 4,
            weather: Weather::INTERNET,
            seed: Seed(1),
            quiet: Duration::from_secs(3_600),
            every: Duration::from_secs(6 * 3_600),
            ordeal: Duration::from_secs(2 * 3_600),
            upgrade: true,
            floor: Chance::HALF,
            grace: Duration::from_secs(600),
        }
    }
}

impl Plan {
    /// How many citizens are faulty.
    pub fn faulty_nodes(&self) -> usize {
        let wanted = (self.nodes as f64 * self.faulty.share()).round();
        // Counted instead of cast: at most 2,000.
        (0..self.nodes).filter(|n| (*n as f64) < wanted).count()
    }

    /// Whether such a town can be made.
    ///
    /// # Errors
    /// When it cannot; the error says why.
    pub fn check(&self) -> Result<(), PlanError> {
        if self.nodes == 0 || self.nodes > MAX_NODES {
            return Err(PlanError::Nodes(self.nodes));
        }
        if self.span.is_zero() || self.span > DAY * MAX_DAYS {
            return Err(PlanError::Span);
        }
        let honest = self.nodes - self.faulty_nodes();
        // Each must find its target among those who have not dialled it.
        let least = self.target + self.inbound + 2;
        if honest < least || self.seeds == 0 || self.seeds > honest {
            return Err(PlanError::TooFew { honest, least });
        }
        Ok(())
    }
}

/// Why a town cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// None, or too many.
    #[error("{0} citizens: from 1 to {MAX_NODES} can be made")]
    Nodes(usize),
    /// No time, or too much.
    #[error("a run lasts more than nothing and at most {MAX_DAYS} days")]
    Span,
    /// Too few are honest.
    #[error(
        "{honest} citizens are honest: at least {least} are needed, so that each finds its target"
    )]
    TooFew {
        /// How many are.
        honest: usize,
        /// How many are needed.
        least: usize,
    },
}
