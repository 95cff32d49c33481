//! Strangers who forge handshakes, flood, repeat and try to have us send more than they did.

use std::net::SocketAddr;
use std::time::Duration;

use peerage_discv5::Config;
use peerage_discv5::cipher::Mask;
use peerage_discv5::packet::{Envelope, Nonce, Packet, Protocol};

use crate::common::net::addr;
use crate::common::tester::{Bench, Tester, bench_and_tester, ping};

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
