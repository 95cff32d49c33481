//! Which messages there are: between whom, and what comes of those that nobody knows.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use peerage_core::wire::Problem;
use peerage_core::{Failure, Kind, Session};
use peerage_verack::decred::{self, Decred};
use peerage_verack::dialect::Message as _;
use peerage_verack::envelope::Command;
use peerage_verack::message::Hash;
use peerage_verack::zcash::{self, Zcash};
use peerage_verack::{Dialect, MessageError, ProtocolVersion, SessionError};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::common::strategies::{decred_messages, zcash_messages};
use crate::common::vectors::{rows, text};
use crate::common::{Net, current, message, nameless};
use crate::roundtrip::{a_message_comes_back, read, refused_to_send, session, write};

fn drawn<D: Net>(strategies: Vec<BoxedStrategy<D::Message>>) -> BTreeSet<String> {
    let mut runner = TestRunner::deterministic();
    let mut drawn = BTreeSet::new();
    for strategy in strategies {
        for _ in 0..100 {
            let message = strategy.new_tree(&mut runner).unwrap().current();
            drawn.insert(message.command().to_string());
        }
    }
    drawn
}

fn names<D: Net>() -> BTreeSet<String> {
    D::NAMES.iter().map(|name| (*name).to_owned()).collect()
}

/// Else a property that holds for "every message" holds for fewer.
#[test]
fn the_strategies_draw_every_message() {
    assert_eq!(drawn::<Zcash>(zcash_messages()), names::<Zcash>());
    assert_eq!(drawn::<Decred>(decred_messages()), names::<Decred>());
}

#[test]
fn decreds_messages_are_dcrds() {
    let limits = rows("decred-max-payload", "limits");
    let mut dcrds: BTreeSet<_> = limits
        .iter()
        .map(|row| text(row, "command").to_owned())
        .collect();
    for handshake_or_removed in ["version", "verack", "reject"] {
        assert!(dcrds.remove(handshake_or_removed));
    }
    assert_eq!(dcrds, names::<Decred>());
}

/// Decodes one frame in a session at `version`.
fn hear<D: Net>(version: u32, frame: &[u8]) -> Result<Option<D::Message>, SessionError> {
    let (_, mut codec) = session::<D>(version);
    codec.decode(&mut BytesMut::from(frame))
}

// ---- Versions ----

fn decred_addr() -> (decred::Message, decred::Message) {
    let entry = decred::AddrV2 {
        time: peerage_core::UnixTime(1),
        services: peerage_verack::Services(1),
        addr: decred::NetworkAddr::TorV3([4; 32]),
        port: 9108,
    };
    (
        decred::Message::Addr(vec![]),
        decred::Message::AddrV2(vec![entry]),
    )
}

#[test]
fn decred_peers_below_12_say_addr_and_from_12_on_addrv2() {
    let (addr, addr_v2) = decred_addr();
    for version in 9..=13 {
        let (known, unknown) = if version < 12 {
            (&addr, &addr_v2)
        } else {
            (&addr_v2, &addr)
        };
        a_message_comes_back::<Decred>(known, version);
        refused_to_send::<Decred>(unknown, version);
        let command = unknown.command();
        let heard = message::<Decred>(
            if version < 12 { "addrv2" } else { "addr" },
            &write(unknown),
        );
        let error = hear::<Decred>(version, &heard).unwrap_err();
        let SessionError::Message(MessageError::Oversized { limit: 0, .. }) = error else {
            panic!("{command} at {version}: {error:?}")
        };
        // An empty one has no size to refuse, and no count either.
        let empty = message::<Decred>(if version < 12 { "addrv2" } else { "addr" }, &[]);
        let error = hear::<Decred>(version, &empty).unwrap_err();
        assert_eq!(error.kind(), Kind::Malformed, "{command} at {version}");
    }
}

#[test]
fn decred_peers_mix_from_10_on() {
    for name in Decred::NAMES.iter().filter(|name| name.starts_with("mix")) {
        for payload in [Bytes::new(), Bytes::from_static(&[1])] {
            let heard = message::<Decred>(name, &payload);
            let command = Command::from_static(name);
            let mix = decred::Message::Opaque { command, payload };
            for version in 10..=12 {
                a_message_comes_back::<Decred>(&mix, version);
            }
            refused_to_send::<Decred>(&mix, 9);
            let error = hear::<Decred>(9, &heard).unwrap_err();
            assert_eq!(error.kind(), Kind::Malformed, "{name}");
        }
    }
}

