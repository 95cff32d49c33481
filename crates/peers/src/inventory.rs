//! Which peers have which block or transaction: a hint for where to ask first.
//!
//! The rules of registration are zebra's; the bounds too, but one peer cannot push everybody else
//! out. What failed for want of a connection is never registered: such errors, noted as "missing",
//! once kept nodes from syncing (zebra issue 5709).

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How much is remembered, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InventoryRules {
    /// Marks are forgotten after one to two of these.
    pub rotation: Duration,
    /// Hashes per rotation; the oldest make room.
    pub hashes: usize,
    /// Peers per hash; further ones are not noted.
    pub peers: usize,
    /// Marks per peer and rotation; further ones are not noted.
    pub per_peer: usize,
}

/// 53 s, 1,000 hashes of 70 peers (zebra-network 15).
impl Default for InventoryRules {
    fn default() -> Self {
        Self {
            rotation: Duration::from_secs(53),
            hashes: 1000,
            peers: 70,
            per_peer: 100,
        }
    }
}

/// One entry of an `inv` or `notfound`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<H> {
    /// A transaction, by whichever id.
    Transaction(H),
    /// A block.
    Block(H),
    /// An error, a filtered block, or a type not known: not registered.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Available,
    Missing,
}

#[derive(Clone, Debug)]
struct Generation<H, P> {
    marks: BTreeMap<H, BTreeMap<P, Mark>>,
    /// The hashes of `marks`, oldest first.
    order: VecDeque<H>,
    /// How many marks each peer has in `marks`.
    counts: BTreeMap<P, usize>,
}

impl<H, P> Default for Generation<H, P> {
    fn default() -> Self {
        Self {
            marks: BTreeMap::new(),
            order: VecDeque::new(),
            counts: BTreeMap::new(),
        }
    }
}

impl<H: Ord + Clone, P: Ord + Clone> Generation<H, P> {
    fn add(&mut self, rules: &InventoryRules, hash: &H, peer: &P, mark: Mark) {
        if let Some(old) = self
            .marks
            .get_mut(hash)
            .and_then(|peers| peers.get_mut(peer))
        {
            // What was missing a moment ago is not there because the peer says so again.
            if mark == Mark::Missing {
                *old = mark;
            }
            return;
        }
        if self
            .counts
            .get(peer)
            .is_some_and(|count| *count >= rules.per_peer)
        {
            return;
        }
        let known = self.marks.get(hash);
        if known.is_some_and(|peers| peers.len() >= rules.peers) || rules.hashes == 0 {
            return;
        }
        if known.is_none() {
            if self.order.len() >= rules.hashes {
                self.drop_oldest();
            }
            self.order.push_back(hash.clone());
        }
        let peers = self.marks.entry(hash.clone()).or_default();
        let _ = peers.insert(peer.clone(), mark);
        *self.counts.entry(peer.clone()).or_insert(0) += 1;
    }

    fn drop_oldest(&mut self) {
        let oldest = self.order.pop_front();
        let peers = oldest.and_then(|hash| self.marks.remove(&hash));
        for peer in peers.into_iter().flat_map(BTreeMap::into_keys) {
            self.uncount(&peer);
        }
    }

    fn uncount(&mut self, peer: &P) {
        if let Some(count) = self.counts.get_mut(peer) {
            *count -= 1;
            if *count == 0 {
                let _ = self.counts.remove(peer);
            }
        }
    }

    fn forget(&mut self, peer: &P) {
        if self.counts.remove(peer).is_none() {
            return;
        }
        self.marks.retain(|_, peers| {
            let _ = peers.remove(peer);
            !peers.is_empty()
        });
        let marks = &self.marks;
        self.order.retain(|hash| marks.contains_key(hash));
    }
}

/// The registry.
#[derive(Clone, Debug)]
pub struct Inventory<H, P> {
    rules: InventoryRules,
    current: Generation<H, P>,
    previous: Generation<H, P>,
    rotate_at: Instant,
}

