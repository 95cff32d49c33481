//! Goodbyes, heard and said: every reason in every form at every stage, and our own words for
//! every way to fail.

use std::collections::BTreeSet;
use std::fmt;
use std::io;

use bytes::BytesMut;
use peerage_core::{
    Direction, Failure, Handshake, Interruption, Kind, Refusal, Stage as Where, Step,
};
use peerage_ethereum::rlpx::{Initiator, Packet, packet_len};
use peerage_ethereum::{
    DisconnectReason, EthVersion, HandshakeError, Policy, Remote, SessionError, p2p,
};

use crate::common::pair::{End, answering, converse, dialling, node, now};
use crate::common::rogue::{
    BOTH, Heard, Rogue, STAGES, Stage, at_stage, compressed, fresh, mallory, session_at,
};

/// The strictest readers, go-ethereum among them, read nothing but Snappy once they have our Hello
/// and have said theirs.
#[test]
fn a_goodbye_after_both_hellos_is_compressed() {
    for direction in BOTH {
        let (mut end, mut rogue) = at_stage(direction, Stage::Hello);
        let mut hello = rogue.honest_hello();
        hello.capabilities.clear();
        end.hear(&rogue.introduce(&hello));
        assert_eq!(end.error().kind(), Kind::Incompatible);
        let told = Heard::Goodbye(DisconnectReason::UselessPeer);
        assert_eq!(rogue.hear(&end.said()), [told]);
    }
}

/// One that speaks no Snappy gets none.
#[test]
fn a_goodbye_to_an_old_p2p_version_is_plain() {
    let (mut end, mut rogue) = at_stage(Direction::Inbound, Stage::Hello);
    let mut hello = rogue.honest_hello();
    hello.p2p_version = 4;
    hello.capabilities.clear();
    end.hear(&rogue.introduce(&hello));
    let told = Heard::Goodbye(DisconnectReason::UselessPeer);
    assert_eq!(rogue.hear(&end.said()), [told]);
}

/// Every reason there is, one that no specification has, and none.
fn reasons() -> Vec<DisconnectReason> {
    let known = DisconnectReason::KNOWN.iter().copied();
    let others = [
        DisconnectReason::Unknown(0x0c),
        DisconnectReason::Unknown(u64::MAX),
        DisconnectReason::Unstated,
    ];
    known.chain(others).collect()
}

/// The plain bodies that say it: in a list or bare, zero as a digit or as nothing.
fn forms(reason: DisconnectReason) -> Vec<Vec<u8>> {
    let Some(code) = reason.code() else {
        return vec![vec![0xc0], vec![]];
    };
    let digits: Vec<_> = code
        .to_be_bytes()
        .into_iter()
        .skip_while(|b| *b == 0)
        .collect();
    let items = match digits[..] {
        [] => vec![vec![0x80], vec![0x00]],
        [small] if small < 0x80 => vec![vec![small]],
        _ => vec![[vec![0x80 + u8::try_from(digits.len()).unwrap()], digits].concat()],
    };
    let listed = items.iter().map(|item| {
        let len = u8::try_from(item.len()).unwrap();
        [vec![0xc0 + len], item.clone()].concat()
    });
    listed.chain(items.clone()).collect()
}

/// The data of each form, compressed or not, and what it must be read as while messages are
/// compressed or not.
fn every_form(while_compressed: bool) -> Vec<(Vec<u8>, DisconnectReason)> {
    let mut all = Vec::new();
    for reason in reasons() {
        for plain in forms(reason) {
            all.push((compressed(&plain).to_vec(), reason));
            all.push((plain, reason));
        }
    }
    for (data, reason) in &mut all {
        // One byte of zero is both a bare reason and an empty block.
        if data[..] == [0] {
            *reason = if while_compressed {
                DisconnectReason::Unstated
            } else {
                DisconnectReason::Requested
            };
        }
    }
    all
}

