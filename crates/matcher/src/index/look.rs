//! What a shelf shows to those who search, count and audit.

use crate::geography::Packed;
use crate::heap::{self, Item};
use crate::index::{Found, Index, Shelf};
use crate::key::ShelfKey;
use crate::order::{Order, RANKS};
use crate::pool::{NONE, at};

/// A shelf for those who look: what all on it share.
#[derive(Clone, Copy)]
pub(crate) struct ShelfRef<'a> {
    pub(super) index: &'a Index,
    pub(super) id: u32,
}

impl<'a> ShelfRef<'a> {
    fn shelf(self) -> &'a Shelf {
        &self.index.shelves[self.id]
    }

    /// What all entries on it share.
    pub(crate) fn key(self) -> &'a ShelfKey {
        &self.shelf().key
    }

    /// How many entries are on it.
    pub(crate) fn len(self) -> usize {
        at(self.shelf().len)
    }

    /// How many of them are of this geography. One look-up a rank.
    pub(crate) fn len_of(self, geo: Packed) -> usize {
        let groups = (0..RANKS).filter_map(|rank| self.index.find_group(self.id, geo, rank));
        groups.map(|group| at(self.index.groups[group].len)).sum()
    }

    /// The first entry of any other geography than `exclude`.
    pub(crate) fn first(self, exclude: Option<Packed>) -> Option<Found> {
        let heap = &self.shelf().heap;
        let groups = &self.index.groups;
        let Item { order, group } = heap::first(heap, |item| {
            exclude.is_none_or(|geo| groups[item.group].geo != geo)
        })?;
        let entry = self.index.postings.entry(groups[group].head);
        Some(Found { order, entry })
    }

    /// The first entry after `order` of any other geography than `exclude`. Only on shelves with
    /// runs.
    pub(crate) fn first_after(self, order: Order, exclude: Option<Packed>) -> Option<Found> {
        self.shelf().runs.as_ref()?.first_after(order, exclude)
    }

    /// Everything on it by group, for the audit: geography, and the entries in order.
    pub(crate) fn entries(self) -> impl Iterator<Item = (Packed, Found)> + 'a {
        let index = self.index;
        let in_heap = self.shelf().heap.iter();
        in_heap.flat_map(move |item| {
            let group = &index.groups[item.group];
            let postings = index.postings.from(group.head);
            let standing = postings.filter(|&posting| !index.lingers(posting));
            standing.map(move |posting| {
                let order = index.postings[posting].order;
                let entry = index.postings.entry(posting);
                (group.geo, Found { order, entry })
            })
        })
    }

    /// Whether heap, groups and counts agree with each other.
    pub(crate) fn is_sound(self) -> bool {
        let shelf = self.shelf();
        let groups = &self.index.groups;
        let linked = shelf.heap.iter().all(|item| self.is_linked(item.group));
        let in_place = shelf.heap.iter().enumerate().all(|(position, item)| {
            let group = &groups[item.group];
            let head = &self.index.postings[group.head];
            at(group.position) == position
                && group.shelf == self.id
                && head.order == item.order
                && head.order.rank() == group.rank
                && self.index.find_group(self.id, group.geo, group.rank) == Some(item.group)
        });
        let counted: usize = shelf.heap.iter().map(|i| at(groups[i.group].len)).sum();
        let runs = shelf.runs.as_ref();
        in_place
            && linked
            && heap::is_sound(&shelf.heap)
            && counted == self.len()
            && counted == self.entries().count()
            && runs.is_none_or(|runs| runs.is_sound() && runs.len() == counted)
    }

    /// Whether a group's list leads both ways.
    fn is_linked(self, id: u32) -> bool {
        let group = &self.index.groups[id];
        let postings = &self.index.postings;
        let (mut before, mut promised) = (NONE, None);
        let linked = postings.from(group.head).all(|id| {
            let posting = &postings[id];
            let right = posting.prev == before && promised.is_none_or(|o| o == posting.order);
            (before, promised) = (id, Some(posting.next_order));
            right
        });
        let lingering = postings.from(group.head);
        let lingering = lingering.filter(|&id| self.index.lingers(id)).count();
        linked
            && before == group.tail
            && !self.index.lingers(group.head)
            && lingering == usize::from(group.linked)
    }
}
