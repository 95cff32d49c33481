//! Nodes that answer our requests with what does not fit, lies, or would poison the table.

use std::net::SocketAddr;
use std::time::Duration;

use peerage_core::Endpoint;
use peerage_discv5::Config;
use peerage_discv5::discovery::{Answer, Event, RequestError};
use peerage_discv5::message::{Message, RequestId, put_nodes, put_pong, put_talk_response};
use peerage_discv5::record::{Builder, Family, Record};

use crate::common::net::{addr, secret};
use crate::common::tester::{Bench, Tester, bench_and_tester, decode, ping};

/// The tester makes a session and the machine asks it something; the request's id.
fn asked_by(
    bench: &mut Bench,
    tester: &mut Tester,
    ask: impl FnOnce(&mut Bench, &Record),
) -> RequestId {
    tester.meet(bench, &ping());
    let record = tester.record.clone();
    ask(bench, &record);
    let sent = bench.drain();
    let opened = tester.open(&sent[0].1).unwrap();
    let Message::Request(id, _) = decode(&opened) else {
        panic!();
    };
    id
}

fn result(bench: &Bench) -> Option<Result<Answer, RequestError>> {
    bench.events.iter().rev().find_map(|event| match event {
        Event::Answered { result, .. } => Some(result.clone()),
        _ => None,
    })
}

#[test]
fn answers_of_another_kind_or_node_or_nobody_are_not_believed() {
    let (mut bench, mut tester) = bench_and_tester();
    let id = asked_by(&mut bench, &mut tester, |bench, record| {
        bench.machine.start_ping(bench.now, record).unwrap();
    });
    // Another node with the right id.
    let mut other = Tester::new(2, bench.machine.record());
    other.meet(&mut bench, &ping());
    let mut pong = Vec::new();
    put_pong(&mut pong, id, 1, Endpoint::from(addr(0)));
    let datagram = other.sealed(&pong);
    other.give(&mut bench, &datagram);
    assert_eq!(bench.machine.metrics().unsolicited, 1);
    assert_eq!(result(&bench), None);
    // Ids that we never gave.
    for strange in [&b""[..], b"1234567", b"12345678"] {
        let mut pong = Vec::new();
        let strange = RequestId::new(strange).unwrap();
        put_pong(&mut pong, strange, 1, Endpoint::from(addr(0)));
        let datagram = tester.sealed(&pong);
        tester.give(&mut bench, &datagram);
    }
    assert_eq!(bench.machine.metrics().unsolicited, 4);
    // The right node with the wrong kind.
    assert_eq!(bench.machine.table().len(), 2);
    let mut talk = Vec::new();
    put_talk_response(&mut talk, id, b"?");
    let datagram = tester.sealed(&talk);
    tester.give(&mut bench, &datagram);
    assert_eq!(result(&bench), Some(Err(RequestError::Invalid)));
    let table = bench.machine.table();
    assert!(table.node(&tester.id()).is_none(), "it loses its place");
    assert_eq!(bench.machine.metrics().invalid_response, 1);
}

#[test]
fn an_invalid_answer_bans_for_a_time_where_that_is_wanted() {
    let mut bench = Bench::new(Config {
        ban_invalid: true,
        ..Config::default()
    });
    let mut tester = Tester::new(1, bench.machine.record());
    let id = asked_by(&mut bench, &mut tester, |bench, record| {
        bench.machine.start_ping(bench.now, record).unwrap();
    });
    let mut talk = Vec::new();
    put_talk_response(&mut talk, id, b"?");
    let datagram = tester.sealed(&talk);
    tester.give(&mut bench, &datagram);
    let banned = bench.events.iter().any(|e| matches!(e, Event::Banned(..)));
    assert!(banned);
    let datagram = tester.sealed(&ping());
    assert!(tester.give(&mut bench, &datagram).is_empty(), "inbound too");
    let asked = bench.machine.start_ping(bench.now, &tester.record);
    assert_eq!(asked, Err(RequestError::NotAdmitted));
    bench.now += Duration::from_secs(15 * 60);
    let datagram = tester.sealed(&ping());
    assert_eq!(tester.give(&mut bench, &datagram).len(), 1);
}

/// Records of nodes at a logarithmic distance of 256 from the tester, which half of all are.
fn far_records(from: &Tester, count: usize, at: impl Fn(usize) -> SocketAddr) -> Vec<Record> {
    let made = (100..).map(|n| {
        let at = at(n);
        let record = Builder::new(1).ip(at.ip());
        let record = record.udp(Family::of(at.ip()), at.port());
        record.sign(&secret(n)).unwrap()
    });
    let far = made.filter(|record| from.id().log_distance(&record.node_id()) == 256);
    far.take(count).collect()
}

fn find_256(bench: &mut Bench, tester: &mut Tester) -> RequestId {
    asked_by(bench, tester, |bench, record| {
        let now = bench.now;
        bench.machine.start_find_node(now, record, &[256]).unwrap();
    })
}

