//! Places in the routing table: who gets one, who waits, who makes room, and how many of one address
//! group may.

use peerage_core::Endpoint;
use peerage_discv5::Record;
use peerage_discv5::rng::Rng;
use peerage_discv5::table::{Added, Failed, Limits, Metric, Table};

use crate::table::{local, newer, pool, private, public};

/// Buckets of six, of which only those on the way to us split.
const SIX: Limits = Limits {
    bucket: 6,
    waiting: 3,
    bits_per_hop: 1,
    group_per_bucket: 2,
    group_per_table: 5,
};

fn table(limits: Limits) -> Table {
    Table::new(local(), limits, Metric::default())
}

/// Nodes of the pool at this logarithmic distance from us, always the same.
fn at(distance: u16) -> Vec<Record> {
    let all = pool().iter();
    let found = all.filter(|r| local().log_distance(&r.node_id()) == distance);
    found.cloned().collect()
}

fn add(table: &mut Table, record: &Record) -> Added {
    table.add(record.clone(), private(1))
}

/// A table whose bucket at distance 256 is full, and the nodes of that distance that are left over.
fn full() -> (Table, Vec<Record>) {
    let mut table = table(SIX);
    let mut nodes = at(256);
    let over = nodes.split_off(SIX.bucket);
    for node in &nodes {
        assert_eq!(add(&mut table, node), Added::Inserted);
    }
    (table, over)
}

fn replace_the_last(table: &mut Table) -> Failed {
    let last = table.node_to_revalidate(&mut Rng::new([1; 32])).unwrap();
    let id = last.id();
    table.replace(&id)
}

#[test]
fn buckets_split_on_the_way_to_us_and_nowhere_else() {
    let mut table = table(SIX);
    for distance in (253..=256).rev() {
        let nodes = at(distance);
        assert!(nodes.len() > SIX.bucket, "{} at {distance}", nodes.len());
        for node in &nodes[..SIX.bucket] {
            assert_eq!(add(&mut table, node), Added::Inserted, "{distance}");
        }
        assert_eq!(add(&mut table, &nodes[SIX.bucket]), Added::Waiting);
    }
    assert_eq!(add(&mut table, &at(252)[0]), Added::Inserted);
}

#[test]
fn a_bucket_off_the_way_splits_up_to_the_hop() {
    let mut table = table(Limits {
        bits_per_hop: 2,
        ..SIX
    });
    // The half that is not ours divides once more, by the second bit.
    let second_bit = |record: &Record| record.node_id().0[0] & 0x40 != 0;
    let (ones, zeros): (Vec<_>, Vec<_>) = at(256).into_iter().partition(second_bit);
    for node in ones[..6].iter().chain(&zeros[..6]) {
        assert_eq!(add(&mut table, node), Added::Inserted);
    }
    assert_eq!(add(&mut table, &ones[6]), Added::Waiting);
    assert_eq!(add(&mut table, &zeros[6]), Added::Waiting);
    assert_eq!(add(&mut table, &at(255)[0]), Added::Inserted);
}

#[test]
fn a_node_with_a_place_keeps_it_whatever_is_offered() {
    let mut table = table(SIX);
    let first = &pool()[0];
    add(&mut table, first);
    for node in pool() {
        add(&mut table, node);
    }
    assert_eq!(table.node(&first.node_id()).unwrap().record, *first);
}

#[test]
fn the_newest_that_waits_takes_the_place_of_the_last() {
    let (mut table, over) = full();
    for node in &over[..4] {
        assert_eq!(add(&mut table, node), Added::Waiting);
    }
    let waiting = |table: &Table| -> Vec<_> {
        let full = table.buckets().iter().find(|b| b.waiting().count() > 0);
        full.unwrap().waiting().map(|e| e.record.clone()).collect()
    };
    assert_eq!(waiting(&table), over[1..4], "the oldest made room");
    // Who is offered again goes to the newest end.
    assert_eq!(add(&mut table, &over[1]), Added::Waiting);
    assert_eq!(
        waiting(&table),
        [over[2].clone(), over[3].clone(), over[1].clone()]
    );
    let last = at(256)[SIX.bucket - 1].node_id();
    let promoted = over[1].node_id();
    assert_eq!(
        replace_the_last(&mut table),
        Failed::Replaced(Some(promoted))
    );
    assert!(table.node(&last).is_none() && table.node(&promoted).is_some());
}

