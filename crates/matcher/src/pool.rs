//! Storage by number: [`Pool`] for nodes that only this crate points at, [`Slab`] for what callers
//! hold handles of.

use std::ops::{Index, IndexMut};

/// "No node", in place of a number.
pub(crate) const NONE: u32 = u32::MAX;

/// A number as an index. Every number comes from a length that was checked to fit.
pub(crate) const fn at(number: u32) -> usize {
    number as usize
}

/// The number of the next element of something this long. No container here comes near 2³² − 1
/// elements: the caps of [`Config`](crate::Config) are checked to be far below.
pub(crate) fn number(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(NONE)
}

/// The nodes of a list: the first, and whatever `next` leads to until it says [`NONE`].
pub(crate) fn chain(first: u32, next: impl Fn(u32) -> u32) -> impl Iterator<Item = u32> {
    let some = |id: u32| (id != NONE).then_some(id);
    std::iter::successors(some(first), move |&id| some(next(id)))
}

/// Nodes that keep their number while they live. Numbers are used again.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    nodes: Vec<T>,
    free: Vec<u32>,
}

impl<T> Pool<T> {
    pub(crate) const fn new() -> Self {
        Self {
            nodes: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, node: T) -> u32 {
        if let Some(id) = self.free.pop() {
            self.nodes[at(id)] = node;
            return id;
        }
        self.nodes.push(node);
        number(self.nodes.len() - 1)
    }

    /// Gives the number up. What the node held stays until the number is used again.
    pub(crate) fn release(&mut self, id: u32) {
        self.free.push(id);
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }
}

impl<T> Index<u32> for Pool<T> {
    type Output = T;
    fn index(&self, id: u32) -> &T {
        &self.nodes[at(id)]
    }
}

impl<T> IndexMut<u32> for Pool<T> {
    fn index_mut(&mut self, id: u32) -> &mut T {
        &mut self.nodes[at(id)]
    }
}

/// A number with the life it belongs to: a handle that outlives its entry finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Handle {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// Entries that callers hold handles of.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    /// Slots that are neither in use nor free.
    retired: usize,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            retired: 0,
        }
    }

    /// The slot that the next entry gets.
    pub(crate) fn vacant(&self) -> u32 {
        let new = || number(self.slots.len());
        self.free.last().copied().unwrap_or_else(new)
    }

    pub(crate) fn add(&mut self, value: T) -> Handle {
        if let Some(slot) = self.free.pop() {
            let place = &mut self.slots[at(slot)];
            place.value = Some(value);
            return Handle {
                slot,
                generation: place.generation,
            };
        }
        let slot = number(self.slots.len());
        self.slots.push(Slot {
            generation: 0,
            value: Some(value),
        });
        Handle {
            slot,
            generation: 0,
        }
    }

    /// Takes an entry out; its handles find nothing from now on.
    pub(crate) fn take(&mut self, slot: u32) -> Option<T> {
        let value = self.retire(slot)?;
        self.reuse(slot);
        Some(value)
    }

    /// The same, but the slot is not used again before [`Self::reuse`].
    pub(crate) fn retire(&mut self, slot: u32) -> Option<T> {
        let place = self.slots.get_mut(at(slot))?;
        let value = place.value.take()?;
        place.generation = place.generation.wrapping_add(1);
        self.retired += 1;
        Some(value)
    }

    /// Lets a retired slot be used again.
    pub(crate) fn reuse(&mut self, slot: u32) {
        self.retired -= 1;
        self.free.push(slot);
    }

    /// Ends the handles of an entry, and leaves another in its slot.
    pub(crate) fn renew(&mut self, slot: u32, value: T) {
        if let Some(place) = self.slots.get_mut(at(slot)) {
            place.generation = place.generation.wrapping_add(1);
            place.value = Some(value);
        }
    }

    /// The entry a handle was given for, if it lives.
    pub(crate) fn get(&self, handle: Handle) -> Option<&T> {
        let place = self.slots.get(at(handle.slot))?;
        if place.generation == handle.generation {
            place.value.as_ref()
        } else {
            None
        }
    }

    /// The entry of a slot, if one lives there.
    pub(crate) fn at(&self, slot: u32) -> Option<&T> {
        self.slots.get(at(slot))?.value.as_ref()
    }

    /// The same to change it.
    pub(crate) fn at_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.slots.get_mut(at(slot))?.value.as_mut()
    }

    /// The handle of whatever lives in a slot.
    pub(crate) fn handle(&self, slot: u32) -> Handle {
        let generation = self.slots.get(at(slot)).map_or(0, |place| place.generation);
        Handle { slot, generation }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len() - self.retired
    }

    /// How many slots there are, in use or not.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Every entry, by slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(slot, place)| Some((number(slot), place.value.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_finds_its_own_entry_or_nothing() {
        let mut slab = Slab::new();
        let first = slab.add("first");
        assert_eq!(slab.get(first), Some(&"first"));
        assert_eq!(slab.take(first.slot), Some("first"));
        assert_eq!(slab.get(first), None);
        let second = slab.add("second");
        assert_eq!(second.slot, first.slot);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.get(second), Some(&"second"));
        assert_eq!(slab.len(), 1);
        assert_eq!(slab.take(7), None);
    }
}