#[test]
fn every_reason_in_every_form_is_understood_at_every_stage() {
    for stage in STAGES {
        let is_compressed = stage > Stage::Hello;
        for (n, (data, reason)) in every_form(is_compressed).into_iter().enumerate() {
            let direction = BOTH[n % 2];
            let (mut end, mut rogue) = at_stage(direction, stage);
            end.hear(&rogue.frame(p2p::DISCONNECT, &data));
            let HandshakeError::Disconnected {
                awaited,
                reason: heard,
            } = end.error()
            else {
                panic!("{stage:?} {data:02x?}: {}", end.error())
            };
            assert_eq!(*heard, reason, "{stage:?} {data:02x?}");
            let name = if is_compressed { "status" } else { "hello" };
            assert_eq!(awaited.stage(), Where::Greet(name));
            assert_eq!(end.error().kind(), reason.kind());
            assert!(end.said().is_empty(), "whoever left is not told anything");
        }
    }
}

#[test]
fn every_reason_in_every_form_ends_a_session_with_that_reason() {
    for (data, reason) in every_form(true) {
        let (mut life, mut rogue) = session_at(EthVersion::Eth69);
        let error = life.hear(&rogue.frame(p2p::DISCONNECT, &data)).unwrap_err();
        assert_eq!(error, SessionError::Disconnected { reason }, "{data:02x?}");
        assert_eq!(error.kind(), reason.kind());
    }
}

/// What cannot be read is a goodbye all the same, and one that is too long is not waited for.
#[test]
fn a_goodbye_without_sense_is_still_one() {
    for data in [&b"\xc2\x01\x02"[..], b"bye!", &[0xff; 64]] {
        for stage in STAGES {
            let (mut end, mut rogue) = at_stage(Direction::Inbound, stage);
            end.hear(&rogue.frame(p2p::DISCONNECT, data));
            let HandshakeError::Disconnected { reason, .. } = end.error() else {
                panic!("{}", end.error())
            };
            // A list may have grown items.
            let first = (data[0] == 0xc2).then_some(DisconnectReason::TcpError);
            assert_eq!(*reason, first.unwrap_or(DisconnectReason::Unstated));
        }
    }
    for stage in STAGES {
        let (mut end, mut rogue) = at_stage(Direction::Inbound, stage);
        end.hear(&rogue.frame(p2p::DISCONNECT, &[0; 1000])[..48]);
        assert_eq!(end.error().kind(), Kind::Malformed);
    }
}

/// A policy that turns everybody away, at one of the two moments.
#[derive(Clone, Copy, Debug)]
struct Turns {
    introduced: bool,
    refusal: Refusal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(Refusal);

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no: {:?}", self.0)
    }
}

impl Policy<Remote> for Turns {
    type Rejection = Word;

    fn judge(&mut self, remote: &Remote) -> Result<(), Word> {
        if matches!(remote, Remote::Introduced { .. }) == self.introduced {
            return Err(Word(self.refusal));
        }
        Ok(())
    }

    fn refusal(rejection: &Word) -> Refusal {
        rejection.0
    }
}

/// What we call each refusal, what we say, and what the other side makes of it.
const REFUSALS: [(Refusal, Kind, DisconnectReason, Kind); 4] = [
    (
        Refusal::Full,
        Kind::Full,
        DisconnectReason::TooManyPeers,
        Kind::PeerFull,
    ),
    (
        Refusal::Duplicate,
        Kind::AlreadyConnected,
        DisconnectReason::AlreadyConnected,
        Kind::AlreadyConnected,
    ),
    (
        Refusal::Useless,
        Kind::Rejected,
        DisconnectReason::UselessPeer,
        Kind::Refused,
    ),
    (
        Refusal::Unwanted,
        Kind::Rejected,
        DisconnectReason::Requested,
        Kind::Left,
    ),
];

