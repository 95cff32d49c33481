//! The routing table beside a naive model: text prefixes, one list for every bucket, everything
//! recounted each time.

use std::collections::BTreeSet;
use std::net::IpAddr;

use peerage_core::Endpoint;
use peerage_discv5::rng::Rng;
use peerage_discv5::table::{Added, Bucket, Entry, Failed, Limits, Metric, Table};
use peerage_discv5::{NodeId, Record};
use proptest::prelude::*;

use crate::common::promises::check_table;
use crate::table::{local, newer, pool, private, public};

const LIMITS: Limits = Limits {
    bucket: 3,
    waiting: 2,
    bits_per_hop: 2,
    group_per_bucket: 2,
    group_per_table: 4,
};

/// Failures in a row that cost the place.
const FAILURES: u8 = 2;

/// A bucket as a pair of lists, and its prefix as text of zeros and ones.
#[derive(Clone, Debug, Default, PartialEq)]
struct ModelBucket {
    prefix: String,
    nodes: Vec<Entry>,
    waiting: Vec<Entry>,
}

fn bits(id: &NodeId) -> String {
    id.0.iter().map(|byte| format!("{byte:08b}")).collect()
}

/// The first three numbers of an address, unless it is private.
fn group(ip: IpAddr) -> Option<String> {
    let text = ip.to_string();
    let (group, _) = text.rsplit_once('.').unwrap();
    (!text.starts_with("10.")).then(|| group.to_owned())
}

fn slot(list: &[Entry], id: &NodeId) -> Option<usize> {
    list.iter().position(|entry| entry.id() == *id)
}

struct Model {
    buckets: Vec<ModelBucket>,
}

impl Model {
    fn count(bucket: &ModelBucket, id: &NodeId, ip: IpAddr) -> usize {
        let all = bucket.nodes.iter().chain(&bucket.waiting);
        let others = all.filter(|entry| entry.id() != *id);
        others
            .filter(|entry| group(entry.endpoint.ip()) == group(ip))
            .count()
    }

    fn refuses(&self, at: usize, id: &NodeId, endpoint: Endpoint) -> Option<Added> {
        let ip = endpoint.ip();
        group(ip)?;
        if Self::count(&self.buckets[at], id, ip) >= LIMITS.group_per_bucket {
            return Some(Added::BucketGroupFull);
        }
        let count: usize = self.buckets.iter().map(|b| Self::count(b, id, ip)).sum();
        (count >= LIMITS.group_per_table).then_some(Added::TableGroupFull)
    }

    fn find(&self, id: &NodeId) -> usize {
        let bits = bits(id);
        let mut buckets = self.buckets.iter();
        buckets.position(|b| bits.starts_with(&b.prefix)).unwrap()
    }

