//! What ends a handshake from outside, at every point where it can wait.

use std::io;

use bytes::{Bytes, BytesMut};
use peerage_core::{Blame, Direction, Failure, Handshake, Interruption, Kind, Retry, Stage, Step};
use peerage_verack::decred::Decred;
use peerage_verack::zcash::Zcash;
use peerage_verack::{Awaited, HandshakeError};

use crate::common::{
    BOTH, Dialogue, Net, attempt, concat, current, direct, message, node, now, verack, version,
};

const CAUSES: [(Interruption, Kind); 5] = [
    (Interruption::Closed, Kind::Closed),
    (Interruption::DeadlinePassed, Kind::Timeout),
    (Interruption::Cancelled, Kind::Cancelled),
    (
        Interruption::Transport(io::ErrorKind::HostUnreachable),
        Kind::Transport,
    ),
    (
        Interruption::Transport(io::ErrorKind::Other),
        Kind::Transport,
    ),
];

/// What has been heard before the interruption, and what is awaited then.
fn moments<D: Net>() -> Vec<(Vec<u8>, Awaited)> {
    let theirs = version::<D>(current::<D>());
    let mut moments = vec![(vec![], Awaited::Version)];
    for cut in [1, 4, 23, 24, 25, theirs.len() - 1] {
        moments.push((theirs[..cut].to_vec(), Awaited::Version));
    }
    moments.push((theirs.to_vec(), Awaited::Verack));
    for cut in [1, 4, 23] {
        let heard = [&theirs[..], &verack::<D>()[..cut]].concat();
        moments.push((heard, Awaited::Verack));
    }
    let ping = message::<D>("ping", &[0; 8]);
    if D::NETWORK.0 == "zcash" {
        moments.push((ping.to_vec(), Awaited::Version));
        moments.push((concat([&theirs, &ping]), Awaited::Verack));
    } else {
        moments.push((concat([&version::<D>(11), &ping]), Awaited::Verack));
    }
    moments
}

