//! Which addresses a node may name: of others, and of itself.

use std::net::SocketAddr;
use std::time::Duration;

use peerage_core::Endpoint;
use peerage_discv5::Config;
use peerage_discv5::discovery::Answer;
use peerage_discv5::record::{Builder, Record};

use crate::answers::{asked_by, far_records, find_256, give_nodes, result};
use crate::common::net::{addr, secret};
use crate::common::tester::{Bench, Tester, bench_and_tester};

#[test]
fn records_that_a_node_may_not_vouch_for_are_dropped() {
    let (mut bench, mut tester) = bench_and_tester();
    let id = find_256(&mut bench, &mut tester);
    let good = far_records(&tester, 1, addr);
    let inside = far_records(&tester, 2, |_| SocketAddr::from(([192, 168, 1, 1], 9000)));
    let loopback = far_records(&tester, 3, |_| SocketAddr::from(([127, 0, 0, 1], 9000)));
    let nobody = far_records(&tester, 4, |_| SocketAddr::from(([224, 0, 0, 1], 9000)));
    let near = (100..)
        .map(|n| Builder::new(1).ip(addr(n).ip()).udp4(9000).sign(&secret(n)))
        .map(Result::unwrap)
        .find(|record| tester.id().log_distance(&record.node_id()) != 256)
        .unwrap();
    let mapped: std::net::Ipv6Addr = "::ffff:127.0.0.1".parse().unwrap();
    let mapped = Builder::new(1)
        .string("ip6", mapped.octets())
        .udp6(9000)
        .sign(&secret(4000))
        .unwrap();
    let records = [
        good[0].clone(),
        inside[1].clone(),
        loopback[2].clone(),
        nobody[3].clone(),
        near,
        mapped,
        bench.machine.record().clone(),
    ];
    give_nodes(&mut bench, &mut tester, id, 2, &records[..4]);
    give_nodes(&mut bench, &mut tester, id, 2, &records[4..]);
    assert_eq!(result(&bench), Some(Ok(Answer::Nodes(good))));
    assert_eq!(
        bench.machine.table().len(),
        2,
        "the tester and the good one"
    );
}

#[test]
fn a_node_of_our_own_network_may_vouch_for_its_neighbours() {
    let at = |ip: [u8; 4]| SocketAddr::from((ip, 9000));
    let rows: [(SocketAddr, SocketAddr, bool); 8] = [
        (at([127, 0, 0, 9]), at([127, 0, 0, 1]), true),
        (at([127, 0, 0, 9]), at([20, 0, 1, 1]), true),
        (at([127, 0, 0, 9]), at([192, 168, 1, 2]), true),
        (at([192, 168, 1, 1]), at([192, 168, 1, 2]), true),
        (at([192, 168, 1, 1]), at([20, 0, 1, 1]), true),
        (at([192, 168, 1, 1]), at([127, 0, 0, 1]), false),
        (at([20, 0, 3, 1]), at([10, 1, 2, 3]), false),
        (at([20, 0, 3, 1]), at([0, 0, 0, 0]), false),
    ];
    for (from, about, is_believed) in rows {
        let mut bench = Bench::new(Config::default());
        let (key, record) = (secret(1), Builder::new(1).ip(from.ip()).udp4(from.port()));
        let record = record.sign(&key).unwrap();
        let mut tester = Tester::of(key, record, from, bench.machine.record());
        let id = find_256(&mut bench, &mut tester);
        let records = far_records(&tester, 1, |_| about);
        give_nodes(&mut bench, &mut tester, id, 1, &records);
        let Some(Ok(Answer::Nodes(found))) = result(&bench) else {
            panic!();
        };
        assert_eq!(!found.is_empty(), is_believed, "{from} about {about}");
    }
}

