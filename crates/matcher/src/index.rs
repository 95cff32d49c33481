//! One side's waiting entries, so arranged that the first one of another network is at hand.
//!
//! ```text
//! room (compartment) ─► shelf (ShelfKey) ─► heap of groups by their first entry's order
//!                                              └─► group (geography, rank) ─► list by order
//! ```
//!
//! All entries of a shelf are alike to every rule but one, "not the same country and network", and
//! all of a group are alike to that one too. So the best entry for someone is the best among the
//! heads of a few shelves, where the head is the heap's first group that is not their own: at most
//! one group of each rank is passed over.
//!
//! An entry has one posting for each room. Within a group entries arrive in ascending order, so the
//! list needs no search. Everything here is derived from the entries; it changes in
//! [`Index::insert`] and [`Index::remove`] only.

mod leave;
mod look;

use hashbrown::HashTable;

use crate::geography::Packed;
use crate::hash::Keys;
use crate::heap::{self, Item};
use crate::key::ShelfKey;
use crate::lingering::Lingering;
use crate::order::Order;
use crate::pool::{NONE, Pool, at, chain};
use crate::postings::{Posting, Postings, is_first};
use crate::runs::Runs;

pub(crate) use self::look::ShelfRef;

/// Entries of one shelf that share geography and rank.
#[derive(Debug)]
pub(crate) struct Group {
    geo: Packed,
    shelf: u32,
    head: u32,
    tail: u32,
    len: u32,
    /// Where it is in the shelf's heap.
    pub(crate) position: u32,
    rank: u8,
    /// Entries in its list that linger, at most [`MOST_IN_GROUP`].
    linked: u8,
}

/// So many entries of one group may stand in its list though they linger: the head takes along at
/// most these. A group of a million may hold no more, and its others are unlinked at once.
pub(crate) const MOST_IN_GROUP: u8 = 64;

#[derive(Debug)]
struct Shelf {
    key: ShelfKey,
    room: u32,
    /// The room's next shelf.
    next: u32,
    len: u32,
    heap: Vec<Item>,
    /// Only where the reference's order needs it.
    runs: Option<Box<Runs>>,
}

/// What an entry is placed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    pub(crate) entry: u32,
    pub(crate) order: Order,
    pub(crate) geo: Packed,
    pub(crate) key: ShelfKey,
}

/// What an entry is taken out by: its first group, and whether it is its only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u32);

/// No group has such a number: memory for so many would be beyond all machines that this runs on.
const SEVERAL: u32 = 1 << 30;

impl Ticket {
    const fn new(group: u32, several: bool) -> Self {
        Self(if several { group | SEVERAL } else { group })
    }

    /// Below 2³¹.
    pub(crate) const fn number(self) -> u32 {
        self.0
    }

    pub(crate) const fn numbered(number: u32) -> Self {
        Self(number)
    }

    const fn group(self) -> u32 {
        self.0 & !SEVERAL
    }

    const fn is_single(self) -> bool {
        self.0 & SEVERAL == 0
    }
}

/// An entry found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) order: Order,
    pub(crate) entry: u32,
}

/// The waiting entries of one side.
pub(crate) struct Index {
    postings: Postings,
    /// Entries that are in no count any more. They may stand in their list, but never at its head.
    lingering: Lingering,
    /// How many of them do, of all groups together.
    linked: usize,
    groups: Pool<Group>,
    shelves: Pool<Shelf>,
    /// The first shelf, by room.
    first: Vec<u32>,
    /// Only ever asked for a group, so its order cannot matter.
    by_group: HashTable<u32>,
    by_class: [usize; 3],
    keys: Keys,
}

impl Index {
    pub(crate) const fn new(keys: Keys) -> Self {
        Self {
            postings: Postings::new(),
            lingering: Lingering::new(),
            linked: 0,
            groups: Pool::new(),
            shelves: Pool::new(),
            first: Vec::new(),
            by_group: HashTable::new(),
            by_class: [0; 3],
            keys,
        }
    }

    /// How many entries are in it, by class.
    pub(crate) const fn by_class(&self) -> [usize; 3] {
        self.by_class
    }

    /// Places an entry in its rooms, at least one, each once. Its order must be above that of
    /// every entry of the same rank. `with_runs` says in which rooms successors are asked for.
    pub(crate) fn insert(
        &mut self,
        placement: &Placement,
        rooms: impl Iterator<Item = u32>,
        with_runs: impl Fn(u32) -> bool,
    ) -> Ticket {
        let entry = placement.entry;
        self.by_class[placement.key.class as usize] += 1;
        let mut last = NONE;
        for room in rooms {
            let shelf = self.shelf(room, placement.key, with_runs(room));
            last = self.post(shelf, last, placement);
        }
        Ticket::new(self.postings[entry].group, last != entry)
    }

