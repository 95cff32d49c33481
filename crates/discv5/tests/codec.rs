//! Packets and messages that are wrong, odd or foreign.

use std::net::IpAddr;

use peerage_core::Endpoint;
use peerage_discv5::NodeId;
use peerage_discv5::cipher::{Cipher, Mask};
use peerage_discv5::message::{
    Distances, Message, MessageError, Request, RequestId, Response, put_nodes, put_pong,
    put_talk_response,
};
use peerage_discv5::packet::{Envelope, Kind, Nonce, Packet, PacketError, Protocol};
use peerage_discv5::record::Builder;
use peerage_discv5::rlp::RlpError;
use proptest::prelude::*;

use crate::records::key;

const US: NodeId = NodeId([1; 32]);
const THEM: NodeId = NodeId([2; 32]);

fn envelope(mask: &Mask, protocol: Protocol) -> Envelope<'_> {
    Envelope {
        mask,
        protocol,
        iv: [7; 16],
        nonce: Nonce([8; 12]),
    }
}

fn ordinary(protocol: Protocol) -> Vec<u8> {
    let cipher = Cipher::new(&[3; 16]);
    let mask = Mask::new(&US);
    envelope(&mask, protocol).ordinary(&THEM, &cipher, |out| {
        Request::Ping { record_seq: 1 }.encode(out, RequestId::from(1));
    })
}

/// A packet whose unmasked header is changed before it is masked again.
fn with_header(change: impl FnOnce(&mut [u8])) -> Result<(), PacketError> {
    let mut packet = ordinary(Protocol::V5);
    let iv: [u8; 16] = packet[..16].try_into().unwrap();
    let mask = Mask::new(&US);
    mask.apply(&iv, 0, &mut packet[16..]);
    change(&mut packet[16..]);
    mask.apply(&iv, 0, &mut packet[16..]);
    Packet::unmask(&mask, Protocol::V5, &mut packet).map(|_| ())
}

#[test]
fn a_foreign_datagram_is_left_as_it_was() {
    let mask = Mask::new(&US);
    for len in [0, 1, 62, 63, 100, 1280, 1281, 2000] {
        let mut datagram = vec![0x5a; len];
        let error = Packet::unmask(&mask, Protocol::V5, &mut datagram).unwrap_err();
        assert!(error.is_foreign(), "{error}");
        assert_eq!(datagram, vec![0x5a; len]);
    }
    let to_another = ordinary(Protocol::V5);
    let mut datagram = to_another.clone();
    let error = Packet::unmask(&Mask::new(&THEM), Protocol::V5, &mut datagram).unwrap_err();
    assert_eq!(error, PacketError::NotThisProtocol);
    assert_eq!(datagram, to_another);
}

#[test]
fn another_protocol_id_or_version_makes_another_network() {
    let other = Protocol {
        id: *b"testv5",
        version: 2,
    };
    let mask = Mask::new(&US);
    assert!(Packet::unmask(&mask, other, &mut ordinary(other)).is_ok());
    let error = Packet::unmask(&mask, Protocol::V5, &mut ordinary(other)).unwrap_err();
    assert_eq!(error, PacketError::NotThisProtocol);
    let newer = Protocol {
        version: 2,
        ..Protocol::V5
    };
    let error = Packet::unmask(&mask, Protocol::V5, &mut ordinary(newer)).unwrap_err();
    assert_eq!(error, PacketError::Version(2));
    assert!(!error.is_foreign());
}

#[test]
fn a_header_that_lies_is_refused() {
    assert_eq!(with_header(|_| ()), Ok(()));
    assert_eq!(with_header(|h| h[8] = 3), Err(PacketError::Flag(3)));
    assert_eq!(with_header(|h| h[8] = 1), Err(PacketError::Authdata(32)));
    assert_eq!(with_header(|h| h[8] = 2), Err(PacketError::Authdata(32)));
    assert_eq!(with_header(|h| h[22] = 31), Err(PacketError::Authdata(31)));
    assert_eq!(
        with_header(|h| h[21] = 0xff),
        Err(PacketError::Authdata(0xff20))
    );
    // All that follows the header is authdata, and no tag is left.
    let mut short = ordinary(Protocol::V5);
    short.truncate(16 + 23 + 32 + 15);
    let error = Packet::unmask(&Mask::new(&US), Protocol::V5, &mut short).unwrap_err();
    assert_eq!(error, PacketError::Message(15));
    let mask = Mask::new(&US);
    let question = envelope(&mask, Protocol::V5).who_are_you(&[1; 16], 5);
    let mut longer = question.packet.to_vec();
    longer.push(0);
    let error = Packet::unmask(&mask, Protocol::V5, &mut longer).unwrap_err();
    assert_eq!(error, PacketError::Message(1));
}

#[test]
fn random_bytes_are_an_ordinary_packet() {
    let mask = Mask::new(&US);
    let mut packet = envelope(&mask, Protocol::V5).random(&THEM, &[9; 20]);
    let read = Packet::unmask(&mask, Protocol::V5, &mut packet).unwrap();
    assert_eq!(read.kind, Kind::Ordinary { source: THEM });
    assert_eq!(read.message, [9; 20]);
}

