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
pub(crate) fn asked_by(
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

pub(crate) fn result(bench: &Bench) -> Option<Result<Answer, RequestError>> {
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
pub(crate) fn far_records(
    from: &Tester,
    count: usize,
    at: impl Fn(usize) -> SocketAddr,
) -> Vec<Record> {
    let made = (100..).map(|n| {
        let at = at(n);
        let record = Builder::new(1).ip(at.ip());
        let record = record.udp(Family::of(at.ip()), at.port());
        record.sign(&secret(n)).unwrap()
    });
    let far = made.filter(|record| from.id().log_distance(&record.node_id()) == 256);
    far.take(count).collect()
}

pub(crate) fn find_256(bench: &mut Bench, tester: &mut Tester) -> RequestId {
    asked_by(bench, tester, |bench, record| {
        let now = bench.now;
        bench.machine.start_find_node(now, record, &[256]).unwrap();
    })
}

pub(crate) fn give_nodes(
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
    while result(&bench).is_none() && parts < 100 {
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
