//! Who takes which slot: the counts, changed in one insert and one remove.

use std::collections::BTreeMap;

use peerage_core::Direction;

use crate::group::Group;
use crate::types::Standing;

/// Which kind of slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Pending,
    Refusing,
    Active,
}

/// What one session takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) place: Place,
    /// Who opened the connection.
    pub(crate) direction: Direction,
    /// Whose slots it takes. Differs after two nodes dialled each other: the connection that stays
    /// takes over the slot of the one that goes.
    pub(crate) counts_as: Direction,
    pub(crate) standing: Standing,
    pub(crate) group: Option<Group>,
}

/// How many slots are taken. Exempt sessions take none, so that they never keep others out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pending: [usize; 2],
    active: [usize; 2],
    refusing: usize,
    groups: BTreeMap<Group, usize>,
}

const fn index(direction: Direction) -> usize {
    match direction {
        Direction::Inbound => 0,
        Direction::Outbound => 1,
    }
}

impl Counts {
    fn count(&mut self, slot: &Slot) -> Option<&mut usize> {
        match slot.place {
            Place::Refusing => Some(&mut self.refusing),
            Place::Pending | Place::Active if slot.standing.is_exempt() => None,
            Place::Pending => Some(&mut self.pending[index(slot.direction)]),
            Place::Active => Some(&mut self.active[index(slot.counts_as)]),
        }
    }

    /// A slot is taken.
    pub(crate) fn insert(&mut self, slot: &Slot) {
        if let Some(count) = self.count(slot) {
            *count += 1;
        }
        if let Some(group) = slot.group
            && !slot.standing.is_exempt()
        {
            *self.groups.entry(group).or_insert(0) += 1;
        }
    }

    /// A slot is free again.
    pub(crate) fn remove(&mut self, slot: &Slot) {
        if let Some(count) = self.count(slot) {
            *count -= 1;
        }
        if let Some(group) = slot.group
            && !slot.standing.is_exempt()
            && let Some(count) = self.groups.get_mut(&group)
        {
            *count -= 1;
            if *count == 0 {
                let _ = self.groups.remove(&group);
            }
        }
    }

    pub(crate) const fn pending(&self, direction: Direction) -> usize {
        self.pending[index(direction)]
    }

    pub(crate) const fn active(&self, direction: Direction) -> usize {
        self.active[index(direction)]
    }

    pub(crate) const fn refusing(&self) -> usize {
        self.refusing
    }

    pub(crate) fn group(&self, group: Group) -> usize {
        self.groups.get(&group).copied().unwrap_or(0)
    }
}
