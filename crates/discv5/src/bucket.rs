//! One bucket of the routing table: the nodes whose ids share a prefix.

use std::collections::VecDeque;

use peerage_core::Endpoint;

use crate::node_id::NodeId;
use crate::record::Record;

/// A node as the table knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its record.
    pub record: Record,
    /// Where it answers, or is expected to.
    pub endpoint: Endpoint,
    /// Whether it has ever answered a request of ours. Only such nodes are passed on to others.
    pub seen: bool,
    /// How many requests in a row it has left unanswered.
    pub failures: u8,
    /// A boot node: never replaced for silence.
    pub is_boot: bool,
}

impl Entry {
    /// A node that has not answered yet.
    pub const fn new(record: Record, endpoint: Endpoint) -> Self {
        Self {
            record,
            endpoint,
            seen: false,
            failures: 0,
            is_boot: false,
        }
    }

    /// The node's id.
    pub const fn id(&self) -> NodeId {
        self.record.node_id()
    }
}

/// The nodes whose ids begin with the same `depth` bits.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// The lowest id of the range: the prefix, then zeros.
    pub(crate) start: NodeId,
    /// How many bits the ids share, 0 to 256.
    pub(crate) depth: u16,
    /// The most recently seen first.
    pub(crate) nodes: Vec<Entry>,
    /// Who waits for a place, the newest last. Empty and without memory until it is needed.
    pub(crate) waiting: VecDeque<Entry>,
}

impl Bucket {
    /// A bucket for every id.
    pub(crate) const fn whole() -> Self {
        Self {
            start: NodeId([0; 32]),
            depth: 0,
            nodes: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// The nodes, the most recently seen first.
    pub fn nodes(&self) -> &[Entry] {
        &self.nodes
    }

    /// Those that wait for a place, the newest last.
    pub fn waiting(&self) -> impl Iterator<Item = &Entry> {
        self.waiting.iter()
    }

    /// How many bits the ids share.
    pub const fn depth(&self) -> u16 {
        self.depth
    }

    /// Whether the id is in the range.
    pub fn covers(&self, id: &NodeId) -> bool {
        256 - self.start.log_distance(id) >= self.depth
    }

    /// Every entry, those that wait included.
    pub(crate) fn everyone(&self) -> impl Iterator<Item = &Entry> {
        self.nodes.iter().chain(&self.waiting)
    }

    pub(crate) fn position(&self, id: &NodeId) -> Option<usize> {
        self.nodes.iter().position(|entry| entry.id() == *id)
    }

    pub(crate) fn waiting_position(&self, id: &NodeId) -> Option<usize> {
        self.waiting.iter().position(|entry| entry.id() == *id)
    }

    /// Moves a node to the most recently seen end.
    pub(crate) fn move_to_front(&mut self, at: usize) {
        if let Some(part) = self.nodes.get_mut(..=at) {
            part.rotate_right(1);
        }
    }

    /// Halves the range: `self` keeps the lower half, the upper is returned.
    pub(crate) fn split(&mut self) -> Self {
        let (byte, bit) = (usize::from(self.depth / 8), self.depth % 8);
        let mut start = self.start;
        // The depth is below 256: a bucket of one id is never full.
        if let Some(byte) = start.0.get_mut(byte) {
            *byte |= 0x80 >> bit;
        }
        self.depth += 1;
        let mut upper = Self {
            start,
            depth: self.depth,
            nodes: Vec::new(),
            waiting: VecDeque::new(),
        };
        let (up, down) = std::mem::take(&mut self.nodes)
            .into_iter()
            .partition(|entry| upper.covers(&entry.id()));
        (upper.nodes, self.nodes) = (up, down);
        let (up, down) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|entry| upper.covers(&entry.id()));
        (upper.waiting, self.waiting) = (up, down);
        upper
    }
}
