//! Strangers who lie, flood, repeat and forge.

use std::net::SocketAddr;
use std::time::Duration;

use peerage_core::Endpoint;
use peerage_discv5::Config;
use peerage_discv5::cipher::Mask;
use peerage_discv5::discovery::{Answer, Event, Received, RequestError};
use peerage_discv5::message::{Message, RequestId, put_nodes, put_pong, put_talk_response};
use peerage_discv5::packet::{Envelope, Nonce, Packet, Protocol};
use peerage_discv5::record::{Builder, Family, Record};
use proptest::prelude::*;

use crate::common::net::{addr, secret};
use crate::common::tester::{Bench, Tester, decode, ping};

fn bench_and_tester() -> (Bench, Tester) {
    let bench = Bench::new(Config::default());
    let tester = Tester::new(1, bench.machine.record());
    (bench, tester)
}

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
fn a_handshake_nobody_asked_for_costs_no_curve_operation() {
    let (mut bench, mut tester) = bench_and_tester();
    let asked = tester.provoke(&mut bench);
    let datagram = tester.handshake(&asked, &ping());
    // The same from elsewhere, where there is no challenge.
    assert!(bench.give(addr(77), &datagram).is_empty());
    let metrics = bench.machine.metrics();
    assert_eq!(
        (metrics.stray_handshakes, metrics.failed_handshakes),
        (1, 0)
    );
    assert_eq!(metrics.records_verified, 0, "its record was not looked at");
    assert_eq!(
        tester.give(&mut bench, &datagram).len(),
        1,
        "the real one works"
    );
    // Once more: the challenge is over.
    assert!(bench.give(tester.addr, &datagram).is_empty());
    assert_eq!(bench.machine.metrics().stray_handshakes, 2);
}

#[test]
fn a_forged_handshake_does_not_end_the_challenge_and_only_so_many_are_looked_at() {
    let (mut bench, mut tester) = bench_and_tester();
    let asked = tester.provoke(&mut bench);
    let good = tester.handshake(&asked, &ping());
    let mut forger = Tester::new(2, bench.machine.record());
    forger.addr = tester.addr;
    // It cannot see the challenge, so its proof is over something else; the id is the victim's.
    let mut blind = asked.clone();
    blind.challenge_data[62] ^= 1;
    let forged = tester.handshake(&blind, &ping());
    let foreign_record = forger.record.as_bytes().to_vec();
    let wrong_key = tester.handshake_with(&asked, &ping(), &foreign_record);
    let no_record = tester.handshake_with(&asked, &ping(), &[]);
    let broken_record = tester.handshake_with(&asked, &ping(), &[0xc1, 0x80]);
    for datagram in [&forged, &wrong_key, &no_record, &broken_record] {
        assert!(bench.give(tester.addr, datagram).is_empty());
    }
    assert_eq!(bench.machine.metrics().failed_handshakes, 4);
    let answers = bench.give(tester.addr, &good);
    assert_eq!(answers.len(), 1, "the fifth is looked at");

    let (mut bench, mut tester) = bench_and_tester();
    let asked = tester.provoke(&mut bench);
    let good = tester.handshake(&asked, &ping());
    let mut blind = asked;
    blind.challenge_data[62] ^= 1;
    let forged = tester.handshake(&blind, &ping());
    for _ in 0..100 {
        bench.give(tester.addr, &forged);
    }
    assert_eq!(bench.machine.metrics().failed_handshakes, 5);
    assert!(bench.give(tester.addr, &good).is_empty());
    bench.now += Duration::from_secs(2);
    bench.machine.handle_timeout(bench.now);
    assert_eq!(tester.meet(&mut bench, &ping()).len(), 1, "after its time");
}

#[test]
fn a_record_with_a_wrong_signature_in_a_handshake_is_refused() {
    let (mut bench, mut tester) = bench_and_tester();
    let asked = tester.provoke(&mut bench);
    let mut forged = tester.record.as_bytes().to_vec();
    forged[20] ^= 1;
    let datagram = tester.handshake_with(&asked, &ping(), &forged);
    assert!(bench.give(tester.addr, &datagram).is_empty());
    let metrics = bench.machine.metrics();
    assert_eq!((metrics.records_forged, metrics.sessions), (1, 0));
}

#[test]
fn floods_of_unknown_packets_are_answered_at_a_rate_and_leave_bounded_memory() {
    let config = Config {
        max_challenges: 100,
        ..Config::default()
    };
    let mut bench = Bench::new(config);
    let own = bench.machine.record().clone();
    let mut bytes_in = 0;
    let mut bytes_out = 0;
    for n in 0..1000 {
        // One group: 20 at once.
        let mut stranger = Tester::new(1, &own);
        stranger.addr = SocketAddr::from(([30, 0, 0, 1], 1000 + n));
        let (_, datagram) = stranger.random();
        bytes_in += datagram.len();
        let sent = bench.give(stranger.addr, &datagram);
        bytes_out += sent.iter().map(|(_, d)| d.len()).sum::<usize>();
    }
    let of_one_group = bench.machine.metrics().challenges_out;
    assert_eq!(of_one_group, 20);
    for n in 0..1000u16 {
        // Every packet from a group of its own.
        let [a, b] = n.to_be_bytes();
        let from = SocketAddr::from(([40, a, b, 1], 9000));
        let (_, datagram) = Tester::new(1, &own).random();
        bytes_in += datagram.len();
        let sent = bench.give(from, &datagram);
        bytes_out += sent.iter().map(|(_, d)| d.len()).sum::<usize>();
    }
    assert_eq!(bench.machine.metrics().challenges_out, 100, "all that fit");
    assert!(bytes_out < bytes_in, "nothing is amplified");
}

