//! What geth's `devp2p discv5 test` asks of a node, each test under its name there; and what
//! follows from the same rules.

use std::time::Duration;

use peerage_core::Endpoint;
use peerage_discv5::discovery::{Event, MAX_TALK_RESPONSE};
use peerage_discv5::message::{Distances, Message, Request, RequestId, Response, put_pong};
use peerage_discv5::record::Record;

use crate::common::net::addr;
use crate::common::tester::{Tester, bench_and_tester, decode, ping, plain};

fn nodes_of(answers: &[Vec<u8>]) -> Vec<Record> {
    let mut found = Vec::new();
    for answer in answers {
        let Message::Response(_, Response::Nodes { total, records }) = decode(answer) else {
            panic!("{:?}", decode(answer));
        };
        assert_eq!(total, answers.len() as u64);
        found.extend(records.map(|record| record.unwrap().verify().unwrap()));
    }
    found
}

#[test]
fn ping_is_answered_with_its_id_and_the_observed_endpoint() {
    let (mut bench, mut tester) = bench_and_tester();
    let answers = tester.meet(&mut bench, &ping());
    let pong = Response::Pong {
        record_seq: 1,
        observed: Endpoint::from(tester.addr),
    };
    assert_eq!(answers.len(), 1);
    assert_eq!(
        decode(&answers[0]),
        Message::Response(RequestId::from(1), pong)
    );
}

#[test]
fn ping_large_request_id_gets_no_answer() {
    let (mut bench, mut tester) = bench_and_tester();
    tester.meet(&mut bench, &ping());
    let mut plaintext = vec![1, 0xc0 + 11, 0x89];
    plaintext.extend([0xaa; 9]);
    plaintext.push(1);
    let datagram = tester.sealed(&plaintext);
    assert!(tester.give(&mut bench, &datagram).is_empty());
    assert_eq!(bench.machine.metrics().malformed, 1);
    let still = tester.ask(&mut bench, &Request::Ping { record_seq: 1 });
    assert_eq!(still.len(), 1, "the session lives on");
}

#[test]
fn ping_multi_ip() {
    let (mut bench, mut tester) = bench_and_tester();
    let (first, second) = (tester.addr, addr(2));
    tester.meet(&mut bench, &ping());
    let old_keys = tester.keys.clone();

    // The session of the first address means nothing at the second.
    tester.addr = second;
    let sent = bench.give(second, &tester.sealed(&ping()));
    let asked = tester.read_asked(&sent[0].1).expect("a WHOAREYOU");
    let datagram = tester.handshake(&asked, &ping());
    assert_eq!(tester.give(&mut bench, &datagram).len(), 1);

    // Back at the first, with the newer keys.
    tester.addr = first;
    let sent = bench.give(first, &tester.sealed(&ping()));
    assert!(tester.read_asked(&sent[0].1).is_some());
    // The keys of the first address still work there.
    tester.keys = old_keys;
    let answers = tester.ask(&mut bench, &Request::Ping { record_seq: 1 });
    assert_eq!(answers.len(), 1);
}

#[test]
fn handshake_resend() {
    let (mut bench, mut tester) = bench_and_tester();
    let asked = tester.provoke(&mut bench);
    let (other_nonce, datagram) = tester.random();
    assert_ne!(other_nonce, asked.nonce);
    let sent = bench.give(tester.addr, &datagram);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].1, asked.datagram, "byte for byte");
    let datagram = tester.handshake(&asked, &ping());
    assert_eq!(tester.give(&mut bench, &datagram).len(), 1);
}

#[test]
fn talk_request_of_an_unknown_protocol_gets_an_empty_response_with_its_id() {
    let (mut bench, mut tester) = bench_and_tester();
    tester.meet(&mut bench, &ping());
    for id in [&b""[..], b"\x01", b"12345678"] {
        let id = RequestId::new(id).unwrap();
        let mut plaintext = Vec::new();
        let request = Request::Talk {
            protocol: b"test-protocol",
            payload: b"hello",
        };
        request.encode(&mut plaintext, id);
        let datagram = tester.sealed(&plaintext);
        let answers = tester.give(&mut bench, &datagram);
        let empty = Response::Talk { payload: b"" };
        assert_eq!(answers.len(), 1);
        assert_eq!(decode(&answers[0]), Message::Response(id, empty));
    }
}

#[test]
fn findnode_zero_distance_gives_exactly_our_record() {
    let (mut bench, mut tester) = bench_and_tester();
    tester.meet(&mut bench, &ping());
    for distances in [&[0][..], &[0, 256, 255], &[256, 0]] {
        let distances = Distances::new(distances.iter().copied());
        let answers = tester.ask(&mut bench, &Request::FindNode { distances });
        assert_eq!(nodes_of(&answers), [bench.machine.record().clone()]);
    }
    for distances in [&[][..], &[257], &[1, 257], &[0, 300]] {
        // A list with an impossible distance is written by hand.
        let mut plaintext = vec![3, 0, 0x88, 0, 0, 0, 0, 0, 0, 0, 1, 0xc0];
        for &distance in distances {
            let before = plaintext.len();
            peerage_discv5::rlp::put_uint(&mut plaintext, distance);
            let len = u8::try_from(plaintext.len() - before).unwrap();
            plaintext[11] += len;
        }
        plaintext[1] = 0xc0 + u8::try_from(plaintext.len() - 2).unwrap();
        let datagram = tester.sealed(&plaintext);
        let answers = tester.give(&mut bench, &datagram);
        assert_eq!(nodes_of(&answers), [], "{distances:?}");
    }
}

