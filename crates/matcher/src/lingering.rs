//! Entries that are gone but still linked.

use crate::pool::at;

/// So many are unlinked at once: enough for their accesses to memory to overlap, few enough for the
/// call in which it happens.
const BATCH: usize = 64;

/// Slots of entries that have left every count, while their postings still stand between their
/// neighbours. One bit a slot tells them, so that a million fit into a processor's cache.
#[derive(Debug)]
pub(crate) struct Lingering {
    bits: Vec<u64>,
    /// May name slots that linger no longer.
    slots: Vec<u32>,
}

const fn bit(slot: u32) -> (usize, u64) {
    (at(slot) / 64, 1 << (slot % 64))
}

impl Lingering {
    pub(crate) const fn new() -> Self {
        Self {
            bits: Vec::new(),
            slots: Vec::new(),
        }
    }

    /// A slot begins to linger. Returns whether it is time to [`Self::drain`].
    pub(crate) fn add(&mut self, slot: u32) -> bool {
        let (word, bit) = bit(slot);
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        self.bits[word] |= bit;
        self.slots.push(slot);
        self.slots.len() >= BATCH
    }

    /// Ends it. Returns whether it lingered.
    pub(crate) fn end(&mut self, slot: u32) -> bool {
        let (word, bit) = bit(slot);
        let Some(bits) = self.bits.get_mut(word) else {
            return false;
        };
        let lingered = *bits & bit != 0;
        *bits &= !bit;
        lingered
    }

    pub(crate) fn contains(&self, slot: u32) -> bool {
        let (word, bit) = bit(slot);
        self.bits.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// The next of the slots to unlink.
    pub(crate) fn pop(&mut self) -> Option<u32> {
        loop {
            let slot = self.slots.pop()?;
            if self.end(slot) {
                return Some(slot);
            }
        }
    }

    /// How many linger.
    pub(crate) fn len(&self) -> usize {
        let ones = self.bits.iter().map(|bits| bits.count_ones() as usize);
        ones.sum()
    }
}
