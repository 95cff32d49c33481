//! Searches in small networks.

use std::time::Duration;

use peerage_core::Endpoint;
use peerage_discv5::discovery::{Answer, Event, Filter};
use peerage_discv5::record::{Builder, Record};
use peerage_discv5::{Config, NodeId};

use crate::common::net::{Net, ROUGH, addr};

/// Every node knows node 0 and is started; then some time passes.
fn joined(seed: u8, count: usize) -> Net {
    let mut net = Net::of(seed, count, &Config::default());
    join(&mut net);
    net
}

fn join(net: &mut Net) {
    let boot = net.record(0);
    for n in 0..net.nodes.len() {
        let boot = boot.clone();
        net.with(n, |machine, now| {
            if n != 0 {
                machine.seed_table([boot]);
            }
            machine.start(now);
        });
        net.run(Duration::from_millis(200));
    }
    net.run(Duration::from_secs(60));
}

/// The truth: the nodes nearest to the target, the searcher left out.
fn nearest(net: &Net, n: usize, target: NodeId, count: usize) -> Vec<NodeId> {
    let own = net.nodes[n].machine.node_id();
    let mut ids: Vec<_> = net
        .nodes
        .iter()
        .map(|node| node.machine.node_id())
        .collect();
    ids.retain(|id| *id != own);
    ids.sort_by_key(|id| target.xor(id));
    ids.truncate(count);
    ids
}

fn recall(net: &mut Net, n: usize, target: NodeId) -> (usize, usize) {
    let truth = nearest(net, n, target, 16);
    let found = net.search(n, |machine, now| machine.start_lookup(now, target));
    let ids: Vec<_> = found.iter().map(Record::node_id).collect();
    let hits = truth.iter().filter(|id| ids.contains(id)).count();
    (hits, truth.len())
}

#[test]
fn lookups_find_the_nearest_nodes() {
    let mut net = joined(1, 40);
    let (mut hits, mut of) = (0, 0);
    for n in 0..10 {
        let target = NodeId([u8::try_from(n * 23).unwrap(); 32]);
        let (h, o) = recall(&mut net, n, target);
        hits += h;
        of += o;
    }
    assert!(hits * 100 >= of * 95, "{hits} of {of}");
}

#[test]
fn lookups_survive_losses_and_reordering() {
    let mut net = Net::of(2, 30, &Config::default());
    net.weather = ROUGH;
    join(&mut net);
    let (mut hits, mut of) = (0, 0);
    for n in 0..6 {
        let target = NodeId([u8::try_from(n * 41).unwrap(); 32]);
        let (h, o) = recall(&mut net, n, target);
        hits += h;
        of += o;
    }
    assert!(hits * 100 >= of * 85, "{hits} of {of}");
}

#[test]
fn a_lookup_with_nobody_to_ask_ends_at_once_with_nothing() {
    let mut net = Net::of(3, 1, &Config::default());
    let found = net.search(0, |machine, now| machine.start_lookup(now, NodeId([1; 32])));
    assert!(found.is_empty());
}

#[test]
fn resolve_finds_the_newest_record_of_a_node_known_or_not() {
    let mut net = joined(4, 20);
    let id = net.nodes[7].machine.node_id();
    let moved = net.with(7, |machine, _| {
        machine
            .update_record(|record| record.string("n", "new"))
            .cloned()
    });
    let moved = moved.unwrap();
    // Node 3 knows it or a neighbour of it.
    let found = net.search(3, |machine, now| machine.start_resolve(now, id));
    assert_eq!(found, [moved]);
    // Ourselves without a datagram.
    let own = net.nodes[3].machine.node_id();
    let before = net.datagrams;
    let found = net.search(3, |machine, now| machine.start_resolve(now, own));
    assert_eq!((found, net.datagrams), (vec![net.record(3)], before));
    let nobody = net.search(3, |machine, now| {
        machine.start_resolve(now, NodeId([9; 32]))
    });
    assert!(nobody.is_empty());
}

#[test]
fn resolve_of_a_dead_node_gives_what_others_remember() {
    let mut net = joined(5, 10);
    let record = net.record(6);
    net.nodes[6].is_up = false;
    let found = net.search(2, |machine, now| {
        machine.start_resolve(now, record.node_id())
    });
    assert_eq!(found, [record]);
}

#[test]
fn random_queries_are_filtered_by_an_entry() {
    let mut net = Net::new(6);
    for n in 0..15usize {
        let at = addr(n);
        let mut record = Builder::new(1).ip(at.ip()).udp4(at.port());
        if n % 3 == 0 {
            record = record.string("eth2", [u8::try_from(n).unwrap()]);
        }
        net.add_at(Config::default(), at, record);
    }
    join(&mut net);
    let filter = Filter::has("eth2");
    let found = net.search(1, |machine, now| {
        machine.start_random_query(now, Some(filter))
    });
    assert_eq!(found.len(), 5);
    let filter = Filter::is("eth2", [3]);
    let found = net.search(1, |machine, now| {
        machine.start_random_query(now, Some(filter))
    });
    assert_eq!(found, [net.record(3)]);
    let all = net.search(1, |machine, now| machine.start_random_query(now, None));
    assert_eq!(all.len(), 14, "everything seen on the way");
    let known = net.with(1, |machine, _| {
        machine.random_nodes(100, |record| record.raw("eth2").is_some())
    });
    assert_eq!(known.len(), 5);
}