fn every_interruption_at_every_moment<D: Net>() {
    for direction in BOTH {
        for (heard, awaited) in moments::<D>() {
            for (cause, kind) in CAUSES {
                let mut dialogue = Dialogue::<D>::new(direction);
                dialogue.hear(&heard).interrupt(cause);
                let what = format!("{direction}, {} bytes, {cause:?}", heard.len());
                assert_eq!(dialogue.last_words(), b"", "{what}");
                let error = dialogue.error();
                assert_eq!(
                    (error.stage(), error.kind()),
                    (awaited.stage(), kind),
                    "{what}"
                );
                match *error {
                    HandshakeError::Closed { received, .. }
                    | HandshakeError::TimedOut { received, .. } => {
                        assert_eq!(received, heard.len(), "{what}");
                    }
                    HandshakeError::Cancelled { .. } => {}
                    HandshakeError::Transport { kind, .. } => {
                        assert_eq!(cause, Interruption::Transport(kind), "{what}");
                    }
                    ref other => panic!("{what}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn every_interruption_keeps_its_kind_and_stage_at_every_moment() {
    every_interruption_at_every_moment::<Zcash>();
    every_interruption_at_every_moment::<Decred>();
}

/// Before the driver has moved a single byte.
#[test]
fn a_handshake_can_be_interrupted_before_it_has_spoken() {
    for direction in BOTH {
        let greeting = node::<Zcash>(1).greet(attempt(direct(direction)));
        let failed = greeting.interrupt(Interruption::Cancelled);
        let awaited = Awaited::Version;
        assert_eq!(failed.error, HandshakeError::Cancelled { awaited });
        assert!(failed.last_words.is_empty());
    }
}

/// Decred's dialling side has only its own verack left to write: if that fails, it has no peer.
#[test]
fn a_verack_that_cannot_be_written_is_no_peer() {
    let mut greeting = node::<Decred>(1).greet(attempt(direct(Direction::Outbound)));
    greeting.poll_transmit().unwrap();
    let mut input = BytesMut::from(&concat([&version::<Decred>(12), &verack::<Decred>()])[..]);
    let Step::More(greeting, _) = greeting.advance(now(), &mut input) else {
        panic!("done too early")
    };
    let error = greeting.interrupt(Interruption::Closed).error;
    assert_eq!(error.stage(), Stage::Greet("verack"));
    assert_eq!(error.kind(), Kind::Closed);
}

#[test]
fn the_blame_for_an_interruption_is_where_it_belongs() {
    let verdict = |cause| {
        let mut dialogue = Dialogue::<Zcash>::new(Direction::Outbound);
        dialogue.interrupt(cause);
        (dialogue.error().blame(), dialogue.error().retry())
    };
    assert_eq!(
        verdict(Interruption::Cancelled),
        (Blame::Caller, Retry::Now)
    );
    assert_eq!(verdict(Interruption::Closed).0, Blame::Them);
    assert_eq!(verdict(Interruption::DeadlinePassed).0, Blame::Them);
    let broken = Interruption::Transport(io::ErrorKind::NetworkDown);
    assert_eq!(verdict(broken).0, Blame::Network);
}

/// A `reject` about our version, as zcashd writes it.
fn reject(code: u8, words: &str) -> Bytes {
    let mut payload = b"\x07version".to_vec();
    payload.push(code);
    payload.push(u8::try_from(words.len()).unwrap());
    payload.extend_from_slice(words.as_bytes());
    message::<Zcash>("reject", &payload)
}

#[test]
fn a_reject_and_then_the_end_is_a_rejection_with_its_code_and_words() {
    let theirs = version::<Zcash>(current::<Zcash>());
    for direction in BOTH {
        for (before, awaited) in [
            (vec![], Awaited::Version),
            (theirs.to_vec(), Awaited::Verack),
        ] {
            let mut dialogue = Dialogue::<Zcash>::new(direction);
            dialogue.hear(&before);
            dialogue.hear(&reject(0x11, "Version must be 170200 or greater"));
            assert!(dialogue.is_live(), "the reject alone ends nothing");
            dialogue.interrupt(Interruption::Closed);
            let error = dialogue.error();
            let HandshakeError::RejectedByPeer {
                awaited: at,
                reject,
            } = error
            else {
                panic!("{error:?}")
            };
            assert_eq!((*at, reject.code), (awaited, 0x11));
            assert_eq!(reject.message.as_bytes(), b"version");
            assert_eq!(
                reject.reason.as_bytes(),
                b"Version must be 170200 or greater"
            );
            assert_eq!(
                (error.kind(), error.stage()),
                (Kind::Refused, awaited.stage())
            );
            let shown = error.detail();
            let shown: Vec<_> = shown
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            assert_eq!(shown, ["code=17", "said=Version must be 170200 or greater"]);
        }
    }
}

/// It explains an end, not a deadline, a cancellation or an error of ours.
#[test]
fn a_reject_explains_a_close_and_nothing_else() {
    for (cause, kind) in CAUSES.into_iter().skip(1) {
        let mut dialogue = Dialogue::<Zcash>::new(Direction::Outbound);
        dialogue.hear(&reject(0x10, "no")).interrupt(cause);
        assert_eq!(dialogue.error().kind(), kind);
    }
    let mut dialogue = Dialogue::<Zcash>::new(Direction::Outbound);
    dialogue.hear(&reject(0x10, "no")).hear(b"HTTP");
    assert_eq!(dialogue.error().kind(), Kind::NotThisProtocol);
}

#[test]
fn the_last_of_several_rejects_counts_across_stages() {
    let mut dialogue = Dialogue::<Zcash>::new(Direction::Outbound);
    dialogue.hear(&reject(0x10, "first"));
    dialogue.hear(&version::<Zcash>(current::<Zcash>()));
    let said = |dialogue: &Dialogue<Zcash>| dialogue.error().to_string();
    dialogue.hear(&reject(0x11, "second"));
    dialogue.hear(&message::<Zcash>("ping", &[0; 8]));
    dialogue.interrupt(Interruption::Closed);
    assert!(said(&dialogue).contains("second"), "{}", said(&dialogue));

    let mut dialogue = Dialogue::<Zcash>::new(Direction::Outbound);
    dialogue.hear(&reject(0x10, "first"));
    dialogue.hear(&version::<Zcash>(current::<Zcash>()));
    dialogue.interrupt(Interruption::Closed);
    assert!(said(&dialogue).contains("first"), "{}", said(&dialogue));
    assert_eq!(dialogue.error().stage(), Stage::Greet("verack"));
}

/// A reject that is followed by the rest of the handshake was about something else.
#[test]
fn a_peer_that_goes_on_after_a_reject_is_a_peer() {
    let mut dialogue = Dialogue::<Zcash>::new(Direction::Outbound);
    dialogue
        .hear(&reject(0x12, "dup"))
        .hear(&version::<Zcash>(current::<Zcash>()))
        .hear(&verack::<Zcash>());
    assert_eq!(dialogue.peer().info().dropped, 1);
}

/// What the peer says of us is shown escaped: it can neither forge a line nor drive a terminal.
#[test]
fn the_words_of_a_reject_are_escaped_wherever_they_are_shown() {
    let mut dialogue = Dialogue::<Zcash>::new(Direction::Outbound);
    dialogue.hear(&reject(0x10, "\x1b[2J\nrm -rf"));
    dialogue.interrupt(Interruption::Closed);
    let reason = dialogue.error().reason();
    assert_eq!(
        &*reason.message,
        r"the peer rejected our version: \x1b[2J\nrm -rf (code 0x10)"
    );
    assert!(!format!("{reason:?}").contains('\x1b'));
}
