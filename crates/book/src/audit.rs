//! Whether everything derived still follows from what it derives from.

use std::collections::BTreeMap;

use crate::book::Book;
use crate::candidate::{DialId, Id, Phase};
use crate::index::Index;

/// Something derived that no longer follows from its origin: a bug of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not what follows from the candidates")]
pub struct Discrepancy {
    /// What.
    pub what: &'static str,
}

impl Book {
    /// Computes everything derived anew and compares; checks every bound. For tests and for those
    /// who hunt a bug: it reads the whole book.
    ///
    /// # Errors
    /// The first thing that differs.
    pub fn audit(&self) -> Result<(), Discrepancy> {
        let mut index = Index::new(self.config.names, self.config.grouping);
        for (id, candidate) in &self.candidates {
            index.insert(*id, candidate);
        }
        let caps = &self.config.caps;
        let busy: BTreeMap<_, _> = self
            .candidates
            .iter()
            .filter_map(|(id, candidate)| match candidate.phase {
                Phase::Busy(dial) => Some((dial, *id)),
                Phase::Idle | Phase::Waiting(_) => None,
            })
            .collect();
        // Of several with one candidate, a session counts before a dial, and the latest.
        let mut open: BTreeMap<Id, (bool, DialId)> = BTreeMap::new();
        for (dial, of) in self.open.iter() {
            if self.candidates.contains_key(&of.id) {
                let best = open.entry(of.id).or_insert((of.greeted, dial));
                *best = (*best).max((of.greeted, dial));
            }
        }
        let open: BTreeMap<_, _> = open.into_iter().map(|(id, (_, dial))| (dial, id)).collect();
        let candidates = self.candidates.values();
        let checks = [
            ("the index", index == self.index),
            ("the index of bans", self.bans.rebuilt() == self.bans),
            ("the list of open dials", busy == open),
            ("what is open", self.open.is_sound()),
            ("the count of new candidates", index.new_len <= caps.new),
            ("the count of tried ones", index.tried.len() <= caps.tried),
            ("the count of static ones", index.pinned_len <= caps.pinned),
            ("the count of bans", self.bans.len() <= caps.bans),
            (
                "the list of the buried",
                self.burials.len() == self.buried.len(),
            ),
            ("the count of the buried", self.buried.len() <= caps.buried),
            (
                "what one candidate holds",
                candidates.clone().all(|candidate| {
                    candidate.spots.len() <= caps.endpoints
                        && candidate.sources.len() <= caps.sources
                        && candidate.history.iter().count() <= caps.events
                }),
            ),
        ];
        match checks.into_iter().find(|(_, holds)| !holds) {
            Some((what, _)) => Err(Discrepancy { what }),
            None => Ok(()),
        }
    }
}