#[test]
fn an_unproven_address_never_gets_more_than_it_sent() {
    let (mut bench, mut tester) = bench_and_tester();
    let asked = tester.provoke(&mut bench);
    let mut inn = 0;
    let mut out = 0;
    for _ in 0..30 {
        let (_, datagram) = tester.random();
        inn += datagram.len();
        let sent = bench.give(tester.addr, &datagram);
        out += sent.iter().map(|(_, d)| d.len()).sum::<usize>();
    }
    assert!(out > 0 && out < inn);
    assert_eq!(asked.datagram.len(), 63);
}

#[test]
fn a_whoareyou_counts_only_from_where_we_asked_and_once() {
    let mut bench = Bench::new(Config::default());
    let own = bench.machine.record().clone();
    let tester = Tester::new(1, &own);
    let started = bench.machine.start_ping(bench.now, &tester.record);
    assert!(started.is_ok());
    let sent = bench.drain();
    assert_eq!(sent[0].0, tester.addr);
    let mask = Mask::new(&tester.id());
    let mut copy = sent[0].1.clone();
    let nonce = Packet::unmask(&mask, Protocol::V5, &mut copy)
        .unwrap()
        .nonce;
    let who = |nonce| {
        let envelope = Envelope {
            mask: &Mask::new(&own.node_id()),
            protocol: Protocol::V5,
            iv: [1; 16],
            nonce,
        };
        envelope.who_are_you(&[2; 16], 0).packet
    };
    let other = Nonce([0; 12]);
    assert!(bench.give(tester.addr, &who(other)).is_empty());
    assert!(bench.give(addr(9), &who(nonce)).is_empty());
    assert_eq!(bench.machine.metrics().stray_challenges, 2);
    let handshake = bench.give(tester.addr, &who(nonce));
    assert_eq!(handshake.len(), 1);
    assert_eq!(handshake[0].0, tester.addr);
    assert!(bench.give(tester.addr, &who(nonce)).is_empty(), "once");
    assert_eq!(bench.machine.metrics().stray_challenges, 3);
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
fn permitted_and_denied_networks_decide_who_is_heard_and_asked() {
    let mut config = Config::default();
    config.access.deny.push("20.0.1.0/24".parse().unwrap());
    let mut bench = Bench::new(config);
    let mut denied = Tester::new(1, bench.machine.record());
    let (_, datagram) = denied.random();
    assert!(bench.give(denied.addr, &datagram).is_empty());
    let mapped: SocketAddr = "[::ffff:20.0.1.1]:9000".parse().unwrap();
    assert!(bench.give(mapped, &datagram).is_empty());
    assert_eq!(bench.machine.metrics().not_admitted, 2);
    let asked = bench.machine.start_ping(bench.now, &denied.record);
    assert_eq!(asked, Err(RequestError::NotAdmitted));
    assert!(!bench.machine.add_node(&denied.record));
    let mut other = Tester::new(2, bench.machine.record());
    assert_eq!(other.meet(&mut bench, &ping()).len(), 1);
}

#[test]
fn a_mapped_source_is_the_address_it_maps() {
    let (mut bench, mut tester) = bench_and_tester();
    tester.meet(&mut bench, &ping());
    let mapped: SocketAddr = "[::ffff:20.0.1.1]:9000".parse().unwrap();
    let sent = bench.give(mapped, &tester.sealed(&ping()));
    let opened = tester.open(&sent[0].1).expect("the same session");
    assert!(matches!(decode(&opened), Message::Response(..)));
}

#[test]
fn another_protocol_may_share_the_port() {
    let (mut bench, _) = bench_and_tester();
    for foreign in [&b"hello"[..], &[0x16; 100], &[0; 1400]] {
        let mut datagram = foreign.to_vec();
        let now = bench.now;
        let received = bench.machine.handle_datagram(now, addr(1), &mut datagram);
        assert_eq!(received, Received::Foreign);
        assert_eq!(datagram, foreign, "as it came");
    }
    assert_eq!(bench.machine.metrics().foreign, 3);
    assert!(bench.drain().is_empty() && bench.events.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A dialogue in which datagrams are spoilt, repeated and sent from elsewhere.
    #[test]
    fn nothing_a_stranger_sends_can_panic(
        ops in proptest::collection::vec((0usize..6, any::<u8>(), 0usize..1300), 1..40),
    ) {
        let (mut bench, mut tester) = bench_and_tester();
        let mut last = tester.random().1;
        for (op, byte, at) in ops {
            let mut from = tester.addr;
            match op {
                0 => last = tester.random().1,
                1 => {
                    let sent = bench.give(from, &tester.random().1);
                    if let Some(asked) = sent.first().and_then(|s| tester.read_asked(&s.1)) {
                        last = tester.handshake(&asked, &[byte; 5]);
                    }
                }
                2 => {
                    let at = at % last.len();
                    last[at] = byte;
                }
                3 => last.truncate(at.max(1)),
                4 => from = addr(usize::from(byte)),
                _ => {
                    if tester.keys.is_some() {
                        last = tester.sealed(&[byte & 7, 0xc3, 1, byte, 0x80]);
                    }
                }
            }
            let now = bench.now;
            let _received = bench.machine.handle_datagram(now, from, &mut last.clone());
            bench.drain();
            bench.now += Duration::from_millis(at as u64);
            bench.machine.handle_timeout(bench.now);
            bench.drain();
        }
    }
}
