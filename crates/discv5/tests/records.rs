//! Records: what EIP-778 says, read, refused, made and continued.

use peerage_core::{Failure as _, Kind};
use peerage_discv5::curve::SecretKey;
use peerage_discv5::record::{Builder, MAX_LEN, Record, RecordError, Unverified};
use peerage_discv5::rlp::{self, RlpError};
use proptest::prelude::*;

use crate::vectors::{array, bytes, secret, vectors};

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes([seed; 32]).unwrap()
}

/// A record's bytes out of its parts, whatever they are.
fn assemble(signature: &[u8], seq: &[u8], pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut payload = Vec::new();
    rlp::put_string(&mut payload, signature);
    rlp::put_string(&mut payload, seq);
    for (key, raw) in pairs {
        rlp::put_string(&mut payload, key);
        payload.extend_from_slice(raw);
    }
    let mut bytes = Vec::new();
    rlp::put_list_header(&mut bytes, payload.len());
    bytes.extend_from_slice(&payload);
    bytes
}

fn raw_string(value: &[u8]) -> Vec<u8> {
    let mut raw = Vec::new();
    rlp::put_string(&mut raw, value);
    raw
}

#[test]
fn the_example_of_eip_778_is_read_verified_and_made_again() {
    let vector = &vectors()["enr"][0];
    let text = vector["text"].as_str().unwrap();
    let read: Unverified = text.parse().unwrap();
    assert_eq!(read.seq(), 1);
    assert_eq!(read.signature(), &array(&vector["signature"]));
    assert_eq!(read.public_key_bytes(), &array(&vector["secp256k1"]));
    let record = read.verify().unwrap();
    assert_eq!(record.node_id().as_bytes(), &array(&vector["node-id"]));
    assert_eq!(
        record.udp4_endpoint().unwrap().to_string(),
        "127.0.0.1:30303"
    );
    assert_eq!(record.ip4().unwrap().octets(), bytes(&vector["ip"])[..]);
    assert_eq!(record.to_string(), text);
    assert_eq!(record.tcp4_endpoint(), None);

    let key = secret(&vector["private-key"]);
    let made = Builder::new(1)
        .ip([127, 0, 0, 1].into())
        .udp4(30303)
        .sign(&key)
        .unwrap();
    assert_eq!(made.to_string(), text, "signatures are deterministic");
    let point = record.uncompressed_public_key().unwrap();
    assert_eq!(point, key.public_key().uncompressed());
}

#[test]
fn text_that_is_no_record_says_what_is_wrong() {
    let good = vectors()["enr"][0]["text"].as_str().unwrap().to_owned();
    let parse = |text: &str| text.parse::<Unverified>().unwrap_err();
    assert_eq!(parse(&good[4..]), RecordError::NoPrefix);
    assert_eq!(parse("enode://00"), RecordError::NoPrefix);
    assert_eq!(parse(&format!("{good}=")), RecordError::BadBase64);
    assert_eq!(parse(&format!("{good} ")), RecordError::BadBase64);
    assert_eq!(
        parse(&good[..4 + 100]),
        RecordError::Malformed(RlpError::Truncated)
    );
    assert_eq!(parse("enr:"), RecordError::Malformed(RlpError::Truncated));
    let endless = format!("enr:{}", "A".repeat(100_000));
    assert_eq!(parse(&endless), RecordError::TooLong { len: 75_000 });
    assert_eq!(parse(&endless).reason().kind, Kind::Malformed);
    assert_eq!(parse("x").reason().kind, Kind::Usage);
}

