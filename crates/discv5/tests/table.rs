//! The routing table, beside a naive model: one list for every bucket rule, recounted each time.

use std::collections::BTreeSet;
use std::net::IpAddr;

use peerage_core::Endpoint;
use peerage_discv5::record::Builder;
use peerage_discv5::rng::Rng;
use peerage_discv5::table::{Added, Entry, Failed, Limits, Metric, Table};
use peerage_discv5::{NodeId, Record};
use proptest::prelude::*;

use crate::records::key;

/// Nodes made once: signing is the slow part.
fn pool() -> &'static [Record] {
    static POOL: std::sync::OnceLock<Vec<Record>> = std::sync::OnceLock::new();
    POOL.get_or_init(|| {
        (1..=240u8)
            .map(|seed| Builder::new(1).sign(&key(seed)).unwrap())
            .collect()
    })
}

fn newer(record: &Record, seed: u8) -> Record {
    record
        .to_builder()
        .uint("n", record.seq())
        .sign(&key(seed))
        .unwrap()
}

fn local() -> NodeId {
    Builder::new(1).sign(&key(250)).unwrap().node_id()
}

/// A public address; every `group` is a /24 of its own.
fn public(group: u8, host: u8) -> Endpoint {
    Endpoint::new(IpAddr::from([20, 0, group, host]), 9000)
}

fn private(host: u8) -> Endpoint {
    Endpoint::new(IpAddr::from([10, 0, 0, host]), 9000)
}

const LIMITS: Limits = Limits {
    bucket: 3,
    waiting: 2,
    bits_per_hop: 2,
    group_per_bucket: 2,
    group_per_table: 4,
};

/// A bucket as a pair of lists of ids, and its prefix as text of zeros and ones.
#[derive(Clone, Debug, Default, PartialEq)]
struct ModelBucket {
    prefix: String,
    nodes: Vec<(Record, Endpoint, bool, u8)>,
    waiting: Vec<(Record, Endpoint, bool, u8)>,
}

fn bits(id: &NodeId) -> String {
    id.0.iter().map(|byte| format!("{byte:08b}")).collect()
}

struct Model {
    buckets: Vec<ModelBucket>,
}

impl Model {
    fn group_count(bucket: &ModelBucket, id: &NodeId, ip: IpAddr) -> usize {
        let IpAddr::V4(ip) = ip else { panic!() };
        let all = bucket.nodes.iter().chain(&bucket.waiting);
        all.filter(|(record, at, ..)| {
            let IpAddr::V4(other) = at.ip() else { panic!() };
            record.node_id() != *id && other.octets()[..3] == ip.octets()[..3]
        })
        .count()
    }

    fn refuses(&self, at: usize, id: &NodeId, endpoint: Endpoint) -> Option<Added> {
        if endpoint.ip().to_string().starts_with("10.") {
            return None;
        }
        if Self::group_count(&self.buckets[at], id, endpoint.ip()) >= LIMITS.group_per_bucket {
            return Some(Added::BucketGroupFull);
        }
        let all = self.buckets.iter();
        let count: usize = all.map(|b| Self::group_count(b, id, endpoint.ip())).sum();
        (count >= LIMITS.group_per_table).then_some(Added::TableGroupFull)
    }

    fn find(&self, id: &NodeId) -> usize {
        let bits = bits(id);
        let at = self
            .buckets
            .iter()
            .position(|b| bits.starts_with(&b.prefix));
        at.unwrap()
    }

