//! The reference's scan, written from its description: two queues, and for each offer a walk along
//! the announcements that stops early when counters say that nothing better can follow.
//!
//! The second opinion for `Preference::Reference`, and what `bench/matcher` measures beside the
//! matcher. Expired entries are absent (its skip after one is a defect, not a rule), and the
//! counters are right.

use std::collections::VecDeque;

/// Compartment ids as the reference has them.
pub type Id = [u8; 32];

/// One side of a match, as far as the scan looks at it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What the caller knows it by.
    pub label: u64,
    /// Personal compartments.
    pub personal: Vec<Id>,
    /// Common compartments.
    pub common: Vec<Id>,
    /// Country and network, compared as they are: two empty ones are equal.
    pub geography: (u16, u32),
    /// 0 unlimited, 1 partial, 2 strict.
    pub class: usize,
}

/// Announcement classes that an offer of each class prefers.
const PREFERRED: [&[usize]; 3] = [&[2], &[0, 1], &[0]];

fn share(ours: &[Id], theirs: &[Id]) -> bool {
    ours.iter().any(|id| theirs.contains(id))
}

/// The reference's two queues and its counters.
#[derive(Debug, Default)]
pub struct Scan {
    announcements: VecDeque<Entry>,
    offers: VecDeque<Entry>,
    personal: usize,
    by_class: [usize; 3],
    /// Announcements looked at so far.
    pub inspected: u64,
}

impl Scan {
    /// Queues an announcement.
    pub fn announce(&mut self, entry: Entry) {
        self.personal += usize::from(!entry.personal.is_empty());
        self.by_class[entry.class] += 1;
        self.announcements.push_back(entry);
    }

    /// Queues an offer.
    pub fn offer(&mut self, entry: Entry) {
        self.offers.push_back(entry);
    }

    /// How many of each wait.
    pub fn len(&self) -> (usize, usize) {
        (self.announcements.len(), self.offers.len())
    }

    /// Takes an announcement out, wherever it is.
    pub fn remove_announcement(&mut self, label: u64) -> bool {
        let found = self.announcements.iter().position(|e| e.label == label);
        found.and_then(|at| self.take(at)).is_some()
    }

    /// Takes an offer out, wherever it is.
    pub fn remove_offer(&mut self, label: u64) -> bool {
        let found = self.offers.iter().position(|e| e.label == label);
        found.and_then(|at| self.offers.remove(at)).is_some()
    }

    fn take(&mut self, at: usize) -> Option<Entry> {
        let entry = self.announcements.remove(at)?;
        self.personal -= usize::from(!entry.personal.is_empty());
        self.by_class[entry.class] -= 1;
        Some(entry)
    }

    /// Where the announcement for an offer is.
    fn search(&mut self, offer: &Entry) -> Option<usize> {
        let prefers = |class: usize| PREFERRED[offer.class].contains(&class);
        let preferred_exists = (0..3).any(|class| prefers(class) && self.by_class[class] > 0);
        let mut best: Option<(usize, bool, bool)> = None;
        for (at, entry) in self.announcements.iter().enumerate() {
            self.inspected += 1;
            if entry.geography == offer.geography {
                continue;
            }
            let personal = share(&offer.personal, &entry.personal);
            if !personal && !share(&offer.common, &entry.common) {
                continue;
            }
            let preferred = prefers(entry.class);
            let better = best.is_none_or(|(_, was_preferred, was_personal)| {
                (preferred && !was_preferred)
                    || (preferred == was_preferred && personal && !was_personal)
            });
            if better {
                best = Some((at, preferred, personal));
            }
            // The anomaly: whether this one is personal, not whether the best one is.
            let nat_settled = !preferred_exists || best.is_some_and(|(_, preferred, _)| preferred);
            if nat_settled && (personal || self.personal == 0) {
                break;
            }
        }
        best.map(|(at, ..)| at)
    }

    /// One pass: every offer in order, from what remains. Yields pairs of labels, offer first.
    pub fn pass(&mut self) -> Vec<(u64, u64)> {
        let mut pairs = Vec::new();
        let mut unmatched = VecDeque::new();
        while let Some(offer) = self.offers.pop_front() {
            match self.search(&offer).and_then(|at| self.take(at)) {
                Some(announcement) => pairs.push((offer.label, announcement.label)),
                None => unmatched.push_back(offer),
            }
        }
        self.offers = unmatched;
        pairs
    }
}