    fn lingers(&self, posting: u32) -> bool {
        is_first(posting) && self.lingering.contains(posting)
    }

    fn room(&self, posting: u32) -> u32 {
        let group = &self.groups[self.postings[posting].group];
        self.shelves[group.shelf].room
    }

    /// The rooms of the entry of a slot.
    pub(crate) fn rooms(&self, entry: u32) -> impl Iterator<Item = u32> {
        self.postings.of(entry).map(|posting| self.room(posting))
    }

    /// What the entry of a slot was placed by.
    pub(crate) fn placement(&self, entry: u32) -> Placement {
        let Posting { order, group, .. } = self.postings[entry];
        let Group { geo, shelf, .. } = self.groups[group];
        Placement {
            entry,
            order,
            geo,
            key: self.shelves[shelf].key,
        }
    }

    /// The shelves of a room.
    pub(crate) fn shelves(&self, room: u32) -> impl Iterator<Item = ShelfRef<'_>> {
        let first = self.first.get(at(room)).copied().unwrap_or(NONE);
        chain(first, |shelf| self.shelves[shelf].next).map(|id| ShelfRef { index: self, id })
    }

    /// The room's shelf of this key, made if need be.
    fn shelf(&mut self, room: u32, key: ShelfKey, with_runs: bool) -> u32 {
        if self.first.len() <= at(room) {
            self.first.resize(at(room) + 1, NONE);
        }
        let first = self.first[at(room)];
        let mut shelf = first;
        while shelf != NONE {
            if self.shelves[shelf].key == key {
                return shelf;
            }
            shelf = self.shelves[shelf].next;
        }
        let shelf = self.shelves.add(Shelf {
            key,
            room,
            next: first,
            len: 0,
            heap: Vec::new(),
            runs: with_runs.then(Box::default),
        });
        self.first[at(room)] = shelf;
        shelf
    }

    fn group_hash(keys: &Keys, shelf: u32, geo: Packed, rank: u8) -> u64 {
        keys.numbers(geo.0, u64::from(shelf) << 8 | u64::from(rank))
    }

    fn find_group(&self, shelf: u32, geo: Packed, rank: u8) -> Option<u32> {
        let hash = Self::group_hash(&self.keys, shelf, geo, rank);
        let same = |&id: &u32| {
            let group = &self.groups[id];
            group.shelf == shelf && group.geo == geo && group.rank == rank
        };
        self.by_group.find(hash, same).copied()
    }

    /// Adds the first posting of an entry, or the next one after `last`.
    fn post(&mut self, shelf: u32, last: u32, placement: &Placement) -> u32 {
        let &Placement {
            entry, order, geo, ..
        } = placement;
        self.shelves[shelf].len += 1;
        if let Some(runs) = &mut self.shelves[shelf].runs {
            runs.insert(Found { order, entry }, geo);
        }
        let known = self.find_group(shelf, geo, order.rank());
        let posting = Posting::new(order, known.unwrap_or(NONE));
        let id = if last == NONE {
            self.postings.add_first(entry, posting)
        } else {
            let id = self.postings.add_further(entry, posting);
            self.postings[last].sibling = id;
            id
        };
        if let Some(group) = known {
            let group = &mut self.groups[group];
            self.postings.link(group.tail, id);
            group.tail = id;
            group.len += 1;
        } else {
            self.postings[id].group = self.add_group(shelf, geo, (order, id));
        }
        id
    }

    /// A group with its first posting.
    fn add_group(&mut self, shelf: u32, geo: Packed, (order, posting): (Order, u32)) -> u32 {
        let group = self.groups.add(Group {
            geo,
            shelf,
            head: posting,
            tail: posting,
            len: 1,
            position: 0,
            rank: order.rank(),
            linked: 0,
        });
        let (groups, keys) = (&self.groups, &self.keys);
        let hash = Self::group_hash(keys, shelf, geo, order.rank());
        self.by_group.insert_unique(hash, group, |&id| {
            let group = &groups[id];
            Self::group_hash(keys, group.shelf, group.geo, group.rank)
        });
        let heap = &mut self.shelves[shelf].heap;
        heap::push(heap, &mut self.groups, Item { order, group });
        group
    }

    /// The rooms that have shelves, for the audit.
    pub(crate) fn rooms_in_use(&self) -> impl Iterator<Item = u32> {
        let rooms = self.first.iter().enumerate();
        rooms
            .filter(|(_, first)| **first != NONE)
            .map(|(room, _)| crate::pool::number(room))
    }

    /// How many postings, groups and shelves there are.
    pub(crate) fn sizes(&self) -> [usize; 3] {
        let postings = self.postings.len() - self.linked;
        [postings, self.groups.len(), self.shelves.len()]
    }
}