impl<H: Ord + Clone + Debug, P: Ord + Clone + Debug> Inventory<H, P> {
    /// An empty one.
    pub fn new(rules: InventoryRules, now: Instant) -> Self {
        Self {
            rules,
            current: Generation::default(),
            previous: Generation::default(),
            rotate_at: now + rules.rotation,
        }
    }

    fn turn(&mut self, now: Instant) {
        if now < self.rotate_at {
            return;
        }
        let missed = now.saturating_duration_since(self.rotate_at) >= self.rules.rotation;
        self.previous = std::mem::take(&mut self.current);
        if missed {
            self.previous = Generation::default();
        }
        self.rotate_at = now + self.rules.rotation;
    }

    /// A peer announces. One block alone is an announcement; more of them are a reply to
    /// `getblocks`, and say nothing about who has them for long. Transactions count in either case.
    pub fn inv(&mut self, now: Instant, peer: &P, items: &[Item<H>]) {
        self.turn(now);
        if let [Item::Block(hash)] = items {
            self.current.add(&self.rules, hash, peer, Mark::Available);
            return;
        }
        // Beyond these the peer has its share anyway.
        for item in items.iter().take(self.rules.per_peer) {
            if let Item::Transaction(hash) = item {
                self.current.add(&self.rules, hash, peer, Mark::Available);
            }
        }
    }

    /// A peer has not got what it was asked for.
    pub fn not_found(&mut self, now: Instant, peer: &P, items: &[Item<H>]) {
        self.turn(now);
        for item in items.iter().take(self.rules.per_peer) {
            match item {
                Item::Transaction(hash) | Item::Block(hash) => {
                    self.current.add(&self.rules, hash, peer, Mark::Missing);
                }
                Item::Other => {}
            }
        }
    }

    fn with(&mut self, now: Instant, hash: &H, mark: Mark) -> Vec<P> {
        self.turn(now);
        let mut marks = self.previous.marks.get(hash).cloned().unwrap_or_default();
        if let Some(newer) = self.current.marks.get(hash) {
            marks.extend(newer.iter().map(|(peer, mark)| (peer.clone(), *mark)));
        }
        let found = marks.into_iter().filter(|(_, found)| *found == mark);
        found.map(|(peer, _)| peer).collect()
    }

    /// The peers that announced it and have not been without it since.
    pub fn available(&mut self, now: Instant, hash: &H) -> Vec<P> {
        self.with(now, hash, Mark::Available)
    }

    /// The peers that had not got it.
    pub fn missing(&mut self, now: Instant, hash: &H) -> Vec<P> {
        self.with(now, hash, Mark::Missing)
    }

    /// The peer is gone.
    pub fn forget(&mut self, peer: &P) {
        self.current.forget(peer);
        self.previous.forget(peer);
    }

    /// How many marks are remembered.
    pub fn len(&self) -> usize {
        let count = |generation: &Generation<H, P>| generation.counts.values().sum::<usize>();
        count(&self.current) + count(&self.previous)
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Recomputes what is derived.
    ///
    /// # Errors
    /// What differs.
    pub fn check(&self) -> Result<(), String> {
        for generation in [&self.current, &self.previous] {
            let mut counts: BTreeMap<P, usize> = BTreeMap::new();
            for peer in generation.marks.values().flat_map(BTreeMap::keys) {
                *counts.entry(peer.clone()).or_insert(0) += 1;
            }
            if counts != generation.counts {
                return Err(format!("{counts:?} but {:?}", generation.counts));
            }
            let mut order: Vec<_> = generation.order.iter().collect();
            order.sort();
            if !order.into_iter().eq(generation.marks.keys()) {
                return Err("the order has other hashes than the marks".to_owned());
            }
            if generation.order.len() > self.rules.hashes {
                return Err(format!("{} hashes", generation.order.len()));
            }
        }
        Ok(())
    }
}
