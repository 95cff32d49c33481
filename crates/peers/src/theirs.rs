//! A peer's requests to us: each is answered or refused once.

use std::time::{Duration, Instant};

/// How many requests of one peer wait for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TheirRules {
    /// Reading pauses while more than so many are unanswered.
    pub pause_above: usize,
    /// No more than so many are taken at all; a further one is handed back.
    pub max: usize,
    /// One that we have not answered by then is given up, so that it cannot stop reading for ever.
    pub within: Duration,
}

/// reth stops reading above 4.
impl Default for TheirRules {
    fn default() -> Self {
        Self {
            pause_above: 4,
            max: 16,
            within: Duration::from_secs(60),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Theirs {
    /// Number and end of each, oldest first.
    open: Vec<(u32, Instant)>,
    seq: u32,
}

impl Theirs {
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Notes one; `None` when there are too many.
    pub(crate) fn ask(&mut self, at: Instant, rules: &TheirRules) -> Option<u32> {
        if self.open.len() >= rules.max {
            return None;
        }
        self.seq = self.seq.wrapping_add(1);
        self.open.push((self.seq, at + rules.within));
        Some(self.seq)
    }

    pub(crate) fn is_open(&self, seq: u32) -> bool {
        self.open.iter().any(|(open, _)| *open == seq)
    }

    /// Ends one; `false` when it is not open.
    pub(crate) fn answer(&mut self, seq: u32) -> bool {
        let Some(place) = self.open.iter().position(|(open, _)| *open == seq) else {
            return false;
        };
        let _ = self.open.remove(place);
        if self.open.is_empty() {
            self.open = Vec::new();
        }
        true
    }

    pub(crate) fn next(&self) -> Option<(Instant, &'static str)> {
        self.open.first().map(|(_, end)| (*end, "their request"))
    }

    /// Gives up the first that is due.
    pub(crate) fn expire(&mut self, at: Instant) -> Option<u32> {
        let (seq, end) = *self.open.first()?;
        (end <= at && self.answer(seq)).then_some(seq)
    }
}
