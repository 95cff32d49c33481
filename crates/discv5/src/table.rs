//! The routing table: whom we know, sorted by how near they are to us.
//!
//! It starts as one bucket for every id. A full bucket splits if it covers our own id, or if its
//! depth is no multiple of [`Limits::bits_per_hop`]; otherwise a newcomer waits for a place. So the
//! table is fine-grained near us, and memory is used only where there are nodes.
//!
//! New nodes enter at the *least* recently seen end: only an answer to a request of ours moves a
//! node to the other end and makes it [seen](Entry::seen).

use std::net::IpAddr;

use peerage_core::Endpoint;

pub use crate::bucket::{Bucket, Entry};

use crate::address::{Group, Reach};
use crate::node_id::NodeId;
use crate::record::Record;
use crate::rng::Rng;

/// The table's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nodes of a bucket. 16.
    pub bucket: usize,
    /// Nodes that wait for a place in a bucket. 8.
    pub waiting: usize,
    /// How many bits a hop comes nearer: the depth at which buckets that do not cover our own id
    /// stop to split. 5. At least 1.
    pub bits_per_hop: u16,
    /// Public addresses of one group (IPv4 /24, IPv6 /64) in a bucket, those waiting included. 2.
    pub group_per_bucket: usize,
    /// Public addresses of one group in the table, those waiting included. 10.
    pub group_per_table: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bucket: 16,
            waiting: 8,
            bits_per_hop: 5,
            group_per_bucket: 2,
            group_per_table: 10,
        }
    }
}

/// How far two nodes are apart. The default is XOR; a network of its own may define another.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The distance, most significant byte first: what "nearest" means.
    pub distance: fn(&NodeId, &NodeId) -> [u8; 32],
    /// The logarithmic distance, 0 to 256: what FINDNODE asks by.
    pub log_distance: fn(&NodeId, &NodeId) -> u16,
}

impl Default for Metric {
    fn default() -> Self {
        Self {
            distance: NodeId::xor,
            log_distance: NodeId::log_distance,
        }
    }
}

/// What became of a node offered to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It has a place in a bucket now.
    Inserted,
    /// It had a place, and its record is newer now.
    Updated,
    /// It had a place, and nothing about it is new.
    Known,
    /// It waits for a place.
    Waiting,
    /// It is ourselves.
    Ourselves,
    /// Too many of its address group are in the bucket.
    BucketGroupFull,
    /// Too many of its address group are in the table.
    TableGroupFull,
}

/// What became of a node that did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// It keeps its place for now.
    Kept,
    /// It lost its place, to the one named if anyone waited.
    Replaced(Option<NodeId>),
    /// It had none.
    Unknown,
}

/// The routing table of one node.
#[derive(Clone, Debug)]
pub struct Table {
    local: NodeId,
    limits: Limits,
    metric: Metric,
    /// Sorted by start; together they cover every id exactly once.
    buckets: Vec<Bucket>,
}

impl Table {
    /// The empty table of this node.
    pub fn new(local: NodeId, limits: Limits, metric: Metric) -> Self {
        Self {
            local,
            limits,
            metric,
            buckets: vec![Bucket::whole()],
        }
    }

    /// Offers a node. It enters unseen; if it is already here, a newer record replaces the older
    /// and what is known of the node stays.
    pub fn add(&mut self, record: Record, endpoint: Endpoint) -> Added {
        let id = record.node_id();
        if id == self.local {
            return Added::Ourselves;
        }
        let mut at = self.bucket_of(&id);
        if let Some(slot) = self.buckets[at].position(&id) {
            return self.update(at, slot, record, endpoint);
        }
        // Its own waiting entry is replaced, so it does not count against the newcomer.
        let bucket = &mut self.buckets[at];
        let slot = bucket.waiting_position(&id);
        let waited = slot.and_then(|slot| bucket.waiting.remove(slot));
        let refusal = self.refusal(at, endpoint.ip(), &id);
        let mut entry = match waited {
            Some(waited) if waited.record.seq() >= record.seq() => waited,
            Some(waited) => {
                if let Some(refusal) = refusal {
                    self.buckets[at].waiting.push_back(waited);
                    return refusal;
                }
                Entry {
                    record,
                    endpoint,
                    ..waited
                }
            }
            None => match refusal {
                Some(refusal) => return refusal,
                None => Entry::new(record, endpoint),
            },
        };
        loop {
            let bucket = &mut self.buckets[at];
            if bucket.nodes.len() < self.limits.bucket {
                bucket.nodes.push(entry);
                return Added::Inserted;
            }
            let is_ours = bucket.covers(&self.local);
            let may_split =
                is_ours || !bucket.depth.is_multiple_of(self.limits.bits_per_hop.max(1));
            if !may_split || bucket.depth >= 256 {
                break;
            }
            let upper = bucket.split();
            if upper.covers(&id) {
                self.buckets.insert(at + 1, upper);
                at += 1;
            } else {
                self.buckets.insert(at + 1, upper);
            }
        }
        if self.limits.waiting == 0 {
            return Added::Waiting;
        }
        let waiting = &mut self.buckets[at].waiting;
        while waiting.len() >= self.limits.waiting {
            waiting.pop_front();
        }
        entry.failures = 0;
        waiting.push_back(entry);
        Added::Waiting
    }