    fn add(&mut self, record: Record, endpoint: Endpoint) -> Added {
        let id = record.node_id();
        if id == local() {
            return Added::Ourselves;
        }
        let at = self.find(&id);
        let refusal = self.refuses(at, &id, endpoint);
        let known = |list: &[(Record, Endpoint, bool, u8)]| {
            list.iter().position(|(other, ..)| other.node_id() == id)
        };
        if let Some(slot) = known(&self.buckets[at].nodes) {
            let present = &mut self.buckets[at].nodes[slot];
            if present.0.seq() >= record.seq() {
                return Added::Known;
            }
            let moved = present.1.ip() != endpoint.ip();
            if let (true, Some(refusal)) = (moved, refusal) {
                // Within one group nothing is counted anew.
                let same = format!("{}", present.1.ip())
                    .rsplit_once('.')
                    .unwrap()
                    .0
                    .to_owned();
                if !endpoint.ip().to_string().starts_with(&format!("{same}.")) {
                    return refusal;
                }
            }
            present.0 = record;
            present.1 = endpoint;
            return Added::Updated;
        }
        let mut entry = (record, endpoint, false, 0);
        if let Some(slot) = known(&self.buckets[at].waiting) {
            let waited = self.buckets[at].waiting.remove(slot);
            if waited.0.seq() >= entry.0.seq() {
                entry = waited;
            } else if let Some(refusal) = refusal {
                self.buckets[at].waiting.push(waited);
                return refusal;
            }
        } else if let Some(refusal) = refusal {
            return refusal;
        }
        loop {
            let at = self.find(&id);
            let bucket = &mut self.buckets[at];
            if bucket.nodes.len() < LIMITS.bucket {
                bucket.nodes.push(entry);
                return Added::Inserted;
            }
            let ours = bits(&local()).starts_with(&bucket.prefix);
            let depth = bucket.prefix.len();
            if !ours && depth.is_multiple_of(usize::from(LIMITS.bits_per_hop)) {
                bucket.waiting.push(entry);
                if bucket.waiting.len() > LIMITS.waiting {
                    bucket.waiting.remove(0);
                }
                return Added::Waiting;
            }
            let old = self.buckets.remove(at);
            for digit in ["1", "0"] {
                let prefix = format!("{}{digit}", old.prefix);
                let within = |list: &[(Record, Endpoint, bool, u8)]| {
                    let fits = list
                        .iter()
                        .filter(|(r, ..)| bits(&r.node_id()).starts_with(&prefix));
                    fits.cloned().collect()
                };
                let (nodes, waiting) = (within(&old.nodes), within(&old.waiting));
                self.buckets.insert(
                    at,
                    ModelBucket {
                        prefix,
                        nodes,
                        waiting,
                    },
                );
            }
        }
    }

    fn seen(&mut self, id: &NodeId) {
        let at = self.find(id);
        let nodes = &mut self.buckets[at].nodes;
        if let Some(slot) = nodes.iter().position(|(r, ..)| r.node_id() == *id) {
            let mut entry = nodes.remove(slot);
            entry.2 = true;
            entry.3 = 0;
            nodes.insert(0, entry);
        }
    }

    fn failed(&mut self, id: &NodeId, max: u8) {
        let at = self.find(id);
        let bucket = &mut self.buckets[at];
        let slot = bucket.nodes.iter().position(|(r, ..)| r.node_id() == *id);
        let Some(slot) = slot else { return };
        bucket.nodes[slot].3 += 1;
        if bucket.nodes[slot].3 >= max {
            bucket.nodes.remove(slot);
            bucket.waiting.retain(|(r, ..)| r.node_id() != *id);
            bucket.nodes.extend(bucket.waiting.pop());
        }
    }
}

fn shape(table: &Table) -> Vec<ModelBucket> {
    let entry = |e: &Entry| (e.record.clone(), e.endpoint, e.seen, e.failures);
    let bucket = |b: &peerage_discv5::table::Bucket| {
        let mut prefix = String::new();
        if let Some(first) = b.nodes().first().or(b.waiting().next()) {
            prefix = bits(&first.id())[..usize::from(b.depth())].to_owned();
        }
        ModelBucket {
            prefix,
            nodes: b.nodes().iter().map(entry).collect(),
            waiting: b.waiting().map(entry).collect(),
        }
    };
    let used = table.buckets().iter().map(bucket);
    used.filter(|b| !b.nodes.is_empty() || !b.waiting.is_empty())
        .collect()
}

