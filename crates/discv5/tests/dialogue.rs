//! Two machines: sessions lost and renewed, requests at once, losses, families.

use std::time::Duration;

use peerage_core::{Direction, Endpoint};
use peerage_discv5::Config;
use peerage_discv5::cipher::Mask;
use peerage_discv5::discovery::{Answer, Event, RequestError};
use peerage_discv5::packet::{Envelope, Nonce, Protocol};
use peerage_discv5::record::{Builder, Family};

use crate::common::net::{Net, ROUGH, Weather, addr};

fn pair(seed: u8) -> Net {
    Net::of(seed, 2, &Config::default())
}

fn pong(n: usize) -> Answer {
    Answer::Pong {
        record_seq: 1,
        observed: Endpoint::from(addr(n)),
    }
}

#[test]
fn a_first_request_takes_four_datagrams_and_the_next_two() {
    let mut net = pair(1);
    assert_eq!(net.ping(0, 1), Ok(pong(0)));
    assert_eq!(net.datagrams, 4);
    assert_eq!(net.ping(0, 1), Ok(pong(0)));
    assert_eq!(net.datagrams, 6);
    let up = |n: usize, towards| {
        net.count(
            n,
            |event| matches!(event, Event::SessionUp { direction, .. } if *direction == towards),
        )
    };
    assert_eq!(up(0, Direction::Outbound), 1);
    assert_eq!(up(1, Direction::Inbound), 1);
    assert_eq!(net.nodes[0].machine.metrics().session_hits, 1);
}

#[test]
fn eight_requests_before_any_session_are_all_answered_over_one_handshake() {
    let mut net = pair(2);
    let to = net.record(1);
    let handles: Vec<_> = (0..8)
        .map(|_| {
            net.with(0, |machine, now| machine.start_ping(now, &to))
                .unwrap()
        })
        .collect();
    net.run(Duration::from_secs(1));
    for handle in handles {
        assert_eq!(net.answer_to(0, handle), Some(Ok(pong(0))));
    }
    assert_eq!(net.nodes[0].machine.metrics().handshakes, 1);
}

#[test]
fn a_full_queue_is_an_answer() {
    let mut net = pair(3);
    let to = net.record(1);
    let results: Vec<_> = (0..10)
        .map(|_| net.with(0, |machine, now| machine.start_ping(now, &to)))
        .collect();
    assert!(
        results[..9].iter().all(Result::is_ok),
        "one leads, eight wait"
    );
    assert_eq!(results[9], Err(RequestError::Busy { limit: 8 }));
}

#[test]
fn both_at_once_end_with_working_sessions() {
    for seed in 0..20 {
        let mut net = pair(seed);
        net.weather = Weather {
            loss_percent: 0,
            ..ROUGH
        };
        let (one, two) = (net.record(0), net.record(1));
        let there = net
            .with(0, |machine, now| machine.start_ping(now, &two))
            .unwrap();
        let back = net
            .with(1, |machine, now| machine.start_ping(now, &one))
            .unwrap();
        net.run(Duration::from_secs(3));
        assert_eq!(net.answer_to(0, there), Some(Ok(pong(0))), "seed {seed}");
        assert_eq!(net.answer_to(1, back), Some(Ok(pong(1))), "seed {seed}");
        for _ in 0..3 {
            assert_eq!(net.ping(0, 1), Ok(pong(0)), "seed {seed}");
            assert_eq!(net.ping(1, 0), Ok(pong(1)), "seed {seed}");
        }
    }
}

#[test]
fn two_that_ask_each_other_at_once_make_one_session() {
    // The second asks before the first one's packet comes, or while the first makes its handshake.
    for pause in [0, 10, 25, 30, 50, 55] {
        for first in [0, 1] {
            let mut net = pair(7);
            let second = 1 - first;
            let (to_second, to_first) = (net.record(second), net.record(first));
            let there = net.with(first, |machine, now| machine.start_ping(now, &to_second));
            net.run(Duration::from_millis(pause));
            let back = net.with(second, |machine, now| machine.start_ping(now, &to_first));
            net.run(Duration::from_millis(900));
            assert_eq!(net.answer_to(first, there.unwrap()), Some(Ok(pong(first))));
            assert_eq!(net.answer_to(second, back.unwrap()), Some(Ok(pong(second))));
            for node in &net.nodes {
                assert_eq!(node.machine.metrics().handshakes, 1, "after {pause} ms");
                assert_eq!(node.machine.metrics().resent, 0);
            }
        }
    }
}

#[test]
fn a_handshake_that_was_expected_and_does_not_come_is_made_after_all() {
    let mut net = pair(8);
    let to = net.record(1);
    // Somebody pretends to be the second node, so that the first asks it for a handshake.
    let forged = Envelope {
        mask: &Mask::new(&net.record(0).node_id()),
        protocol: Protocol::V5,
        iv: [1; 16],
        nonce: Nonce([2; 12]),
    };
    let mut forged = forged.random(&to.node_id(), &[3; 20]);
    let _taken = net.with(0, |machine, now| {
        machine.handle_datagram(now, addr(1), &mut forged)
    });
    let asked = net.with(0, |machine, now| machine.start_ping(now, &to));
    net.run(Duration::from_millis(400));
    assert_eq!(net.answer_to(0, asked.unwrap()), None, "it is expected");
    net.run(Duration::from_millis(600));
    assert_eq!(net.answer_to(0, asked.unwrap()), Some(Ok(pong(0))));
}