    fn update(&mut self, at: usize, slot: usize, record: Record, endpoint: Endpoint) -> Added {
        let present = &self.buckets[at].nodes[slot];
        if present.record.seq() >= record.seq() {
            return Added::Known;
        }
        if Group::of(present.endpoint.ip()) != Group::of(endpoint.ip()) {
            let id = record.node_id();
            if let Some(refusal) = self.refusal(at, endpoint.ip(), &id) {
                return refusal;
            }
        }
        let present = &mut self.buckets[at].nodes[slot];
        present.record = record;
        present.endpoint = endpoint;
        Added::Updated
    }

    /// Why an address may not enter, if it may not. `id` itself does not count. The counts are
    /// taken anew each time, so that no split, update or removal can leave them wrong.
    fn refusal(&self, at: usize, ip: IpAddr, id: &NodeId) -> Option<Added> {
        if !Reach::of(ip).is_limited() {
            return None;
        }
        let group = Group::of(ip);
        let same = |bucket: &Bucket| {
            let others = bucket.everyone().filter(|entry| entry.id() != *id);
            others
                .filter(|entry| Group::of(entry.endpoint.ip()) == group)
                .count()
        };
        if same(&self.buckets[at]) >= self.limits.group_per_bucket {
            return Some(Added::BucketGroupFull);
        }
        let in_table: usize = self.buckets.iter().map(same).sum();
        (in_table >= self.limits.group_per_table).then_some(Added::TableGroupFull)
    }

    /// The node has answered a request of ours, from `endpoint`.
    pub fn mark_seen(&mut self, id: &NodeId, endpoint: Endpoint) -> bool {
        let at = self.bucket_of(id);
        let bucket = &mut self.buckets[at];
        let Some(slot) = bucket.position(id) else {
            return false;
        };
        let entry = &mut bucket.nodes[slot];
        entry.seen = true;
        entry.failures = 0;
        // The other family's address of the same record, if it was that which answered.
        if Group::of(entry.endpoint.ip()) == Group::of(endpoint.ip())
            || crate::record::Family::BOTH
                .iter()
                .any(|family| entry.record.udp_endpoint(*family) == Some(endpoint))
        {
            entry.endpoint = endpoint;
        }
        bucket.move_to_front(slot);
        true
    }

    /// The node has left a request of ours unanswered; after `max_failures` in a row it is
    /// replaced, unless it is a boot node.
    pub fn mark_failed(&mut self, id: &NodeId, max_failures: u8) -> Failed {
        let at = self.bucket_of(id);
        let Some(slot) = self.buckets[at].position(id) else {
            return Failed::Unknown;
        };
        let entry = &mut self.buckets[at].nodes[slot];
        entry.failures = entry.failures.saturating_add(1);
        if entry.is_boot || entry.failures < max_failures {
            return Failed::Kept;
        }
        self.replace(id)
    }

    /// Takes a node's place away, boot node or not, and gives it to the newest that waits.
    pub fn replace(&mut self, id: &NodeId) -> Failed {
        let at = self.bucket_of(id);
        let bucket = &mut self.buckets[at];
        if let Some(slot) = bucket.waiting_position(id) {
            bucket.waiting.remove(slot);
        }
        let Some(slot) = bucket.position(id) else {
            return Failed::Unknown;
        };
        bucket.nodes.remove(slot);
        let promoted = bucket.waiting.pop_back();
        let promoted_id = promoted.as_ref().map(Entry::id);
        bucket.nodes.extend(promoted);
        Failed::Replaced(promoted_id)
    }

    /// Marks a node as a boot node, if it has a place.
    pub fn mark_boot(&mut self, id: &NodeId) {
        let at = self.bucket_of(id);
        let bucket = &mut self.buckets[at];
        if let Some(slot) = bucket.position(id) {
            bucket.nodes[slot].is_boot = true;
        }
    }

    /// The node with this id, if it has a place.
    pub fn node(&self, id: &NodeId) -> Option<&Entry> {
        let bucket = &self.buckets[self.bucket_of(id)];
        bucket.nodes.iter().find(|entry| entry.id() == *id)
    }

