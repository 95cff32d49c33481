//! A list of peers, as a finder.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use crate::candidate::{Candidate, Finder, Source};
use crate::report::Report;

/// What a list calls itself.
pub const LIST: Source = Source("list");

/// Candidates known beforehand, each given once.
#[derive(Clone, Debug, Default)]
pub struct List {
    left: VecDeque<Candidate>,
    gave: u64,
}

impl List {
    /// A list of these. Their source becomes [`LIST`].
    pub fn new(candidates: impl IntoIterator<Item = Candidate>) -> Self {
        let of_list = |candidate| Candidate {
            source: LIST,
            ..candidate
        };
        Self {
            left: candidates.into_iter().map(of_list).collect(),
            gave: 0,
        }
    }
}

impl Finder for List {
    fn source(&self) -> Source {
        LIST
    }

    fn report(&self) -> Report {
        Report {
            source: LIST,
            gave: self.gave,
            seeds: Vec::new(),
        }
    }

    fn poll_candidate(&mut self, _: &mut Context<'_>) -> Poll<Option<Candidate>> {
        let next = self.left.pop_front();
        self.gave += u64::from(next.is_some());
        Poll::Ready(next)
    }
}
