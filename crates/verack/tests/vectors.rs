//! What foreign software wrote, read and written again; and zebra's verdicts, which are ours.

use bytes::{Bytes, BytesMut};
use peerage_core::wire::{Reader, Writer};
use peerage_core::{Direction, Failure, Kind, Session, UnixTime};
use peerage_verack::decred::Decred;
use peerage_verack::dialect::Message as _;
use peerage_verack::dissect::dissect;
use peerage_verack::envelope::Command;
use peerage_verack::version::NetAddr;
use peerage_verack::zcash::{self, Zcash};
use peerage_verack::{
    Awaited, ChainTable, Dialect, HandshakeError, Height, MessageError, Nonce, ProtocolVersion,
    Services, Version,
};
use serde_json::Value;

use crate::common::vectors::{bytes, number, rows, text};
use crate::common::{
    Dialogue, Net, chain, current, direct, endpoint, isolated, node_on, payload_of, verack,
};

fn zcash_versions() -> Vec<Value> {
    let rows = rows("zcash-version", "vectors");
    assert_eq!(rows.len(), 12);
    rows.into_iter()
        .filter(|row| text(row, "command") == "version")
        .collect()
}

fn zcash(name: &str) -> Value {
    let found = zcash_versions()
        .into_iter()
        .find(|row| text(row, "name") == name);
    found.unwrap_or_else(|| panic!("no vector {name}"))
}

fn read_version<D: Dialect>(payload: &[u8]) -> Version {
    D::read_version(&mut Reader::new(payload)).unwrap()
}

fn static_command(name: &str) -> Command {
    let mut wire = [0; 12];
    wire[..name.len()].copy_from_slice(name.as_bytes());
    Command::from_wire(wire).unwrap()
}

/// The fields that the note of the first vector lists, at `version`.
fn codec_test_fields(version: u32) -> Version {
    let addr = NetAddr::new(Services(1), endpoint("203.0.113.6:8233"));
    Version {
        protocol_version: ProtocolVersion(version),
        services: Services(1),
        time: UnixTime(1_568_000_000),
        addr_recv: addr,
        addr_from: addr,
        nonce: Nonce(0x9082_4908_8927_9238),
        user_agent: "Zebra".into(),
        height: Height(540_000),
        relay: true,
    }
}

/// The isolated connection that was captured from zebra, with `user_agent`.
fn captured_fields(nonce: Nonce) -> Version {
    let addr = |services| NetAddr::new(services, endpoint("0.0.0.0:18233"));
    Version {
        protocol_version: ProtocolVersion(170_190),
        services: Services::NONE,
        time: UnixTime(1_795_254_300),
        addr_recv: addr(Services::NETWORK),
        addr_from: addr(Services::NONE),
        nonce,
        user_agent: "/srv:1/".into(),
        height: Height(0),
        relay: false,
    }
}

#[test]
fn zcash_version_vectors_read_as_their_notes_say() {
    for (name, version) in [
        ("zebra_codec_test_vector_current", 170_190),
        ("zebra_codec_test_vector_seed_era", 170_100),
        ("version_obsolete_170149", 170_149),
        ("version_u32_max", u32::MAX),
        // Its relay byte is missing, which means true.
        ("zebra_codec_test_vector_no_relay", 170_190),
    ] {
        let body = bytes(&zcash(name), "body");
        assert_eq!(
            read_version::<Zcash>(&body),
            codec_test_fields(version),
            "{name}"
        );
    }
    let agent = read_version::<Zcash>(&bytes(&zcash("version_ua_256"), "body")).user_agent;
    assert_eq!(agent.as_bytes(), [b'a'; 256]);
    let zero = read_version::<Zcash>(&bytes(&zcash("version_ts_zero"), "body"));
    assert_eq!(zero.time, UnixTime(0));
    let captured = bytes(&zcash("captured_zebra15_isolated_testnet"), "body");
    let captured = read_version::<Zcash>(&captured);
    assert_eq!(captured, captured_fields(captured.nonce));
    // The first 91 bytes of the longest are the first vector.
    let long = read_version::<Zcash>(&bytes(&zcash("version_body_1025"), "body")[..1024]);
    assert_eq!(long, codec_test_fields(170_190));
    let refused = bytes(&zcash("version_ua_257"), "body");
    let refused = Zcash::read_version(&mut Reader::new(&refused)).unwrap_err();
    assert_eq!((refused.field, refused.offset), ("user_agent", 80));
}