#[test]
fn findnode_results_names_bystanders_after_we_have_asked_them_back() {
    let (mut bench, mut tester) = bench_and_tester();
    let mut bystanders: Vec<_> = (10..15)
        .map(|n| Tester::new(n, bench.machine.record()))
        .collect();
    for bystander in &mut bystanders {
        bystander.meet(&mut bench, &ping());
    }
    tester.meet(&mut bench, &ping());
    let id = bench.machine.node_id();
    let distances: Vec<_> = bystanders
        .iter()
        .map(|b| id.log_distance(&b.id()))
        .collect();
    let request = Request::FindNode {
        distances: Distances::new(distances),
    };
    let before = tester.ask(&mut bench, &request);
    assert_eq!(nodes_of(&before), [], "nobody is known to be alive");

    // The asking back comes within seconds.
    let within = bench.now + Duration::from_secs(5);
    let mut asked_back = 0;
    while let Some(wakeup) = bench.machine.poll_timeout() {
        if wakeup.at > within {
            break;
        }
        bench.now = wakeup.at;
        bench.machine.handle_timeout(wakeup.at);
        for (to, datagram) in bench.drain() {
            let Some(bystander) = bystanders.iter_mut().find(|b| b.addr == to) else {
                continue;
            };
            let opened = bystander.open(&datagram).unwrap();
            let Message::Request(id, Request::Ping { .. }) = decode(&opened) else {
                panic!();
            };
            asked_back += 1;
            let mut pong = Vec::new();
            put_pong(&mut pong, id, 1, Endpoint::from(addr(0)));
            let datagram = bystander.sealed(&pong);
            bench.give(to, &datagram);
        }
    }
    assert_eq!(asked_back, 5);

    let mut found = nodes_of(&tester.ask(&mut bench, &request));
    let mut expected: Vec<_> = bystanders.iter().map(|b| b.record.clone()).collect();
    found.sort_by_key(Record::node_id);
    expected.sort_by_key(Record::node_id);
    assert_eq!(found, expected);

    // A bystander is not told of itself.
    let own = bystanders[0].ask(&mut bench, &request);
    assert_eq!(nodes_of(&own).len(), 4);
}

#[test]
fn topic_messages_are_counted_and_unanswered() {
    let (mut bench, mut tester) = bench_and_tester();
    tester.meet(&mut bench, &ping());
    for kind in [7, 8, 9, 10, 99] {
        let datagram = tester.sealed(&[kind, 0xc1, 0x01]);
        assert!(tester.give(&mut bench, &datagram).is_empty());
    }
    assert_eq!(bench.machine.metrics().unimplemented_in, 5);
}

#[test]
fn talk_reaches_the_application_and_its_answer_the_asker() {
    let (mut bench, mut tester) = bench_and_tester();
    bench.machine.register_talk(b"echo").unwrap();
    assert!(bench.machine.register_talk(b"echo").is_err(), "one each");
    tester.meet(&mut bench, &ping());
    let request = Request::Talk {
        protocol: b"echo",
        payload: b"hello",
    };
    assert!(tester.ask(&mut bench, &request).is_empty());
    let Some(Event::Talk {
        ticket,
        contact,
        record,
        protocol,
        payload,
    }) = bench.events.pop()
    else {
        panic!();
    };
    assert_eq!((&protocol[..], &payload[..]), (&b"echo"[..], &b"hello"[..]));
    assert_eq!((contact.node, &record), (tester.id(), &tester.record));
    let too_long = vec![1; MAX_TALK_RESPONSE + 1];
    assert!(!bench.machine.answer_talk(ticket, &too_long));
    assert!(bench.machine.answer_talk(ticket, &too_long[1..]));
    assert!(!bench.machine.answer_talk(ticket, b"again"));
    let sent = bench.drain();
    assert_eq!(sent[0].1.len(), 1280, "the longest answer fills a packet");
    let opened = tester.open(&sent[0].1).unwrap();
    let payload = &too_long[1..];
    let expected = Message::Response(RequestId::from(1), Response::Talk { payload });
    assert_eq!(decode(&opened), expected);

    // An application that thinks too long is answered for.
    assert!(tester.ask(&mut bench, &request).is_empty());
    bench.now += bench.machine.config().talk_timeout;
    bench.machine.handle_timeout(bench.now);
    let sent = bench.drain();
    let empty = Response::Talk { payload: b"" };
    let empty = Message::Response(RequestId::from(1), empty);
    let is_empty = |datagram: &[u8]| decode(&tester.open(datagram).unwrap()) == empty;
    assert!(sent.iter().any(|(_, datagram)| is_empty(datagram)));
    let ticket = bench.events.iter().rev().find_map(|event| match event {
        Event::Talk { ticket, .. } => Some(*ticket),
        _ => None,
    });
    assert!(!bench.machine.answer_talk(ticket.unwrap(), b"late"));
}

#[test]
fn whoareyou_names_the_record_that_we_hold() {
    let (mut bench, mut tester) = bench_and_tester();
    assert_eq!(tester.provoke(&mut bench).record_seq, 0);
    let (mut bench, mut tester) = bench_and_tester();
    bench.machine.add_node(&tester.record);
    let asked = tester.provoke(&mut bench);
    assert_eq!(asked.record_seq, 1);
    // Then the handshake needs no record.
    let datagram = tester.handshake_with(&asked, &plain(&Request::Ping { record_seq: 1 }, 7), &[]);
    assert_eq!(tester.give(&mut bench, &datagram).len(), 1);
}
