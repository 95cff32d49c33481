//! Taking back what an outage of our own did to the book.

use std::time::{Duration, Instant};

use crate::book::Book;
use crate::candidate::{Candidate, Id, Phase};
use crate::cause::Cause;
use crate::history::What;
use crate::key::Address;
use crate::moment::{Now, later};
use crate::outage::{Before, Sign};
use crate::prefix::Group;

impl Book {
    /// Something came from some peer: our connection works. Call it for a pong, say; without it a
    /// row of dead candidates may pass for an outage while sessions are silent.
    pub fn alive(&mut self, now: Now) {
        self.now = now;
        let Some(run) = self.outage.end() else { return };
        for (id, before) in run {
            let Some(candidate) = self.candidates.get(&id) else {
                continue;
            };
            let first = before.lost || candidate.is_tried();
            let soon = later(now.at, self.random.span(Duration::from_secs(2)));
            self.change(id, |candidate| {
                if matches!(candidate.phase, Phase::Waiting(_)) {
                    candidate.phase = Phase::Waiting(soon);
                }
                candidate.anchor |= first;
            });
        }
    }

    /// Since when nothing works, if so.
    pub const fn outage_since(&self) -> Option<Instant> {
        self.outage.since
    }

    /// Counts a failure that may be our own; if it is the last straw, takes back all of them.
    pub(crate) fn suspect(&mut self, id: Id, before: Before, group: &Group, sign: Sign) {
        let was_tried = self.candidates.get(&id).is_some_and(Candidate::is_tried);
        let known = was_tried.then(|| group.clone());
        self.outage.suspect(id, before, known);
        let rule = self.config.outage;
        let tried = self.index.tried.len() + usize::from(self.index.tried.is_empty());
        let all = self.candidates.len();
        let enough = self.outage.known() >= rule.known.min(tried)
            && self.outage.run.len() >= rule.total.min(all);
        if self.outage.is_on() || !(enough || sign == Sign::Ours) {
            return;
        }
        self.outage.since = Some(self.now.at);
        let members: Vec<Id> = self.outage.run.keys().copied().collect();
        for id in members {
            self.give_back(id);
        }
    }

    /// A failure during an outage: it leaves a trace, and nothing else.
    pub(crate) fn excuse(&mut self, id: Id, address: Option<Address>, cause: Cause) {
        let now = self.now.wall;
        let events = self.config.caps.events;
        let what = What::Excused { address, cause };
        self.change(id, |candidate| candidate.history.push(now, what, events));
        self.give_back(id);
    }

    /// Takes back what failures in the present run have cost.
    fn give_back(&mut self, id: Id) {
        let Some(before) = self.outage.run.get(&id).cloned() else {
            return;
        };
        let phase = self.candidates.get(&id).map(|candidate| candidate.phase);
        let busy = matches!(phase, Some(Phase::Busy(dial)) if self.open.get(dial).is_some());
        let wait = self.config.outage.wait;
        let until = later(self.now.at, wait / 2 + self.random.span(wait / 2));
        self.change(id, |candidate| {
            candidate.failures = before.failures;
            candidate.score = before.score;
            for (address, failures) in &before.spots {
                if let Some(spot) = candidate.spot_mut(address) {
                    spot.failures = *failures;
                }
            }
            if !busy {
                candidate.phase = Phase::Waiting(until);
            }
        });
    }
}