#[derive(Clone, Debug)]
enum Op {
    Add(u8, Endpoint),
    AddNewer(u8, Endpoint),
    Seen(u8),
    Failed(u8),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let endpoint = prop_oneof![
        (0u8..20, 0u8..3).prop_map(|(group, host)| public(group, host)),
        (0u8..9).prop_map(private),
    ];
    let node = 0u8..240;
    let op = prop_oneof![
        6 => (node.clone(), endpoint.clone()).prop_map(|(n, e)| Op::Add(n, e)),
        2 => (node.clone(), endpoint).prop_map(|(n, e)| Op::AddNewer(n, e)),
        2 => node.clone().prop_map(Op::Seen),
        2 => node.prop_map(Op::Failed),
    ];
    proptest::collection::vec(op, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_table_does_what_the_model_does(ops in ops()) {
        let mut table = Table::new(local(), LIMITS, Metric::default());
        let mut model = Model { buckets: vec![ModelBucket::default()] };
        let mut newest: Vec<Record> = pool().to_vec();
        for op in ops {
            match op {
                Op::Add(n, endpoint) => {
                    let record = newest[usize::from(n)].clone();
                    let got = table.add(record.clone(), endpoint);
                    prop_assert_eq!(got, model.add(record, endpoint));
                }
                Op::AddNewer(n, endpoint) => {
                    let record = newer(&newest[usize::from(n)], n + 1);
                    newest[usize::from(n)] = record.clone();
                    let got = table.add(record.clone(), endpoint);
                    prop_assert_eq!(got, model.add(record, endpoint));
                }
                Op::Seen(n) => {
                    let id = newest[usize::from(n)].node_id();
                    let endpoint = table.node(&id).map(|entry| entry.endpoint);
                    table.mark_seen(&id, endpoint.unwrap_or(private(1)));
                    model.seen(&id);
                }
                Op::Failed(n) => {
                    let id = newest[usize::from(n)].node_id();
                    table.mark_failed(&id, 2);
                    model.failed(&id, 2);
                }
            }
            let mut expected = model.buckets.clone();
            expected.retain(|b| !b.nodes.is_empty() || !b.waiting.is_empty());
            prop_assert_eq!(shape(&table), expected);
        }
        let ids: BTreeSet<_> = table.nodes().map(Entry::id).collect();
        prop_assert_eq!(ids.len(), table.len(), "each node once");
        let target = NodeId([0x5a; 32]);
        let mut by_distance: Vec<_> = ids.iter().map(|id| target.xor(id)).collect();
        by_distance.sort();
        by_distance.truncate(5);
        let nearest = table.neighbours(&target, 5, |_| true);
        let nearest: Vec<_> = nearest.iter().map(|e| target.xor(&e.id())).collect();
        prop_assert_eq!(nearest, by_distance);
    }
}

fn full(limits: Limits) -> Table {
    let mut table = Table::new(local(), limits, Metric::default());
    for record in pool() {
        table.add(record.clone(), private(1));
    }
    table
}

#[test]
fn private_addresses_are_not_limited_and_public_ones_are() {
    let all = full(Limits {
        bucket: 300,
        ..Limits::default()
    });
    assert_eq!(all.len(), 240);
    let mut table = Table::new(local(), Limits::default(), Metric::default());
    let mut refused = BTreeSet::new();
    for record in pool() {
        let added = table.add(record.clone(), public(1, 1));
        if added != Added::Inserted && added != Added::Waiting {
            refused.insert(format!("{added:?}"));
        }
    }
    assert!(table.len() <= 10);
    assert!(refused.contains("BucketGroupFull"), "{refused:?}");
}

#[test]
fn the_limit_of_the_table_counts_over_all_buckets() {
    let limits = Limits {
        bucket: 1,
        group_per_bucket: 9,
        group_per_table: 3,
        ..Limits::default()
    };
    let mut table = Table::new(local(), limits, Metric::default());
    let added: Vec<_> = pool()
        .iter()
        .map(|r| table.add(r.clone(), public(1, 1)))
        .collect();
    let within = |a: &&Added| matches!(a, Added::Inserted | Added::Waiting);
    assert_eq!(added.iter().filter(within).count(), 3);
    assert_eq!(added.last(), Some(&Added::TableGroupFull));
}

#[test]
fn ourselves_are_never_in_the_table() {
    let mut table = full(Limits::default());
    let us = Builder::new(1).sign(&key(250)).unwrap();
    assert_eq!(table.add(us, private(1)), Added::Ourselves);
}

#[test]
fn a_newer_record_inherits_that_the_node_was_seen_and_an_older_changes_nothing() {
    let mut table = Table::new(local(), Limits::default(), Metric::default());
    let first = pool()[0].clone();
    let second = newer(&first, 1);
    let id = first.node_id();
    assert_eq!(table.add(first.clone(), private(1)), Added::Inserted);
    assert!(!table.node(&id).unwrap().seen);
    assert!(table.mark_seen(&id, private(1)));
    assert_eq!(table.add(second.clone(), private(2)), Added::Updated);
    let entry = table.node(&id).unwrap();
    assert!(entry.seen && entry.record == second && entry.endpoint == private(2));
    assert_eq!(table.add(first, private(1)), Added::Known);
    assert_eq!(table.node(&id).unwrap().record, second);
}

#[test]
fn a_boot_node_is_not_replaced_for_silence() {
    let mut table = Table::new(local(), Limits::default(), Metric::default());
    let id = pool()[0].node_id();
    table.add(pool()[0].clone(), private(1));
    table.mark_boot(&id);
    for _ in 0..1000 {
        assert_eq!(table.mark_failed(&id, 1), Failed::Kept);
    }
    assert_eq!(table.replace(&id), Failed::Replaced(None));
    assert_eq!(table.mark_failed(&id, 1), Failed::Unknown);
}

#[test]
fn distances_take_turns_in_an_answer() {
    let table = full(Limits::default());
    let count = |distances: &[u16], k| {
        let found = table.neighbours_at_distances(&mut Rng::new([1; 32]), distances, k, |_| true);
        let distances: Vec<_> = found
            .iter()
            .map(|e| local().log_distance(&e.id()))
            .collect();
        distances
    };
    let both = count(&[256, 255], 8);
    assert_eq!(both.iter().filter(|d| **d == 256).count(), 4, "{both:?}");
    assert_eq!(both.iter().filter(|d| **d == 255).count(), 4);
    assert_eq!(count(&[3], 8), [0u16; 0]);
    assert!(count(&[256, 255, 254, 253], 1000).len() > 16);
    let mut rng = Rng::new([2; 32]);
    let seen = table.neighbours_at_distances(&mut rng, &[256], 16, |e| e.seen);
    assert!(seen.is_empty());
    let mut met = BTreeSet::new();
    for _ in 0..400 {
        let found = table.neighbours_at_distances(&mut rng, &[256], 4, |_| true);
        met.extend(found.iter().map(|e| e.id()));
    }
    let all = table
        .nodes()
        .filter(|e| local().log_distance(&e.id()) == 256);
    assert_eq!(met.len(), all.count(), "each in its turn");
}

#[test]
fn the_table_splits_near_us_and_up_to_the_hop_elsewhere() {
    let table = full(Limits {
        bits_per_hop: 1,
        ..Limits::default()
    });
    let depth_of_others = table.buckets().iter().filter(|b| !b.covers(&local()));
    // With one bit a hop only buckets on the way to us split: one for each depth.
    let mut depths: Vec<_> = depth_of_others.map(|b| b.depth()).collect();
    depths.sort_unstable();
    let expected: Vec<u16> = (1..=u16::try_from(depths.len()).unwrap()).collect();
    assert_eq!(depths, expected);
    let finer = full(Limits::default());
    assert!(finer.buckets().len() > table.buckets().len());
    assert!(finer.len() > table.len());
}

#[test]
fn random_nodes_are_all_reachable_and_filtered() {
    let table = full(Limits::default());
    let mut rng = Rng::new([3; 32]);
    let mut met = BTreeSet::new();
    for _ in 0..400 {
        for entry in table.random_nodes(&mut rng, 5, |e| e.id().0[31] & 1 == 0) {
            assert_eq!(entry.id().0[31] & 1, 0);
            met.insert(entry.id());
        }
    }
    let even = table.nodes().filter(|e| e.id().0[31] & 1 == 0).count();
    assert_eq!(met.len(), even);
    let mut asked = BTreeSet::new();
    for _ in 0..400 {
        asked.insert(table.node_to_revalidate(&mut rng).unwrap().id());
    }
    let occupied = table.buckets().iter().filter(|b| !b.nodes().is_empty());
    let tails: BTreeSet<_> = occupied.map(|b| b.nodes().last().unwrap().id()).collect();
    assert_eq!(asked, tails, "the tail of every bucket");
}

#[test]
fn another_metric_is_followed() {
    let metric = Metric {
        distance: |a, b| {
            let mut far = a.xor(b);
            for byte in &mut far {
                *byte = !*byte;
            }
            far
        },
        log_distance: |_, _| 7,
    };
    let mut table = Table::new(local(), Limits::default(), metric);
    for record in &pool()[..10] {
        table.add(record.clone(), private(1));
    }
    let target = NodeId([0; 32]);
    let farthest = table.nodes().map(Entry::id).max_by_key(|id| target.xor(id));
    assert_eq!(
        table.neighbours(&target, 1, |_| true)[0].id(),
        farthest.unwrap()
    );
    let mut rng = Rng::new([2; 32]);
    let found = table.neighbours_at_distances(&mut rng, &[7], 20, |_| true);
    assert_eq!(found.len(), 10);
}
