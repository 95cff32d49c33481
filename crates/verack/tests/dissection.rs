//! Bytes explained: where a frame goes wrong, what its fields mean.

use peerage_core::Direction;
use peerage_verack::decred::Decred;
use peerage_verack::dissect::{
    DissectError, Dissection, dissect, dissect_stream, meaning, services_shown, shown,
};
use peerage_verack::zcash::Zcash;
use peerage_verack::{Height, ProtocolVersion};

use crate::common::{
    Dialogue, Net, bad_checksum, current, header, message, nameless, other_chain, payload_of,
    their_version, verack, version,
};

fn take_apart<D: Net>(frame: &[u8]) -> Dissection {
    let version = ProtocolVersion(current::<D>());
    dissect::<D>(&D::chain(), version, frame)
}

fn trailing<D: Net>() -> Vec<u8> {
    let mut payload = payload_of(&their_version(12)).to_vec();
    payload.push(0);
    message::<D>("version", &payload).to_vec()
}

#[test]
fn an_unsound_frame_says_what_is_wrong_and_where() {
    let ping = message::<Decred>("ping", &[1; 8]).to_vec();
    let payload = payload_of(&their_version(12)).len();
    for (frame, kind, offset) in [
        (b"".to_vec(), "incomplete", 0),
        (ping[..3].to_vec(), "incomplete", 3),
        (ping[..23].to_vec(), "incomplete", 23),
        (ping[..31].to_vec(), "incomplete", 31),
        (other_chain::<Decred>(&ping).to_vec(), "wrong_network", 0),
        (b"SSH-2.0-x".to_vec(), "not_this_protocol", 0),
        (nameless::<Decred>(&[]).to_vec(), "bad_command", 4),
        (
            message::<Decred>("reject", &[]).to_vec(),
            "unknown_command",
            4,
        ),
        (header::<Decred>("ping", 9).to_vec(), "oversized", 16),
        (bad_checksum(&ping).to_vec(), "bad_checksum", 20),
        (message::<Decred>("ping", &[1; 7]).to_vec(), "malformed", 24),
        (trailing::<Decred>(), "trailing_bytes", 24 + payload),
        ([&ping[..], &[0]].concat(), "trailing_bytes", 32),
    ] {
        let found = take_apart::<Decred>(&frame);
        let error = found.error.unwrap_or_else(|| panic!("{kind} {frame:?}"));
        assert_eq!((error.kind(), error.offset()), (kind, offset), "{error}");
        assert!(!found.canonical || kind == "trailing_bytes", "{kind}");
    }
}

#[test]
fn bytes_after_a_frame_are_counted() {
    let two = [&verack::<Zcash>()[..], b"xyz"].concat();
    let error = take_apart::<Zcash>(&two).error.unwrap();
    assert_eq!(error, DissectError::Trailing { at: 24, extra: 3 });
}

/// What was read before the fault is shown all the same.
#[test]
fn the_fields_before_a_fault_are_kept() {
    let cut = message::<Zcash>("version", &payload_of(&their_version(12))[..30]);
    let found = take_apart::<Zcash>(&cut);
    let names: Vec<_> = found.fields.iter().map(|field| field.path()).collect();
    assert_eq!(
        names,
        ["protocol_version", "services", "time", "addr_recv.services"]
    );
    assert_eq!(found.payload.len(), 30);
    assert!(found.header.is_some());
}

#[test]
fn a_stream_is_split_into_its_frames_and_the_rest_comes_last() {
    let (good, ack) = (version::<Zcash>(current::<Zcash>()), verack::<Zcash>());
    let stream = [&good[..], &ack[..], b"HTTP/1.1"].concat();
    let version = ProtocolVersion(current::<Zcash>());
    let found = dissect_stream::<Zcash>(&Zcash::chain(), version, &stream);
    let places: Vec<_> = found.iter().map(|(at, _)| *at).collect();
    assert_eq!(places, [0, good.len(), good.len() + ack.len()]);
    let kinds: Vec<_> = found
        .iter()
        .map(|(_, part)| part.error.map(|error| error.kind()))
        .collect();
    assert_eq!(kinds, [None, None, Some("not_this_protocol")]);
    // A checksum that does not fit spoils its own frame alone.
    let stream = [&bad_checksum(&good)[..], &ack[..]].concat();
    let found = dissect_stream::<Zcash>(&Zcash::chain(), version, &stream);
    let sound: Vec<_> = found.iter().map(|(_, part)| part.error.is_none()).collect();
    assert_eq!(sound, [false, true]);
}

