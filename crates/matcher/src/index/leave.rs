//! How entries leave the index.

use crate::heap;
use crate::index::{Group, Index, MOST_IN_GROUP, Ticket};
use crate::lingering::Lingering;
use crate::pool::{NONE, at};
use crate::postings::Posting;

impl Index {
    /// Takes the entry of a slot out, and tells the rooms it was in.
    pub(crate) fn remove(&mut self, entry: u32, ticket: Ticket, mut left: impl FnMut(u32)) {
        let group = &self.groups[ticket.group()];
        let class = self.shelves[group.shelf].key.class;
        self.by_class[class as usize] -= 1;
        let mut posting = entry;
        while posting != NONE {
            left(self.room(posting));
            posting = self.unpost(posting);
        }
    }

    /// Takes the entry of a slot out of every count, and tells the room it was in; where it stood
    /// is left for [`Self::settle_some`]. The slot must not be used again before that. Returns
    /// whether that could be done: not for the head of a list, nor for an entry of several rooms,
    /// nor where [`MOST_IN_GROUP`] linger already.
    pub(crate) fn linger(&mut self, entry: u32, ticket: Ticket, left: impl FnOnce(u32)) -> bool {
        let group = &mut self.groups[ticket.group()];
        let shelf = &mut self.shelves[group.shelf];
        let is_full = group.linked >= MOST_IN_GROUP;
        if is_full || !ticket.is_single() || group.head == entry || shelf.runs.is_some() {
            return false;
        }
        self.by_class[shelf.key.class as usize] -= 1;
        group.len -= 1;
        group.linked += 1;
        shelf.len -= 1;
        left(shelf.room);
        self.lingering.add(entry);
        self.linked += 1;
        true
    }

    /// Entries that linger.
    pub(crate) const fn lingering(&self) -> &Lingering {
        &self.lingering
    }

    /// Takes some that linger out of their lists, at most [`MOST_TAKEN`], and gives each to `done`:
    /// from then on its slot may be used again.
    ///
    /// [`MOST_TAKEN`]: crate::lingering::MOST_TAKEN
    pub(crate) fn settle_some(&mut self, mut done: impl FnMut(u32)) {
        for entry in self.lingering.take_some() {
            let group = self.postings[entry].group;
            if group != NONE {
                self.groups[group].linked -= 1;
                self.linked -= 1;
                self.unlink(entry);
            }
            done(entry);
        }
    }

    /// How many that linger stand in their lists still.
    #[cfg(test)]
    pub(crate) const fn linked(&self) -> usize {
        self.linked
    }

    /// Takes a posting that is not the head out of its list.
    fn unlink(&mut self, id: u32) {
        let posting = self.postings[id];
        self.postings.release(id);
        self.postings.unlink(&posting);
        if posting.next == NONE {
            self.groups[posting.group].tail = posting.prev;
        }
    }

    /// Takes one posting out and returns the entry's next.
    fn unpost(&mut self, id: u32) -> u32 {
        let Posting {
            order,
            group,
            prev,
            sibling,
            ..
        } = self.postings[id];
        let Group { shelf, .. } = self.groups[group];
        self.groups[group].len -= 1;
        let on_shelf = &mut self.shelves[shelf];
        on_shelf.len -= 1;
        if let Some(runs) = &mut on_shelf.runs {
            runs.remove(order);
        }
        if prev == NONE {
            self.unpost_head(id, (group, shelf));
        } else {
            self.unlink(id);
        }
        sibling
    }

    /// Takes the head of a list out, and those behind it that linger: at most [`MOST_IN_GROUP`].
    fn unpost_head(&mut self, id: u32, (in_group, shelf): (u32, u32)) {
        let (mut head, mut order);
        let (mut leaving, mut along) = (id, 0);
        loop {
            Posting {
                next: head,
                next_order: order,
                ..
            } = self.postings[leaving];
            self.unlink(leaving);
            self.postings[leaving].group = NONE;
            if head == NONE || !self.lingers(head) {
                break;
            }
            along += 1;
            leaving = head;
        }
        self.linked -= usize::from(along);
        let group = &mut self.groups[in_group];
        group.linked -= along;
        group.head = head;
        let position = group.position;
        let heap = &mut self.shelves[shelf].heap;
        if head == NONE {
            heap::remove(heap, &mut self.groups, position);
            self.drop_group(in_group);
            if self.shelves[shelf].len == 0 {
                self.drop_shelf(shelf);
            }
        } else {
            heap::put_back(heap, &mut self.groups, position, order);
        }
    }

    fn drop_group(&mut self, id: u32) {
        let Group {
            shelf, geo, rank, ..
        } = self.groups[id];
        let hash = Self::group_hash(&self.keys, shelf, geo, rank);
        if let Ok(entry) = self.by_group.find_entry(hash, |&other| other == id) {
            entry.remove();
        }
        self.groups.release(id);
    }

    fn drop_shelf(&mut self, id: u32) {
        let shelf = &mut self.shelves[id];
        shelf.heap = Vec::new();
        shelf.runs = None;
        let (room, next) = (at(shelf.room), shelf.next);
        let mut before = self.first[room];
        if before == id {
            self.first[room] = next;
        } else {
            while self.shelves[before].next != id {
                before = self.shelves[before].next;
            }
            self.shelves[before].next = next;
        }
        self.shelves.release(id);
    }
}
