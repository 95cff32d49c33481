//! Entries that are gone but not yet out of every list.

use crate::pool::{at, number};

/// A set of slots, one bit each: those of a million fit into a processor's cache.
#[derive(Debug)]
pub(crate) struct Lingering {
    bits: Vec<u64>,
    len: usize,
    /// The word that [`Self::take_some`] looks at next.
    hand: usize,
}

/// The slots of one word. [`Lingering::take_some`] takes at most so many.
pub(crate) const MOST_TAKEN: u32 = u64::BITS;

/// So many words are looked at in one call, eight cache lines in a row. If all that lingers stands
/// together, the rest is passed over in few calls.
const WORDS: usize = 64;

const fn bit(slot: u32) -> (usize, u64) {
    (at(slot / MOST_TAKEN), 1 << (slot % MOST_TAKEN))
}

impl Lingering {
    pub(crate) const fn new() -> Self {
        Self {
            bits: Vec::new(),
            len: 0,
            hand: 0,
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
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        let words = self.bits.iter().enumerate();
        words.flat_map(|(word, &bits)| slots(word, bits))
    }

    /// Takes out the slots of the next word that has any, in ascending order. It goes round, so
    /// each word is given the time of all others to fill: the more stand near each other, the less
    /// it costs to deal with each. None if there are none within [`WORDS`].
    pub(crate) fn take_some(&mut self) -> impl Iterator<Item = u32> + use<> {
        let (mut word, mut bits) = (0, 0);
        for _ in 0..WORDS.min(self.bits.len()) {
            word = self.hand;
            self.hand = (word + 1) % self.bits.len();
            bits = std::mem::take(&mut self.bits[word]);
            if bits != 0 {
                break;
            }
        }
        self.len -= bits.count_ones() as usize;
        slots(word, bits)
    }
}

fn slots(word: usize, bits: u64) -> impl Iterator<Item = u32> {
    let set = (0..MOST_TAKEN).filter(move |bit| bits >> bit & 1 != 0);
    set.map(move |bit| number(word) * MOST_TAKEN + bit)
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
        let mut take = || lingering.take_some().collect::<Vec<_>>();
        assert_eq!(
            [take(), take(), take(), take()],
            [vec![0, 3, 63], vec![64], vec![200], vec![]]
        );
        assert_eq!((lingering.len(), lingering.iter().count()), (0, 0));
    }

    #[test]
    fn the_hand_goes_round_and_not_too_far_at_once() {
        let mut lingering = Lingering::new();
        let far = number(3 * WORDS * 64);
        lingering.add(far);
        let calls = std::iter::repeat_with(|| lingering.take_some().collect::<Vec<_>>());
        assert_eq!(calls.take_while(Vec::is_empty).count(), 3);
        for slot in [far + 1, 5] {
            lingering.add(slot);
        }
        // Its word has had its turn.
        assert_eq!(lingering.take_some().collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn a_call_takes_a_word() {
        let mut lingering = Lingering::new();
        (0..256).for_each(|slot| lingering.add(slot));
        for left in [192, 128, 64, 0] {
            assert_eq!(number(lingering.take_some().count()), MOST_TAKEN);
            assert_eq!(lingering.len(), left);
        }
    }
}
