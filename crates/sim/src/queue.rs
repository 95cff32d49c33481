//! What is to come, in the order of time and, at one time, in the order it was planned.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// A queue of values by time. The heap holds only small keys; the values lie still.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Reverse<(Instant, u64, u32)>>,
    values: Vec<Option<T>>,
    free: Vec<u32>,
    planned: u64,
}

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            values: Vec::new(),
            free: Vec::new(),
            planned: 0,
        }
    }

    pub(crate) fn push(&mut self, at: Instant, value: T) {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.values.push(None);
                // 2^32 datagrams under way would not fit into memory.
                u32::try_from(self.values.len() - 1).unwrap_or(u32::MAX)
            }
        };
        if let Some(place) = self.values.get_mut(slot as usize) {
            *place = Some(value);
        }
        self.planned += 1;
        self.heap.push(Reverse((at, self.planned, slot)));
    }

    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    pub(crate) fn pop(&mut self) -> Option<(Instant, T)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        let value = self.values.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some((at, value))
    }
}
