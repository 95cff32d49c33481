//! Votes about our address, cast by nodes of many groups and of few.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use peerage_core::Endpoint;
use peerage_discv5::address::Contact;
use peerage_discv5::message::{Message, put_pong};
use peerage_discv5::record::{Builder, Family};
use peerage_discv5::votes::{VoteRules, Votes};
use peerage_discv5::{Config, Discovery, NodeId};
use proptest::prelude::*;

use crate::common::net::{addr, secret};
use crate::common::start;
use crate::common::tester::{Bench, Tester, decode, ping};

/// A voter with this number, in a group of its own.
fn voter(n: u8) -> Contact {
    in_group(n, n)
}

fn in_group(group: u8, n: u8) -> Contact {
    Contact {
        node: NodeId([n; 32]),
        endpoint: Endpoint::new([20, 0, group, n].into(), 9000),
    }
}

fn at(port: u16) -> Endpoint {
    Endpoint::new([192, 0, 2, 1].into(), port)
}

/// What is tried, the threshold, who says which port, and which is agreed on.
type Row = (&'static str, usize, &'static [(u8, u16)], Option<u16>);

/// Who says what, and the port that is agreed on.
#[test]
fn the_majority_decides_and_each_node_has_one_vote() {
    let rows: [Row; 6] = [
        (
            "a majority",
            2,
            &[(1, 1), (2, 1), (3, 2), (4, 2), (5, 2), (6, 3), (7, 3)],
            Some(2),
        ),
        ("below", 3, &[(1, 1), (2, 2), (3, 3), (4, 3)], None),
        (
            "at the threshold",
            3,
            &[(1, 1), (2, 2), (3, 3), (4, 3), (5, 3)],
            Some(3),
        ),
        (
            "the same again",
            2,
            &[(1, 1), (1, 1), (1, 1), (2, 2), (3, 2)],
            Some(2),
        ),
        (
            "another again",
            2,
            &[(1, 1), (1, 2), (1, 3), (2, 1), (3, 2), (4, 3)],
            Some(3),
        ),
        ("a tie", 2, &[(1, 1), (2, 1), (3, 2), (4, 2)], None),
    ];
    for (name, threshold, cast, expected) in rows {
        let mut votes = Votes::new(VoteRules {
            threshold,
            ..VoteRules::default()
        });
        let now = start();
        for &(n, port) in cast {
            votes.cast(now, &voter(n), at(port));
        }
        let majority = votes.majority(now, Family::V4);
        assert_eq!(majority.map(|endpoint| endpoint.port()), expected, "{name}");
    }
}

#[test]
fn many_nodes_of_one_address_group_do_not_move_us() {
    let rules = VoteRules::default();
    let mut votes = Votes::new(rules);
    let now = start();
    for n in 0..200 {
        votes.cast(now, &in_group(1, n), at(666));
    }
    assert_eq!(votes.majority(now, Family::V4), None, "they count as two");
    for n in 0..10 {
        votes.cast(now, &in_group(n + 2, n), at(1));
    }
    assert_eq!(votes.majority(now, Family::V4), Some(at(1)));
    // Nodes of our own network are not limited: in a test they are all there is.
    let mut votes = Votes::new(rules);
    for n in 0..10 {
        let neighbour = Contact {
            endpoint: Endpoint::new([192, 168, 0, n].into(), 9000),
            ..voter(n)
        };
        votes.cast(now, &neighbour, at(1));
    }
    assert_eq!(votes.majority(now, Family::V4), Some(at(1)));
}

/// A machine without an address pings nodes, of which many say the same untruth.
#[test]
fn votes_stuffed_from_one_address_group_do_not_write_our_record() {
    let config = Config {
        auto_update: true,
        votes: VoteRules {
            threshold: 5,
            ..VoteRules::default()
        },
        ..Config::default()
    };
    let record = Builder::new(1);
    let machine = Discovery::new(config, secret(0), record, [9; 32]).unwrap();
    let mut bench = Bench {
        now: start(),
        machine,
        events: Vec::new(),
    };
    let say = |bench: &mut Bench, n: usize, at: SocketAddr, observed: SocketAddr| {
        let record = Builder::new(1).ip(at.ip()).udp4(at.port());
        let record = record.sign(&secret(n)).unwrap();
        let mut tester = Tester::of(secret(n), record, at, bench.machine.record());
        tester.meet(bench, &ping());
        bench.machine.start_ping(bench.now, &tester.record).unwrap();
        let sent = bench.drain();
        let opened = tester.open(&sent[0].1).unwrap();
        let Message::Request(id, _) = decode(&opened) else {
            panic!();
        };
        let mut pong = Vec::new();
        put_pong(&mut pong, id, 1, observed.into());
        let datagram = tester.sealed(&pong);
        tester.give(bench, &datagram);
    };
    let ours = |bench: &Bench| bench.machine.record().udp4_endpoint();
    for n in 1..13u8 {
        let liar = SocketAddr::from(([20, 66, 66, n], 9000));
        say(
            &mut bench,
            n.into(),
            liar,
            SocketAddr::from(([20, 6, 6, 6], 666)),
        );
    }
    assert_eq!(ours(&bench), None);
    for n in 20..25 {
        let observed = SocketAddr::from(([20, 1, 1, 1], 9000));
        say(&mut bench, n, addr(n), observed);
    }
    assert_eq!(ours(&bench).unwrap().to_string(), "20.1.1.1:9000");
}

/// The same by a list that is never cleaned up.
fn naive(
    rules: VoteRules,
    cast: &[(Instant, Contact, Endpoint)],
    now: Instant,
) -> Option<Endpoint> {
    let mut last = BTreeMap::new();
    for (at, voter, endpoint) in cast {
        last.insert(voter.node, (*at, *voter, *endpoint));
    }
    last.retain(|_, (at, ..)| now - *at < rules.life);
    let mut counts: BTreeMap<Endpoint, usize> = BTreeMap::new();
    let mut of_group: BTreeMap<(Endpoint, String), usize> = BTreeMap::new();
    for (_, voter, endpoint) in last.values() {
        let text = voter.endpoint.ip().to_string();
        let group = text.rsplit_once('.').unwrap().0.to_owned();
        let count = of_group.entry((*endpoint, group)).or_default();
        *count += 1;
        if *count <= rules.per_group {
            *counts.entry(*endpoint).or_default() += 1;
        }
    }
    let mut sorted: Vec<_> = counts.into_iter().map(|(e, n)| (n, e)).collect();
    sorted.sort();
    let (most, first) = sorted.pop()?;
    let second = sorted.pop().map_or(0, |(n, _)| n);
    let lead = most > second && most * 100 >= second * (100 + rules.lead_percent);
    (lead && most >= rules.threshold.max(2)).then_some(first)
}

proptest! {
    #[test]
    fn votes_count_as_a_naive_list_counts(
        ops in proptest::collection::vec((0u8..12, 0u8..4, 0u16..3, 0u64..90), 0..60),
        threshold in 0usize..5,
        per_group in 1usize..4,
    ) {
        let rules = VoteRules { threshold, per_group, ..VoteRules::default() };
        let mut votes = Votes::new(rules);
        let mut cast = Vec::new();
        let mut now = start();
        for (n, group, port, pause) in ops {
            now += Duration::from_secs(pause);
            votes.cast(now, &in_group(group, n), at(port));
            cast.push((now, in_group(group, n), at(port)));
            prop_assert_eq!(votes.majority(now, Family::V4), naive(rules, &cast, now));
        }
    }
}