#[test]
fn found_nodes_are_told_once() {
    let net = joined(7, 12);
    for n in 1..12 {
        let mut told: Vec<_> = net.nodes[n]
            .events
            .iter()
            .filter_map(|event| match event {
                Event::Found(record) => Some(record.node_id()),
                _ => None,
            })
            .collect();
        let count = told.len();
        told.sort_unstable();
        told.dedup();
        assert_eq!(told.len(), count, "none twice");
        assert!(count >= 10, "{count}");
    }
}

#[test]
fn ten_nodes_that_know_one_find_each_other() {
    let net = joined(8, 10);
    for node in &net.nodes {
        assert_eq!(node.machine.table().len(), 9);
        assert_eq!(node.machine.good_nodes().count(), 9);
    }
    let entry = net.nodes[3].machine.table().nodes().next().unwrap();
    assert!(
        net.nodes
            .iter()
            .any(|n| Endpoint::from(n.addr) == entry.endpoint)
    );
}

#[test]
fn a_lookup_for_a_node_names_it_first() {
    let mut net = joined(9, 17);
    for n in 0..16 {
        let target = net.nodes[n].machine.node_id();
        let found = net.search(16, |machine, now| machine.start_lookup(now, target));
        assert_eq!(found[0], net.record(n));
    }
}

#[test]
fn nodes_of_the_table_can_be_chosen_by_an_entry_of_their_records() {
    let mut net = Net::of(10, 1, &Config::default());
    let entries = [Some(vec![1, 2, 3, 4]), Some(vec![1, 2, 3, 4, 5]), None];
    let records = entries.map(|entry| {
        let n = net.nodes.len();
        let at = addr(n);
        let record = Builder::new(1).ip(at.ip()).udp4(at.port());
        let record = entry
            .into_iter()
            .fold(record, |r, entry| r.string("test", entry));
        let n = net.add_at(Config::default(), at, record);
        let record = net.record(n);
        assert!(net.with(0, |machine, _| machine.add_node(&record)));
        record
    });
    let mut chosen = |filter: Option<Filter>| {
        net.with(0, |machine, _| {
            machine.random_nodes(10, |r| filter.as_ref().is_none_or(|f| f.accepts(r)))
        })
    };
    assert_eq!(chosen(None).len(), 3);
    assert_eq!(chosen(Some(Filter::has("test"))).len(), 2);
    let exactly = Filter::is("test", [1, 2, 3, 4]);
    assert_eq!(chosen(Some(exactly)), [records[0].clone()]);
    assert_eq!(chosen(Some(Filter::has("other"))), []);
}

#[test]
fn find_node_names_at_most_sixteen_living_nodes_of_the_distances() {
    let mut net = Net::of(11, 60, &Config::default());
    for n in 1..60 {
        net.ping(0, n).unwrap();
    }
    let us = net.nodes[0].machine.node_id();
    let to = net.record(0);
    let ask = |net: &mut Net, distances: &[u16]| {
        let asked = net.with(1, |m, now| m.start_find_node(now, &to, distances));
        net.run(Duration::from_secs(5));
        let Some(Ok(Answer::Nodes(nodes))) = net.answer_to(1, asked.unwrap()) else {
            panic!();
        };
        nodes
    };
    let asker = net.nodes[1].machine.node_id();
    let truth: Vec<_> = {
        let table = net.nodes[0].machine.table();
        let seen = table.nodes().filter(|e| e.seen && e.id() != asker);
        seen.map(|e| us.log_distance(&e.id())).collect()
    };
    let count = |asked: &[u16]| truth.iter().filter(|d| asked.contains(d)).count();
    for asked in [
        &[256][..],
        &[255],
        &[256, 255],
        &[254],
        &[253, 252, 251],
        &[3],
    ] {
        let nodes = ask(&mut net, asked);
        assert_eq!(nodes.len(), count(asked).min(16), "{asked:?}");
        for node in nodes {
            assert!(asked.contains(&us.log_distance(&node.node_id())));
        }
    }
    assert!(count(&[256, 255]) > 16, "more than one answer holds");
    assert_eq!(ask(&mut net, &[0]), std::slice::from_ref(&to));
    // The nearest node of all is named when its distance is asked for.
    let nearest = net.nodes[0]
        .machine
        .table()
        .neighbours(&us, 1, |e| e.id() != asker);
    let nearest = nearest[0].record.clone();
    let named = ask(&mut net, &[us.log_distance(&nearest.node_id())]);
    assert!(named.contains(&nearest));
}