#[test]
fn malformed_records_are_refused_by_form_alone() {
    let id = raw_string(b"v4");
    let point = raw_string(&key(1).public_key().compressed());
    let signature = [1; 64];
    let good: &[(&[u8], &[u8])] = &[(b"id", &id), (b"secp256k1", &point)];
    let decode = |bytes: &[u8]| Unverified::decode(bytes).map(|_| ());
    assert_eq!(decode(&assemble(&signature, &[5], good)), Ok(()));

    let malformed = |error| Err(RecordError::Malformed(error));
    let mut longer = assemble(&signature, &[5], good);
    longer.push(0);
    assert_eq!(decode(&longer), malformed(RlpError::TrailingBytes(1)));
    assert_eq!(
        decode(&assemble(&signature[1..], &[5], good)),
        malformed(RlpError::BadLength {
            expected: 64,
            got: 63
        })
    );
    assert_eq!(
        decode(&assemble(&signature, &[0, 5], good)),
        malformed(RlpError::BadNumber)
    );
    assert_eq!(
        decode(&assemble(&signature, &[1; 9], good)),
        malformed(RlpError::BadNumber)
    );

    let pairs = |pairs: &[(&[u8], &[u8])]| decode(&assemble(&signature, &[5], pairs));
    let swapped: &[(&[u8], &[u8])] = &[(b"secp256k1", &point), (b"id", &id)];
    assert_eq!(pairs(swapped), Err(RecordError::KeysOutOfOrder));
    let twice: &[(&[u8], &[u8])] = &[(b"id", &id), (b"id", &id), (b"secp256k1", &point)];
    assert_eq!(pairs(twice), Err(RecordError::KeysOutOfOrder));
    let odd: &[(&[u8], &[u8])] = &[(b"id", &id), (b"secp256k1", &point), (b"udp", &[])];
    assert_eq!(pairs(odd), Err(RecordError::OddPairs));
    assert_eq!(pairs(&[(b"id", &id)]), Err(RecordError::NoPublicKey));
    let short = raw_string(&[2; 32]);
    let short: &[(&[u8], &[u8])] = &[(b"id", &id), (b"secp256k1", &short)];
    assert_eq!(pairs(short), Err(RecordError::NoPublicKey));
    for scheme in [&b"v5"[..], b"", b"\x1b[2J"] {
        let other = raw_string(scheme);
        let other: &[(&[u8], &[u8])] = &[(b"id", &other), (b"secp256k1", &point)];
        assert_eq!(
            pairs(other),
            Err(RecordError::UnknownScheme {
                scheme: peerage_core::PeerText::new(scheme)
            })
        );
    }
    let list_as_id: &[(&[u8], &[u8])] = &[(b"id", &[0xc0]), (b"secp256k1", &point)];
    assert!(matches!(
        pairs(list_as_id),
        Err(RecordError::UnknownScheme { .. })
    ));
}

#[test]
fn a_changed_byte_anywhere_is_noticed() {
    let record = Builder::new(7)
        .ip([192, 0, 2, 1].into())
        .udp4(9000)
        .raw("eth", vec![0xc1, 0xc0])
        .sign(&key(1))
        .unwrap();
    for at in 0..record.as_bytes().len() {
        let mut bytes = record.as_bytes().to_vec();
        bytes[at] ^= 0x01;
        let read = Unverified::decode(&bytes).and_then(Unverified::verify);
        assert!(read.is_err(), "byte {at}");
    }
}

#[test]
fn a_record_of_300_bytes_is_made_and_one_of_301_is_not() {
    let with = |len: usize| {
        let builder = Builder::new(1).string("x", vec![7; len]);
        builder.sign(&key(1))
    };
    let fits = (60..MAX_LEN)
        .rev()
        .find_map(|len| with(len).ok().map(|record| (len, record)));
    let (len, record) = fits.unwrap();
    assert_eq!(record.as_bytes().len(), MAX_LEN);
    let again = Unverified::decode(record.as_bytes()).unwrap().verify();
    assert_eq!(again.unwrap(), record);
    let error = with(len + 1).unwrap_err();
    assert_eq!(error, RecordError::TooLong { len: 301 });
    let too_long = vec![0; 301];
    assert_eq!(
        Unverified::decode(&too_long),
        Err(RecordError::TooLong { len: 301 })
    );
}

#[test]
fn a_record_is_continued_with_a_higher_number_only_if_something_changed() {
    let first = Builder::new(41)
        .udp4(9000)
        .string("quic", [35, 40])
        .sign(&key(1))
        .unwrap();
    let same = first.to_builder().udp4(9000).sign(&key(1)).unwrap();
    assert_eq!(same, first);
    let moved = first.to_builder().udp4(9001).sign(&key(1)).unwrap();
    assert_eq!((moved.seq(), moved.udp4()), (42, Some(9001)));
    assert_eq!(moved.string("quic"), Some(&[35, 40][..]), "entries stay");
    let fewer = moved.to_builder().without("quic").sign(&key(1)).unwrap();
    assert_eq!((fewer.seq(), fewer.raw("quic")), (43, None));
    assert_eq!(fewer.node_id(), first.node_id());

    let stolen = first.to_builder().udp4(9001).sign(&key(2));
    assert_eq!(stolen, Err(RecordError::AnotherIdentity));
    let last = Builder::new(u64::MAX).sign(&key(1)).unwrap();
    let beyond = last.to_builder().udp4(1).sign(&key(1));
    assert_eq!(beyond, Err(RecordError::SequenceExhausted));
}

#[test]
fn a_builder_refuses_what_it_cannot_sign() {
    let reserved = Builder::new(1).string("id", "v5").sign(&key(1));
    assert!(matches!(reserved, Err(RecordError::ReservedKey { .. })));
    for value in [vec![], vec![0x82, 1], vec![1, 2]] {
        let bad = Builder::new(1).raw("eth", value).sign(&key(1));
        assert!(matches!(bad, Err(RecordError::BadValue { .. })));
    }
}

