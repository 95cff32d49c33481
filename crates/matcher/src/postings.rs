//! Where entries stand in lists: one posting for each entry and room.
//!
//! Leaving a list is only written to the neighbours, never read from them. A processor does not
//! wait for what it writes, so that a removal from a long queue costs about one access to memory
//! instead of one after another. Two things serve that: an entry's first posting is found by the
//! entry's slot alone, and each posting knows the order of the one after it, which is all that the
//! heap asks when the head of a list leaves.

use std::ops::{Index, IndexMut};

use crate::order::Order;
use crate::pool::{NONE, Pool, at, chain};

/// One cache line holds two.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub(crate) struct Posting {
    pub(crate) order: Order,
    /// That of `next`, if there is one.
    pub(crate) next_order: Order,
    pub(crate) group: u32,
    /// Neighbours in the group.
    pub(crate) prev: u32,
    pub(crate) next: u32,
    /// The entry's posting in its next room.
    pub(crate) sibling: u32,
}

impl Posting {
    /// Of no list yet.
    pub(crate) const fn new(order: Order, group: u32) -> Self {
        Self {
            order,
            next_order: order,
            group,
            prev: NONE,
            next: NONE,
            sibling: NONE,
        }
    }
}

/// Marks the number of a posting that is not its entry's first. Slots are far below:
/// [`Caps::CEILING`](crate::Caps) of them wait.
const FURTHER: u32 = 1 << 31;

/// Whether it is its entry's first, and so has the number of its slot.
pub(crate) const fn is_first(id: u32) -> bool {
    id & FURTHER == 0
}

/// All postings of one side.
#[derive(Debug)]
pub(crate) struct Postings {
    /// By slot. That of an entry which does not wait is from whoever was there last.
    first: Vec<Posting>,
    /// In use.
    first_len: usize,
    /// With the entry's slot, which the number does not tell.
    further: Pool<(Posting, u32)>,
}

impl Postings {
    pub(crate) const fn new() -> Self {
        Self {
            first: Vec::new(),
            first_len: 0,
            further: Pool::new(),
        }
    }

    /// Adds the first posting of the entry of this slot.
    pub(crate) fn add_first(&mut self, entry: u32, posting: Posting) -> u32 {
        self.first_len += 1;
        match self.first.get_mut(at(entry)) {
            Some(place) => *place = posting,
            // Slots are handed out without gaps, but not every one to an entry that waits.
            None => self.first.resize(at(entry) + 1, posting),
        }
        entry
    }

    /// Adds another posting of it.
    pub(crate) fn add_further(&mut self, entry: u32, posting: Posting) -> u32 {
        self.further.add((posting, entry)) | FURTHER
    }

    /// Gives the number up.
    pub(crate) fn release(&mut self, id: u32) {
        if is_first(id) {
            self.first_len -= 1;
        } else {
            self.further.release(id & !FURTHER);
        }
    }

    /// The slot of the entry that a posting is of.
    pub(crate) fn entry(&self, id: u32) -> u32 {
        if is_first(id) {
            id
        } else {
            self.further[id & !FURTHER].1
        }
    }

    /// Every posting of the entry of this slot.
    pub(crate) fn of(&self, entry: u32) -> impl Iterator<Item = u32> {
        chain(entry, |id| self[id].sibling)
    }

    /// Every posting of a list from this one on.
    pub(crate) fn from(&self, head: u32) -> impl Iterator<Item = u32> {
        chain(head, |id| self[id].next)
    }

    /// Puts a posting behind the last one of its list.
    pub(crate) fn link(&mut self, tail: u32, id: u32) {
        let order = self[id].order;
        let last = &mut self[tail];
        debug_assert!(last.order < order, "out of order");
        last.next = id;
        last.next_order = order;
        self[id].prev = tail;
    }

    /// Takes one out from between its neighbours; their lists' ends are the caller's.
    pub(crate) fn unlink(&mut self, posting: &Posting) {
        let &Posting {
            prev,
            next,
            next_order,
            ..
        } = posting;
        if next != NONE {
            self[next].prev = prev;
        }
        if prev != NONE {
            let before = &mut self[prev];
            before.next = next;
            before.next_order = next_order;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.first_len + self.further.len()
    }
}

impl Index<u32> for Postings {
    type Output = Posting;
    fn index(&self, id: u32) -> &Posting {
        if is_first(id) {
            &self.first[at(id)]
        } else {
            &self.further[id & !FURTHER].0
        }
    }
}

impl IndexMut<u32> for Postings {
    fn index_mut(&mut self, id: u32) -> &mut Posting {
        if is_first(id) {
            &mut self.first[at(id)]
        } else {
            &mut self.further[id & !FURTHER].0
        }
    }
}
