//! Every scripted remote that dcrd's own handshake was observed with, against ours.
//!
//! `tests/vectors/decred-handshake.json` says what dcrd made of it: the result of the handshake,
//! what its callback was shown, what became of the connection afterwards. The same must come out
//! here, in both directions. What we do otherwise on purpose stands in [`DIFFERENCES`].

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use peerage_core::wire::Problem;
use peerage_core::{Direction, Interruption, Session};
use peerage_verack::decred::{Decred, Message};
use peerage_verack::dialect::Message as _;
use peerage_verack::envelope::FrameError;
use peerage_verack::{Awaited, HandshakeError, MessageError, Peer};
use serde_json::Value;

use crate::common::dialogue::Error;
use crate::common::vectors::{rows, text};
use crate::common::{
    BOTH, Dialogue, bad_checksum, message, nameless, other_chain, payload_of, their_version,
    verack, version, version_frame,
};

/// Where we differ from what dcrd was seen to do: the row, our result, our calls of the policy as
/// (claimed, negotiated), and why.
const DIFFERENCES: [Difference; 3] = [
    Difference {
        row: "pver11 version,getheaders,getinitstate,ping,verack",
        result: "nil",
        policy: &[(11, 11)],
        run: Some(&["getheaders", "getinitstate", "ping"]),
        reason: "the text of dcrd's change allows up to 3 delayed messages; its loop counts the \
                 verack among its 3 reads, so that only 2 survive. Three are what every dcrd peer \
                 may send, so three are accepted here.",
    },
    Difference {
        row: "pver-1 version",
        result: "negative version",
        policy: &[],
        run: None,
        reason: "dcrd converts -1 to unsigned before it negotiates, and shows its callback 12. A \
                 version that means nothing is refused before anybody is asked.",
    },
    Difference {
        row: "pver11 version,version,verack",
        result: "duplicate version",
        policy: &[(11, 11)],
        run: None,
        reason: "dcrd keeps the second version as an early message, succeeds, and hangs up as soon \
                 as it runs. The peer is lost either way; it is lost at once here.",
    },
];

/// A fourth difference has no row, since dcrd cannot show it: cancelling its context is reported as
/// `ErrHandshakeTimeout`. See `cancellation_is_never_a_timeout`.
struct Difference {
    row: &'static str,
    result: &'static str,
    policy: &'static [(i64, u32)],
    run: Option<&'static [&'static str]>,
    reason: &'static str,
}

const GETHEADERS: usize = 4 + 1 + 32;

/// The bytes of an atom; `None` for one that is not bytes.
fn atom(name: &str, pver: i64) -> Option<Bytes> {
    let number = i32::try_from(pver).unwrap().cast_unsigned();
    let theirs = their_version(number);
    Some(match name {
        "version" => version::<Decred>(number),
        "verack" => verack::<Decred>(),
        "getheaders" => message::<Decred>("getheaders", &[0; GETHEADERS]),
        "getinitstate" => message::<Decred>("getinitstate", &[0]),
        "ping" => message::<Decred>("ping", &[1; 8]),
        "addr" => message::<Decred>("addr", &[0; 31]),
        "unknown" => message::<Decred>("nobodyknows", &[]),
        "version+1 byte" => {
            let mut payload = payload_of(&theirs).to_vec();
            payload.push(0);
            message::<Decred>("version", &payload)
        }
        "verack+1 byte" => message::<Decred>("verack", &[0]),
        "short version" => message::<Decred>("version", &payload_of(&theirs)[..46]),
        "version ua=256" | "version ua newline" => {
            let agent = if name.ends_with("256") {
                "a".repeat(256)
            } else {
                "/a\n/".into()
            };
            let user_agent = agent.as_str().into();
            version_frame::<Decred>(&peerage_verack::Version {
                user_agent,
                ..theirs
            })
        }
        "mainnet magic" => other_chain::<Decred>(&version::<Decred>(12)),
        "bad checksum" => bad_checksum(&version::<Decred>(12)),
        "non-ascii command" => nameless::<Decred>(&[]),
        "close" | "silent" => return None,
        other => panic!("atom {other} has no bytes here"),
    })
}

