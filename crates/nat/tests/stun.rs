//! Messages: the official vectors, and what strangers may send.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use peerage_core::{Endpoint, Failure as _, PeerText};
use peerage_nat::stun::{
    Attribute, Change, Class, ErrorCode, MAX_ATTRIBUTES, MAX_LEN, Message, StunError,
    TransactionId, kind,
};
use proptest::prelude::*;

use crate::common::end;

fn vector(name: &str) -> Vec<u8> {
    let text = include_str!("vectors/rfc5769.txt");
    let mut digits = String::new();
    let lines = text.lines().skip_while(|line| *line != name).skip(1);
    for line in lines.take_while(|line| !line.is_empty()) {
        digits.extend(line.split_whitespace());
    }
    hex::decode(digits).unwrap()
}

/// The checksums in them prove FINGERPRINT and the vectors alike.
#[test]
fn the_vectors_of_rfc_5769_are_read() {
    let id = TransactionId(
        hex::decode("b7e7a701bc34d686fa87dfae")
            .unwrap()
            .try_into()
            .unwrap(),
    );
    let request = Message::decode(&vector("request")).unwrap();
    assert_eq!((request.class, request.method), (Class::Request, 1));
    assert_eq!((request.transaction, request.fingerprint), (id, true));
    assert_eq!(request.software().unwrap().to_string(), "STUN test client");
    assert_eq!(request.not_understood(), [0x0024], "PRIORITY is ICE's");
    for (name, mapped) in [
        ("response-v4", "192.0.2.1:32853"),
        (
            "response-v6",
            "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
        ),
    ] {
        let response = Message::decode(&vector(name)).unwrap();
        assert_eq!(response.class, Class::Success);
        assert_eq!((response.transaction, response.fingerprint), (id, true));
        assert_eq!(response.software().unwrap().to_string(), "test vector");
        assert_eq!(response.mapped(), Some(end(mapped)));
    }
    let long = Message::decode(&vector("long-term")).unwrap();
    assert!(!long.fingerprint);
    let kinds = long.attributes.iter().map(|attribute| {
        let Attribute::Other { kind, value } = attribute else {
            panic!()
        };
        (*kind, value.len())
    });
    let expected = [
        (kind::USERNAME, 18),
        (kind::NONCE, 28),
        (kind::REALM, 11),
        (kind::MESSAGE_INTEGRITY, 20),
    ];
    assert_eq!(kinds.collect::<Vec<_>>(), expected);
    assert!(long.not_understood().is_empty());
}

/// Written again they differ only in padding, which the vectors fill with blanks.
#[test]
fn the_vectors_are_written_as_they_were_but_for_padding() {
    for name in ["request", "response-v4", "response-v6", "long-term"] {
        let bytes = vector(name);
        let written = Message::decode(&bytes).unwrap().encode().unwrap();
        assert_eq!(written.len(), bytes.len());
        let differ = written.iter().zip(&bytes).filter(|(a, b)| a != b);
        let last_four = written.len() - 4;
        for (index, (ours, theirs)) in written.iter().zip(&bytes).enumerate() {
            let is_sum = name != "long-term" && index >= last_four;
            assert!(
                ours == theirs || is_sum || (*ours, *theirs) == (0, 0x20),
                "{name} {index}"
            );
        }
        assert!(differ.count() <= 7);
    }
}

#[test]
fn every_damaged_byte_of_a_fingerprinted_message_is_noticed() {
    for name in ["request", "response-v4", "response-v6"] {
        let bytes = vector(name);
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 0x10;
            let read = Message::decode(&damaged);
            // What damages the type of FINGERPRINT itself leaves a message without one.
            assert!(
                read.is_err() || !read.unwrap().fingerprint,
                "{name} {index}"
            );
        }
        for len in 0..bytes.len() {
            assert!(
                Message::decode(&bytes[..len]).is_err(),
                "{name} cut at {len}"
            );
        }
    }
}

#[test]
fn bounds_hold() {
    let id = TransactionId([7; 12]);
    let many = |count| {
        let attribute = Attribute::ChangeRequest(Change::default());
        let message = (0..count).fold(Message::binding(Class::Request, id), |message, _| {
            message.with(attribute.clone())
        });
        Message::decode(&message.encode().unwrap())
    };
    assert!(many(MAX_ATTRIBUTES).is_ok());
    assert_eq!(many(MAX_ATTRIBUTES + 1), Err(StunError::TooMany));
    let long = |len| {
        let value = vec![0; len].into();
        let attribute = Attribute::Other {
            kind: 0x8fff,
            value,
        };
        Message::binding(Class::Request, id)
            .with(attribute)
            .encode()
    };
    assert_eq!(long(MAX_LEN - 24).unwrap().len(), MAX_LEN);
    for len in [MAX_LEN - 23, 70_000] {
        assert!(matches!(long(len), Err(StunError::Write(_))), "{len}");
    }
    let too_long = vec![0; MAX_LEN + 4];
    assert_eq!(
        Message::decode(&too_long),
        Err(StunError::TooLong { got: MAX_LEN + 4 })
    );
}