fn give_nodes(
    bench: &mut Bench,
    tester: &mut Tester,
    id: RequestId,
    total: u64,
    records: &[Record],
) {
    let mut nodes = Vec::new();
    put_nodes(&mut nodes, id, total, records);
    let datagram = tester.sealed(&nodes);
    tester.give(bench, &datagram);
}

fn ids(records: &[Record]) -> Vec<peerage_discv5::NodeId> {
    let mut ids: Vec<_> = records.iter().map(Record::node_id).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn parts_come_in_any_order_and_repeated_records_count_once() {
    let (mut bench, mut tester) = bench_and_tester();
    let id = find_256(&mut bench, &mut tester);
    let records = far_records(&tester, 6, addr);
    give_nodes(&mut bench, &mut tester, id, 3, &records[4..]);
    give_nodes(&mut bench, &mut tester, id, 3, &records[..2]);
    assert_eq!(result(&bench), None);
    give_nodes(&mut bench, &mut tester, id, 3, &records[1..4]);
    let Some(Ok(Answer::Nodes(found))) = result(&bench) else {
        panic!();
    };
    assert_eq!(ids(&found), ids(&records));
}

#[test]
fn a_lying_total_ends_with_the_records_that_are_wanted_or_with_time() {
    let (mut bench, mut tester) = bench_and_tester();
    let id = find_256(&mut bench, &mut tester);
    let records = far_records(&tester, 20, addr);
    for part in records.chunks(2) {
        give_nodes(&mut bench, &mut tester, id, u64::MAX, part);
    }
    let Some(Ok(Answer::Nodes(found))) = result(&bench) else {
        panic!();
    };
    assert_eq!(ids(&found), ids(&records[..16]), "sixteen and no more");

    // A total that never comes: what came is the answer when time is up.
    let (mut bench, mut tester) = bench_and_tester();
    let id = find_256(&mut bench, &mut tester);
    give_nodes(&mut bench, &mut tester, id, 9, &records[..2]);
    while result(&bench).is_none() {
        bench.now = bench.machine.poll_timeout().unwrap().at;
        bench.machine.handle_timeout(bench.now);
        bench.drain();
    }
    assert!(matches!(result(&bench), Some(Ok(Answer::Nodes(found))) if found.len() == 2));

    // Empty parts without end.
    let (mut bench, mut tester) = bench_and_tester();
    let id = find_256(&mut bench, &mut tester);
    let mut parts = 0;
    while result(&bench).is_none() {
        give_nodes(&mut bench, &mut tester, id, 1_000_000, &[]);
        parts += 1;
    }
    assert_eq!(parts, 16);

    // A total of nothing is one part.
    let (mut bench, mut tester) = bench_and_tester();
    let id = find_256(&mut bench, &mut tester);
    give_nodes(&mut bench, &mut tester, id, 0, &[]);
    assert_eq!(result(&bench), Some(Ok(Answer::Nodes(Vec::new()))));
}

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
fn a_forged_record_in_an_answer_makes_it_invalid() {
    let (mut bench, mut tester) = bench_and_tester();
    let id = find_256(&mut bench, &mut tester);
    let good = far_records(&tester, 1, addr).remove(0);
    let mut bytes = good.as_bytes().to_vec();
    bytes[30] ^= 1;
    // [id, 1, [record]] by hand: the writer takes verified records only.
    let mut body = Vec::new();
    peerage_discv5::rlp::put_string(&mut body, id.as_bytes());
    peerage_discv5::rlp::put_uint(&mut body, 1);
    peerage_discv5::rlp::put_list_header(&mut body, bytes.len());
    body.extend(&bytes);
    let mut nodes = vec![4];
    peerage_discv5::rlp::put_list_header(&mut nodes, body.len());
    nodes.extend(&body);
    let datagram = tester.sealed(&nodes);
    tester.give(&mut bench, &datagram);
    assert_eq!(result(&bench), Some(Err(RequestError::Invalid)));
    assert_eq!(bench.machine.metrics().records_forged, 1);
}

#[test]
fn a_record_is_verified_once_however_often_it_is_named() {
    let (mut bench, mut tester) = bench_and_tester();
    let records = far_records(&tester, 3, addr);
    let id = find_256(&mut bench, &mut tester);
    give_nodes(&mut bench, &mut tester, id, 1, &records);
    let once = bench.machine.metrics().records_verified;
    for _ in 0..10 {
        let record = tester.record.clone();
        let now = bench.now;
        bench.machine.start_find_node(now, &record, &[256]).unwrap();
        let sent = bench.drain();
        let opened = tester.open(&sent[0].1).unwrap();
        let Message::Request(id, _) = decode(&opened) else {
            panic!();
        };
        give_nodes(&mut bench, &mut tester, id, 1, &records);
    }
    let metrics = bench.machine.metrics();
    assert_eq!(metrics.records_verified, once);
    assert!(metrics.records_known >= 30);
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
    let poisoned: Vec<_> = far_records(&tester, 6, |n| addr(n))
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
