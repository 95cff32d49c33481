//! Who is listened to at all; and a stranger who does anything.

use std::net::SocketAddr;
use std::time::Duration;

use peerage_discv5::Config;
use peerage_discv5::discovery::{Received, RequestError};
use peerage_discv5::message::Message;
use proptest::prelude::*;

use crate::common::net::addr;
use crate::common::tester::{Bench, Tester, bench_and_tester, decode, ping};

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