#[test]
fn addresses_and_ports_are_read_strictly_but_do_not_spoil_the_record() {
    let read = |key_: &str, raw: &[u8]| -> Record {
        let builder = Builder::new(1).raw(key_, raw);
        builder.sign(&key(1)).unwrap()
    };
    assert_eq!(read("ip", &raw_string(&[1, 2, 3])).ip4(), None);
    assert_eq!(read("ip6", &raw_string(&[1; 15])).ip6(), None);
    assert_eq!(read("udp", &raw_string(&[0, 80])).udp4(), None, "zero");
    assert_eq!(read("udp", &raw_string(&[])).udp4(), None, "port 0");
    assert_eq!(read("udp", &raw_string(&[1, 0, 0])).udp4(), None);
    assert_eq!(read("udp", &[0xc0]).udp4(), None, "a list");
    assert_eq!(read("udp", &[80]).udp4(), Some(80));

    let dual = Builder::new(1)
        .ip([192, 0, 2, 1].into())
        .ip("2001:db8::1".parse().unwrap())
        .udp4(9000)
        .tcp4(30303);
    let record = dual.clone().sign(&key(1)).unwrap();
    let shown = |endpoint: Option<peerage_core::Endpoint>| endpoint.unwrap().to_string();
    assert_eq!(shown(record.udp6_endpoint()), "[2001:db8::1]:9000");
    assert_eq!(shown(record.tcp6_endpoint()), "[2001:db8::1]:30303");
    let record = dual.udp6(9006).tcp6(30306).sign(&key(1)).unwrap();
    assert_eq!(shown(record.udp6_endpoint()), "[2001:db8::1]:9006");
    assert_eq!(shown(record.tcp6_endpoint()), "[2001:db8::1]:30306");
    assert_eq!(shown(record.udp4_endpoint()), "192.0.2.1:9000");
    let wrong = read("udp6", &raw_string(&[0, 80]));
    let wrong = wrong.to_builder().udp4(9000).sign(&key(1)).unwrap();
    assert_eq!(
        wrong.udp6(),
        None,
        "a wrong port is not replaced by another"
    );
}

#[test]
fn a_mapped_address_is_published_as_ipv4() {
    let mapped = "::ffff:192.0.2.1".parse().unwrap();
    let record = Builder::new(1).ip(mapped).sign(&key(1)).unwrap();
    assert_eq!(record.ip4().unwrap().octets(), [192, 0, 2, 1]);
    assert_eq!(record.ip6(), None);
}

#[test]
fn values_may_be_lists() {
    // [[fork hash, next]], as Ethereum nodes publish it.
    let eth = [0xc7, 0xc6, 0x84, 0xfc, 0x64, 0xec, 0x04, 0x80];
    let record = Builder::new(1).raw("eth", eth).sign(&key(1)).unwrap();
    assert_eq!(record.raw("eth"), Some(&eth[..]));
    assert_eq!(record.string("eth"), None);
    let keys: Vec<_> = record.entries().map(|(key, _)| key).collect();
    assert_eq!(keys, [&b"eth"[..], b"id", b"secp256k1"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_built_is_read_again(
        seed in 1u8..200,
        seq: u64,
        entries in proptest::collection::btree_map("[a-z]{1,6}", proptest::collection::vec(any::<u8>(), 0..20), 0..5),
    ) {
        let mut builder = Builder::new(seq);
        for (key, value) in &entries {
            builder = builder.string(key, value);
        }
        let record = match builder.sign(&key(seed)) {
            Ok(record) => record,
            Err(error) => {
                let expected = matches!(error, RecordError::ReservedKey { .. } | RecordError::TooLong { .. });
                prop_assert!(expected, "{}", error);
                return Ok(());
            }
        };
        let read: Unverified = record.to_string().parse().unwrap();
        prop_assert_eq!(read.claimed_node_id().unwrap(), record.node_id());
        let read = read.verify().unwrap();
        prop_assert_eq!(&read, &record);
        prop_assert_eq!(read.seq(), seq);
        for (key, value) in &entries {
            prop_assert_eq!(read.string(key), Some(&value[..]));
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..310)) {
        if let Ok(record) = Unverified::decode(&bytes) {
            prop_assert!(record.entries().count() >= 2);
        }
    }

    #[test]
    fn a_mutated_record_is_refused_or_read_without_a_panic(at in 0usize..130, to: u8) {
        let text = vectors()["enr"][0]["text"].as_str().unwrap().to_owned();
        let mut bytes = text.parse::<Unverified>().unwrap().as_bytes().to_vec();
        let at = at % bytes.len();
        let same = bytes[at] == to;
        bytes[at] = to;
        if let Ok(record) = Unverified::decode(&bytes) {
            prop_assert_eq!(record.to_text() == text, same);
            prop_assert_eq!(record.verify().is_ok(), same);
        }
    }
}
