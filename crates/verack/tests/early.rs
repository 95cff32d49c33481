//! Messages before their time: Decred's legacy window, Zcash's budgets.

use bytes::Bytes;
use peerage_core::{Direction, Failure, Session};
use peerage_verack::decred::{Decred, LEGACY_WINDOW};
use peerage_verack::dialect::Message as _;
use peerage_verack::envelope::HEADER_LEN;
use peerage_verack::zcash::{EARLY_BUDGET, Zcash};
use peerage_verack::{Awaited, HandshakeError, MessageError};

use crate::common::dialogue::Error;
use crate::common::{
    BOTH, Dialogue, Net, bad_checksum, current, header, message, nameless, payload_of,
    their_version, verack, version,
};

// ---- Decred: between version and verack ----

/// Types of early message, by name, with a payload that each may have.
const DECRED_TYPES: [(&str, &[u8]); 6] = [
    ("getheaders", &[0; 37]),
    ("getinitstate", &[0]),
    ("ping", &[9; 8]),
    ("feefilter", &[1; 8]),
    ("sendheaders", &[]),
    ("inv", &ONE_INV),
];

/// An `inv` with one entry that is about nothing.
const ONE_INV: [u8; 37] = {
    let mut payload = [0; 37];
    payload[0] = 1;
    payload
};

fn decred(command: &'static str, payload: &[u8]) -> Bytes {
    message::<Decred>(command, payload)
}

/// What must come of `count` early messages from a peer who speaks `speaks`.
fn expected_of_decred(speaks: i32, count: usize) -> Result<u32, &'static str> {
    match (speaks, count) {
        (..0, _) => Err("negative"),
        (0..9, _) => Err("obsolete"),
        (9..12, 0..=3) => Ok(speaks.cast_unsigned()),
        (9..12, _) => Err("flood"),
        (12.., 0) => Ok(12),
        (12.., _) => Err("unexpected"),
    }
}

fn name_of(error: &Error) -> &'static str {
    match error {
        HandshakeError::NegativeVersion { got: -1 } => "negative",
        HandshakeError::Obsolete { .. } => "obsolete",
        HandshakeError::Flood { .. } => "flood",
        HandshakeError::Unexpected {
            awaited: Awaited::Verack,
            ..
        } => "unexpected",
        other => panic!("{other:?}"),
    }
}

fn decred_early(direction: Direction, speaks: i32, early: &[Bytes]) -> Dialogue<Decred> {
    let mut dialogue = Dialogue::new(direction);
    dialogue
        .hear(&version::<Decred>(speaks.cast_unsigned()))
        .hear_all(early)
        .hear(&verack::<Decred>());
    dialogue
}

#[test]
fn the_legacy_window_holds_three_messages_and_a_strict_peer_none() {
    for direction in BOTH {
        for speaks in [9, 11, 12, 13, 8, -1] {
            for count in 0..=4 {
                for (command, payload) in DECRED_TYPES {
                    let what = format!("{direction}, version {speaks}, {count} × {command}");
                    let early = vec![decred(command, payload); count];
                    let dialogue = decred_early(direction, speaks, &early);
                    match expected_of_decred(speaks, count) {
                        Ok(negotiated) => {
                            let info = dialogue.peer().info();
                            assert_eq!(info.negotiated.0, negotiated, "{what}");
                            assert_eq!(info.dropped, 0, "kept, not dropped: {what}");
                            assert_eq!(dialogue.peer().early().len(), count, "{what}");
                        }
                        Err(name) => assert_eq!(name_of(dialogue.error()), name, "{what}"),
                    }
                }
            }
        }
    }
}

/// Every choice of up to three types, in every order.
#[test]
fn early_messages_are_handed_over_once_in_order_before_any_later_one() {
    let types = DECRED_TYPES.len();
    for direction in BOTH {
        for code in 0..types.pow(3) {
            let picked = [code % types, code / types % types, code / types / types];
            let picked = picked.map(|at| DECRED_TYPES[at]);
            let early = picked.map(|(command, payload)| decred(command, payload));
            let mut dialogue = decred_early(direction, 11, &early);
            dialogue.hear(&decred("pong", &[2; 8]));
            let names = picked.map(|(command, _)| command);
            let waiting = dialogue.peer().early().map(|m| m.command().to_string());
            assert_eq!(waiting.collect::<Vec<_>>(), names);

            let (peer, mut input) = dialogue.into_peer();
            let (_, mut codec) = peer.into_parts();
            let mut delivered = Vec::new();
            while let Some(message) = codec.decode(&mut input).unwrap() {
                delivered.push(message.command().to_string());
            }
            assert_eq!(delivered, [&names[..], &["pong"]].concat());
        }
    }
}