#[test]
fn who_waits_is_described_by_its_newest_record() {
    let (mut table, over) = full();
    let seed = 1 + pool().iter().position(|r| *r == over[0]).unwrap();
    let newer = newer(&over[0], u8::try_from(seed).unwrap());
    for record in [&over[0], &newer, &over[0]] {
        assert_eq!(add(&mut table, record), Added::Waiting);
    }
    assert!(table.node(&newer.node_id()).is_none(), "it waits");
    replace_the_last(&mut table);
    assert_eq!(table.node(&newer.node_id()).unwrap().record, newer);
}

#[test]
fn a_node_is_taken_out_though_nobody_waits() {
    let (mut table, over) = full();
    let last = at(256)[SIX.bucket - 1].node_id();
    assert_eq!(replace_the_last(&mut table), Failed::Replaced(None));
    assert!(table.node(&last).is_none());
    assert_eq!(table.replace(&over[0].node_id()), Failed::Unknown);
    assert_eq!(table.len(), SIX.bucket - 1);
}

#[test]
fn an_empty_table_has_nobody_to_ask() {
    let mut table = table(SIX);
    assert!(table.node_to_revalidate(&mut Rng::new([1; 32])).is_none());
    let node = &pool()[0];
    assert_eq!(table.replace(&node.node_id()), Failed::Unknown);
    assert_eq!(add(&mut table, node), Added::Inserted);
    assert_eq!(table.replace(&node.node_id()), Failed::Replaced(None));
    assert!(table.is_empty());
}

#[test]
fn a_node_offered_twice_keeps_its_order() {
    let (mut table, over) = full();
    let first = &at(256)[0];
    assert_eq!(add(&mut table, first), Added::Known);
    assert_eq!(add(&mut table, &over[0]), Added::Waiting);
    assert_eq!(add(&mut table, first), Added::Known);
    // One has come from among those that wait; the first is still the last to go.
    for _ in 0..SIX.bucket {
        replace_the_last(&mut table);
    }
    let left: Vec<_> = table.nodes().map(|entry| &entry.record).collect();
    assert_eq!(left, [first]);
}

#[test]
fn nodes_are_asked_in_the_order_in_which_they_were_last_seen() {
    let (mut table, _) = full();
    let nodes = &at(256)[..SIX.bucket];
    for node in nodes {
        assert!(table.mark_seen(&node.node_id(), private(1)));
    }
    for node in nodes {
        replace_the_last(&mut table);
        assert!(table.node(&node.node_id()).is_none());
    }
}

#[test]
fn one_that_waited_and_answers_is_no_longer_the_last() {
    let (mut table, over) = full();
    for node in &over[..3] {
        add(&mut table, node);
    }
    for node in over[..3].iter().rev() {
        replace_the_last(&mut table);
        assert!(table.mark_seen(&node.node_id(), private(1)));
    }
    let stayed = over[..3]
        .iter()
        .chain(&at(256)[..3])
        .cloned()
        .collect::<Vec<_>>();
    for node in stayed {
        assert!(table.node(&node.node_id()).is_some());
    }
}

/// Public addresses of one group.
fn same(host: u8) -> Endpoint {
    public(1, host)
}