#[test]
fn zebras_verdict_on_every_version_vector_is_ours() {
    let mut judged = 0;
    for row in zcash_versions() {
        let name = text(&row, "name");
        let mut dialogue =
            Dialogue::<Zcash>::of(&node_on(text(&row, "chain"), 1), direct(Direction::Inbound));
        dialogue.hear(&bytes(&row, "frame"));
        let answer = dialogue.says();
        match row["zebra15_result"].as_str() {
            // The captured one: zebra wrote it, so nobody asked zebra about it.
            None => assert_eq!(name, "captured_zebra15_isolated_testnet"),
            Some("closed") => {
                assert!(dialogue.outcome().is_some(), "{name}");
                assert_eq!(answer, [""; 0], "{name}");
                judged += 1;
                continue;
            }
            Some(other) => assert_eq!(other, "verack"),
        }
        assert_eq!(answer, ["version", "verack"], "{name}");
        assert_eq!(dialogue.awaited(), Awaited::Verack, "{name}");
        judged += 1;
    }
    assert_eq!(judged, 10);
}

#[test]
fn each_refused_version_vector_has_its_own_reason() {
    for (name, kind) in [
        ("zebra_codec_test_vector_seed_era", Kind::Obsolete),
        ("version_obsolete_170149", Kind::Obsolete),
        ("version_ua_257", Kind::Malformed),
        ("version_body_1025", Kind::Malformed),
    ] {
        let mut dialogue = Dialogue::<Zcash>::new(Direction::Inbound);
        dialogue.hear(&bytes(&zcash(name), "frame"));
        assert_eq!(dialogue.error().kind(), kind, "{name}");
    }
    let mut dialogue = Dialogue::<Zcash>::new(Direction::Inbound);
    dialogue.hear(&bytes(&zcash("version_u32_max"), "frame"));
    dialogue.hear(&verack::<Zcash>());
    assert_eq!(dialogue.peer().info().negotiated.0, current::<Zcash>());
}

#[test]
fn a_frame_is_canonical_when_nothing_is_left_out_or_added() {
    for row in rows("zcash-version", "vectors") {
        let name = text(&row, "name");
        let found = dissect::<Zcash>(
            &chain::<Zcash>(text(&row, "chain")),
            ProtocolVersion(current::<Zcash>()),
            &bytes(&row, "frame"),
        );
        let refused = matches!(name, "version_ua_257" | "version_body_1025");
        assert_eq!(found.error.is_some(), refused, "{name}: {:?}", found.error);
        let canonical = !refused && name != "zebra_codec_test_vector_no_relay";
        assert_eq!(found.canonical, canonical, "{name}");
        assert_eq!(found.payload, bytes(&row, "body"), "{name}");
    }
}

#[test]
fn our_encoding_of_a_version_is_the_foreign_one() {
    for (name, version) in [
        ("zebra_codec_test_vector_current", 170_190),
        ("zebra_codec_test_vector_seed_era", 170_100),
        ("version_u32_max", u32::MAX),
    ] {
        let expected = bytes(&zcash(name), "body");
        assert_eq!(payload_of(&codec_test_fields(version)), expected, "{name}");
    }
    for row in rows("decred-frames", "vectors") {
        if text(&row, "command") == "version" {
            let ours = payload_of(&dcrd_fields(number(&row, "pver")));
            assert_eq!(ours, bytes(&row, "payload"), "{row}");
        }
    }
}

