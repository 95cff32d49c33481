//! Who speaks when: read as transcripts.

use bytes::BytesMut;
use peerage_core::{Direction, Failure, Handshake, Interruption, Kind, Step};
use peerage_verack::decred::Decred;
use peerage_verack::zcash::Zcash;
use peerage_verack::{Awaited, HandshakeError};

use crate::common::{
    BOTH, Dialogue, Net, current, direct, isolated, message, node, now, proxied, verack, version,
};

const NOTHING: [&str; 0] = [];

#[test]
fn outbound_decred_says_version_hears_version_hears_verack_says_verack() {
    for speaks in [9, 11, 12, 13] {
        let mut decred = Dialogue::<Decred>::new(Direction::Outbound);
        assert_eq!(decred.says(), ["version"]);
        decred.hear(&version::<Decred>(speaks));
        assert_eq!(decred.says(), NOTHING);
        decred.hear(&verack::<Decred>());
        assert_eq!(decred.says(), ["verack"]);
        assert_eq!(decred.peer().info().negotiated.0, speaks.min(12));
    }
}

#[test]
fn outbound_zcash_says_verack_right_after_the_version() {
    let mut zcash = Dialogue::<Zcash>::new(Direction::Outbound);
    assert_eq!(zcash.says(), ["version"]);
    zcash.hear(&version::<Zcash>(current::<Zcash>()));
    assert_eq!(zcash.says(), ["verack"]);
    zcash.hear(&verack::<Zcash>());
    assert_eq!(zcash.says(), NOTHING);
    zcash.peer();
}

fn inbound_answers_before_the_verack_is_there<D: Net>() {
    let mut inbound = Dialogue::<D>::new(Direction::Inbound);
    assert_eq!(inbound.says(), NOTHING, "it verifies first");
    inbound.hear(&version::<D>(current::<D>()));
    assert_eq!(inbound.says(), ["version", "verack"]);
    assert!(inbound.is_live(), "its own verack never waits for theirs");
    inbound.hear(&verack::<D>());
    assert_eq!(inbound.says(), NOTHING);
    inbound.peer();
}

#[test]
fn inbound_says_version_and_verack_once_the_version_is_there() {
    inbound_answers_before_the_verack_is_there::<Zcash>();
    inbound_answers_before_the_verack_is_there::<Decred>();
}

fn silence_is_answered_with_silence<D: Net>() {
    for addr in [direct, proxied, isolated] {
        for end in [
            Interruption::Closed,
            Interruption::DeadlinePassed,
            Interruption::Cancelled,
        ] {
            let mut inbound = Dialogue::<D>::of(&node(1), addr(Direction::Inbound));
            inbound.interrupt(end);
            assert_eq!(inbound.says(), NOTHING);
            assert_eq!(inbound.parting(), NOTHING);
        }
    }
}

#[test]
fn a_port_scanner_that_says_nothing_learns_nothing() {
    silence_is_answered_with_silence::<Zcash>();
    silence_is_answered_with_silence::<Decred>();
}

/// What a stranger sends instead of a version teaches it nothing about an inbound side either.
#[test]
fn noise_before_the_version_is_answered_with_silence() {
    let mut zcash = Dialogue::<Zcash>::new(Direction::Inbound);
    zcash.hear_all([verack::<Zcash>(), message::<Zcash>("ping", &[0; 8])]);
    assert!(zcash.is_live());
    zcash.hear(b"GET / HTTP/1.1\r\n");
    assert_eq!(zcash.says(), NOTHING);
    assert_eq!(zcash.parting(), NOTHING);
    let mut decred = Dialogue::<Decred>::new(Direction::Inbound);
    decred.hear(&message::<Decred>("ping", &[0; 8]));
    assert_eq!(decred.says(), NOTHING);
    assert_eq!(decred.parting(), NOTHING);
}

fn half_a_version_is_answered_with_silence<D: Net>() {
    let whole = version::<D>(current::<D>());
    let mut inbound = Dialogue::<D>::new(Direction::Inbound);
    for byte in &whole[..whole.len() - 1] {
        inbound.hear(&[*byte]);
        assert_eq!(inbound.says(), NOTHING);
    }
    inbound.hear(&whole[whole.len() - 1..]);
    assert_eq!(inbound.says(), ["version", "verack"]);
}

#[test]
fn an_inbound_side_waits_for_the_last_byte_of_the_version() {
    half_a_version_is_answered_with_silence::<Zcash>();
    half_a_version_is_answered_with_silence::<Decred>();
}

