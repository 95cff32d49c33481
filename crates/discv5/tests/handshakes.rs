//! Strangers who forge handshakes, flood, repeat and try to have us send more than they did.

use std::net::SocketAddr;
use std::time::Duration;

use peerage_discv5::Config;
use peerage_discv5::cipher::Mask;
use peerage_discv5::packet::{Envelope, Nonce, Packet, Protocol};
use proptest::prelude::*;

use crate::common::net::addr;
use crate::common::tester::{Asked, Bench, Tester, bench_and_tester, ping};

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
fn handshakes_nobody_asked_for_do_not_use_up_the_rate_of_their_group() {
    let (mut bench, mut tester) = bench_and_tester();
    let asked = tester.provoke(&mut bench);
    let datagram = tester.handshake(&asked, &ping());
    for port in 1..200 {
        let neighbour = SocketAddr::new(tester.addr.ip(), port);
        assert!(bench.give(neighbour, &datagram).is_empty());
    }
    assert_eq!(bench.machine.metrics().stray_handshakes, 199);
    assert_eq!(tester.give(&mut bench, &datagram).len(), 1);
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
fn challenges_belong_to_a_node_at_an_address_and_end_with_time() {
    let bench = &mut Bench::new(Config::default());
    let own = bench.machine.record().clone();
    // Five nodes at one address, and one node at five.
    let at_one = (1..6).map(|n| {
        let mut tester = Tester::new(n, &own);
        tester.addr = addr(1);
        tester
    });
    let of_one = (11..16).map(|n| {
        let mut tester = Tester::new(7, &own);
        tester.addr = addr(n);
        tester
    });
    let mut testers: Vec<_> = at_one.chain(of_one).collect();
    let asked: Vec<_> = testers.iter_mut().map(|t| t.provoke(bench)).collect();
    let distinct: std::collections::BTreeSet<_> = asked.iter().map(|a| &a.challenge_data).collect();
    assert_eq!(distinct.len(), 10);
    // A random packet within the time is answered with the same, whoever is between.
    for (tester, asked) in testers.iter_mut().zip(&asked) {
        let (_, datagram) = tester.random();
        assert_eq!(bench.give(tester.addr, &datagram)[0].1, asked.datagram);
    }
    let datagram = testers[3].handshake(&asked[3], &ping());
    assert_eq!(testers[3].give(bench, &datagram).len(), 1);
    bench.now += Duration::from_secs(2);
    bench.machine.handle_timeout(bench.now);
    for (tester, asked) in testers.iter_mut().zip(&asked) {
        let datagram = tester.handshake(asked, &ping());
        assert!(bench.give(tester.addr, &datagram).is_empty());
    }
    assert_eq!(bench.machine.metrics().stray_handshakes, 10);
}

#[test]
fn what_was_heard_once_is_of_no_use_to_whoever_repeats_it() {
    let (mut bench, mut tester) = bench_and_tester();
    let (_, random) = tester.random();
    let sent = bench.give(tester.addr, &random);
    let asked = tester.read_asked(&sent[0].1).unwrap();
    let handshake = tester.handshake(&asked, &ping());
    assert_eq!(tester.give(&mut bench, &handshake).len(), 1);
    let message = tester.sealed(&ping());
    assert_eq!(tester.give(&mut bench, &message).len(), 1);
    let sessions = bench.machine.metrics().handshakes;
    // From the same address: an answer again, to who has proved to be there.
    assert_eq!(tester.give(&mut bench, &message).len(), 1);
    assert!(bench.give(tester.addr, &handshake).is_empty());
    // From elsewhere nothing but questions, each smaller than what it answers.
    for datagram in [&random, &handshake, &message] {
        let sent = bench.give(addr(60), datagram);
        assert!(
            sent.iter()
                .all(|(to, bytes)| *to == addr(60) && bytes.len() == 63)
        );
    }
    assert_eq!(bench.machine.metrics().handshakes, sessions);
    assert_eq!(bench.machine.table().len(), 1);
    // After a new start its answers to the old challenge mean nothing.
    let mut again = Bench::new(Config::default());
    assert!(again.give(tester.addr, &handshake).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Counted over the whole dialogue. The bound is three times; ours is once.
    #[test]
    fn no_stream_of_packets_from_an_unproven_address_is_amplified(
        packets in proptest::collection::vec((0u8..7, any::<u8>(), 0u64..1500), 1..60),
    ) {
        let (mut bench, mut tester) = bench_and_tester();
        let mut bystander = Tester::new(5, bench.machine.record());
        bystander.meet(&mut bench, &ping());
        let (mut inn, mut out) = (0, 0);
        let mut asked = None;
        for (kind, byte, pause) in packets {
            bench.now += Duration::from_millis(pause);
            bench.machine.handle_timeout(bench.now);
            let mut sent = bench.drain();
            let blind = asked.clone().map(|mut asked: Asked| {
                asked.challenge_data[40] ^= byte | 1;
                asked
            });
            let datagram = match (kind, blind) {
                (1, Some(blind)) => tester.handshake(&blind, &ping()),
                (2, Some(blind)) => tester.handshake_with(&blind, &ping(), &[byte; 40]),
                // The proof of a victim, whose source is forged.
                (3, Some(_)) => bystander.sealed(&ping()),
                (4, _) => vec![byte; usize::from(byte) * 5],
                (5, _) => {
                    let mut short = tester.random().1;
                    short.truncate(63 + usize::from(byte) % 30);
                    short
                }
                _ => tester.random().1,
            };
            inn += datagram.len();
            let mut copy = datagram;
            let _received = bench.machine.handle_datagram(bench.now, tester.addr, &mut copy);
            sent.extend(bench.drain());
            for (to, bytes) in sent {
                if to == tester.addr {
                    out += bytes.len();
                    asked = tester.read_asked(&bytes).or(asked);
                }
            }
            prop_assert!(out <= inn, "{} bytes for {}", out, inn);
        }
    }
}