#[test]
fn the_other_side_learns_why_our_policy_turns_it_away() {
    for (refusal, ours, said, theirs) in REFUSALS {
        for introduced in [false, true] {
            let turns = Turns {
                introduced,
                refusal,
            };
            for refuses in BOTH {
                let (alice, bob) = (node(1), node(2));
                let (dialling, answering) = (dialling(bob.key.public(), 1), answering(2));
                let (mine, other) = match refuses {
                    Direction::Outbound => {
                        let mut a = End::with(&alice, dialling, turns);
                        let mut b = End::new(&bob, answering);
                        converse(&mut a, &mut b);
                        (a.error().clone(), b.error().clone())
                    }
                    Direction::Inbound => {
                        let mut a = End::new(&alice, dialling);
                        let mut b = End::with(&bob, answering, turns);
                        converse(&mut a, &mut b);
                        (b.error().clone(), a.error().clone())
                    }
                };
                let what = format!("{refusal:?} {introduced} {refuses}: {mine}, {other}");
                let moment = if introduced { "hello" } else { "rlpx" };
                assert_eq!(
                    (mine.kind(), mine.stage()),
                    (ours, Where::Greet(moment)),
                    "{what}"
                );
                let HandshakeError::Rejected {
                    rejection, told, ..
                } = mine
                else {
                    panic!("{what}")
                };
                assert_eq!((rejection, told), (Word(refusal), refusal));
                let heard_at = if introduced { "status" } else { "hello" };
                assert_eq!(
                    (other.kind(), other.stage()),
                    (theirs, Where::Greet(heard_at)),
                    "{what}"
                );
                assert!(
                    matches!(other, HandshakeError::Disconnected { reason, .. } if reason == said),
                    "{what}"
                );
            }
        }
    }
}

const fn name_of<R>(error: &HandshakeError<R>) -> &'static str {
    match error {
        HandshakeError::Rlpx { .. } => "Rlpx",
        HandshakeError::Unproved { .. } => "Unproved",
        HandshakeError::WrongIdentity { .. } => "WrongIdentity",
        HandshakeError::SelfConnection => "SelfConnection",
        HandshakeError::Message { .. } => "Message",
        HandshakeError::Unexpected { .. } => "Unexpected",
        HandshakeError::Flood { .. } => "Flood",
        HandshakeError::NothingShared { .. } => "NothingShared",
        HandshakeError::Status(_) => "Status",
        HandshakeError::Rejected { .. } => "Rejected",
        HandshakeError::Disconnected { .. } => "Disconnected",
        HandshakeError::Closed { .. } => "Closed",
        HandshakeError::TimedOut { .. } => "TimedOut",
        HandshakeError::Cancelled { .. } => "Cancelled",
        HandshakeError::Transport { .. } => "Transport",
        _ => "a new one: add it to the table",
    }
}

type Act = fn(&mut End, &mut Rogue);

