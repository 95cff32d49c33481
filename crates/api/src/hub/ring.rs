//! What waits for one subscription, within its budget.

use std::collections::VecDeque;
use std::sync::Arc;

/// What an item counts for besides its own bytes: it takes memory even when it says little.
pub const ITEM: usize = 128;

/// Items that were lost, in one place of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// How many.
    pub messages: u64,
    /// Their bytes; 0 where that is not known any more.
    pub bytes: u64,
    /// The number of the next item.
    pub next: u64,
}

#[derive(Debug)]
struct Slot<T> {
    seq: u64,
    /// Bytes of all items before it, lost ones included.
    base: u64,
    len: usize,
    record: Arc<T>,
}

impl<T> Slot<T> {
    const fn weight(&self) -> usize {
        self.len.saturating_add(ITEM)
    }
}

/// What became of an item that was to be taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits; so many others were lost for it.
    Taken { lost: u64 },
    /// It is larger than the budget, and lost.
    TooLarge,
    /// There is no room, and nothing may be lost.
    Full,
}

/// What the reader gets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read<T> {
    Item(u64, Arc<T>),
    Lagged(Lag),
    Empty,
}

/// Items in the order of their numbers: those that were read and are kept for a reader who comes
/// back, then those that wait. What was read gives way first, and without a word.
#[derive(Debug)]
pub(super) struct Ring<T> {
    slots: VecDeque<Slot<T>>,
    /// The number and base of the next item to come.
    tail: (u64, u64),
    /// What the reader wants next; its base where that is known.
    head: (u64, Option<u64>),
    budget: usize,
    used: usize,
    /// Bytes of `used` that were not read yet.
    waiting: usize,
    keeps: bool,
}

impl<T> Ring<T> {
    /// An empty one; `keeps` what was read as long as there is room.
    pub(super) const fn new(budget: usize, keeps: bool) -> Self {
        Self {
            slots: VecDeque::new(),
            tail: (1, 0),
            head: (1, Some(0)),
            budget,
            used: 0,
            waiting: 0,
            keeps,
        }
    }

    /// Bytes that wait to be read.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Bytes of all that is held.
    #[cfg(test)]
    pub(super) const fn used(&self) -> usize {
        self.used
    }

    /// The number of the next item to be read.
    pub(super) const fn next(&self) -> u64 {
        self.head.0
    }

    /// Takes an item in. What waits gives way only where that `may_lose`.
    pub(super) fn push(&mut self, record: &Arc<T>, len: usize, may_lose: bool) -> Pushed {
        let weight = len.saturating_add(ITEM);
        let (seq, base) = self.tail;
        if weight > self.budget {
            if !may_lose {
                return Pushed::Full;
            }
            self.tail = (seq + 1, base + len as u64);
            return Pushed::TooLarge;
        }
        let mut lost = 0;
        while self.used + weight > self.budget {
            match self.slots.front() {
                Some(slot) if slot.seq >= self.head.0 && !may_lose => return Pushed::Full,
                Some(slot) => lost += u64::from(slot.seq >= self.head.0),
                None => break,
            }
            self.drop_first();
        }
        self.tail = (seq + 1, base + len as u64);
        self.slots.push_back(Slot {
            seq,
            base,
            len,
            record: Arc::clone(record),
        });
        self.used += weight;
        self.waiting += weight;
        Pushed::Taken { lost }
    }

    fn drop_first(&mut self) {
        if let Some(slot) = self.slots.pop_front() {
            self.used -= slot.weight();
            if slot.seq >= self.head.0 {
                self.waiting -= slot.weight();
            }
        }
    }

    /// The next item, or that some are missing before it.
    pub(super) fn read(&mut self) -> Read<T> {
        let (wanted, base) = self.head;
        let at = self.slots.partition_point(|slot| slot.seq < wanted);
        let Some(slot) = self.slots.get(at) else {
            if self.tail.0 > wanted {
                return self.skip_to(self.tail);
            }
            return Read::Empty;
        };
        if slot.seq > wanted {
            let to = (slot.seq, slot.base);
            return self.skip_to(to);
        }
        let record = Arc::clone(&slot.record);
        let (seq, len) = (slot.seq, slot.len as u64);
        self.waiting -= slot.weight();
        self.head = (seq + 1, base.map(|base| base + len));
        while !self.keeps && self.slots.front().is_some_and(|slot| slot.seq <= seq) {
            self.drop_first();
        }
        Read::Item(seq, record)
    }

    fn skip_to(&mut self, (seq, base): (u64, u64)) -> Read<T> {
        let (wanted, known) = self.head;
        self.head = (seq, Some(base));
        Read::Lagged(Lag {
            messages: seq - wanted,
            bytes: known.map_or(0, |known| base - known),
            next: seq,
        })
    }