#[test]
fn a_record_without_an_address_or_with_port_0_or_of_a_known_id_is_dropped() {
    let (mut bench, mut tester) = bench_and_tester();
    let id = find_256(&mut bench, &mut tester);
    let far = far_records(&tester, 3, addr);
    let key_of = |record: &Record| {
        let id = record.node_id();
        (100..)
            .map(secret)
            .find(|k| k.public_key().node_id() == id)
            .unwrap()
    };
    let nowhere = Builder::new(1).udp4(9000).sign(&key_of(&far[0])).unwrap();
    let no_port = Builder::new(1).ip(addr(5).ip()).udp4(0);
    let no_port = no_port.sign(&key_of(&far[1])).unwrap();
    let elsewhere = Builder::new(1).ip(addr(6).ip()).udp4(9000);
    let elsewhere = elsewhere.sign(&key_of(&far[2])).unwrap();
    let records = [nowhere, no_port, far[2].clone(), elsewhere, far[2].clone()];
    give_nodes(&mut bench, &mut tester, id, 1, &records);
    let answer = Answer::Nodes(vec![far[2].clone()]);
    assert_eq!(result(&bench), Some(Ok(answer)));
}

#[test]
fn a_private_address_beside_a_public_one_is_neither_asked_nor_placed() {
    let dual = Config {
        ipv6: true,
        ..Config::default()
    };
    let mut bench = Bench::new(dual);
    let mut tester = Tester::new(1, bench.machine.record());
    let id = find_256(&mut bench, &mut tester);
    // Six nodes, each with a private address of its own, all in one public /64.
    let poisoned: Vec<_> = far_records(&tester, 6, addr)
        .iter()
        .zip(1u8..)
        .map(|(record, n)| {
            let key = (100..)
                .map(secret)
                .find(|k| k.public_key().node_id() == record.node_id());
            let public = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n.into());
            let record = Builder::new(1).ip([192, 168, 0, n].into()).udp4(9000);
            let record = record.ip(public.into()).udp6(9000);
            record.sign(&key.unwrap()).unwrap()
        })
        .collect();
    give_nodes(&mut bench, &mut tester, id, 1, &poisoned);
    assert!(matches!(result(&bench), Some(Ok(Answer::Nodes(found))) if found.len() == 6));
    let endpoints = bench.machine.table().nodes().map(|entry| entry.endpoint);
    let placed = endpoints.filter(|endpoint| *endpoint != Endpoint::from(tester.addr));
    let placed: Vec<_> = placed.collect();
    assert_eq!(placed.len(), 2, "the limit of the group holds");
    assert!(placed.iter().all(|endpoint| endpoint.ip().is_ipv6()));

    // Asked directly, and once more after silence: never inside.
    let started = bench.machine.start_ping(bench.now, &poisoned[3]);
    assert!(started.is_ok());
    let until = bench.now + Duration::from_secs(10);
    let mut sent = bench.drain();
    while let Some(wakeup) = bench.machine.poll_timeout().filter(|w| w.at < until) {
        bench.now = wakeup.at;
        bench.machine.handle_timeout(wakeup.at);
        sent.extend(bench.drain());
    }
    let inside = |to: &SocketAddr| to.to_string().starts_with("192.168.");
    assert!(sent.len() >= 4, "{} datagrams", sent.len());
    assert!(!sent.iter().any(|(to, _)| inside(to)));
}

#[test]
fn a_node_that_says_it_has_moved_inside_is_asked_where_it_was() {
    let (mut bench, mut tester) = bench_and_tester();
    let id = asked_by(&mut bench, &mut tester, |bench, record| {
        let now = bench.now;
        bench.machine.start_find_node(now, record, &[0]).unwrap();
    });
    let inside = tester.record.to_builder().ip([192, 168, 0, 1].into());
    let inside = inside.sign(&tester.key).unwrap();
    give_nodes(
        &mut bench,
        &mut tester,
        id,
        1,
        std::slice::from_ref(&inside),
    );
    let answer = Answer::Nodes(vec![inside.clone()]);
    assert_eq!(result(&bench), Some(Ok(answer)), "it is what it says");
    let entry = bench.machine.table().node(&tester.id()).unwrap();
    assert_eq!(entry.endpoint, Endpoint::from(tester.addr));

    // To another public address it may move.
    let id = asked_by(&mut bench, &mut tester, |bench, record| {
        let now = bench.now;
        bench.machine.start_find_node(now, record, &[0]).unwrap();
    });
    let moved = inside.to_builder().ip(addr(50).ip());
    let moved = moved.sign(&tester.key).unwrap();
    give_nodes(&mut bench, &mut tester, id, 1, &[moved]);
    let entry = bench.machine.table().node(&tester.id()).unwrap();
    assert_eq!(entry.endpoint, Endpoint::from(addr(50)));
}