/// Path, place, value and meaning of every field, one a line.
fn explained<D: Net>(frame: &[u8]) -> String {
    let found = take_apart::<D>(frame);
    let lines = found.fields.iter().map(|field| {
        let meaning = meaning::<D>(&D::chain(), field).unwrap_or_default();
        let (path, value) = (field.path(), shown(field));
        let line = format!(
            "{:>4} {:>3} {path} = {value}  {meaning}",
            field.offset, field.len
        );
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_field_of_a_version_is_explained() {
    let mut theirs = their_version(170_150);
    theirs.services = peerage_verack::Services(0x405);
    theirs.height = Height(3_428_143);
    theirs.user_agent = "/evil\x1b[2J/".into();
    let zcash = crate::common::version_frame::<Zcash>(&theirs);
    let mut theirs = their_version(u32::MAX);
    theirs.relay = false;
    theirs.services = peerage_verack::Services::NONE;
    let decred = crate::common::version_frame::<Decred>(&theirs);
    let reject = message::<Zcash>("reject", b"\x07version\x11\x03old");
    let addr = message::<Decred>(
        "addrv2",
        &[
            &[1][..],
            &1_800_000_000_u64.to_le_bytes(),
            &4_u64.to_le_bytes(),
            &[1, 192, 0, 2, 7],
            &9108_u16.to_le_bytes(),
        ]
        .concat(),
    );
    let all = [
        explained::<Zcash>(&zcash),
        explained::<Decred>(&decred),
        explained::<Zcash>(&reject),
        explained::<Decred>(&addr),
        explained::<Zcash>(&message::<Zcash>("ping", &[0xab; 8])),
    ];
    insta::assert_snapshot!(all.join("\n\n"));
}

#[test]
fn service_bits_are_named_where_they_have_a_name() {
    assert_eq!(services_shown::<Zcash>(0), "none");
    assert_eq!(services_shown::<Zcash>(5), "NODE_NETWORK | NODE_BLOOM");
    assert_eq!(services_shown::<Zcash>(2), "bit 1");
    assert_eq!(
        services_shown::<Decred>(7),
        "NODE_NETWORK | NODE_BLOOM | NODE_CF"
    );
    assert_eq!(services_shown::<Decred>(1 << 63), "bit 63");
}

#[test]
fn every_reject_code_of_zip_204_has_its_meaning() {
    for (code, name) in [
        (0x01, Some("malformed")),
        (0x10, Some("invalid")),
        (0x11, Some("obsolete")),
        (0x12, Some("duplicate")),
        (0x40, Some("nonstandard")),
        (0x41, Some("dust")),
        (0x42, Some("insufficient fee")),
        (0x43, Some("checkpoint")),
        (0x50, Some("other")),
        (0x99, None),
    ] {
        let found = take_apart::<Zcash>(&message::<Zcash>("reject", &[0, code, 0]));
        let field = found
            .fields
            .iter()
            .find(|field| field.name == "code")
            .unwrap();
        assert_eq!(meaning::<Zcash>(&Zcash::chain(), field).as_deref(), name);
    }
}

/// What we say ourselves can be explained in full.
#[test]
fn our_own_dialogue_is_explained_without_an_error() {
    let mut dialogue = Dialogue::<Decred>::new(Direction::Inbound);
    dialogue.hear(&version::<Decred>(12));
    let version = ProtocolVersion(12);
    let found = dissect_stream::<Decred>(&Decred::chain(), version, &dialogue.said);
    assert_eq!(found.len(), 2);
    assert!(
        found
            .iter()
            .all(|(_, part)| part.canonical && part.error.is_none())
    );
}

/// Facts of a finished peer that need a look at more than one field.
#[test]
fn a_peers_claims_about_itself_are_gossip_and_may_disagree() {
    let mut dialogue = Dialogue::<Zcash>::new(Direction::Inbound);
    dialogue.hear_all([version::<Zcash>(current::<Zcash>()), verack::<Zcash>()]);
    let info = dialogue.peer().info();
    assert!(info.services_disagree(), "5 for itself, 1 for its address");
    let claimed: Vec<_> = info.alternates().map(|addr| addr.to_string()).collect();
    assert_eq!(claimed, ["203.0.113.6:8233", "192.0.2.77:8233"]);
    let mut theirs = their_version(current::<Zcash>());
    theirs.services = theirs.addr_from.services;
    let mut dialogue = Dialogue::<Zcash>::new(Direction::Inbound);
    dialogue.hear(&crate::common::version_frame::<Zcash>(&theirs));
    dialogue.hear(&verack::<Zcash>());
    assert!(!dialogue.peer().info().services_disagree());
}
