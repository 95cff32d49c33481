//! Entries that are gone but not yet out of every list.

use crate::pool::{at, number};

/// A set of slots, one bit each: those of a million fit into a processor's cache.
#[derive(Debug)]
pub(crate) struct Lingering {
    bits: Vec<u64>,
    len: usize,
}

const fn bit(slot: u32) -> (usize, u64) {
    (at(slot) / 64, 1 << (slot % 64))
}

impl Lingering {
    pub(crate) const fn new() -> Self {
        Self {
            bits: Vec::new(),
            len: 0,
        }
    }

    /// Adds a slot that is not in it.
    pub(crate) fn add(&mut self, slot: u32) {
        let (word, bit) = bit(slot);
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        self.bits[word] |= bit;
        self.len += 1;
    }

    pub(crate) fn contains(&self, slot: u32) -> bool {
        let (word, bit) = bit(slot);
        self.bits.get(word).is_some_and(|bits| bits & bit != 0)
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Every slot, in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        let words = self.bits.iter().enumerate().filter(|(_, bits)| **bits != 0);
        words.flat_map(|(word, &bits)| {
            let set = (0..64).filter(move |bit| bits >> bit & 1 != 0);
            set.map(move |bit| number(word * 64) + bit)
        })
    }

    pub(crate) fn clear(&mut self) {
        self.bits.fill(0);
        self.len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_come_out_in_order_and_once() {
        let mut lingering = Lingering::new();
        for slot in [200, 0, 63, 64, 3] {
            lingering.add(slot);
        }
        assert!(lingering.contains(63) && !lingering.contains(65) && !lingering.contains(9_999));
        assert_eq!(lingering.iter().collect::<Vec<_>>(), [0, 3, 63, 64, 200]);
        assert_eq!(lingering.len(), 5);
        lingering.clear();
        assert_eq!((lingering.len(), lingering.iter().count()), (0, 0));
    }
}
