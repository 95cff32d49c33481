//! Lists of operations against both sides of both networks: random ones, and kept ones.
//!
//! `tests/corpus/` holds inputs worth keeping. The front of a file's name, up to the first `.`, is
//! how it must end; what a fuzzer adds may be called `any.…`.

use bytes::{Bytes, BytesMut};
use peerage_core::wire::{Reader, Writer};
use peerage_testkit::Corpus;
use peerage_verack::decred::Decred;
use peerage_verack::dialect::Message;
use peerage_verack::dissect::{dissect, dissect_stream, meaning, shown};
use peerage_verack::envelope::{Command, Envelope, FrameError};
use peerage_verack::version::ProtocolVersion;
use peerage_verack::zcash::Zcash;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::Net;
use crate::common::operations::{End, run};

fn corpus() -> Corpus {
    Corpus::of(env!("CARGO_MANIFEST_DIR"), "", 20)
}

/// The end in the words of a file name.
fn name(end: End) -> String {
    match end {
        End::Waits(stage) => format!("waits-for-{stage}"),
        End::Peer => "peer".into(),
        End::Lost(kind) => format!("lost-{kind}"),
        End::Failed(kind) => kind.to_string(),
    }
}

#[test]
fn every_kept_input_ends_as_its_name_says_and_twice_the_same() {
    corpus().ends_as_named(|program| name(run(program)));
}

/// Every kind of end that a handshake has is among them.
#[test]
fn the_kept_inputs_reach_every_kind_of_end() {
    let ends = [
        "waits-for-version",
        "waits-for-verack",
        "peer",
        "lost-violation",
        "lost-malformed",
        "cancelled",
        "timeout",
        "closed",
        "transport",
        "not_this_protocol",
        "wrong_network",
        "malformed",
        "violation",
        "flood",
        "obsolete",
        "self_connection",
        "rejected",
        "refused",
    ];
    corpus().reaches(1, &ends);
}

/// Everything that reads bytes, given the same bytes.
fn feed_every_decoder<D: Net>(bytes: &[u8]) {
    let payload = Bytes::copy_from_slice(bytes);
    let _read = D::read_version(&mut Reader::new(&payload));
    let chain = D::chain();
    for version in [8, 9, 11, 12, 170_190] {
        let version = ProtocolVersion(version);
        for &name in D::NAMES {
            let command = Command::from_static(name);
            let read = D::Message::read(command, &mut Reader::new(&payload), &payload, version);
            if let Ok(message) = read {
                let mut writer = Writer::new(bytes.len() + 8);
                message.write(&mut writer);
                writer.finish().unwrap();
            }
        }
        let whole = dissect::<D>(&chain, version, bytes);
        let framed = [&chain.magic[..], bytes].concat();
        let parts = dissect_stream::<D>(&chain, version, &framed);
        for found in parts.into_iter().map(|(_, part)| part).chain([whole]) {
            for field in &found.fields {
                let _text = (shown(field), meaning::<D>(&chain, field), field.path());
            }
            if let Some(error) = found.error {
                assert!(!error.to_string().is_empty() && !error.kind().is_empty());
            }
        }
        let envelope = Envelope {
            magic: chain.magic,
            checksum: D::checksum,
        };
        let mut input = BytesMut::from(&framed[..]);
        while let Ok(Some(_)) = envelope.next::<FrameError>(&mut input, |_| Ok(())) {}
        assert!(input.len() <= framed.len());
    }
}

#[test]
fn no_decoder_panics_on_a_kept_input() {
    for program in corpus().inputs() {
        feed_every_decoder::<Zcash>(program);
        feed_every_decoder::<Decred>(program);
    }
}

/// Operations that get somewhere more often than noise does.
fn lawful() -> impl Strategy<Value = Vec<u8>> {
    let operation = prop_oneof![
        4 => Just(vec![2]),
        4 => Just(vec![3]),
        6 => (0_u8..25).prop_map(|i| vec![0, i]),
        1 => (0_u8..25, any::<u8>(), any::<u8>()).prop_map(|(i, at, with)| vec![4, i, at, with]),
        1 => (0_u8..25, 0_u8..140).prop_map(|(i, len)| vec![5, i, len]),
        2 => (0_u8..25, 0_u8..40).prop_map(|(i, len)| vec![6, i, len]),
        1 => (0_u8..6, any::<[u8; 4]>()).prop_map(|(i, len)| [vec![7, i], len.to_vec()].concat()),
        1 => (0_u8..4).prop_map(|to| vec![11, to]),
        1 => (8_u8..14, 0_u8..3).prop_map(|(claimed, nonce)| vec![12, claimed, 0, 0, 0, nonce]),
        1 => Just(vec![13]),
        1 => (0_u8..25, 1_u8..10).prop_map(|(i, times)| vec![14, i, times]),
        1 => Just(vec![15]),
        1 => (0_u8..5).prop_map(|cause| vec![10, cause]),
    ];
    let choice = 0_u8..16;
    (choice, vec(operation, 0..16)).prop_map(|(choice, operations)| {
        let mut program = vec![choice];
        program.extend(operations.concat());
        program
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_invariant_breaks_under_lawful_operations(program in lawful()) {
        run(&program);
    }

    #[test]
    fn no_invariant_breaks_under_any_bytes(program in vec(any::<u8>(), 0..160)) {
        run(&program);
    }

    #[test]
    fn no_decoder_panics_on_any_bytes(bytes in vec(any::<u8>(), 0..200)) {
        feed_every_decoder::<Zcash>(&bytes);
        feed_every_decoder::<Decred>(&bytes);
    }
}