/// What zebra says on an isolated connection, we say: but for the nonce and the user agent, which
/// zebra leaves to its caller.
#[test]
fn an_isolated_version_of_ours_is_zebras_byte_for_byte() {
    let captured = bytes(&zcash("captured_zebra15_isolated_testnet"), "body");
    let local = node_on::<Zcash>("testnet", 1);
    let mut attempt = crate::common::attempt(isolated(Direction::Outbound));
    attempt.time = UnixTime(1_795_254_399);
    attempt.random = captured[72..80].iter().rev().copied().collect::<Vec<_>>()[..]
        .try_into()
        .unwrap();
    let mut ours = local.version_for(&attempt);
    assert_eq!(ours.user_agent.as_bytes(), b"");
    ours.user_agent = "/srv:1/".into();
    assert_eq!(payload_of(&ours), captured);
}

/// How many entries of each `addr` and `addrv2` vector we keep: zebra's, and those of the networks
/// that zebra drops and ZIP 155 knows.
const KEPT: [Option<usize>; 15] = [
    Some(2),
    Some(1),
    Some(1),
    Some(1),
    Some(0),
    // With a Tor v3 address, which zebra drops.
    Some(3),
    Some(2),
    Some(1),
    // Each with one entry of a network that nobody knows: ids 0xfb, 0xfc and 0xfd.
    Some(1),
    Some(1),
    Some(1),
    // The Tor v3 address alone; zebra has "no addresses".
    Some(1),
    Some(0),
    None,
    None,
];

#[test]
fn zcash_address_vectors_read_as_zebra_expects() {
    let vectors = rows("zcash-addr", "vectors");
    assert_eq!(vectors.len(), KEPT.len());
    for (row, kept) in vectors.iter().zip(KEPT) {
        let payload = Bytes::from(bytes(row, "payload"));
        let command = static_command(text(row, "command"));
        let version = ProtocolVersion(current::<Zcash>());
        let read = zcash::Message::read(command, &mut Reader::new(&payload), &payload, version);
        let invalid = text(row, "zebra") == "invalid";
        assert_eq!(kept.is_none(), invalid, "{row}");
        let Ok(message) = read else {
            assert!(invalid, "{row}: {read:?}");
            continue;
        };
        let count = match &message {
            zcash::Message::Addr(addrs) => addrs.len(),
            zcash::Message::AddrV2(addrs) => addrs.len(),
            other => panic!("{other:?}"),
        };
        assert_eq!(Some(count), kept, "{row}");
        let mut writer = Writer::new(payload.len());
        message.write(&mut writer);
        let whole = count == number(row, "entries") as usize;
        assert_eq!(writer.finish().unwrap() == payload, whole, "{row}");
    }
}

/// The fields in words of every `version` in `decred-frames.json`.
fn dcrd_fields(pver: u32) -> Version {
    Version {
        protocol_version: ProtocolVersion(pver),
        services: Services(1),
        time: UnixTime(1_772_075_804),
        addr_recv: NetAddr::new(Services(1), endpoint("192.0.2.7:9108")),
        addr_from: NetAddr {
            services: Services(1),
            ..NetAddr::EMPTY
        },
        nonce: Nonce(0x0102_0304_0506_0708),
        user_agent: "/dcrwire:1.0.0/peer:1.0.0/".into(),
        height: Height(1_062_261),
        relay: true,
    }
}

fn decred_chain(row: &Value) -> std::sync::Arc<ChainTable> {
    chain::<Decred>(text(row, "chain"))
}

#[test]
fn every_decred_frame_reads_and_is_canonical() {
    let vectors = rows("decred-frames", "vectors");
    assert_eq!(vectors.len(), 28);
    for row in &vectors {
        let version = ProtocolVersion(number(row, "pver"));
        let found = dissect::<Decred>(&decred_chain(row), version, &bytes(row, "frame"));
        assert_eq!(found.error, None, "{row}");
        assert!(found.canonical, "{row}");
        let command = found.header.unwrap().command.unwrap();
        assert_eq!(command.name(), text(row, "command"));
        assert_eq!(found.payload, bytes(row, "payload"), "{row}");
        if command == Command::VERSION {
            let read = read_version::<Decred>(&found.payload);
            assert_eq!(read, dcrd_fields(version.0), "{row}");
        }
        // The checksum was part of that: another one is refused.
        let broken = crate::common::bad_checksum(&bytes(row, "frame"));
        let broken = dissect::<Decred>(&decred_chain(row), version, &broken);
        assert_eq!(broken.error.unwrap().kind(), "bad_checksum", "{row}");
    }
}