/// The table of our last words: how it ends, from which stage on, and what is said.
const LAST_WORDS: &[(&str, Stage, Act, Option<DisconnectReason>)] = &[
    ("Unproved", Stage::Hello, |end, _| end.hear(&[7; 32]), None),
    (
        "WrongIdentity",
        Stage::Hello,
        |end, rogue| {
            let mut hello = rogue.honest_hello();
            hello.id = node(5).id();
            end.hear(&rogue.introduce(&hello));
        },
        Some(DisconnectReason::UnexpectedIdentity),
    ),
    (
        "Message",
        Stage::Hello,
        |end, rogue| end.hear(&rogue.frame(p2p::HELLO, b"no list")),
        Some(DisconnectReason::Breach),
    ),
    (
        "Message",
        Stage::Status,
        |end, rogue| {
            let id = rogue.eth_id(0);
            end.hear(&rogue.message(id, b"no list"));
        },
        Some(DisconnectReason::Breach),
    ),
    (
        "Unexpected",
        Stage::Hello,
        |end, rogue| end.hear(&rogue.frame(p2p::PING, p2p::EMPTY)),
        Some(DisconnectReason::Breach),
    ),
    (
        "Unexpected",
        Stage::Status,
        |end, rogue| {
            let id = rogue.eth_id(3);
            end.hear(&rogue.message(id, p2p::EMPTY));
        },
        Some(DisconnectReason::Breach),
    ),
    (
        "Flood",
        Stage::Status,
        |end, rogue| (0..17).for_each(|_| end.hear(&rogue.message(p2p::PONG, p2p::EMPTY))),
        Some(DisconnectReason::Breach),
    ),
    (
        "NothingShared",
        Stage::Hello,
        |end, rogue| {
            let mut hello = rogue.honest_hello();
            hello.capabilities.clear();
            end.hear(&rogue.introduce(&hello));
        },
        Some(DisconnectReason::UselessPeer),
    ),
    (
        "Status",
        Stage::Status,
        |end, rogue| {
            let mut status = rogue.honest_status();
            status.network_id = 2;
            end.hear(&rogue.tell(&status));
        },
        Some(DisconnectReason::Subprotocol),
    ),
    (
        "Disconnected",
        Stage::Hello,
        |end, rogue| end.hear(&rogue.frame(p2p::DISCONNECT, &[4])),
        None,
    ),
    (
        "Disconnected",
        Stage::Status,
        |end, rogue| end.hear(&rogue.frame(p2p::DISCONNECT, &[4])),
        None,
    ),
    (
        "Closed",
        Stage::Hello,
        |end, _| end.interrupt(Interruption::Closed),
        None,
    ),
    (
        "Closed",
        Stage::Status,
        |end, _| end.interrupt(Interruption::Closed),
        None,
    ),
    (
        "TimedOut",
        Stage::Hello,
        |end, _| end.interrupt(Interruption::DeadlinePassed),
        Some(DisconnectReason::PingTimeout),
    ),
    (
        "TimedOut",
        Stage::Status,
        |end, _| end.interrupt(Interruption::DeadlinePassed),
        Some(DisconnectReason::PingTimeout),
    ),
    (
        "Cancelled",
        Stage::Hello,
        |end, _| end.interrupt(Interruption::Cancelled),
        Some(DisconnectReason::Requested),
    ),
    (
        "Cancelled",
        Stage::Status,
        |end, _| end.interrupt(Interruption::Cancelled),
        Some(DisconnectReason::Requested),
    ),
    (
        "Transport",
        Stage::Hello,
        |end, _| end.interrupt(Interruption::Transport(io::ErrorKind::Other)),
        None,
    ),
    (
        "Transport",
        Stage::Status,
        |end, _| end.interrupt(Interruption::Transport(io::ErrorKind::Other)),
        None,
    ),
];

#[test]
fn for_every_failure_there_is_a_last_word_or_nobody_to_hear_it() {
    let mut seen: BTreeSet<_> = BTreeSet::new();
    for (name, stage, act, said) in LAST_WORDS {
        for direction in BOTH {
            let (mut end, mut rogue) = at_stage(direction, *stage);
            act(&mut end, &mut rogue);
            let last = rogue.hear(&end.said()).pop();
            assert_eq!(name_of(end.error()), *name, "{direction} {}", end.error());
            let expected = said.map(Heard::Goodbye);
            assert_eq!(last, expected, "{name} {stage:?} {direction}");
            seen.insert(*name);
        }
    }
    // These have their own tests: nobody can read anything yet, or the policy's table above.
    seen.extend(["Rlpx", "SelfConnection", "Rejected"]);
    assert_eq!(seen.len(), 15);
}

const CAUSES: [(Interruption, Kind, Option<DisconnectReason>); 4] = [
    (Interruption::Closed, Kind::Closed, None),
    (
        Interruption::DeadlinePassed,
        Kind::Timeout,
        Some(DisconnectReason::PingTimeout),
    ),
    (
        Interruption::Cancelled,
        Kind::Cancelled,
        Some(DisconnectReason::Requested),
    ),
    (
        Interruption::Transport(io::ErrorKind::NetworkDown),
        Kind::Transport,
        None,
    ),
];