#[test]
fn a_node_that_restarts_is_met_again_whatever_was_under_way() {
    let mut net = pair(4);
    net.ping(0, 1).unwrap();
    net.restart(1);
    let to = net.record(1);
    let handles: Vec<_> = (0..5)
        .map(|_| {
            net.with(0, |machine, now| machine.start_ping(now, &to))
                .unwrap()
        })
        .collect();
    net.run(Duration::from_millis(900));
    for handle in handles {
        assert_eq!(net.answer_to(0, handle), Some(Ok(pong(0))));
    }
    assert_eq!(net.nodes[0].machine.metrics().handshakes, 2);
    assert_eq!(net.nodes[0].machine.metrics().resent, 0);
    // And the other way: the restarted node asks one that still has the old keys.
    net.restart(1);
    assert_eq!(net.ping(1, 0), Ok(pong(1)));
    assert_eq!(net.ping(0, 1), Ok(pong(0)));
}

#[test]
fn losses_repetitions_and_reordering_are_survived() {
    let mut answered = 0;
    for seed in 0..10 {
        let mut net = pair(seed);
        net.weather = ROUGH;
        for round in 0..10 {
            let (from, to) = (round % 2, 1 - round % 2);
            answered += usize::from(net.ping(from, to).is_ok());
        }
    }
    // A PING fails only if both of its attempts do: about 1 - (1 - 0.19)^2 of first tries.
    assert!(answered >= 85, "{answered} of 100");
}

#[test]
fn silence_is_a_timeout_after_one_repetition() {
    let mut net = pair(5);
    net.nodes[1].is_up = false;
    let before = net.now;
    assert_eq!(net.ping(0, 1), Err(RequestError::Timeout));
    assert_eq!(net.now - before, Duration::from_secs(4));
    assert_eq!(net.datagrams, 2);
    let metrics = net.nodes[0].machine.metrics();
    assert_eq!((metrics.no_response, metrics.resent), (1, 1));
    assert_eq!(metrics.requests_open, 0);
}

#[test]
fn what_waits_for_a_handshake_that_fails_fails_with_it() {
    let mut net = pair(6);
    net.nodes[1].is_up = false;
    let to = net.record(1);
    let handles: Vec<_> = (0..3)
        .map(|_| {
            net.with(0, |machine, now| machine.start_ping(now, &to))
                .unwrap()
        })
        .collect();
    net.run(Duration::from_secs(5));
    for handle in handles {
        assert_eq!(net.answer_to(0, handle), Some(Err(RequestError::Timeout)));
    }
    net.nodes[1].is_up = true;
    assert_eq!(net.ping(0, 1), Ok(pong(0)), "and nothing is left behind");
}

#[test]
fn a_message_too_long_to_travel_with_a_handshake_goes_after_it() {
    let mut net = pair(7);
    net.with(1, |machine, _| machine.register_talk(b"x"))
        .unwrap();
    let to = net.record(1);
    let payload = vec![5; 1100];
    let handle = net
        .with(0, |machine, now| {
            machine.start_talk(now, &to, b"x", &payload)
        })
        .unwrap();
    assert!(net.run_until(Duration::from_secs(1), |net| {
        net.count(1, |event| matches!(event, Event::Talk { .. })) == 1
    }));
    let ticket = net.nodes[1].events.iter().find_map(|event| match event {
        Event::Talk {
            ticket,
            payload: got,
            ..
        } => {
            assert_eq!(*got, payload);
            Some(*ticket)
        }
        _ => None,
    });
    net.with(1, |machine, _| machine.answer_talk(ticket.unwrap(), b"ok"));
    net.run(Duration::from_secs(1));
    let answer = Answer::Talk(b"ok".to_vec());
    assert_eq!(net.answer_to(0, handle), Some(Ok(answer)));
    let refused = net.with(0, |machine, now| {
        machine.start_talk(now, &to, b"x", &vec![0; 1176])
    });
    assert!(matches!(refused, Err(RequestError::TooLong { .. })));
    let longest = net.with(0, |machine, now| {
        machine.start_talk(now, &to, b"x", &vec![0; 1175])
    });
    assert!(longest.is_ok());
}

#[test]
fn the_longest_talk_request_fills_a_packet() {
    let mut net = pair(14);
    net.ping(0, 1).unwrap();
    let to = net.record(1);
    let sent = |net: &Net| net.nodes[0].machine.metrics().bytes_out;
    let before = sent(&net);
    let longest = net.with(0, |machine, now| {
        machine.start_talk(now, &to, b"echo", &[6; 1172])
    });
    assert!(longest.is_ok());
    assert_eq!(sent(&net) - before, 1280);
    let beyond = net.with(0, |machine, now| {
        machine.start_talk(now, &to, b"echo", &[6; 1173])
    });
    assert!(matches!(beyond, Err(RequestError::TooLong { .. })));
    net.run(Duration::from_secs(1));
    let answer = Answer::Talk(Vec::new());
    assert_eq!(net.answer_to(0, longest.unwrap()), Some(Ok(answer)));
}

