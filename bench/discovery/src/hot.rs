//! Single steps, without sockets: nanoseconds of one thread's processor time.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Instant;

use peerage_bench_kit::Error;
use peerage_discv5::cipher::{Cipher, Mask};
use peerage_discv5::curve::SecretKey;
use peerage_discv5::message::{Message, Request, RequestId};
use peerage_discv5::packet::{Envelope, Nonce, Packet, Protocol};
use peerage_discv5::record::{Builder, Record, Unverified};
use peerage_discv5::rng::Rng;
use peerage_discv5::table::{Limits, Metric, Table};
use peerage_discv5::{Config, NodeId};

use crate::node::secret;
use crate::quiet::{addr, carry, machine, thread_time};
use crate::spoofed;

/// The quickest of some repetitions of `times` steps: what a neighbour adds is not ours.
fn ns(times: u32, mut step: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..7 {
        let begun = thread_time();
        for _ in 0..times {
            step();
        }
        let spent = thread_time() - begun;
        best = best.min(spent.as_secs_f64() * 1e9 / f64::from(times));
    }
    best
}

pub fn steps() -> Result<(), Error> {
    let now = Instant::now();
    let mut told = Vec::new();
    let mut tell = |name: &str, ns: f64| told.push(format!("\"{name}\":{ns:.1}"));
    let (mut one, mut two) = (machine(1)?, machine(2)?);
    let record = two.record().clone();
    one.start_ping(now, &record)?;
    assert_eq!(carry(now, &mut one, &mut two), 1);

    tell(
        "ping_round_trip",
        ns(5000, || {
            one.start_ping(now, &record).expect("there is room");
            assert_eq!(carry(now, &mut one, &mut two), 1);
        }),
    );
    tell(
        "own_record_round_trip",
        ns(5000, || {
            one.start_find_node(now, &record, &[0])
                .expect("there is room");
            assert_eq!(carry(now, &mut one, &mut two), 1);
        }),
    );

    let forged = spoofed::packet(&two.node_id())?;
    let from = SocketAddr::from(([192, 0, 2, 1], 9));
    let mut datagram = forged.clone();
    tell(
        "spoofed_handshake",
        ns(5000, || {
            datagram.copy_from_slice(&forged);
            let _taken = two.handle_datagram(now, from, &mut datagram);
        }),
    );
    assert!(two.poll_action().is_none(), "nothing answers them");

    let cipher = Cipher::new(&[3; 16]);
    let mask = Mask::new(&two.node_id());
    let envelope = Envelope {
        mask: &mask,
        protocol: Protocol::V5,
        iv: [1; 16],
        nonce: Nonce([2; 12]),
    };
    let source = one.node_id();
    let ping = || {
        envelope.ordinary(&source, &cipher, |out| {
            Request::Ping { record_seq: 1 }.encode(out, RequestId::from(7));
        })
    };
    tell("encode_ping", ns(5000, || drop(black_box(ping()))));
    let sealed = ping();
    let mut datagram = sealed.clone();
    tell(
        "decode_ping",
        ns(5000, || {
            datagram.copy_from_slice(&sealed);
            let packet =
                Packet::unmask(&mask, Protocol::V5, &mut datagram).expect("it is a packet");
            let opened = cipher.open(packet.nonce, packet.header, packet.message);
            let message = Message::decode(opened.expect("it is sealed so"));
            assert!(black_box(message).is_ok());
        }),
    );
    tell(
        "unmask_and_parse_header",
        ns(5000, || {
            datagram.copy_from_slice(&sealed);
            assert!(black_box(Packet::unmask(&mask, Protocol::V5, &mut datagram)).is_ok());
        }),
    );
    let long = envelope.ordinary(&source, &cipher, |out| out.resize(1100, 7));
    let mut datagram = long.clone();
    tell(
        "open_1100",
        ns(5000, || {
            datagram.copy_from_slice(&long);
            let packet =
                Packet::unmask(&mask, Protocol::V5, &mut datagram).expect("it is a packet");
            let opened = cipher.open(packet.nonce, packet.header, packet.message);
            assert!(black_box(opened).is_ok());
        }),
    );

    let bytes = record.as_bytes();
    tell(
        "record_decode",
        ns(5000, || drop(black_box(Unverified::decode(bytes)))),
    );
    tell(
        "record_verify",
        ns(200, || {
            assert!(black_box(Unverified::decode(bytes).expect("a record").verify()).is_ok());
        }),
    );
    let key = SecretKey::from_bytes(secret(1))?;
    tell(
        "record_sign",
        ns(200, || {
            let record = Builder::new(1).ip([127, 0, 0, 1].into()).udp4(9);
            drop(black_box(record.sign(&key)));
        }),
    );

    // A step of a lookup in a full table: whom to ask, and what to answer who asks.
    let table = full_table(one.node_id())?;
    let mut rng = Rng::new([1; 32]);
    let target = NodeId(secret(5));
    tell(
        "nearest_16",
        ns(500, || {
            assert_eq!(black_box(table.neighbours(&target, 16, |_| true)).len(), 16);
        }),
    );
    tell(
        "answer_3_distances",
        ns(500, || {
            let asked = [256, 255, 254];
            let found = table.neighbours_at_distances(&mut rng, &asked, 16, |_| true);
            assert_eq!(black_box(found).len(), 16);
        }),
    );
    let places = table.len();
    println!(
        "{{\"name\":\"hot\",\"places\":{places},\"sessions\":{},\"ns\":{{{}}}}}",
        Config::default().max_sessions,
        told.join(",")
    );
    Ok(())
}

fn full_table(own: NodeId) -> Result<Table, Error> {
    let mut table = Table::new(own, Limits::default(), Metric::default());
    for number in 10..510 {
        let record = Builder::new(1).ip(addr(number).ip()).udp4(9000);
        let record: Record = record.sign(&SecretKey::from_bytes(secret(number))?)?;
        let endpoint = record.udp4_endpoint().ok_or("it has an address")?;
        table.add(record, endpoint);
    }
    Ok(table)
}