fn encoded(fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    fill(&mut out);
    out
}

#[test]
fn every_message_goes_both_ways() {
    let id = RequestId::new(&[1, 2, 3]).unwrap();
    for request in [
        Request::Ping { record_seq: 300 },
        Request::FindNode {
            distances: Distances::new([]),
        },
        Request::FindNode {
            distances: Distances::new([256, 255, 0, 1]),
        },
        Request::Talk {
            protocol: b"echo",
            payload: &[5; 100],
        },
        Request::Talk {
            protocol: b"",
            payload: b"",
        },
    ] {
        let plaintext = encoded(|out| request.encode(out, id));
        assert_eq!(
            Message::decode(&plaintext),
            Ok(Message::Request(id, request))
        );
    }
    for text in ["192.0.2.1:9000", "[2001:db8::1]:1"] {
        let observed = Endpoint::from(text.parse::<std::net::SocketAddr>().unwrap());
        let plaintext = encoded(|out| put_pong(out, id, 7, observed));
        let expected = Response::Pong {
            record_seq: 7,
            observed,
        };
        assert_eq!(
            Message::decode(&plaintext),
            Ok(Message::Response(id, expected))
        );
    }
    let plaintext = encoded(|out| put_talk_response(out, id, b"hi"));
    let expected = Response::Talk { payload: b"hi" };
    assert_eq!(
        Message::decode(&plaintext),
        Ok(Message::Response(id, expected))
    );

    let records = [1, 2].map(|seed| Builder::new(seed.into()).sign(&key(seed)).unwrap());
    let plaintext = encoded(|out| put_nodes(out, id, 3, &records));
    let Ok(Message::Response(
        _,
        Response::Nodes {
            total: 3,
            records: read,
        },
    )) = Message::decode(&plaintext)
    else {
        panic!();
    };
    let read: Vec<_> = read.map(|read| read.unwrap().verify().unwrap()).collect();
    assert_eq!(read, records);
}

/// Plaintexts as nim-eth writes them (its encoding tests, July 2026), all with request id 01.
#[test]
fn messages_have_the_bytes_that_others_write() {
    let id = RequestId::new(&[1]).unwrap();
    let records = [NIM_FIRST, NIM_SECOND].map(|text| {
        let read: peerage_discv5::record::Unverified = text.parse().unwrap();
        read.verify().unwrap()
    });
    let pong = Endpoint::new([127, 0, 0, 1].into(), 5000);
    let distances = Distances::new([256]);
    let talk = Request::Talk {
        protocol: b"echo",
        payload: b"hi",
    };
    let two = [
        "04f8f20101f8ee".to_owned(),
        hex::encode(records[0].as_bytes()),
        hex::encode(records[1].as_bytes()),
    ];
    let rows = [
        (
            encoded(|out| Request::Ping { record_seq: 1 }.encode(out, id)),
            "01c20101",
        ),
        (
            encoded(|out| put_pong(out, id, 1, pong)),
            "02ca0101847f000001821388",
        ),
        (
            encoded(|out| Request::FindNode { distances }.encode(out, id)),
            "03c501c3820100",
        ),
        (encoded(|out| put_nodes(out, id, 1, &[])), "04c30101c0"),
        (
            encoded(|out| put_nodes(out, id, 1, &records)),
            &two.concat(),
        ),
        (
            encoded(|out| talk.encode(out, id)),
            "05c901846563686f826869",
        ),
        (
            encoded(|out| put_talk_response(out, id, b"hi")),
            "06c401826869",
        ),
    ];
    for (written, expected) in rows {
        assert_eq!(hex::encode(&written), expected);
        assert!(Message::decode(&written).is_ok());
    }
    let refused = |text: &str| Message::decode(&hex::decode(text).unwrap()).unwrap_err();
    assert_eq!(
        refused("01cb8900010203040506070801"),
        MessageError::LongRequestId(9)
    );
    assert_eq!(
        refused("02cb0101857f00000102821388"),
        MessageError::BadAddress(5)
    );
}

const NIM_FIRST: &str = "enr:-HW4QBzimRxkmT18hMKaAL3IcZF1UcfTMPyi3Q1pxwZZbcZVRI8DC5infUAB_UauARLOJtYTxaagKoGmIjzQxO2qUygBgmlkgnY0iXNlY3AyNTZrMaEDymNMrg1JrLQB2KTGtv6MVbcNEVv0AHacwUAPMljNMTg";
const NIM_SECOND: &str = "enr:-HW4QNfxw543Ypf4HXKXdYxkyzfcxcO-6p9X986WldfVpnVTQX1xlTnWrktEWUbeTZnmgOuAY_KUhbVV1Ft98WoYUBMBgmlkgnY0iXNlY3AyNTZrMaEDDiy3QkHAxPyOgWbxp5oF1bDdlYE6dLCUUp8xfVw50jU";

