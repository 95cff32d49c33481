//! A node that reaches itself, and two nodes that must not be taken for one.

use peerage_core::{ConnectedAddr, Direction, Interruption, UnixTime};
use peerage_verack::decred::Decred;
use peerage_verack::nonce::{Domain, EPOCH};
use peerage_verack::zcash::Zcash;
use peerage_verack::{Attempt, HandshakeError, Local};

use crate::common::{
    BOTH, Dialogue, Net, Seen, attempt, direct, isolated, node, proxied, their_version,
    version_frame,
};

/// Two ends, and bytes carried between them until both wait or are over.
struct Pair<D: Net> {
    outbound: Dialogue<D>,
    inbound: Dialogue<D>,
    carried: (usize, usize),
}

impl<D: Net> Pair<D> {
    fn new(dialler: (&Local<D>, Attempt), listener: (&Local<D>, Attempt)) -> Self {
        let mut pair = Self {
            outbound: Dialogue::with(dialler.0, dialler.1, Seen::default()),
            inbound: Dialogue::with(listener.0, listener.1, Seen::default()),
            carried: (0, 0),
        };
        pair.carry();
        pair
    }

    fn carry(&mut self) {
        loop {
            let there = self.outbound.said[self.carried.0..].to_vec();
            let back = self.inbound.said[self.carried.1..].to_vec();
            if there.is_empty() && back.is_empty() {
                break;
            }
            self.carried = (self.outbound.said.len(), self.inbound.said.len());
            self.inbound.hear(&there);
            self.outbound.hear(&back);
        }
        // Whoever failed says its last words and hangs up on the other.
        if let Some(Err(_)) = self.inbound.outcome() {
            let words = self.inbound.last_words().to_vec();
            self.outbound.hear(&words).interrupt(Interruption::Closed);
        }
        if let Some(Err(_)) = self.outbound.outcome() {
            let words = self.outbound.last_words().to_vec();
            self.inbound.hear(&words).interrupt(Interruption::Closed);
        }
    }

    fn are_peers(&self) -> bool {
        let done = |end: &Dialogue<D>| matches!(end.outcome(), Some(Ok(_)));
        done(&self.outbound) && done(&self.inbound)
    }

    fn both_know(&self) -> bool {
        let knows =
            |end: &Dialogue<D>| matches!(end.outcome(), Some(Err(HandshakeError::SelfConnection)));
        knows(&self.outbound) && knows(&self.inbound)
    }
}

fn at(addr: ConnectedAddr, random: u8) -> Attempt {
    Attempt {
        random: [random; 8],
        ..attempt(addr)
    }
}

fn both_direct() -> (Attempt, Attempt) {
    (
        at(direct(Direction::Outbound), 1),
        at(direct(Direction::Inbound), 2),
    )
}

#[test]
fn a_zcash_node_that_dials_itself_knows_on_both_sides() {
    let local = node::<Zcash>(1);
    let (dialler, listener) = both_direct();
    let mut pair = Pair::new((&local, dialler), (&local, listener));
    assert!(pair.both_know());
    assert_eq!(
        pair.inbound.parting(),
        ["version"],
        "the dialling side must learn it"
    );
    assert_eq!(pair.outbound.says(), ["version"], "no verack for ourselves");
    assert_eq!(pair.outbound.parting(), [""; 0]);
    assert_eq!(pair.inbound.verdict(), "version self_connection");
}

#[test]
fn a_decred_node_that_dials_itself_knows_inbound_and_sees_the_end_outbound() {
    let local = node::<Decred>(1);
    let (dialler, listener) = both_direct();
    let mut pair = Pair::new((&local, dialler), (&local, listener));
    assert_eq!(*pair.inbound.error(), HandshakeError::SelfConnection);
    assert_eq!(pair.inbound.says(), [""; 0]);
    assert_eq!(pair.inbound.parting(), [""; 0]);
    assert!(matches!(
        pair.outbound.error(),
        HandshakeError::Closed { received: 0, .. }
    ));
}

/// A clone of a node, as another task of it holds, is the same node.
#[test]
fn a_clone_of_a_node_is_that_node() {
    let local = node::<Zcash>(1);
    let (dialler, listener) = both_direct();
    assert!(Pair::new((&local, dialler), (&local.clone(), listener)).both_know());
}

