//! The words: every way a handshake fails, as a person and a program get to read it.

use std::fmt::Write as _;
use std::io;

use bytes::Bytes;
use peerage_core::{Direction, Failure, Interruption, Session};
use peerage_verack::Version;
use peerage_verack::decred::Decred;
use peerage_verack::zcash::{Message, Zcash};

use crate::common::{
    Dialogue, Net, bad_checksum, current, header, message, nameless, other_chain, payload_of,
    their_version, verack, version, version_frame,
};

fn shown(name: &str, error: &impl Failure) -> String {
    let reason = error.reason();
    let mut text = format!(
        "{name}\n    {} at {}, blame {}, retry {}\n    {}\n",
        reason.kind,
        reason.stage,
        reason.blame.name(),
        reason.retry,
        reason.message
    );
    for (name, value) in reason.detail.iter() {
        writeln!(text, "      {name} = {value}").unwrap();
    }
    text
}

/// Hears these parts and then sees the end of the stream.
fn failure<D: Net>(direction: Direction, name: &str, parts: &[Bytes]) -> String {
    let mut dialogue = Dialogue::<D>::new(direction);
    dialogue.hear_all(parts).interrupt(Interruption::Closed);
    shown(name, dialogue.error())
}

fn interrupted(name: &str, cause: Interruption) -> String {
    let mut dialogue = Dialogue::<Decred>::new(Direction::Outbound);
    dialogue.hear(&version::<Decred>(12)).interrupt(cause);
    shown(name, dialogue.error())
}

#[test]
fn every_failure_has_its_words() {
    let zcash = |name, parts: &[Bytes]| failure::<Zcash>(Direction::Inbound, name, parts);
    let decred = |name, parts: &[Bytes]| failure::<Decred>(Direction::Outbound, name, parts);
    let good = || version::<Zcash>(current::<Zcash>());
    let ping = || message::<Zcash>("ping", &[0; 8]);
    let mut own = their_version(current::<Zcash>());
    let local = crate::common::node::<Zcash>(1);
    let other = crate::common::attempt(crate::common::direct(Direction::Outbound));
    own.nonce = local.version_for(&other).nonce;
    let newline = Version {
        user_agent: "/a\n/".into(),
        ..their_version(12)
    };
    let mut trailing = payload_of(&their_version(12)).to_vec();
    trailing.push(0);
    let mut policy = Dialogue::<Zcash>::refusing(Direction::Inbound, "we are full\x07");
    policy.hear(&good());
    let all = [
        zcash("magic of another chain", &[other_chain::<Zcash>(&good())]),
        decred("magic of another network", &[good()]),
        zcash("HTTP", &[Bytes::from_static(b"HTTP/1.1 200 OK\r\n")]),
        zcash("noise", &[Bytes::from_static(b"\x00\x1b[2J")]),
        zcash("checksum", &[bad_checksum(&good())]),
        decred("nameless command", &[nameless::<Decred>(&[])]),
        decred("unknown command", &[message::<Decred>("reject", &[])]),
        zcash("longer than its kind", &[header::<Zcash>("ping", 9)]),
        zcash("longer than its stage", &[header::<Zcash>("inv", 5000)]),
        zcash("cut version", &[message::<Zcash>("version", &[0; 50])]),
        decred("trailing byte", &[message::<Decred>("version", &trailing)]),
        decred("newline in agent", &[version_frame::<Decred>(&newline)]),
        decred("ping first", &[message::<Decred>("ping", &[0; 8])]),
        zcash("two versions", &[good(), good()]),
        zcash("nine pings", &vec![ping(); 9]),
        zcash("ourselves", &[version_frame::<Zcash>(&own)]),
        decred("negative version", &[version::<Decred>(u32::MAX)]),
        zcash("obsolete", &[version::<Zcash>(170_149)]),
        shown("policy", policy.error()),
        zcash(
            "reject and close",
            &[message::<Zcash>("reject", b"\x07version\x11\x07too old")],
        ),
        zcash("close", &[good().slice(..30)]),
        interrupted("deadline", Interruption::DeadlinePassed),
        interrupted("cancelled", Interruption::Cancelled),
        interrupted(
            "transport",
            Interruption::Transport(io::ErrorKind::NetworkUnreachable),
        ),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn every_failure_of_a_session_has_its_words() {
    let decode = |name, bytes: Bytes| {
        let (_, mut codec) = crate::roundtrip::session::<Decred>(12);
        let mut input = bytes::BytesMut::from(&bytes[..]);
        shown(name, &codec.decode(&mut input).unwrap_err())
    };
    let encode = |name, message: Message| {
        let (_, mut codec) = crate::roundtrip::session::<Zcash>(current::<Zcash>());
        let mut output = bytes::BytesMut::new();
        shown(name, &codec.encode(&message, &mut output).unwrap_err())
    };
    let opaque = |command: &'static str, len| Message::Opaque {
        command: peerage_verack::envelope::Command::from_static(command),
        payload: vec![0; len].into(),
    };
    let all = [
        decode("verack again", verack::<Decred>()),
        decode("version again", version::<Decred>(12)),
        decode("unknown", message::<Decred>("nobodyknows", &[])),
        decode("gone at 12", message::<Decred>("addr", &[0])),
        decode("malformed", message::<Decred>("ping", &[0; 7])),
        encode("unknown to everybody", opaque("nobodyknows", 0)),
        encode("too long", opaque("filteradd", 524)),
        encode("refused by its receiver", opaque("ping", 7)),
        encode("a handshake message", opaque("version", 86)),
    ];
    insta::assert_snapshot!(all.join("\n"));
}