#[test]
fn a_request_id_of_nine_bytes_is_refused_and_an_empty_one_is_not() {
    let ping = |len: u8| {
        let mut body = vec![0x80 + len];
        body.extend(vec![0xaa; usize::from(len)]);
        body.push(1);
        let mut plaintext = vec![1, 0xc0 + u8::try_from(body.len()).unwrap()];
        plaintext.extend(body);
        plaintext
    };
    assert_eq!(
        Message::decode(&ping(9)),
        Err(MessageError::LongRequestId(9))
    );
    for len in [0, 2, 8] {
        let plaintext = ping(len);
        let Ok(Message::Request(id, Request::Ping { record_seq: 1 })) = Message::decode(&plaintext)
        else {
            panic!("{len}");
        };
        assert_eq!(id.as_bytes().len(), usize::from(len));
        let again = encoded(|out| Request::Ping { record_seq: 1 }.encode(out, id));
        assert_eq!(again, plaintext, "mirrored exactly");
    }
}

#[test]
fn types_above_6_are_recognised_whatever_they_contain() {
    for kind in 7..=255 {
        let plaintext = [kind, 0xff];
        assert_eq!(
            Message::decode(&plaintext),
            Ok(Message::Unimplemented(kind))
        );
    }
    assert_eq!(Message::decode(&[]), Err(MessageError::NoType));
    assert_eq!(Message::decode(&[0, 0xc0]), Err(MessageError::NoType));
}

#[test]
fn extra_data_and_odd_addresses_are_refused() {
    let malformed = |kind, error| Err(MessageError::Malformed { kind, error });
    assert_eq!(
        Message::decode(&[1, 0xc3, 1, 2, 3]),
        malformed(1, RlpError::TrailingBytes(1))
    );
    assert_eq!(
        Message::decode(&[1, 0xc2, 1, 2, 3]),
        malformed(1, RlpError::TrailingBytes(1))
    );
    assert_eq!(
        Message::decode(&[1, 0xc1, 1]),
        malformed(1, RlpError::Truncated)
    );
    assert_eq!(
        Message::decode(&[2, 0xc6, 1, 2, 0x82, 1, 2, 3]),
        Err(MessageError::BadAddress(2))
    );
    assert_eq!(
        Message::decode(&[3, 0xc5, 1, 0xc3, 0x82, 0, 1]),
        malformed(3, RlpError::BadNumber)
    );
    assert_eq!(
        Message::decode(&[3, 0xc3, 1, 0xc1, 0xc0]),
        malformed(3, RlpError::NotAString)
    );
}

#[test]
fn a_mapped_address_in_a_pong_is_unmapped() {
    let mut plaintext = vec![2, 0xc0 + 22, 1, 2, 0x90];
    plaintext.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1]);
    plaintext.extend([0x82, 0x23, 0x28]);
    let Ok(Message::Response(_, Response::Pong { observed, .. })) = Message::decode(&plaintext)
    else {
        panic!("{:?}", Message::decode(&plaintext));
    };
    assert_eq!(observed.ip(), IpAddr::from([192, 0, 2, 1]));
    assert_eq!(observed.port(), 9000);
}

#[test]
fn distances_count_once_and_impossible_ones_are_noted() {
    let distances = Distances::new([5, 5, 256, 0, 5]);
    assert_eq!(distances.as_slice(), [5, 256, 0]);
    assert!(!distances.has_impossible());
    assert!(Distances::new([257]).has_impossible());
    // [0x010000000000000000]: more than any number of ours.
    let plaintext = [3, 0xc6, 1, 0xc4, 0x83, 1, 0, 0];
    let Ok(Message::Request(_, Request::FindNode { distances })) = Message::decode(&plaintext)
    else {
        panic!();
    };
    assert!(distances.has_impossible());
}

proptest! {
    #[test]
    fn any_datagram_is_read_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..1400)) {
        let _read = Packet::unmask(&Mask::new(&US), Protocol::V5, &mut bytes);
        if let Ok(Message::Response(_, Response::Nodes { records, .. })) = Message::decode(&bytes) {
            let _count = records.count();
        }
    }

    #[test]
    fn any_header_is_read_without_a_panic(at in 0usize..60, to: u8, len in 63usize..400) {
        let mask = Mask::new(&US);
        let mut packet = ordinary(Protocol::V5);
        packet.resize(len, 0);
        let iv: [u8; 16] = packet[..16].try_into().unwrap();
        mask.apply(&iv, 0, &mut packet[16..]);
        packet[at] = to;
        mask.apply(&iv, 0, &mut packet[16..]);
        let _read = Packet::unmask(&mask, Protocol::V5, &mut packet);
    }

    #[test]
    fn any_message_is_read_without_a_panic(kind in 1u8..8, body in proptest::collection::vec(any::<u8>(), 0..55)) {
        let mut plaintext = vec![kind, 0xc0 + u8::try_from(body.len()).unwrap()];
        plaintext.extend(&body);
        if let Ok(Message::Response(_, Response::Nodes { records, .. })) = Message::decode(&plaintext) {
            prop_assert!(records.count() <= body.len());
        }
    }
}