/// `addr` exists below version 12 only; from there on its size is 0, so it is oversized before it
/// could be out of order.
#[test]
fn an_early_message_must_exist_in_the_negotiated_version() {
    let addr = decred("addr", &[0; 1]);
    for direction in BOTH {
        let legacy = decred_early(direction, 11, std::slice::from_ref(&addr));
        assert_eq!(legacy.peer().early().len(), 1);
        let strict = decred_early(direction, 12, std::slice::from_ref(&addr));
        assert!(matches!(
            strict.error(),
            HandshakeError::Message {
                error: MessageError::Oversized { limit: 0, .. },
                ..
            }
        ));
        let v2 = decred("addrv2", &[1; 24]);
        let legacy = decred_early(direction, 11, &[v2]);
        assert_eq!(legacy.verdict(), "verack malformed");
    }
}

/// Each with what comes of it below version 12, and from there on: a strict peer's early message is
/// judged by its header alone, so that one of a lawful size is out of order before it is anything.
#[test]
fn an_early_message_must_be_sound() {
    for (early, legacy, strict) in [
        (decred("ping", &[1; 7]), "malformed", "violation"),
        (decred("ping", &[1; 9]), "malformed", "malformed"),
        (
            bad_checksum(&decred("ping", &[1; 8])),
            "malformed",
            "violation",
        ),
        (nameless::<Decred>(&[]), "malformed", "malformed"),
        (decred("nobodyknows", &[]), "violation", "violation"),
        (decred("reject", &[]), "violation", "violation"),
    ] {
        let early = std::slice::from_ref(&early);
        for direction in BOTH {
            for (speaks, kind) in [(9, legacy), (11, legacy), (12, strict), (13, strict)] {
                let dialogue = decred_early(direction, speaks, early);
                let what = format!("{direction} {speaks} {early:?}");
                assert_eq!(dialogue.verdict(), format!("verack {kind}"), "{what}");
            }
        }
    }
}

#[test]
fn the_legacy_window_holds_32_kib_envelopes_included() {
    let whole = LEGACY_WINDOW.bytes;
    assert_eq!(whole, 32 * 1024);
    let of_wire_len = |len: usize| decred("tx", &vec![0; len - HEADER_LEN]);
    for direction in BOTH {
        let fits = decred_early(direction, 11, &[of_wire_len(whole)]);
        assert_eq!(fits.peer().early().len(), 1);
        let over = decred_early(direction, 11, &[of_wire_len(whole + 1)]);
        assert_eq!(name_of(over.error()), "flood");
        let (first, second) = (of_wire_len(20_000), of_wire_len(whole - 20_000));
        let fits = decred_early(direction, 11, &[first.clone(), second.clone()]);
        assert_eq!(fits.peer().early().len(), 2);
        let nothing_more = decred_early(direction, 11, &[first, second, decred("getaddr", &[])]);
        assert_eq!(name_of(nothing_more.error()), "flood");
    }
}

#[test]
fn what_would_not_fit_the_window_is_refused_by_its_header() {
    for direction in BOTH {
        let mut dialogue = Dialogue::<Decred>::new(direction);
        dialogue.hear(&version::<Decred>(11));
        dialogue.hear(&decred("tx", &[0; 20_000]));
        dialogue.hear(&header::<Decred>("tx", 20_000));
        assert_eq!(name_of(dialogue.error()), "flood", "{direction}");
        let mut dialogue = Dialogue::<Decred>::new(direction);
        dialogue.hear(&version::<Decred>(11));
        dialogue.hear(&header::<Decred>("tx", 32 * 1024 + 1));
        assert!(
            matches!(dialogue.error(), HandshakeError::TooLongForNow { .. }),
            "{direction}"
        );
        // Where no message at all is allowed, a long one is out of order, not too long.
        for before in [vec![], version::<Decred>(12).to_vec()] {
            let mut dialogue = Dialogue::<Decred>::new(direction);
            dialogue.hear(&before);
            dialogue.hear(&header::<Decred>("tx", 32 * 1024 + 1));
            assert!(
                matches!(dialogue.error(), HandshakeError::Unexpected { .. }),
                "{direction}"
            );
        }
    }
}

