//! A binary heap of a shelf's groups. Each group knows its position, so that it can be moved.

use crate::index::Group;
use crate::order::Order;
use crate::pool::{Pool, at, number};

/// A group by the order of its first entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) order: Order,
    pub(crate) group: u32,
}

fn place(heap: &mut [Item], groups: &mut Pool<Group>, position: usize, item: Item) {
    heap[position] = item;
    groups[item.group].position = number(position);
}

fn up(heap: &mut [Item], groups: &mut Pool<Group>, mut position: usize, item: Item) {
    while position > 0 {
        let parent = (position - 1) / 2;
        if heap[parent].order <= item.order {
            break;
        }
        place(heap, groups, position, heap[parent]);
        position = parent;
    }
    place(heap, groups, position, item);
}

fn down(heap: &mut [Item], groups: &mut Pool<Group>, mut position: usize, item: Item) {
    loop {
        let mut child = 2 * position + 1;
        if child >= heap.len() {
            break;
        }
        if child + 1 < heap.len() && heap[child + 1].order < heap[child].order {
            child += 1;
        }
        if item.order <= heap[child].order {
            break;
        }
        place(heap, groups, position, heap[child]);
        position = child;
    }
    place(heap, groups, position, item);
}

pub(crate) fn push(heap: &mut Vec<Item>, groups: &mut Pool<Group>, item: Item) {
    // Most shelves of personal compartments never hold a second group.
    if heap.is_empty() {
        heap.reserve_exact(1);
    }
    heap.push(item);
    let position = heap.len() - 1;
    up(heap, groups, position, item);
}

/// Takes out what is at a position.
pub(crate) fn remove(heap: &mut Vec<Item>, groups: &mut Pool<Group>, position: u32) {
    let position = at(position);
    let Some(last) = heap.pop() else { return };
    if position == heap.len() {
        return;
    }
    if last.order < heap[position].order {
        up(heap, groups, position, last);
    } else {
        down(heap, groups, position, last);
    }
}

/// Gives what is at a position a later order.
pub(crate) fn put_back(heap: &mut [Item], groups: &mut Pool<Group>, position: u32, order: Order) {
    let position = at(position);
    let group = heap[position].group;
    down(heap, groups, position, Item { order, group });
}

/// The first item that is wanted. Looks at the unwanted ones above it and at their children only.
pub(crate) fn first(heap: &[Item], wanted: impl Fn(&Item) -> bool) -> Option<Item> {
    fn search(
        heap: &[Item],
        position: usize,
        wanted: &impl Fn(&Item) -> bool,
        best: &mut Option<Item>,
    ) {
        let Some(item) = heap.get(position) else {
            return;
        };
        if best.is_some_and(|best| best.order < item.order) {
            return;
        }
        if wanted(item) {
            *best = Some(*item);
        } else {
            search(heap, 2 * position + 1, wanted, best);
            search(heap, 2 * position + 2, wanted, best);
        }
    }
    let mut best = None;
    search(heap, 0, &wanted, &mut best);
    best
}

/// Whether no item is before its parent.
pub(crate) fn is_sound(heap: &[Item]) -> bool {
    (1..heap.len()).all(|position| heap[(position - 1) / 2].order < heap[position].order)
}