/// Keys rotate with the clock. A handshake that begins just before a rotation and ends just after
/// it is no exception, nor is one during which the clock is set back a little.
#[test]
fn a_rotation_of_the_keys_during_a_handshake_hides_nothing() {
    let edge = (attempt(direct(BOTH[0])).time.0 / EPOCH + 1) * EPOCH;
    let local = node::<Zcash>(1);
    for (dialled, heard) in [(edge - 1, edge), (edge, edge - 1), (edge, edge)] {
        let (mut dialler, mut listener) = both_direct();
        (dialler.time, listener.time) = (UnixTime(dialled), UnixTime(heard));
        let pair = Pair::new((&local, dialler), (&local, listener));
        assert!(pair.both_know(), "dialled at {dialled}, heard at {heard}");
    }
}

fn two_nodes_in_one_process_are_two<D: Net>() {
    let (one, two) = (node::<D>(1), node::<D>(2));
    for kind in [direct, proxied, isolated] {
        for (dialler, listener) in [(&one, &two), (&two, &one)] {
            let (out, inn) = (kind(Direction::Outbound), kind(Direction::Inbound));
            let pair = Pair::new((dialler, at(out, 1)), (listener, at(inn, 2)));
            assert!(pair.are_peers(), "{out:?}");
            let (a, b) = (pair.outbound.peer().info(), pair.inbound.peer().info());
            assert_eq!((&a.ours, &a.theirs), (&b.theirs, &b.ours));
            assert_eq!(a.negotiated, b.negotiated);
        }
    }
}

/// dcrd's nonces are global to the process, so two of its nodes in one process cannot talk.
#[test]
fn two_nodes_in_one_process_greet_each_other() {
    two_nodes_in_one_process_are_two::<Zcash>();
    two_nodes_in_one_process_are_two::<Decred>();
}

/// Even with the same random bytes the tags differ, because the keys do.
#[test]
fn two_nodes_with_the_same_random_bytes_greet_each_other_directly() {
    fn check<D: Net>() {
        let (one, two) = (node::<D>(1), node::<D>(2));
        let (out, inn) = (direct(Direction::Outbound), direct(Direction::Inbound));
        let pair = Pair::new((&one, at(out, 7)), (&two, at(inn, 7)));
        assert!(pair.are_peers());
    }
    check::<Zcash>();
    check::<Decred>();
}

/// A hidden nonce is nothing but the random bytes, so the same bytes are the same nonce: whoever
/// echoes it is taken for ourselves. Eight random bytes coincide by fault, not by chance.
#[test]
fn two_hidden_nodes_with_the_same_random_bytes_take_each_other_for_themselves() {
    for kind in [proxied, isolated] {
        let (one, two) = (node::<Zcash>(1), node::<Zcash>(2));
        let (out, inn) = (kind(Direction::Outbound), kind(Direction::Inbound));
        assert!(Pair::new((&one, at(out, 7)), (&two, at(inn, 7))).both_know());
    }
}

/// The price of not being linkable: a node that reaches itself through a proxy does not notice.
#[test]
fn a_self_connection_through_a_proxy_or_across_domains_goes_unnoticed() {
    fn check<D: Net>() {
        let local = node::<D>(1);
        let inn = at(direct(Direction::Inbound), 2);
        for out in [proxied(Direction::Outbound), isolated(Direction::Outbound)] {
            assert!(Pair::new((&local, at(out, 1)), (&local, inn)).are_peers());
        }
        let mut elsewhere = at(direct(Direction::Outbound), 1);
        elsewhere.domain = Domain(9);
        assert!(Pair::new((&local, elsewhere), (&local, inn)).are_peers());
    }
    check::<Zcash>();
    check::<Decred>();
}

/// An echo server is no peer, whatever the kind of connection.
#[test]
fn a_peer_that_echoes_our_own_version_is_ourselves() {
    fn check<D: Net>() {
        for kind in [direct, proxied, isolated] {
            let mut dialogue = Dialogue::<D>::of(&node(1), kind(Direction::Outbound));
            let echo = dialogue.said.clone();
            dialogue.hear(&echo);
            assert_eq!(*dialogue.error(), HandshakeError::SelfConnection);
        }
    }
    check::<Zcash>();
    check::<Decred>();
}

/// The nonce is judged before the version number: a self-connection is one whatever it claims.
#[test]
fn ourselves_is_recognised_before_the_version_is_judged() {
    fn check<D: Net>() {
        let local = node::<D>(1);
        let nonce = local.version_for(&at(direct(Direction::Outbound), 3)).nonce;
        for claimed in [0, 8, u32::MAX] {
            for direction in BOTH {
                let mut dialogue = Dialogue::of(&local, direct(direction));
                let mut theirs = their_version(claimed);
                theirs.nonce = nonce;
                dialogue.hear(&version_frame::<D>(&theirs));
                assert_eq!(*dialogue.error(), HandshakeError::SelfConnection);
            }
        }
    }
    check::<Zcash>();
    check::<Decred>();
}
