//! The routing table: order, records, neighbours, splits.

use std::collections::BTreeSet;
use std::net::IpAddr;

use peerage_core::Endpoint;
use peerage_discv5::record::Builder;
use peerage_discv5::rng::Rng;
use peerage_discv5::table::{Added, Entry, Failed, Limits, Metric, Table};
use peerage_discv5::{NodeId, Record};

use crate::records::key;

/// Nodes made once: signing is the slow part.
pub(crate) fn pool() -> &'static [Record] {
    static POOL: std::sync::OnceLock<Vec<Record>> = std::sync::OnceLock::new();
    POOL.get_or_init(|| {
        (1..=240u8)
            .map(|seed| Builder::new(1).sign(&key(seed)).unwrap())
            .collect()
    })
}

pub(crate) fn newer(record: &Record, seed: u8) -> Record {
    record
        .to_builder()
        .uint("n", record.seq())
        .sign(&key(seed))
        .unwrap()
}

pub(crate) fn ours() -> Record {
    static OURS: std::sync::OnceLock<Record> = std::sync::OnceLock::new();
    let ours = OURS.get_or_init(|| Builder::new(1).sign(&key(250)).unwrap());
    ours.clone()
}

pub(crate) fn local() -> NodeId {
    ours().node_id()
}

/// A public address; every `group` is a /24 of its own.
pub(crate) fn public(group: u8, host: u8) -> Endpoint {
    Endpoint::new(IpAddr::from([20, 0, group, host]), 9000)
}

pub(crate) fn private(host: u8) -> Endpoint {
    Endpoint::new(IpAddr::from([10, 0, 0, host]), 9000)
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
    assert_eq!(table.add(ours(), private(1)), Added::Ourselves);
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