/// An empty one has no size to refuse, so its reader does.
#[test]
fn an_empty_message_of_another_version_is_refused() {
    let heard = message::<Decred>("mixpairreq", &[]);
    let error = hear::<Decred>(9, &heard).unwrap_err();
    let SessionError::Message(MessageError::Malformed { error, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(error.problem, Problem::NotInVersion { version: 9 });
}

#[test]
fn every_other_decred_message_is_the_same_in_every_version() {
    let gated = |name: &str| name.starts_with("mix") || name.starts_with("addr");
    for name in Decred::NAMES.iter().filter(|name| !gated(name)) {
        let command = Command::from_static(name);
        let sizes = (9..=12).map(|version| Decred::max_payload(command, ProtocolVersion(version)));
        assert_eq!(sizes.collect::<BTreeSet<_>>().len(), 1, "{name}");
    }
}

/// ZIP 239: from 170014 on.
#[test]
fn a_zcash_inventory_names_wtx_from_170014_on() {
    let entry = zcash::Inventory::Wtx {
        txid: Hash([1; 32]),
        auth_digest: Hash([2; 32]),
    };
    for message in [
        zcash::Message::Inv(vec![entry]),
        zcash::Message::GetData(vec![entry]),
        zcash::Message::NotFound(vec![entry]),
    ] {
        let payload = write(&message);
        assert_eq!(payload.len(), 1 + 4 + 32 + 32);
        for (version, known) in [
            (170_002, false),
            (170_013, false),
            (170_014, true),
            (170_190, true),
        ] {
            let read = read::<Zcash>(message.command(), &payload, version);
            assert_eq!(read.is_some(), known, "{version}");
        }
        a_message_comes_back::<Zcash>(&message, current::<Zcash>());
    }
}

// ---- Commands that nobody knows ----

const STRANGE: [&str; 6] = [
    "sendaddrv2",
    "wtxidrelay",
    "sendcmpct",
    "PING",
    "ping ",
    "nobodyknowss",
];

/// Zcash ignores what it does not know (ZIP 204), so the user sees it, whole and in its place.
#[test]
fn zcash_passes_unknown_commands_on_and_goes_on() {
    for name in STRANGE {
        let (_, mut codec) = session::<Zcash>(current::<Zcash>());
        let ping = message::<Zcash>("ping", &[0; 8]);
        let strange = message::<Zcash>(name, &[7; 3]);
        let mut input = BytesMut::from(&[&strange[..], &ping].concat()[..]);
        let expected = zcash::Message::Opaque {
            command: Command::from_static(name),
            payload: Bytes::from_static(&[7; 3]),
        };
        assert_eq!(codec.decode(&mut input), Ok(Some(expected.clone())));
        assert_eq!(
            codec.decode(&mut input),
            Ok(Some(zcash::Message::Ping(0))),
            "{name} does not end the session"
        );
        // Only passed on: we say nothing that nobody knows.
        let error = codec.encode(&expected, &mut input).unwrap_err();
        assert!(
            matches!(error, SessionError::NotInVersion { .. }),
            "{error:?}"
        );
    }
}

#[test]
fn zcash_drops_what_is_no_command_and_goes_on() {
    let stream = [
        nameless::<Zcash>(&[1; 9]),
        nameless::<Zcash>(&[]),
        message::<Zcash>("ping", &[0; 8]),
    ]
    .concat();
    let heard = hear::<Zcash>(current::<Zcash>(), &stream);
    assert_eq!(heard, Ok(Some(zcash::Message::Ping(0))));
}

#[test]
fn zcash_tolerates_unknown_commands_within_the_overall_limit_only() {
    let mut header = crate::common::header::<Zcash>("sendaddrv2", 2_097_152).to_vec();
    assert_eq!(hear::<Zcash>(current::<Zcash>(), &header), Ok(None));
    header[16..20].copy_from_slice(&2_097_153_u32.to_le_bytes());
    let error = hear::<Zcash>(current::<Zcash>(), &header).unwrap_err();
    assert_eq!(error.kind(), Kind::Malformed);
    header[4] = 0xff;
    let error = hear::<Zcash>(current::<Zcash>(), &header).unwrap_err();
    assert_eq!(error, SessionError::Message(MessageError::BadCommand));
}

/// dcrd bans for it; so the connection ends here.
#[test]
fn decred_ends_the_connection_on_unknown_commands() {
    let known_elsewhere = ["reject", "filterload", "alert", "merkleblock"];
    for name in STRANGE.into_iter().chain(known_elsewhere) {
        for version in 9..=12 {
            let command = Command::from_static(name);
            let heard = message::<Decred>(name, &[]);
            let error = hear::<Decred>(version, &heard).unwrap_err();
            let unknown = MessageError::UnknownCommand { command };
            assert_eq!(error, SessionError::Message(unknown), "{name}");
            assert_eq!(error.kind(), Kind::Violation);
        }
    }
    let error = hear::<Decred>(12, &nameless::<Decred>(&[])).unwrap_err();
    assert_eq!(error, SessionError::Message(MessageError::BadCommand));
}

/// Also before it could be judged by anything but its header.
#[test]
fn an_unknown_command_on_decred_is_refused_by_its_header() {
    let header = crate::common::header::<Decred>("sendaddrv2", 0);
    let error = hear::<Decred>(12, &header).unwrap_err();
    assert_eq!(error.kind(), Kind::Violation);
}