#[test]
fn every_decred_frame_passes_through_a_session_unchanged() {
    for row in rows("decred-frames", "vectors") {
        let (pver, frame) = (number(&row, "pver"), bytes(&row, "frame"));
        if text(&row, "command") == "version" {
            continue;
        }
        assert_eq!(text(&row, "chain"), Decred::CHAIN);
        let mut dialogue = Dialogue::<Decred>::new(Direction::Inbound);
        dialogue.hear_all([crate::common::version::<Decred>(pver), verack::<Decred>()]);
        let (peer, _) = dialogue.into_peer();
        let (_, mut codec) = peer.into_parts();
        let mut input = BytesMut::from(&frame[..]);
        let message = codec.decode(&mut input).unwrap().unwrap();
        assert!(input.is_empty());
        let mut output = BytesMut::new();
        codec.encode(&message, &mut output).unwrap();
        assert_eq!(output, frame, "{row}");
    }
}

#[test]
fn decred_versions_of_every_chain_are_answered_on_that_chain_only() {
    let rows = rows("decred-frames", "vectors");
    for row in rows.iter().filter(|row| text(row, "command") == "version") {
        for chain in &Decred::table().chains {
            let name = chain.name.as_str();
            let mut dialogue =
                Dialogue::<Decred>::of(&node_on(name, 1), direct(Direction::Inbound));
            dialogue.hear(&bytes(row, "frame"));
            if name == text(row, "chain") {
                assert_eq!(dialogue.says(), ["version", "verack"]);
            } else {
                assert_eq!(dialogue.error().kind(), Kind::WrongNetwork);
            }
        }
    }
}

/// dcrd gives `reject` its largest size below version 9 and 0 from there on, and its reader knows
/// the command in no version. So neither do we: nobody below 9 is accepted.
#[test]
fn every_size_limit_is_dcrds() {
    let mut compared = 0;
    for row in rows("decred-max-payload", "limits") {
        let command = static_command(text(&row, "command"));
        for (key, version) in [("pver8", 8), ("pver9", 9), ("pver11", 11), ("pver12", 12)] {
            let ours = Decred::max_payload(command, ProtocolVersion(version));
            match command.name() {
                "reject" => assert_eq!(ours, None),
                // Part of the handshake, which knows its own limit.
                "verack" => {
                    assert_eq!(number(&row, key), 0);
                    let mut dialogue = Dialogue::<Decred>::new(Direction::Inbound);
                    dialogue.hear(&crate::common::version::<Decred>(9));
                    dialogue.hear(&crate::common::header::<Decred>("verack", 1));
                    assert!(matches!(
                        dialogue.error(),
                        HandshakeError::Message {
                            error: MessageError::Oversized { limit: 0, .. },
                            ..
                        }
                    ));
                }
                _ => assert_eq!(ours, Some(number(&row, key) as usize), "{row} {key}"),
            }
            compared += 1;
        }
    }
    assert_eq!(compared, 4 * 41);
}

/// dcrd's `MaxMessagePayload` and `negotiateTimeout`, ZIP 204's "Maximum Message Size", zebra's
/// handshake timeout.
#[test]
fn the_limits_that_no_vector_shows_are_those_of_the_sources() {
    assert_eq!(Decred::RULES.max_payload, 33_554_432);
    assert_eq!(Decred::RULES.handshake_timeout.as_secs(), 30);
    assert_eq!(Zcash::RULES.max_payload, 2_097_152);
    assert_eq!(Zcash::RULES.handshake_timeout.as_secs(), 3);
}