/// The version is signed on Decred: half its values are below zero, and only those.
#[test]
fn the_highest_positive_version_is_greeted_and_the_next_is_negative() {
    for direction in BOTH {
        let highest = decred_early(direction, i32::MAX, &[]);
        assert_eq!(highest.peer().info().negotiated.0, 12);
        let next = decred_early(direction, i32::MIN, &[]);
        let got = i32::MIN;
        assert_eq!(*next.error(), HandshakeError::NegativeVersion { got });
    }
}

#[test]
fn nothing_but_a_version_may_come_first_on_decred() {
    for direction in BOTH {
        for (command, payload) in DECRED_TYPES {
            let mut dialogue = Dialogue::<Decred>::new(direction);
            dialogue.hear(&decred(command, payload));
            assert_eq!(dialogue.verdict(), "version violation", "{command}");
        }
    }
}

// ---- Zcash: before version, and again before verack ----

fn zcash_types() -> Vec<(&'static str, Bytes)> {
    vec![
        ("ping", message::<Zcash>("ping", &[1; 8])),
        ("getaddr", message::<Zcash>("getaddr", &[])),
        ("addr", message::<Zcash>("addr", &[0])),
        ("inv", message::<Zcash>("inv", &ONE_INV)),
        ("reject", message::<Zcash>("reject", &[1, b'x', 0x10, 0])),
        ("unknown", message::<Zcash>("sendaddrv2", &[])),
        ("nameless", nameless::<Zcash>(&[1, 2, 3])),
    ]
}

fn zcash(
    direction: Direction,
    before_version: &[Bytes],
    before_verack: &[Bytes],
) -> Dialogue<Zcash> {
    let mut dialogue = Dialogue::new(direction);
    dialogue
        .hear_all(before_version)
        .hear(&version::<Zcash>(current::<Zcash>()))
        .hear_all(before_verack)
        .hear(&verack::<Zcash>());
    dialogue
}