    /// The reader has taken care of everything up to `after` and wants what follows.
    pub(super) fn rewind(&mut self, after: u64) {
        // Nobody has read what was never sent.
        let wanted = after.saturating_add(1).min(self.head.0);
        let at = self.slots.partition_point(|slot| slot.seq < wanted);
        let found = self.slots.get(at).filter(|slot| slot.seq == wanted);
        let base = match found {
            Some(slot) => Some(slot.base),
            None if wanted == self.head.0 => self.head.1,
            None => None,
        };
        self.head = (wanted, base);
        let unread = self.slots.range(at..);
        self.waiting = unread.map(Slot::weight).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ring(budget: usize, keeps: bool) -> Ring<u64> {
        Ring::new(budget, keeps)
    }

    fn drain(ring: &mut Ring<u64>) -> Vec<Read<u64>> {
        let mut all = Vec::new();
        loop {
            let read = ring.read();
            if read == Read::Empty {
                return all;
            }
            all.push(read);
        }
    }

    #[test]
    fn the_oldest_give_way_and_the_gap_is_told_where_it_is() {
        let mut ring = ring(3 * (ITEM + 10), false);
        for number in 1..=5 {
            ring.push(&Arc::new(number), 10, true);
        }
        let lag = Lag {
            messages: 2,
            bytes: 20,
            next: 3,
        };
        assert_eq!(
            drain(&mut ring),
            [
                Read::Lagged(lag),
                Read::Item(3, Arc::new(3)),
                Read::Item(4, Arc::new(4)),
                Read::Item(5, Arc::new(5))
            ]
        );
        assert_eq!((ring.used(), ring.waiting()), (0, 0));
    }

    #[test]
    fn an_item_beyond_the_budget_is_lost_alone() {
        let mut ring = ring(3 * ITEM, false);
        ring.push(&Arc::new(1), 1, true);
        assert_eq!(ring.push(&Arc::new(2), 1000, true), Pushed::TooLarge);
        let lag = Lag {
            messages: 1,
            bytes: 1000,
            next: 3,
        };
        let read = drain(&mut ring);
        assert_eq!(read, [Read::Item(1, Arc::new(1)), Read::Lagged(lag)]);
    }

    #[test]
    fn what_was_read_comes_again_for_who_comes_back() {
        let mut ring = ring(4 * (ITEM + 1), true);
        for number in 1..=3 {
            ring.push(&Arc::new(number), 1, false);
        }
        assert_eq!(drain(&mut ring).len(), 3);
        ring.rewind(1);
        let again = [Read::Item(2, Arc::new(2)), Read::Item(3, Arc::new(3))];
        assert_eq!(drain(&mut ring), again);
        // What was read makes room, even where nothing may be lost.
        for number in 4..=7 {
            assert_eq!(
                ring.push(&Arc::new(number), 1, false),
                Pushed::Taken { lost: 0 }
            );
        }
        assert_eq!(ring.push(&Arc::new(8), 1, false), Pushed::Full);
        ring.rewind(2);
        let lag = Lag {
            messages: 1,
            bytes: 0,
            next: 4,
        };
        assert_eq!(drain(&mut ring)[0], Read::Lagged(lag));
        // A reader cannot claim what was never sent.
        ring.rewind(u64::MAX);
        assert_eq!(drain(&mut ring), []);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(usize),
        Read,
        Rewind(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_usize..400).prop_map(Step::Push),
            4 => Just(Step::Read),
            1 => (0_u64..60).prop_map(Step::Rewind),
        ]
    }

    proptest! {
        // Every number comes once, as an item or within a gap, in order; nothing exceeds the budget.
        #[test]
        fn nothing_is_lost_without_a_word(
            steps in proptest::collection::vec(step(), 1..200),
            keeps: bool,
            budget in 1_usize..1500,
        ) {
            let mut ring = ring(budget, keeps);
            let mut lens = Vec::new();
            let mut expected = 1;
            let mut knows_bytes = true;
            for step in steps {
                match step {
                    Step::Push(len) => {
                        lens.push(len as u64);
                        ring.push(&Arc::new(lens.len() as u64), len, true);
                    }
                    Step::Rewind(after) => {
                        expected = expected.min(after + 1);
                        ring.rewind(after);
                        knows_bytes = false;
                    }
                    Step::Read => match ring.read() {
                        Read::Item(seq, record) => {
                            prop_assert_eq!(seq, expected);
                            prop_assert_eq!(*record, seq);
                            expected += 1;
                        }
                        Read::Lagged(lag) => {
                            prop_assert!(lag.messages > 0);
                            let bytes: u64 = (expected..lag.next)
                                .map(|seq| lens[usize::try_from(seq).unwrap() - 1])
                                .sum();
                            if knows_bytes || lag.bytes != 0 {
                                prop_assert_eq!(lag.bytes, bytes);
                            }
                            expected += lag.messages;
                            prop_assert_eq!(lag.next, expected);
                        }
                        Read::Empty => prop_assert_eq!(expected, lens.len() as u64 + 1),
                    },
                }
                prop_assert_eq!(ring.next(), expected);
                let used: usize = ring.slots.iter().map(Slot::weight).sum();
                prop_assert_eq!(used, ring.used());
                prop_assert!(used <= budget);
                let unread = ring.slots.iter().filter(|slot| slot.seq >= expected);
                prop_assert_eq!(unread.map(Slot::weight).sum::<usize>(), ring.waiting());
            }
        }
    }
}
