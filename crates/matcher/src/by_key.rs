//! Slots by the hash of what is in them.

use hashbrown::HashTable;

use crate::hash::KeyHash;

/// A slot with the hash it was entered under, so that nothing else is read when the table grows, or
/// when one is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Keyed {
    hash: KeyHash,
    slot: u32,
}

/// So many are taken out at once: enough for their accesses to memory to overlap, few enough for
/// the call in which it happens.
const BATCH: usize = 32;

/// A table in which removal is put off. In a long one each look-up waits twice for memory; of a
/// batch of them the processor makes several at the same time, and nobody waits for any.
///
/// What was removed may thus still be found, under its own hash: whoever asks must check whether it
/// lives.
#[derive(Debug)]
pub(crate) struct ByKey {
    /// Only ever asked for a hash, so its order cannot matter.
    table: HashTable<Keyed>,
    leaving: Vec<Keyed>,
}

impl ByKey {
    pub(crate) const fn new() -> Self {
        Self {
            table: HashTable::new(),
            leaving: Vec::new(),
        }
    }

    pub(crate) fn insert(&mut self, hash: KeyHash, slot: u32) {
        let keyed = Keyed { hash, slot };
        self.table
            .insert_unique(hash.spread(), keyed, |other| other.hash.spread());
    }

    /// Takes one out, now or soon.
    pub(crate) fn remove(&mut self, hash: KeyHash, slot: u32) {
        self.leaving.push(Keyed { hash, slot });
        if self.leaving.len() >= BATCH {
            self.settle();
        }
    }

    /// A slot that was taken out and entered again under the same hash stands twice, and one of the
    /// two goes: they are equal.
    fn settle(&mut self) {
        for keyed in self.leaving.drain(..) {
            let found = self
                .table
                .find_entry(keyed.hash.spread(), |other| *other == keyed);
            if let Ok(entry) = found {
                entry.remove();
            }
        }
    }

    /// The slot under this hash that is the one meant.
    pub(crate) fn find(&self, hash: KeyHash, is_meant: impl Fn(u32) -> bool) -> Option<u32> {
        let meant = |keyed: &Keyed| keyed.hash == hash && is_meant(keyed.slot);
        self.table
            .find(hash.spread(), meant)
            .map(|keyed| keyed.slot)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.table.len() - self.leaving.len()
    }
}

#[cfg(test)]
impl ByKey {
    /// How many stand in the table, those that were taken out among them.
    pub(crate) fn standing(&self) -> usize {
        self.table.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_back_before_the_removal_is_made_is_found_after_it() {
        let mut table = ByKey::new();
        let hash = KeyHash::of(7);
        table.insert(hash, 3);
        table.remove(hash, 3);
        assert_eq!(table.len(), 0);
        table.insert(hash, 3);
        for slot in 10..200 {
            table.insert(KeyHash::of(slot.into()), slot);
            table.remove(KeyHash::of(slot.into()), slot);
            assert!(table.leaving.len() < BATCH);
        }
        assert_eq!(table.find(hash, |slot| slot == 3), Some(3));
        assert_eq!(table.len(), 1);
        table.remove(hash, 3);
        table.settle();
        assert_eq!(table.find(hash, |slot| slot == 3), None);
        assert_eq!((table.len(), table.table.len()), (0, 0));
    }
}