/// While the keys are exchanged nobody could read a goodbye; the stage is known all the same.
#[test]
fn an_interruption_before_the_keys_are_there_is_silent() {
    for (cause, kind, _) in CAUSES {
        for heard in [&b""[..], &[1, 0x28, 4]] {
            let dialler = End::new(&node(1), dialling(node(2).key.public(), 1));
            let listener = End::new(&node(2), answering(2));
            for mut end in [dialler, listener] {
                end.said();
                end.hear(heard);
                end.interrupt(cause);
                assert_eq!(end.error().kind(), kind);
                assert_eq!(end.error().stage(), Where::Greet("rlpx"));
                assert!(end.said().is_empty());
            }
        }
    }
    // Nor is an auth that was never sent a last word.
    let greeting = node(1).greet(dialling(node(2).key.public(), 1));
    assert!(
        greeting
            .interrupt(Interruption::Cancelled)
            .last_words
            .is_empty()
    );
}

/// Every frame has its place in the stream: what was not taken away yet goes out first.
#[test]
fn a_goodbye_follows_what_was_still_to_be_said() {
    for (cause, kind, said) in CAUSES {
        let (bob, us) = (node(2), mallory());
        let (initiator, auth) = Initiator::new(&us.key, bob.key.public(), fresh(3)).unwrap();
        let mut input = BytesMut::from(&auth[..]);
        let Step::More(greeting, _) = bob.greet(answering(2)).advance(now(), &mut input) else {
            panic!("it has an answer to give")
        };
        let failed = greeting.interrupt(cause);
        assert_eq!(failed.error.kind(), kind);
        let mut words = BytesMut::from(&failed.last_words[..]);
        let Some(said) = said else {
            assert!(words.is_empty());
            continue;
        };
        let len = packet_len(Packet::Ack, &words).unwrap().unwrap();
        let ack = words.split_to(len);
        let cipher = initiator.on_ack(&us.key, &ack).unwrap();
        let heard = Rogue::new(us, cipher, words).hear(&[]);
        assert!(matches!(heard[..], [Heard::Hello(_), Heard::Goodbye(reason)] if reason == said));
    }
}

/// The moment when only our own last message is left to be written.
#[test]
fn a_dialler_called_off_before_its_status_is_out_says_both() {
    for (cause, kind, said) in CAUSES {
        let bob = mallory();
        let mut greeting = node(1).greet(dialling(bob.key.public(), 1));
        let mut end = End::new(&node(1), dialling(bob.key.public(), 1));
        // The same randomness makes the same packets, so the rogue of one is that of the other.
        let mut rogue = Rogue::answers(&mut end, bob);
        let ack = end.heard.clone();
        greeting.poll_transmit().unwrap();
        let mut input = ack;
        let Step::More(mut greeting, _) = greeting.advance(now(), &mut input) else {
            panic!("its Hello is to be said")
        };
        greeting.poll_transmit().unwrap();
        rogue.hear(&[]);
        input.extend_from_slice(&rogue.introduce_honestly());
        input.extend_from_slice(&rogue.tell_honestly());
        let Step::More(greeting, wakeup) = greeting.advance(now(), &mut input) else {
            panic!("its Status is to be said")
        };
        assert_eq!(wakeup, None);
        let failed = greeting.interrupt(cause);
        assert_eq!(
            (failed.error.kind(), failed.error.stage()),
            (kind, Where::Greet("status"))
        );
        let heard = rogue.hear(&failed.last_words);
        match said {
            None => assert!(heard.is_empty()),
            Some(said) => assert!(
                matches!(heard[..], [Heard::Status(_), Heard::Goodbye(reason)] if reason == said)
            ),
        }
    }
}