/// The name dcrd has for our error.
fn dcrds_name(error: &Error) -> &'static str {
    match error {
        HandshakeError::Unexpected {
            awaited: Awaited::Version,
            ..
        } => "peer.ErrNotVersionMessage",
        HandshakeError::Unexpected {
            awaited: Awaited::Verack,
            ..
        } => "peer.ErrNotVerAckMessage",
        HandshakeError::Obsolete { .. } => "peer.ErrProtocolVerTooOld",
        HandshakeError::SelfConnection => "peer.ErrSelfConnection",
        HandshakeError::TimedOut { .. } => "peer.ErrHandshakeTimeout",
        HandshakeError::Closed { .. } => "EOF",
        HandshakeError::NegativeVersion { .. } => "negative version",
        HandshakeError::DuplicateVersion => "duplicate version",
        HandshakeError::Message { error, .. } => match error {
            MessageError::Frame(FrameError::WrongNetwork { .. }) => "wire.ErrWrongNetwork",
            MessageError::Frame(FrameError::Checksum { .. }) => "wire.ErrPayloadChecksum",
            MessageError::BadCommand => "wire.ErrMalformedCmd",
            MessageError::UnknownCommand { .. } => "wire.ErrUnknownCmd",
            MessageError::Oversized { .. } => "wire.ErrPayloadTooLarge",
            MessageError::Malformed { error, .. } => match error.problem {
                Problem::Trailing { .. } => "wire.ErrTrailingBytes",
                Problem::NotPrintable { .. } => "wire.ErrMalformedStrictString",
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// What became of a row.
struct Observed {
    result: &'static str,
    policy: Vec<(i64, u32)>,
    /// `None` when there is no peer.
    run: Option<Run>,
}

#[derive(Debug, PartialEq)]
struct Run {
    delivered: Vec<String>,
    stayed_up: bool,
}

fn observe(row: &Value, direction: Direction) -> Observed {
    let script: Vec<_> = row["script"].as_array().unwrap().clone();
    let pver = row["pver"].as_i64().unwrap_or(12);
    let mut dialogue = Dialogue::<Decred>::new(direction);
    for step in &script {
        let step = step.as_str().unwrap();
        match atom(step, pver) {
            Some(bytes) => dialogue.hear(&bytes),
            None if step == "close" => dialogue.interrupt(Interruption::Closed),
            None => dialogue.interrupt(Interruption::DeadlinePassed),
        };
    }
    let policy = dialogue.policy().versions();
    let signed = |version: u32| i64::from(version.cast_signed());
    let policy = policy.into_iter().map(|(a, b)| (signed(a), b)).collect();
    let (result, run) = match dialogue.outcome() {
        None => panic!("{row} is undecided"),
        Some(Err(error)) => (dcrds_name(error), None),
        Some(Ok(_)) => {
            let (peer, leftover) = dialogue.into_peer();
            ("nil", Some(run(*peer, leftover)))
        }
    };
    Observed {
        result,
        policy,
        run,
    }
}

/// The session after the handshake: what it delivers, and whether the connection can go on.
fn run(peer: Peer<Decred>, mut input: BytesMut) -> Run {
    let (_, mut codec) = peer.into_parts();
    let mut delivered: Vec<String> = Vec::new();
    let stayed_up = loop {
        match codec.decode(&mut input) {
            Ok(Some(message)) => delivered.push(message.command().to_string()),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    Run {
        delivered,
        stayed_up,
    }
}

fn name(row: &Value) -> String {
    text(row, "row").split(" |").next().unwrap().trim().into()
}

fn difference(row: &Value) -> Option<&'static Difference> {
    DIFFERENCES.iter().find(|known| known.row == name(row))
}

fn scripted() -> Vec<Value> {
    let rows = rows("decred-handshake", "rows");
    assert_eq!(rows.len(), 33);
    let is_self = |row: &Value| text(row, "row").starts_with("self-connection");
    assert_eq!(rows.iter().filter(|row| is_self(row)).count(), 2);
    // Both ends are the node itself there: tests/self_connection.rs.
    rows.into_iter().filter(|row| !is_self(row)).collect()
}

#[test]
fn every_scripted_remote_gets_dcrds_result() {
    for row in scripted() {
        let expected = difference(&row).map_or(text(&row, "dcrd_result"), |known| known.result);
        for direction in BOTH {
            let observed = observe(&row, direction);
            assert_eq!(observed.result, expected, "{direction} {row}");
        }
    }
}

#[test]
fn the_policy_is_shown_what_dcrds_callback_is_shown() {
    for row in scripted() {
        let dcrds: Vec<(i64, u32)> = match &row["callback"] {
            Value::Null => vec![],
            shown => {
                let negotiated = u32::try_from(shown["negotiated"].as_i64().unwrap()).unwrap();
                vec![(shown["pver"].as_i64().unwrap(), negotiated)]
            }
        };
        let expected = difference(&row).map_or(dcrds, |known| known.policy.to_vec());
        for direction in BOTH {
            assert_eq!(
                observe(&row, direction).policy,
                expected,
                "{direction} {row}"
            );
        }
    }
}

#[test]
fn the_session_delivers_and_disconnects_as_dcrds_does() {
    for row in scripted() {
        let listed = |row: &Value| {
            let delivered = row["delivered"].as_array().unwrap().iter();
            delivered
                .map(|name| name.as_str().unwrap().to_owned())
                .collect()
        };
        let dcrds = row["run"].as_str().map(|run| Run {
            delivered: listed(&row),
            stayed_up: match run {
                "stayed up" => true,
                "disconnected" => false,
                other => panic!("{other}"),
            },
        });
        for direction in BOTH {
            let expected = match difference(&row) {
                None => dcrds
                    .as_ref()
                    .map(|run| (run.delivered.clone(), run.stayed_up)),
                Some(known) => known.run.map(|delivered| {
                    (
                        delivered.iter().map(|name| (*name).to_owned()).collect(),
                        true,
                    )
                }),
            };
            let observed = observe(&row, direction).run;
            let observed = observed.map(|run| (run.delivered, run.stayed_up));
            assert_eq!(observed, expected, "{direction} {row}");
        }
    }
}

/// A difference that is none any more, or without a reason, has no place in the table.
#[test]
fn every_difference_is_one_and_has_its_reason() {
    let rows = scripted();
    for known in &DIFFERENCES {
        let row = rows.iter().find(|row| name(row) == known.row);
        let row = row.unwrap_or_else(|| panic!("no row {}", known.row));
        assert_ne!(text(row, "dcrd_result"), known.result, "{}", known.row);
        assert!(known.reason.len() > 40, "{}", known.row);
    }
}

/// The fourth difference: dcrd reports both as `ErrHandshakeTimeout`.
#[test]
fn cancellation_is_never_a_timeout() {
    for direction in BOTH {
        let end = |cause| {
            let mut dialogue = Dialogue::<Decred>::new(direction);
            dialogue.interrupt(cause);
            dialogue.error().clone()
        };
        let cancelled = end(Interruption::Cancelled);
        assert!(matches!(cancelled, HandshakeError::Cancelled { .. }));
        let timed_out = end(Interruption::DeadlinePassed);
        assert!(matches!(timed_out, HandshakeError::TimedOut { .. }));
    }
}

#[test]
fn every_atom_of_the_scripts_is_used() {
    let file = crate::common::vectors::load("decred-handshake");
    let known: BTreeSet<_> = file["atoms"].as_object().unwrap().keys().collect();
    let rows = rows("decred-handshake", "rows");
    let used: BTreeSet<_> = rows
        .iter()
        .flat_map(|row| row["script"].as_array().unwrap())
        .map(|atom| atom.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(known, used.iter().collect());
}

/// An early message is the message it was, not only its name.
#[test]
fn a_delivered_early_message_is_whole() {
    let mut dialogue = Dialogue::<Decred>::new(Direction::Inbound);
    dialogue.hear_all([
        version::<Decred>(11),
        message::<Decred>("ping", &7_u64.to_le_bytes()),
        verack::<Decred>(),
    ]);
    let early: Vec<_> = dialogue.peer().early().cloned().collect();
    assert_eq!(early, [Message::Ping(7)]);
}