#[test]
fn so_many_of_a_group_may_be_in_a_bucket_and_in_the_table() {
    let mut table = table(SIX);
    let (far, nearer, nearest) = (at(256), at(255), at(254));
    let mut others = 10..;
    let mut fill = |table: &mut Table, nodes: &[Record]| {
        for node in nodes {
            let elsewhere = public(others.next().unwrap(), 1);
            assert_eq!(table.add(node.clone(), elsewhere), Added::Inserted);
        }
    };
    fill(&mut table, &far[..4]);
    assert_eq!(table.add(far[4].clone(), same(1)), Added::Inserted);
    assert_eq!(table.add(far[5].clone(), same(2)), Added::Inserted);
    assert_eq!(table.add(far[6].clone(), same(3)), Added::BucketGroupFull);
    // One goes, another may come.
    replace_the_last(&mut table);
    assert_eq!(table.add(far[6].clone(), same(3)), Added::Inserted);
    // The next bucket has its own count, the table one for all.
    fill(&mut table, &nearer[..4]);
    assert_eq!(table.add(nearer[4].clone(), same(4)), Added::Inserted);
    assert_eq!(table.add(nearer[5].clone(), same(5)), Added::Inserted);
    assert_eq!(
        table.add(nearer[6].clone(), same(6)),
        Added::BucketGroupFull
    );
    fill(&mut table, &nearest[..4]);
    assert_eq!(table.add(nearest[4].clone(), same(7)), Added::Inserted);
    assert_eq!(
        table.add(nearest[5].clone(), same(8)),
        Added::TableGroupFull
    );
    assert_eq!(table.add(nearest[5].clone(), private(8)), Added::Inserted);
}

#[test]
fn who_waits_counts_and_counts_once() {
    let (mut table, over) = full();
    for (node, host) in over[..2].iter().zip(1..) {
        assert_eq!(table.add(node.clone(), same(host)), Added::Waiting);
        assert_eq!(table.add(node.clone(), same(host)), Added::Waiting, "again");
    }
    assert_eq!(table.add(over[2].clone(), same(3)), Added::BucketGroupFull);
    // Promoted, it still counts; gone, it does not.
    assert_eq!(
        replace_the_last(&mut table),
        Failed::Replaced(Some(over[1].node_id()))
    );
    assert_eq!(table.add(over[2].clone(), same(3)), Added::BucketGroupFull);
    assert!(table.node(&over[1].node_id()).is_some());
    assert_eq!(
        table.replace(&over[1].node_id()),
        Failed::Replaced(Some(over[0].node_id()))
    );
    assert_eq!(table.add(over[2].clone(), same(3)), Added::Waiting);
}

#[test]
fn who_is_pushed_out_of_the_waiting_frees_its_group() {
    let (mut table, over) = full();
    assert_eq!(table.add(over[0].clone(), same(1)), Added::Waiting);
    assert_eq!(table.add(over[1].clone(), same(2)), Added::Waiting);
    assert_eq!(table.add(over[2].clone(), same(3)), Added::BucketGroupFull);
    for (node, group) in over[3..5].iter().zip(2..) {
        assert_eq!(table.add(node.clone(), public(group, 1)), Added::Waiting);
    }
    assert_eq!(table.add(over[2].clone(), same(3)), Added::Waiting);
}

#[test]
fn who_moves_is_counted_where_it_is() {
    let mut table = table(SIX);
    let seed = |record: &Record| {
        let at = pool().iter().position(|r| r.node_id() == record.node_id());
        u8::try_from(at.unwrap() + 1).unwrap()
    };
    let nodes = at(256);
    let mut moving = nodes[0].clone();
    assert_eq!(table.add(moving.clone(), same(1)), Added::Inserted);
    // However often it moves, its old group is free and its new one counts it once.
    for host in 1..5 {
        moving = newer(&moving, seed(&moving));
        assert_eq!(table.add(moving.clone(), public(2, host)), Added::Updated);
    }
    for (node, host) in nodes[1..3].iter().zip(1..) {
        assert_eq!(table.add(node.clone(), same(host)), Added::Inserted);
    }
    assert_eq!(table.add(nodes[3].clone(), public(2, 9)), Added::Inserted);
    assert_eq!(
        table.add(nodes[4].clone(), public(2, 9)),
        Added::BucketGroupFull
    );
    // Into a full group it does not move: what was known of it stays until it is silent.
    let back = newer(&moving, seed(&moving));
    assert_eq!(table.add(back, same(7)), Added::BucketGroupFull);
    let entry = table.node(&moving.node_id()).unwrap();
    assert_eq!((&entry.record, entry.endpoint), (&moving, public(2, 4)));
}