#[track_caller]
fn flooded(dialogue: &Dialogue<Zcash>, at: Awaited, messages: u32) {
    match dialogue.error() {
        HandshakeError::Flood { awaited, over } => {
            assert_eq!((*awaited, over.would_be.messages), (at, messages));
            assert_eq!(over.budget, EARLY_BUDGET);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn zcash_drops_and_counts_eight_messages_before_version_and_eight_before_verack() {
    for direction in BOTH {
        for (name, frame) in zcash_types() {
            for count in 0..=9 {
                let early = vec![frame.clone(); count];
                let before_version = zcash(direction, &early, &[]);
                let before_verack = zcash(direction, &[], &early);
                if count <= 8 {
                    for dialogue in [before_version, before_verack] {
                        let dropped = dialogue.peer().info().dropped as usize;
                        assert_eq!(dropped, count, "{direction} {name}");
                        assert_eq!(dialogue.peer().early().len(), 0, "dropped, not kept");
                    }
                } else {
                    flooded(&before_version, Awaited::Version, 9);
                    flooded(&before_verack, Awaited::Verack, 9);
                }
            }
            let eight = vec![frame; 8];
            let both = zcash(direction, &eight, &eight);
            assert_eq!(both.peer().info().dropped, 16, "two budgets, not one");
        }
    }
}

#[test]
fn a_verack_before_the_version_counts_as_dropped() {
    for direction in BOTH {
        let eight = zcash(direction, &vec![verack::<Zcash>(); 8], &[]);
        assert_eq!(eight.peer().info().dropped, 8);
        let nine = zcash(direction, &vec![verack::<Zcash>(); 9], &[]);
        flooded(&nine, Awaited::Version, 9);
    }
}

#[test]
fn zcash_drops_4_kib_at_each_stage_envelopes_included() {
    let body = |len: usize| message::<Zcash>("sendaddrv2", &vec![0; len]);
    // Three of the longest that the stage allows, and what is left of 4,096 bytes.
    let longest = 1024;
    let left = EARLY_BUDGET.bytes - 3 * (HEADER_LEN + longest);
    for direction in BOTH {
        for (last, fits) in [(left - HEADER_LEN, true), (left - HEADER_LEN + 1, false)] {
            let early = [body(longest), body(longest), body(longest), body(last)];
            let before_version = zcash(direction, &early, &[]);
            let before_verack = zcash(direction, &[], &early);
            if fits {
                assert_eq!(before_version.peer().info().dropped, 4);
                assert_eq!(before_verack.peer().info().dropped, 4);
            } else {
                flooded(&before_version, Awaited::Version, 4);
                flooded(&before_verack, Awaited::Verack, 4);
            }
        }
    }
}

fn a_long_declaration_is_refused_before_its_body<D: Net>(too_long: u32) {
    for direction in BOTH {
        for before in [vec![], vec![version::<D>(current::<D>())]] {
            let mut dialogue = Dialogue::<D>::new(direction);
            dialogue.hear_all(&before);
            let heard = header::<D>("inv", too_long);
            dialogue.hear(&heard[..HEADER_LEN - 1]);
            assert!(dialogue.is_live(), "the header is not whole yet");
            dialogue.hear(&heard[HEADER_LEN - 1..]);
            assert!(dialogue.outcome().is_some_and(|end| end.is_err()));
        }
    }
}

#[test]
fn a_long_message_is_refused_by_its_header_alone() {
    for len in [1025, 2_097_152, 2_097_153, u32::MAX] {
        a_long_declaration_is_refused_before_its_body::<Zcash>(len);
        a_long_declaration_is_refused_before_its_body::<Decred>(len.max(32_769));
    }
    let at = |len| {
        let mut dialogue = Dialogue::<Zcash>::new(Direction::Inbound);
        dialogue.hear(&header::<Zcash>("inv", len));
        dialogue
    };
    assert!(at(1024).is_live());
    let error = at(1025).error().clone();
    assert!(matches!(
        error,
        HandshakeError::TooLongForNow {
            len: 1025,
            limit: 1024,
            ..
        }
    ));
    assert_eq!(error.kind(), peerage_core::Kind::Flood);
    let never = at(2_097_153).error().clone();
    assert!(matches!(
        never,
        HandshakeError::Message {
            error: MessageError::Oversized { .. },
            ..
        }
    ));
    // A message with a limit of its own is held to that, and a nameless one to the stage's.
    let mut dialogue = Dialogue::<Zcash>::new(Direction::Inbound);
    dialogue.hear(&header::<Zcash>("ping", 9));
    assert_eq!(dialogue.verdict(), "version malformed");
    let mut nameless = nameless::<Zcash>(&[]).to_vec();
    nameless[16..20].copy_from_slice(&1025_u32.to_le_bytes());
    let mut dialogue = Dialogue::<Zcash>::new(Direction::Inbound);
    dialogue.hear(&nameless);
    assert_eq!(dialogue.verdict(), "version malformed");
}

/// Zebra 15 was seen to read 980 MB of pings. Here the longest dialogue that a stranger can draw
/// out has two full budgets around the longest version, and one header that is one too many.
#[test]
fn the_most_a_stranger_can_make_us_read_is_two_budgets_and_a_version() {
    let body = |len: usize| message::<Zcash>("sendaddrv2", &vec![0; len]);
    let budget = [body(1024), body(1024), body(1024), body(928)];
    let mut longest = payload_of(&their_version(current::<Zcash>())).to_vec();
    longest.resize(1024, 0);
    for direction in BOTH {
        let mut dialogue = Dialogue::<Zcash>::new(direction);
        dialogue.hear_all(&budget);
        dialogue.hear(&message::<Zcash>("version", &longest));
        dialogue.hear_all(&budget);
        assert!(dialogue.is_live(), "{direction}");
        dialogue.hear(&header::<Zcash>("getaddr", 0));
        flooded(&dialogue, Awaited::Verack, 5);
        // On Decred there is one budget, after a version of at most 358 bytes.
        let mut dialogue = Dialogue::<Decred>::new(direction);
        dialogue.hear(&version::<Decred>(9));
        dialogue.hear(&decred("tx", &vec![0; LEGACY_WINDOW.bytes - HEADER_LEN]));
        assert!(dialogue.is_live(), "{direction}");
        dialogue.hear(&header::<Decred>("getaddr", 0));
        assert_eq!(name_of(dialogue.error()), "flood");
    }
}

/// An early message is dropped for coming early, not for what it says: broken ones still end it.
#[test]
fn zcash_drops_no_broken_messages() {
    for direction in BOTH {
        for broken in [
            message::<Zcash>("ping", &[1; 7]),
            message::<Zcash>("addr", &[1, 0]),
            bad_checksum(&message::<Zcash>("ping", &[1; 8])),
        ] {
            let early = std::slice::from_ref(&broken);
            assert_eq!(zcash(direction, early, &[]).verdict(), "version malformed");
            assert_eq!(zcash(direction, &[], early).verdict(), "verack malformed");
        }
    }
}
