//! Which records are news.

use std::collections::{BTreeMap, VecDeque};

use peerage_discv5::{NodeId, Record};

/// Tells each record once, until the node signs a newer one. It remembers a bounded number of
/// nodes; of those told first it may tell again after that many others.
#[derive(Clone, Debug)]
pub struct Fresh {
    told: BTreeMap<NodeId, u64>,
    /// The nodes of `told` in the order in which they were first told.
    order: VecDeque<NodeId>,
    max: usize,
}

impl Fresh {
    /// Remembers at most `max` nodes, about 100 bytes each.
    pub const fn new(max: usize) -> Self {
        Self {
            told: BTreeMap::new(),
            order: VecDeque::new(),
            max,
        }
    }

    /// Whether the record is news. It is not any more afterwards.
    pub fn is_news(&mut self, record: &Record) -> bool {
        let (node, seq) = (record.node_id(), record.seq());
        if let Some(told) = self.told.get_mut(&node) {
            let newer = seq > *told;
            *told = seq.max(*told);
            return newer;
        }
        if self.max == 0 {
            return true;
        }
        if self.told.len() >= self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.told.remove(&oldest);
        }
        self.told.insert(node, seq);
        self.order.push_back(node);
        true
    }

    /// How many nodes are remembered.
    pub fn len(&self) -> usize {
        self.told.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }
}