#[test]
fn we_are_not_asked_and_neither_is_a_node_without_an_address() {
    let mut net = pair(8);
    let own = net.record(0);
    let result = net.with(0, |machine, now| machine.start_ping(now, &own));
    assert_eq!(result, Err(RequestError::Ourselves));
    let nowhere = net.add_at(Config::default(), addr(9), Builder::new(1));
    let record = net.record(nowhere);
    let result = net.with(0, |machine, now| machine.start_ping(now, &record));
    assert_eq!(result, Err(RequestError::NoAddress));
}

#[test]
fn a_node_whose_record_names_another_address_is_answered_but_not_placed() {
    let mut net = pair(9);
    let elsewhere = Builder::new(1).ip([10, 1, 2, 3].into()).udp4(9000);
    let odd = net.add_at(Config::default(), addr(2), elsewhere);
    let bare = net.add_at(Config::default(), addr(3), Builder::new(1));
    for n in [odd, bare] {
        assert_eq!(net.ping(n, 0), Ok(pong(n)), "it learns its address");
    }
    assert_eq!(net.nodes[0].machine.table().len(), 0);
    let told = net.count(0, |event| matches!(event, Event::OtherAddress(_)));
    assert_eq!(told, 2);
}

#[test]
fn the_other_family_is_tried_when_the_first_is_silent() {
    let dual = Config {
        ipv6: true,
        ..Config::default()
    };
    let mut net = Net::of(10, 1, &dual);
    let v6: std::net::SocketAddr = "[2001:db8::7]:9000".parse().unwrap();
    // Its IPv4 address leads nowhere.
    let record = Builder::new(1).ip([20, 9, 9, 9].into()).udp4(9000);
    let record = record.ip(v6.ip()).udp6(9000);
    let other = net.add_at(dual, v6, record);
    assert_eq!(net.ping(0, other), Ok(pong(0)));
    let entry = net.nodes[0]
        .machine
        .table()
        .node(&net.record(other).node_id());
    assert_eq!(
        entry.unwrap().endpoint,
        Endpoint::from(v6),
        "and remembered"
    );
    let before = net.now;
    assert_eq!(net.ping(0, other), Ok(pong(0)));
    assert!(net.now - before < Duration::from_millis(100));

    let v4_only = Config::default();
    let mut net = Net::of(11, 1, &v4_only);
    let record = Builder::new(1).ip(v6.ip()).udp6(9000);
    let other = net.add_at(v4_only, v6, record);
    let record = net.record(other);
    assert!(record.udp_endpoint(Family::V6).is_some());
    let result = net.with(0, |machine, now| machine.start_ping(now, &record));
    assert_eq!(result, Err(RequestError::NoAddress), "no socket for it");
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let run = |seed| {
        let mut net = Net::of(seed, 6, &Config::default());
        net.weather = ROUGH;
        let boot = net.record(0);
        for n in 1..6 {
            net.with(n, |machine, now| {
                machine.seed_table([boot.clone()]);
                machine.start(now);
            });
        }
        net.run(Duration::from_secs(60));
        (net.trace, net.datagrams)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_talk_request_that_may_have_arrived_is_not_repeated() {
    let mut net = pair(12);
    net.with(1, |machine, _| machine.register_talk(b"x"))
        .unwrap();
    let to = net.record(1);
    for expected in 1..=2 {
        // The first goes with a handshake, the second over the session. Nobody answers in time.
        let handle = net
            .with(0, |machine, now| machine.start_talk(now, &to, b"x", b"hi"))
            .unwrap();
        let talks = |net: &Net| net.count(1, |event| matches!(event, Event::Talk { .. }));
        assert!(net.run_until(Duration::from_secs(1), |net| talks(net) == expected));
        net.nodes[1].is_up = false;
        assert!(net.run_until(Duration::from_secs(5), |net| {
            net.answer_to(0, handle) == Some(Err(RequestError::Timeout))
        }));
        net.nodes[1].is_up = true;
        assert_eq!(talks(&net), expected);
    }
    assert_eq!(net.nodes[0].machine.metrics().resent, 0);
}

#[test]
fn a_mapped_address_in_a_record_is_not_sent_to() {
    let mut net = pair(13);
    let mapped: std::net::Ipv6Addr = "::ffff:20.0.9.9".parse().unwrap();
    let record = Builder::new(1).string("ip6", mapped.octets()).udp6(9000);
    let record = record.sign(&crate::common::net::secret(99)).unwrap();
    let config = Config {
        ipv6: true,
        ..Config::default()
    };
    let n = net.add(config);
    let result = net.with(n, |machine, now| machine.start_ping(now, &record));
    assert_eq!(result, Err(RequestError::NoAddress));
}
