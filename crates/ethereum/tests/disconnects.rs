//! Disconnect in every form that nodes send.

use bytes::BytesMut;
use peerage_core::{Kind, Retry};
use peerage_ethereum::disconnect::{DisconnectReason, MAX_LEN};
use peerage_ethereum::p2p;
use peerage_ethereum::snappy::Compressor;
use proptest::prelude::*;

fn compressed(plain: &[u8]) -> BytesMut {
    let mut output = BytesMut::new();
    Compressor::new().encode(plain, &mut output).unwrap();
    output
}

/// The reason's number in the specification.
fn codes() -> Vec<(u64, String)> {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("vectors/ethereum.json")).unwrap();
    let codes = file["disconnect_reasons"].as_object().unwrap().iter();
    codes
        .map(|(code, words)| {
            let code = u64::from_str_radix(code.trim_start_matches("0x"), 16).unwrap();
            (code, words.as_str().unwrap().to_owned())
        })
        .collect()
}

#[test]
fn every_reason_of_the_specification_is_known_and_named() {
    let known: Vec<_> = DisconnectReason::KNOWN
        .iter()
        .map(|reason| reason.code().unwrap())
        .collect();
    assert_eq!(
        known,
        codes().iter().map(|(code, _)| *code).collect::<Vec<_>>()
    );
    let mut names: Vec<_> = DisconnectReason::KNOWN.iter().map(|r| r.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), known.len());
}

#[test]
fn every_form_in_the_wild_is_read_compressed_or_not() {
    for code in codes().iter().map(|(code, _)| *code).chain([0x0c, 0x7f]) {
        let byte = u8::try_from(code).unwrap();
        let expected = DisconnectReason::from_code(code);
        let canonical = if byte == 0 { 0x80 } else { byte };
        let forms = [
            vec![byte],
            vec![canonical],
            vec![0xc1, byte],
            vec![0xc1, canonical],
            // A later version's extra item.
            vec![0xc2, canonical, 5],
        ];
        for form in forms {
            let read = |body: &[u8], state| DisconnectReason::decode_any(body, state).unwrap();
            assert_eq!(
                DisconnectReason::decode(&form).unwrap(),
                expected,
                "{form:02x?}"
            );
            assert_eq!(read(&compressed(&form), true), expected, "{form:02x?}");
            assert_eq!(read(&compressed(&form), false), expected, "{form:02x?}");
            assert_eq!(read(&form, false), expected, "{form:02x?}");
            // While messages are compressed, a lone zero is the compressed form of nothing.
            let expected = match form[..] {
                [0] => DisconnectReason::Unstated,
                _ => expected,
            };
            assert_eq!(read(&form, true), expected, "{form:02x?}");
        }
        let encoded = expected.encode();
        assert_eq!(encoded[..], [0xc1, canonical]);
    }
    for empty in [&[][..], &[0xc0]] {
        for state in [false, true] {
            let read = |body: &[u8]| DisconnectReason::decode_any(body, state).unwrap();
            assert_eq!(read(empty), DisconnectReason::Unstated);
        }
        assert_eq!(
            DisconnectReason::decode_any(&compressed(empty), true).unwrap(),
            DisconnectReason::Unstated
        );
    }
    assert_eq!(DisconnectReason::Unstated.encode()[..], [0xc0]);
}

#[test]
fn what_is_no_reason_is_an_error_and_bounded() {
    for bad in [&[0xc1, 0xc0][..], &[0xc2, 0x81, 4], &[4, 4], &[0xc2, 4]] {
        DisconnectReason::decode(bad).unwrap_err();
    }
    let mut long = vec![0xf8, 200, 4];
    long.resize(202, 0);
    assert!(long.len() > MAX_LEN);
    DisconnectReason::decode_any(&long, true).unwrap_err();
    DisconnectReason::decode_any(&compressed(&long), true).unwrap_err();
}

#[test]
fn a_full_peer_is_not_a_refusal_and_is_tried_again_soon() {
    let kind = |code| DisconnectReason::from_code(code).kind();
    assert_eq!(kind(0x04), Kind::PeerFull);
    let Retry::After(wait) = DisconnectReason::TooManyPeers.retry() else {
        panic!("a full peer is tried again");
    };
    assert_eq!(wait.as_secs(), 600);
    assert_eq!(kind(0x05), Kind::AlreadyConnected);
    assert_eq!(kind(0x08), Kind::Left);
    assert_eq!(kind(0x0a), Kind::SelfConnection);
    assert_eq!(kind(0x10), Kind::Refused);
    assert_eq!(kind(0x77), Kind::Refused);
    assert_eq!(
        DisconnectReason::from_code(4).to_string(),
        "it has too many peers (0x04)"
    );
}

#[test]
fn a_ping_of_a_later_version_is_read_within_a_bound() {
    for body in [&[][..], p2p::EMPTY, &[0xc1, 7], &[7; 64]] {
        p2p::read_ping(body).unwrap();
    }
    p2p::read_ping(&[0; 65]).unwrap_err();
    assert_eq!(p2p::max_len(p2p::HELLO), Some(2048));
    assert_eq!(p2p::max_len(0x04), None);
}

proptest! {
    #[test]
    fn a_reason_survives_the_wire(code: u64, state: bool) {
        let reason = DisconnectReason::from_code(code);
        prop_assert_eq!(reason.code(), Some(code));
        prop_assert_eq!(DisconnectReason::decode_any(&reason.encode(), false).unwrap(), reason);
        let small = compressed(&reason.encode());
        prop_assert_eq!(DisconnectReason::decode_any(&small, state).unwrap(), reason);
    }

    #[test]
    fn whatever_the_bytes_nothing_panics(
        body in prop::collection::vec(any::<u8>(), 0..80),
        state: bool,
    ) {
        let _refused = DisconnectReason::decode_any(&body, state);
    }
}