#[test]
fn what_is_wrong_is_said_with_field_and_offset() {
    let id = TransactionId([7; 12]);
    let with = |kind, value: &[u8]| {
        let value = value.to_vec().into();
        let message = Message::binding(Class::Request, id).with(Attribute::Other { kind, value });
        Message::decode(&message.encode().unwrap())
            .unwrap_err()
            .reason()
            .message
    };
    for (kind, value, words) in [
        (
            kind::XOR_MAPPED_ADDRESS,
            &[0, 3, 0, 0, 0, 0, 0, 0][..],
            "family at offset 25",
        ),
        (
            kind::MAPPED_ADDRESS,
            &[0, 1, 0, 0, 0, 0],
            "address at offset 28",
        ),
        (
            kind::OTHER_ADDRESS,
            &[0, 1, 0, 0, 0, 0, 0, 0, 0],
            "1 bytes follow",
        ),
        (
            kind::CHANGE_REQUEST,
            &[0, 0, 0],
            "change request at offset 24",
        ),
        (kind::ERROR_CODE, &[0, 0, 2, 0], "error code"),
        (kind::ERROR_CODE, &[0, 0, 4, 100], "error code"),
        (
            kind::UNKNOWN_ATTRIBUTES,
            &[0, 0, 2],
            "unknown attribute at offset 26",
        ),
        (kind::SOFTWARE, &[b'a'; 764], "764 is over the limit of 763"),
    ] {
        let said = with(kind, value);
        assert!(said.contains(words), "{said:?} lacks {words:?}");
    }
}

#[test]
fn fingerprint_must_be_the_last() {
    let id = TransactionId([7; 12]);
    let message = Message::binding(Class::Request, id).fingerprinted(true);
    let mut bytes = message.encode().unwrap().to_vec();
    bytes[3] += 8;
    let sum = crc32(&bytes[..20]) ^ 0x5354_554e;
    bytes[24..28].copy_from_slice(&sum.to_be_bytes());
    bytes.extend([0x80, 0x28, 0, 4]);
    bytes.extend(sum.to_be_bytes());
    assert_eq!(Message::decode(&bytes), Err(StunError::AfterFingerprint));
}

/// Bit by bit, as ITU V.42 has it.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[test]
fn other_protocols_on_the_port_are_told_apart() {
    assert!(Message::is_one(&vector("request")));
    for other in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        &[0; 63],
        &[0x40; 28],
        b"",
    ] {
        assert!(!Message::is_one(other));
        assert_eq!(Message::decode(other), Err(StunError::NotStun));
    }
}

fn endpoints() -> impl Strategy<Value = Endpoint> {
    let v4 = any::<u32>().prop_map(|bits| IpAddr::from(Ipv4Addr::from(bits)));
    let v6 = any::<u128>().prop_map(|bits| IpAddr::from(Ipv6Addr::from(bits)));
    (prop_oneof![v4, v6], any::<u16>()).prop_map(|(ip, port)| Endpoint::new(ip, port))
}

fn attributes() -> impl Strategy<Value = Attribute> {
    let text = "[ -~]{0,100}".prop_map(|text| PeerText::from(&*text));
    let code = (300_u16..700, "[ -~]{0,40}").prop_map(|(code, reason)| ErrorCode {
        code,
        reason: PeerText::from(&*reason),
    });
    let change = any::<(bool, bool)>().prop_map(|(address, port)| Change { address, port });
    let value = prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        endpoints().prop_map(Attribute::MappedAddress),
        endpoints().prop_map(Attribute::XorMappedAddress),
        endpoints().prop_map(Attribute::ResponseOrigin),
        endpoints().prop_map(Attribute::OtherAddress),
        change.prop_map(Attribute::ChangeRequest),
        code.prop_map(Attribute::ErrorCode),
        prop::collection::vec(any::<u16>(), 0..32).prop_map(Attribute::UnknownAttributes),
        text.prop_map(Attribute::Software),
        value.prop_map(|value| Attribute::Other {
            kind: 0x9000,
            value: value.into()
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        class in prop::sample::select(vec![Class::Request, Class::Indication, Class::Success, Class::Error]),
        method in 0_u16..0x1000,
        id in any::<[u8; 12]>(),
        attributes in prop::collection::vec(attributes(), 0..8),
        fingerprint: bool,
    ) {
        let transaction = TransactionId(id);
        let message = Message { class, method, transaction, attributes, fingerprint };
        let bytes = message.encode().unwrap();
        prop_assert!(Message::is_one(&bytes));
        prop_assert_eq!(Message::decode(&bytes), Ok(message));
    }

    #[test]
    fn no_bytes_make_it_fall(head in any::<[u8; 2]>(), tail in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = vec![head[0] & 0x3f, head[1]];
        let len = u16::try_from(tail.len() / 4 * 4).unwrap();
        bytes.extend(len.to_be_bytes());
        bytes.extend(0x2112_a442_u32.to_be_bytes());
        bytes.extend([1; 12]);
        bytes.extend(&tail[..len.into()]);
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert!(message.attributes.len() <= MAX_ATTRIBUTES);
            let _again = message.encode();
        }
    }
}