fn no_verack_for_an_unacceptable_version<D: Net>(unacceptable: u32) {
    for direction in BOTH {
        let opening: &[&str] = match direction {
            Direction::Inbound => &[],
            Direction::Outbound => &["version"],
        };
        let mut dialogue = Dialogue::<D>::new(direction);
        dialogue.hear_all([version::<D>(unacceptable), verack::<D>()]);
        assert_eq!(dialogue.says(), opening, "{direction}");
        assert_eq!(dialogue.error().kind(), Kind::Obsolete);

        let mut dialogue = Dialogue::<D>::refusing(direction, "not you");
        dialogue.hear_all([version::<D>(current::<D>()), verack::<D>()]);
        assert_eq!(dialogue.says(), opening, "{direction}");
        assert_eq!(
            dialogue.parting(),
            NOTHING,
            "our policy is our own business"
        );
        assert_eq!(
            dialogue.error().to_string(),
            "turned away by our policy",
            "{direction}"
        );
        let HandshakeError::Rejected(word) = dialogue.error() else {
            panic!("{:?}", dialogue.error());
        };
        assert_eq!(word.0, "not you", "the policy's own type travels back");
        assert_eq!(dialogue.policy().calls().len(), 1);
    }
}

#[test]
fn an_unacceptable_version_gets_no_verack() {
    no_verack_for_an_unacceptable_version::<Zcash>(170_149);
    no_verack_for_an_unacceptable_version::<Decred>(8);
}

#[test]
fn verack_before_version_is_refused_on_decred_and_no_shortcut_on_zcash() {
    for direction in BOTH {
        let mut decred = Dialogue::<Decred>::new(direction);
        decred.hear(&verack::<Decred>());
        assert_eq!(decred.verdict(), "version violation", "{direction}");

        // Dropped and counted: it does not stand in for the verack that must follow.
        let mut zcash = Dialogue::<Zcash>::new(direction);
        zcash.hear_all([verack::<Zcash>(), version::<Zcash>(current::<Zcash>())]);
        assert_eq!(zcash.awaited(), Awaited::Verack, "{direction}");
    }
}

/// Each side failing first, seen from the other side: it hears whatever the failing side still
/// said, and then the end of the stream.
fn each_side_failing_first<D: Net>(told: bool) {
    let (young, mut old) = (node::<D>(1), node::<D>(2));
    old.protocol_version = peerage_verack::ProtocolVersion(8);
    for direction in BOTH {
        let (other, end) = match direction {
            Direction::Inbound => (Direction::Outbound, "the dialling side is too old"),
            Direction::Outbound => (Direction::Inbound, "the dialled side is too old"),
        };
        let mut failing = Dialogue::<D>::of(&young, direct(direction));
        let mut left = Dialogue::<D>::of(&old, direct(other));
        // Bytes go to and fro until one of them has ended; the old one accepts anybody.
        let (mut to_left, mut to_failing) = (0, 0);
        while failing.is_live() && left.is_live() {
            let (a, b) = (failing.said.clone(), left.said.clone());
            assert!(
                to_left < a.len() || to_failing < b.len(),
                "they are stuck: {end}"
            );
            left.hear(&a[to_left..]);
            failing.hear(&b[to_failing..]);
            (to_left, to_failing) = (a.len(), b.len());
        }
        assert_eq!(failing.error().kind(), Kind::Obsolete, "{end}");
        let rest = [&failing.said[to_left..], failing.last_words()].concat();
        left.hear(&rest);
        left.interrupt(Interruption::Closed);
        let expected = if told { Kind::Refused } else { Kind::Closed };
        assert_eq!(left.error().kind(), expected, "{end}");
    }
}

#[test]
fn whichever_side_fails_first_the_other_learns_what_the_protocol_lets_it_say() {
    each_side_failing_first::<Zcash>(true);
    each_side_failing_first::<Decred>(false);
}

/// The contract of core: never done while something is still to be written.
#[test]
fn the_last_verack_is_written_before_the_peer_is_there() {
    let local = node::<Decred>(1);
    let mut greeting = local.greet(crate::common::attempt(direct(Direction::Outbound)));
    greeting.poll_transmit().unwrap();
    let mut input = BytesMut::new();
    for part in [version::<Decred>(12), verack::<Decred>()] {
        input.extend_from_slice(&part);
        let Step::More(next, _) = greeting.advance(now(), &mut input) else {
            panic!("it is done with its verack unwritten")
        };
        greeting = next;
    }
    // Asked again and again, it stays where it is.
    let Step::More(mut greeting, _) = greeting.advance(now(), &mut input) else {
        panic!("it is done with its verack unwritten")
    };
    assert_eq!(greeting.poll_transmit().unwrap(), verack::<Decred>());
    assert!(greeting.poll_transmit().is_none());
    assert!(matches!(greeting.advance(now(), &mut input), Step::Done(_)));
}