    fn add(&mut self, record: Record, endpoint: Endpoint) -> Added {
        let id = record.node_id();
        if id == local() {
            return Added::Ourselves;
        }
        let at = self.find(&id);
        let refusal = self.refuses(at, &id, endpoint);
        let bucket = &mut self.buckets[at];
        if let Some(slot) = slot(&bucket.nodes, &id) {
            let present = &mut bucket.nodes[slot];
            if present.record.seq() >= record.seq() {
                return Added::Known;
            }
            // Within one group nothing is counted anew.
            let has_moved = group(present.endpoint.ip()) != group(endpoint.ip());
            if let (true, Some(refusal)) = (has_moved, refusal) {
                return refusal;
            }
            present.record = record;
            present.endpoint = endpoint;
            return Added::Updated;
        }
        let mut entry = Entry::new(record, endpoint);
        if let Some(slot) = slot(&bucket.waiting, &id) {
            let waited = bucket.waiting.remove(slot);
            if waited.record.seq() >= entry.record.seq() {
                entry = waited;
            } else if let Some(refusal) = refusal {
                bucket.waiting.push(waited);
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
            let is_ours = bits(&local()).starts_with(&bucket.prefix);
            let depth = bucket.prefix.len();
            if !is_ours && depth.is_multiple_of(usize::from(LIMITS.bits_per_hop)) {
                bucket.waiting.push(entry);
                if bucket.waiting.len() > LIMITS.waiting {
                    bucket.waiting.remove(0);
                }
                return Added::Waiting;
            }
            let old = self.buckets.remove(at);
            for digit in ["1", "0"] {
                let prefix = format!("{}{digit}", old.prefix);
                let within = |list: &[Entry]| {
                    let all = list.iter();
                    all.filter(|e| bits(&e.id()).starts_with(&prefix))
                        .cloned()
                        .collect()
                };
                let half = ModelBucket {
                    nodes: within(&old.nodes),
                    waiting: within(&old.waiting),
                    prefix,
                };
                self.buckets.insert(at, half);
            }
        }
    }

    fn seen(&mut self, id: &NodeId) -> bool {
        let at = self.find(id);
        let nodes = &mut self.buckets[at].nodes;
        let slot = slot(nodes, id);
        if let Some(slot) = slot {
            let mut entry = nodes.remove(slot);
            entry.seen = true;
            entry.failures = 0;
            nodes.insert(0, entry);
        }
        slot.is_some()
    }

    fn failed(&mut self, id: &NodeId) -> Failed {
        let at = self.find(id);
        let bucket = &mut self.buckets[at];
        let Some(slot) = slot(&bucket.nodes, id) else {
            return Failed::Unknown;
        };
        let entry = &mut bucket.nodes[slot];
        entry.failures += 1;
        if entry.is_boot || entry.failures < FAILURES {
            return Failed::Kept;
        }
        self.replace(id)
    }

    fn replace(&mut self, id: &NodeId) -> Failed {
        let at = self.find(id);
        let bucket = &mut self.buckets[at];
        bucket.waiting.retain(|entry| entry.id() != *id);
        let Some(slot) = slot(&bucket.nodes, id) else {
            return Failed::Unknown;
        };
        bucket.nodes.remove(slot);
        let promoted = bucket.waiting.pop();
        let promoted_id = promoted.as_ref().map(Entry::id);
        bucket.nodes.extend(promoted);
        Failed::Replaced(promoted_id)
    }

    fn mark_boot(&mut self, id: &NodeId) {
        let at = self.find(id);
        let nodes = &mut self.buckets[at].nodes;
        nodes.iter_mut().filter(|e| e.id() == *id).for_each(|e| {
            e.is_boot = true;
        });
    }

    fn nodes(&self) -> impl Iterator<Item = &Entry> {
        self.buckets.iter().flat_map(|bucket| &bucket.nodes)
    }

    fn shape(&self) -> Vec<ModelBucket> {
        let mut shape = self.buckets.clone();
        shape.retain(|b| !b.nodes.is_empty() || !b.waiting.is_empty());
        shape
    }
}

fn shape(table: &Table) -> Vec<ModelBucket> {
    let bucket = |b: &Bucket| {
        let first = b.nodes().first().or(b.waiting().next());
        let prefix = first.map(|first| bits(&first.id())[..usize::from(b.depth())].to_owned());
        ModelBucket {
            prefix: prefix.unwrap_or_default(),
            nodes: b.nodes().to_vec(),
            waiting: b.waiting().cloned().collect(),
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
    AddOurselves,
    Seen(u8),
    Failed(u8),
    /// As a ban or an invalid answer does.
    Replace(u8),
    Boot(u8),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let endpoint = prop_oneof![
        (0u8..20, 0u8..3).prop_map(|(group, host)| public(group, host)),
        (0u8..9).prop_map(private),
    ];
    let node = 0u8..240;
    let op = prop_oneof![
        12 => (node.clone(), endpoint.clone()).prop_map(|(n, e)| Op::Add(n, e)),
        4 => (node.clone(), endpoint).prop_map(|(n, e)| Op::AddNewer(n, e)),
        1 => Just(Op::AddOurselves),
        4 => node.clone().prop_map(Op::Seen),
        4 => node.clone().prop_map(Op::Failed),
        2 => node.clone().prop_map(Op::Replace),
        1 => node.prop_map(Op::Boot),
    ];
    proptest::collection::vec(op, 0..200)
}

fn ids<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<NodeId> {
    entries.into_iter().map(Entry::id).collect()
}

/// Every question the table answers, by a linear scan of the model.
fn compare_answers(table: &Table, model: &Model, seed: u8) -> Result<(), TestCaseError> {
    let mut rng = Rng::new([seed; 32]);
    let all: BTreeSet<NodeId> = model.nodes().map(Entry::id).collect();
    prop_assert_eq!(table.len(), all.len());
    prop_assert_eq!(table.is_empty(), all.is_empty());
    let seen: BTreeSet<_> = model.nodes().filter(|e| e.seen).map(Entry::id).collect();
    prop_assert_eq!(table.seen_len(), seen.len());

    let target = NodeId([seed; 32]);
    for only_seen in [false, true] {
        let wanted = |entry: &Entry| !only_seen || entry.seen;
        let among = if only_seen { &seen } else { &all };
        let mut nearest: Vec<_> = among.iter().copied().collect();
        nearest.sort_by_key(|id| target.xor(id));
        nearest.truncate(5);
        prop_assert_eq!(ids(table.neighbours(&target, 5, wanted)), nearest);

        let distance = |id: &NodeId| local().log_distance(id);
        for asked in [&[256, 255][..], &[254], &[]] {
            let at: BTreeSet<_> = among
                .iter()
                .filter(|id| asked.contains(&distance(id)))
                .collect();
            let found = table.neighbours_at_distances(&mut rng, asked, 4, wanted);
            prop_assert_eq!(found.len(), at.len().min(4));
            let found: BTreeSet<_> = ids(found).into_iter().collect();
            prop_assert_eq!(found.len(), at.len().min(4), "each once");
            prop_assert!(found.iter().all(|id| at.contains(id)));
        }
        let drawn = ids(table.random_nodes(&mut rng, 3, wanted));
        prop_assert_eq!(drawn.len(), among.len().min(3));
        prop_assert!(drawn.iter().all(|id| among.contains(id)));
    }
    for id in all.iter().take(3) {
        let nearer = |other: &&NodeId| local().xor(other) < local().xor(id);
        prop_assert_eq!(table.rank(id), all.iter().filter(nearer).count());
    }
    let used = model.buckets.iter().filter(|b| !b.nodes.is_empty());
    let (heads, tails): (Vec<_>, Vec<_>) = used
        .map(|b| (b.nodes[0].clone(), b.nodes.last().unwrap().id()))
        .unzip();
    let tail = table.node_to_revalidate(&mut rng).map(Entry::id);
    prop_assert_eq!(tail.is_none(), tails.is_empty());
    prop_assert!(tail.is_none_or(|tail| tails.contains(&tail)));
    let head = table.node_to_rely_on(&mut rng).cloned();
    prop_assert_eq!(head.is_none(), !heads.iter().any(|head| head.seen));
    prop_assert!(head.is_none_or(|head| head.seen && heads.contains(&head)));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_table_does_what_the_model_does(ops in ops()) {
        let mut table = Table::new(local(), LIMITS, Metric::default());
        let mut model = Model { buckets: vec![ModelBucket::default()] };
        let mut newest: Vec<Record> = pool().to_vec();
        let us = crate::table::ours();
        for (step, op) in ops.into_iter().enumerate() {
            let id = |n: u8| pool()[usize::from(n)].node_id();
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
                Op::AddOurselves => {
                    let got = table.add(us.clone(), private(1));
                    prop_assert_eq!(got, model.add(us.clone(), private(1)));
                }
                Op::Seen(n) => {
                    let endpoint = table.node(&id(n)).map(|entry| entry.endpoint);
                    let got = table.mark_seen(&id(n), endpoint.unwrap_or(private(1)));
                    prop_assert_eq!(got, model.seen(&id(n)));
                }
                Op::Failed(n) => {
                    prop_assert_eq!(table.mark_failed(&id(n), FAILURES), model.failed(&id(n)));
                }
                Op::Replace(n) => {
                    prop_assert_eq!(table.replace(&id(n)), model.replace(&id(n)));
                }
                Op::Boot(n) => {
                    table.mark_boot(&id(n));
                    model.mark_boot(&id(n));
                }
            }
            prop_assert_eq!(shape(&table), model.shape());
            check_table(&table, &LIMITS, local());
            if step % 8 == 0 {
                compare_answers(&table, &model, u8::try_from(step).unwrap())?;
            }
        }
        compare_answers(&table, &model, 0x5a)?;
    }
}