    /// Every node that has a place, in the order of the buckets.
    pub fn nodes(&self) -> impl Iterator<Item = &Entry> {
        self.buckets.iter().flat_map(|bucket| &bucket.nodes)
    }

    /// The buckets, in the order of their ranges.
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// How many nodes have a place.
    pub fn len(&self) -> usize {
        self.buckets.iter().map(|bucket| bucket.nodes.len()).sum()
    }

    /// Whether no node has a place.
    pub fn is_empty(&self) -> bool {
        self.nodes().next().is_none()
    }

    /// How many nodes have a place and have answered us.
    pub fn seen_len(&self) -> usize {
        self.nodes().filter(|entry| entry.seen).count()
    }

    /// How many nodes are nearer to us than this one.
    pub fn rank(&self, id: &NodeId) -> usize {
        let distance = |id: &NodeId| (self.metric.distance)(&self.local, id);
        let of_it = distance(id);
        self.nodes().filter(|e| distance(&e.id()) < of_it).count()
    }

    /// The nodes nearest to `target` that `wanted` accepts, at most `count`, the nearest first.
    pub fn neighbours(
        &self,
        target: &NodeId,
        count: usize,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Vec<&Entry> {
        let mut found: Vec<_> = self
            .nodes()
            .filter(|entry| wanted(entry))
            .map(|entry| ((self.metric.distance)(target, &entry.id()), entry))
            .collect();
        if count < found.len() && count > 0 {
            found.select_nth_unstable_by_key(count, |(distance, _)| *distance);
        }
        found.truncate(count);
        found.sort_unstable_by_key(|(distance, _)| *distance);
        found.into_iter().map(|(_, entry)| entry).collect()
    }

    /// Nodes at the given logarithmic distances from us that `wanted` accepts, at most `count`.
    /// The distances take turns, so that the first does not use up the answer; of those at one
    /// distance each is as likely as any other, so that who asks often learns them all.
    pub fn neighbours_at_distances(
        &self,
        rng: &mut Rng,
        distances: &[u16],
        count: usize,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Vec<&Entry> {
        let mut at: Vec<Vec<&Entry>> = vec![Vec::new(); distances.len()];
        for entry in self.nodes() {
            let distance = (self.metric.log_distance)(&self.local, &entry.id());
            let asked = distances.iter().position(|asked| *asked == distance);
            if let Some(list) = asked.and_then(|asked| at.get_mut(asked))
                && wanted(entry)
            {
                list.push(entry);
            }
        }
        for list in &mut at {
            draw(rng, list, count);
        }
        let longest = at.iter().map(Vec::len).max().unwrap_or(0);
        let turns = (0..longest).flat_map(|turn| at.iter().filter_map(move |list| list.get(turn)));
        turns.take(count).copied().collect()
    }

    /// At most `count` nodes that `wanted` accepts, each as likely as any other.
    pub fn random_nodes(
        &self,
        rng: &mut Rng,
        count: usize,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Vec<&Entry> {
        let mut found: Vec<_> = self.nodes().filter(|entry| wanted(entry)).collect();
        draw(rng, &mut found, count);
        found
    }

    /// The least recently seen node of a random bucket: the one to ask whether it is still there.
    pub fn node_to_revalidate(&self, rng: &mut Rng) -> Option<&Entry> {
        let occupied = self
            .buckets
            .iter()
            .filter(|bucket| !bucket.nodes.is_empty());
        let occupied: Vec<_> = occupied.collect();
        let bucket = occupied.get(rng.below(occupied.len()))?;
        bucket.nodes.last()
    }

    /// The most recently seen node of a random bucket: the one most likely to answer.
    pub fn node_to_rely_on(&self, rng: &mut Rng) -> Option<&Entry> {
        let seen = self.buckets.iter().filter_map(|bucket| {
            let first = bucket.nodes.first();
            first.filter(|entry| entry.seen)
        });
        let seen: Vec<_> = seen.collect();
        seen.get(rng.below(seen.len())).copied()
    }

    /// Where the bucket of an id is.
    fn bucket_of(&self, id: &NodeId) -> usize {
        // The first starts at zero, so at least one starts at or before the id.
        let after = self.buckets.partition_point(|bucket| bucket.start <= *id);
        after.saturating_sub(1)
    }
}

/// Leaves at most `count` of a list, each as likely as any other, in random order.
fn draw<T>(rng: &mut Rng, list: &mut Vec<T>, count: usize) {
    let count = count.min(list.len());
    for at in 0..count {
        let other = at + rng.below(list.len() - at);
        list.swap(at, other);
    }
    list.truncate(count);
}
