//! When entries expire: lists of slots, one for each tick that any entry ends in.
//!
//! Entering and leaving cost O(1) once the tick has a list, and a search among the ticks in use
//! otherwise: their number depends on how long entries wait, not on how many wait.

use std::collections::BTreeMap;

use crate::pool::{NONE, Pool, at, chain};

/// A number of whole ticks since the matcher was made.
pub(crate) type Tick = u64;

#[derive(Clone, Copy, Debug)]
struct Link {
    prev: u32,
    next: u32,
    /// [`NONE`] while the slot has no deadline.
    list: u32,
}

const UNSET: Link = Link {
    prev: NONE,
    next: NONE,
    list: NONE,
};

#[derive(Clone, Copy, Debug)]
struct List {
    tick: Tick,
    head: u32,
    tail: u32,
}

/// Slots by the tick in which they expire, first come first within one tick.
#[derive(Debug)]
pub(crate) struct Deadlines {
    by_tick: BTreeMap<Tick, u32>,
    /// The first of these; asked in every call.
    next: Option<Tick>,
    /// The slot that expires first.
    first: u32,
    lists: Pool<List>,
    /// By slot.
    links: Vec<Link>,
}

impl Deadlines {
    pub(crate) const fn new() -> Self {
        Self {
            by_tick: BTreeMap::new(),
            next: None,
            first: NONE,
            lists: Pool::new(),
            links: Vec::new(),
        }
    }

    /// Gives a slot that has none a deadline.
    pub(crate) fn set(&mut self, slot: u32, tick: Tick) {
        if self.links.len() <= at(slot) {
            self.links.resize(at(slot) + 1, UNSET);
        }
        debug_assert_eq!(self.links[at(slot)].list, NONE, "a second deadline");
        let lists = &mut self.lists;
        let list = *self.by_tick.entry(tick).or_insert_with(|| {
            lists.add(List {
                tick,
                head: NONE,
                tail: NONE,
            })
        });
        if self.next.is_none_or(|next| tick < next) {
            self.next = Some(tick);
            self.first = slot;
        }
        let tail = std::mem::replace(&mut self.lists[list].tail, slot);
        match tail {
            NONE => self.lists[list].head = slot,
            tail => self.links[at(tail)].next = slot,
        }
        self.links[at(slot)] = Link {
            prev: tail,
            next: NONE,
            list,
        };
    }

    /// The tick in which a slot expires, if it does.
    pub(crate) fn of(&self, slot: u32) -> Option<Tick> {
        let link = self.links.get(at(slot))?;
        (link.list != NONE).then(|| self.lists[link.list].tick)
    }

    /// Takes a slot's deadline away, if it has one.
    pub(crate) fn clear(&mut self, slot: u32) {
        let Some(link) = self.links.get_mut(at(slot)) else {
            return;
        };
        let Link { prev, next, list } = std::mem::replace(link, UNSET);
        if list == NONE {
            return;
        }
        match prev {
            NONE => self.lists[list].head = next,
            prev => self.links[at(prev)].next = next,
        }
        match next {
            NONE => self.lists[list].tail = prev,
            next => self.links[at(next)].prev = prev,
        }
        if self.first == slot {
            self.first = next;
        }
        if prev == NONE && next == NONE {
            let tick = self.lists[list].tick;
            self.by_tick.remove(&tick);
            if self.next == Some(tick) {
                let next = self.by_tick.first_key_value();
                self.next = next.map(|(&tick, _)| tick);
                self.first = next.map_or(NONE, |(_, &list)| self.lists[list].head);
            }
            self.lists.release(list);
        }
    }

    /// The first slot that expires in this tick or an earlier one; its deadline is taken away.
    pub(crate) fn pop_due(&mut self, now: Tick) -> Option<u32> {
        if self.next? > now {
            return None;
        }
        let slot = self.first;
        self.clear(slot);
        Some(slot)
    }

    /// The first tick in which anything expires.
    pub(crate) const fn next(&self) -> Option<Tick> {
        self.next
    }

    /// Each slot and its tick, in the order in which they expire.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, Tick)> {
        self.by_tick.iter().flat_map(|(&tick, &list)| {
            let slots = chain(self.lists[list].head, |slot| self.links[at(slot)].next);
            slots.map(move |slot| (slot, tick))
        })
    }
}

impl Deadlines {
    /// Whether the links of every list lead both ways.
    pub(crate) fn is_sound(&self) -> bool {
        let linked = self.links.iter().filter(|link| link.list != NONE).count();
        let in_order = self.by_tick.values().all(|&id| {
            let list = &self.lists[id];
            let mut before = NONE;
            let slots = chain(list.head, |slot| self.links[at(slot)].next);
            for slot in slots {
                let link = &self.links[at(slot)];
                if link.prev != before || link.list != id {
                    return false;
                }
                before = slot;
            }
            before == list.tail && before != NONE
        });
        let first = self.iter().next();
        in_order
            && first.map(|(_, tick)| tick) == self.next
            && first.map_or(NONE, |(slot, _)| slot) == self.first
            && linked == self.iter().count()
            && self.lists.len() == self.by_tick.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_leave_by_tick_and_then_by_arrival() {
        let mut deadlines = Deadlines::new();
        for (slot, tick) in [(4, 20), (0, 10), (9, 20), (2, 10), (3, 30)] {
            deadlines.set(slot, tick);
        }
        deadlines.clear(2);
        deadlines.clear(2);
        deadlines.clear(77);
        assert!(deadlines.is_sound());
        assert_eq!(deadlines.next(), Some(10));
        let order: Vec<_> = deadlines.iter().collect();
        assert_eq!(order, [(0, 10), (4, 20), (9, 20), (3, 30)]);
        assert_eq!(deadlines.pop_due(9), None);
        let due: Vec<_> = std::iter::from_fn(|| deadlines.pop_due(20)).collect();
        assert_eq!(due, [0, 4, 9]);
        deadlines.clear(3);
        assert_eq!(deadlines.next(), None);
        assert_eq!(deadlines.lists.len(), 0);
    }
}
