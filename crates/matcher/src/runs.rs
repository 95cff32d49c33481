//! A shelf's entries by order, for the one question that the reference's order adds: who comes next
//! after a given one, outside a geography?
//!
//! A run is a stretch of neighbours of one geography. If the next entry is of the unwanted
//! geography, the answer is where the next run starts, for that one is of another by definition.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use crate::geography::Packed;
use crate::index::Found;
use crate::order::Order;

/// Entries by order.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    entries: BTreeMap<Order, (Packed, u32)>,
    /// The first of each run.
    starts: BTreeSet<Order>,
}

impl Runs {
    fn geo_before(&self, order: Order) -> Option<Packed> {
        self.entries
            .range(..order)
            .next_back()
            .map(|(_, &(geo, _))| geo)
    }

    fn next(&self, order: Order) -> Option<(Order, Packed, u32)> {
        let mut after = self.entries.range((Excluded(order), Unbounded));
        after
            .next()
            .map(|(&order, &(geo, entry))| (order, geo, entry))
    }

    /// Whether an entry starts a run follows from the one before it.
    fn mark(&mut self, order: Order, geo: Packed) {
        if self.geo_before(order) == Some(geo) {
            self.starts.remove(&order);
        } else {
            self.starts.insert(order);
        }
    }

    pub(crate) fn insert(&mut self, found: Found, geo: Packed) {
        self.entries.insert(found.order, (geo, found.entry));
        self.mark(found.order, geo);
        if let Some((next, its_geo, _)) = self.next(found.order) {
            self.mark(next, its_geo);
        }
    }

    pub(crate) fn remove(&mut self, order: Order) {
        self.entries.remove(&order);
        self.starts.remove(&order);
        if let Some((next, its_geo, _)) = self.next(order) {
            self.mark(next, its_geo);
        }
    }

    pub(crate) fn first_after(&self, order: Order, exclude: Option<Packed>) -> Option<Found> {
        let (next, geo, entry) = self.next(order)?;
        if exclude != Some(geo) {
            return Some(Found { order: next, entry });
        }
        let mut starts = self.starts.range((Excluded(next), Unbounded));
        let &order = starts.next()?;
        let &(_, entry) = self.entries.get(&order)?;
        Some(Found { order, entry })
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the starts are those of the entries.
    pub(crate) fn is_sound(&self) -> bool {
        let mut before = None;
        let starts = self.entries.iter().filter_map(|(&order, &(geo, _))| {
            let starts = before.replace(geo) != Some(geo);
            starts.then_some(order)
        });
        starts.eq(self.starts.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn successors_are_those_of_a_plain_list(
            changes in proptest::collection::vec((0..24u64, 0..3u64, any::<bool>()), 1..80),
            asked in 0..26u64,
            exclude in proptest::option::of(0..3u64),
        ) {
            let mut runs = Runs::default();
            let mut list: Vec<(u64, u64)> = Vec::new();
            for (order, geo, insert) in changes {
                list.retain(|&(other, _)| other != order);
                runs.remove(Order::new(0, order));
                if insert {
                    list.push((order, geo));
                    let found = Found { order: Order::new(0, order), entry: 7 };
                    runs.insert(found, Packed(geo));
                }
                prop_assert!(runs.is_sound());
                prop_assert_eq!(runs.len(), list.len());
            }
            let after = list.iter().filter(|&&(order, geo)| order > asked && exclude != Some(geo));
            let expected = after.map(|&(order, _)| Order::new(0, order)).min();
            let got = runs.first_after(Order::new(0, asked), exclude.map(Packed));
            prop_assert_eq!(got.map(|found| found.order), expected);
        }
    }
}
