//! The stages of a probe as they go by.

use std::time::Duration;

use peerage_core::Reason;
use tokio::time::Instant;

use super::{Outcome, Probe, StageReport};
use crate::dialogue::Dialogue;
use crate::facts::PeerFacts;
use crate::protocol::Stages;

/// Collects the stages, and makes a [`Probe`] of them in the end.
pub(super) struct Log {
    start: Instant,
    names: Vec<&'static str>,
    done: Vec<StageReport>,
}

impl Log {
    pub(super) fn new(start: Instant, stages: &Stages) -> Self {
        Self {
            start,
            names: stages.names().collect(),
            done: Vec::new(),
        }
    }

    /// The next stage succeeded.
    pub(super) fn ok(&mut self, took: Duration, note: impl Into<String>) {
        self.push(Outcome::Ok, Some(took), note.into());
    }

    /// How the next stage went. There are never more than the network has.
    pub(super) fn push(&mut self, outcome: Outcome, took: Option<Duration>, note: String) {
        if let Some(&stage) = self.names.get(self.done.len()) {
            self.done.push(StageReport {
                stage,
                outcome,
                took,
                note,
            });
        }
    }

    /// That is all there is to tell.
    pub(super) fn end(mut self, end: End, dialogue: Option<Dialogue>) -> Probe {
        if let End::Failed { took, reason, .. } = &end {
            self.push(Outcome::Failed, Some(*took), reason.message.to_string());
        }
        while self.done.len() < self.names.len() {
            self.push(Outcome::NotReached, None, String::new());
        }
        let (verdict, facts) = match end {
            End::Healthy(facts) => (Ok(facts.clone()), Some(facts)),
            End::Failed { reason, facts, .. } => (Err(reason), facts),
        };
        Probe {
            stages: self.done,
            verdict,
            facts,
            dialogue,
            took: self.start.elapsed(),
        }
    }
}

/// How a probe ends.
pub(super) enum End {
    /// Every stage succeeded.
    Healthy(PeerFacts),
    /// The next stage failed.
    Failed {
        /// After so long.
        took: Duration,
        /// Why.
        reason: Reason,
        /// The peer, if it was greeted.
        facts: Option<PeerFacts>,
    },
}

impl End {
    /// The next stage failed, and nobody was greeted.
    pub(super) const fn failed(took: Duration, reason: Reason) -> Self {
        let facts = None;
        Self::Failed {
            took,
            reason,
            facts,
        }
    }
}
