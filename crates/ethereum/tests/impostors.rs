//! Whoever is not who it should be: each is found out, at the right moment, and nobody is blamed by
//! a name that was not proved.

use std::cell::RefCell;
use std::convert::Infallible;

use bytes::{Bytes, BytesMut};
use peerage_core::{Direction, Failure, Interruption, Kind, Stage as Where};
use peerage_ethereum::ecies::{self, EciesError};
use peerage_ethereum::error::Awaited;
use peerage_ethereum::rlpx::{Initiator, Packet, RlpxError, packet_len};
use peerage_ethereum::{DisconnectReason, HandshakeError, PeerId, Remote, SecretKey};

use crate::common::packets;
use crate::common::pair::{End, answering, converse, dialling, node};
use crate::common::rogue::{BOTH, Heard, Rogue, Stage, at_stage, fresh, keyed, mallory, pieces};

type Error = HandshakeError<Infallible>;

fn keypair(seed: u8) -> SecretKey {
    SecretKey::from_bytes([seed; 32]).unwrap()
}

/// What a listener makes of an auth, whole or one byte at a time: the same.
#[track_caller]
fn listener_hears(bytes: &[u8]) -> (Error, BytesMut) {
    judged(|| End::new(&node(2), answering(2)), bytes)
}

/// What a dialler of node 2 makes of an ack.
#[track_caller]
fn dialler_hears(bytes: &[u8]) -> (Error, BytesMut) {
    let dialler = || {
        let mut end = End::new(&node(1), dialling(node(2).key.public(), 1));
        end.said();
        end
    };
    judged(dialler, bytes)
}

#[track_caller]
fn judged(start: impl Fn() -> End, bytes: &[u8]) -> (Error, BytesMut) {
    let [whole, single] = pieces(bytes).map(|pieces| {
        let mut end = start();
        pieces.iter().for_each(|piece| end.hear(piece));
        (end.error().clone(), end.said())
    });
    assert_eq!(whole, single, "it must not matter how bytes arrive");
    whole
}

/// The two packets that an attacker can build with knowledge of a public key alone.
fn sealed<const N: usize>(to: &SecretKey, body: &[u8; N]) -> BytesMut {
    ecies::seal(to.public(), &keypair(0x33), [3; 16], body, 150)
}

fn ack_body(ephemeral: [u8; 64]) -> [u8; 102] {
    let mut body = [0x44; 102];
    body[..4].copy_from_slice(&[0xf8, 100, 0xb8, 64]);
    body[4..68].copy_from_slice(&ephemeral);
    body[68] = 0xa0;
    body[101] = 4;
    body
}

/// Node 1's auth for node 2, opened: what is inside is the attacker's to change.
fn auth_body() -> [u8; 169] {
    let (_, auth) = Initiator::new(&node(1).key, node(2).key.public(), fresh(5)).unwrap();
    let mut auth = auth.to_vec();
    let body = ecies::open(&node(2).key, &mut auth).unwrap();
    body[..169].try_into().unwrap()
}

/// An auth for node 2 that names this static key.
fn auth_naming(id: PeerId) -> BytesMut {
    let mut body = auth_body();
    body[71..135].copy_from_slice(&id.0);
    sealed(&node(2).key, &body)
}

#[test]
fn whoever_lacks_the_key_that_was_dialled_cannot_even_read_the_auth() {
    let dialler = node(1);
    let mut a = End::new(&dialler, dialling(node(2).key.public(), 1));
    let mut other = End::new(&node(3), answering(2));
    converse(&mut a, &mut other);
    let error = RlpxError::Sealed {
        packet: Packet::Auth,
        error: EciesError::WrongTag,
    };
    let awaited = Awaited::Auth;
    assert_eq!(*other.error(), HandshakeError::Rlpx { awaited, error });
    assert_eq!(a.is(), "live");
    a.interrupt(Interruption::Closed);
    let (awaited, received) = (Awaited::Ack, 0);
    assert_eq!(*a.error(), HandshakeError::Closed { awaited, received });
}

#[test]
fn an_ack_from_whoever_could_not_read_the_auth_opens_and_proves_nothing() {
    let impostor = keypair(0x34);
    let ack = sealed(&node(1).key, &ack_body(impostor.id().0));
    let mut a = End::new(&node(1), dialling(node(2).key.public(), 1));
    a.said();
    a.hear(&ack);
    assert_eq!(a.is(), "live");
    assert!(!a.said().is_empty(), "its Hello, which nobody can read");
    a.hear(&[0x11; 32]);
    let id = node(2).id();
    assert_eq!(*a.error(), HandshakeError::Unproved { id });
    assert_eq!(a.error().kind(), Kind::WrongIdentity);
    assert_eq!(a.error().stage(), Where::Greet("hello"));
    assert!(a.said().is_empty(), "nobody could read it");
}

#[test]
fn an_ack_replayed_from_another_session_proves_nothing() {
    let (alice, bob) = (node(1), node(2));
    let mut first = End::new(&alice, dialling(bob.key.public(), 1));
    let mut b = End::new(&bob, answering(2));
    b.hear(&first.said());
    let recorded = b.said();
    first.hear(&recorded);
    assert_eq!(first.is(), "live", "the first time it was true");

    let mut second = End::new(&alice, dialling(bob.key.public(), 77));
    second.said();
    second.hear(&recorded);
    let id = bob.id();
    assert_eq!(*second.error(), HandshakeError::Unproved { id });
}

#[test]
fn somebody_elses_identity_in_hello_is_found_out_and_told() {
    for direction in BOTH {
        let (mut end, mut rogue) = at_stage(direction, Stage::Hello);
        let mut hello = rogue.honest_hello();
        hello.id = node(5).id();
        end.hear(&rogue.introduce(&hello));
        let expected = HandshakeError::WrongIdentity {
            proved: Box::new(mallory().id()),
            claimed: Box::new(node(5).id()),
        };
        assert_eq!(*end.error(), expected, "{direction}");
        assert_eq!(end.error().kind(), Kind::WrongIdentity);
        let told = Heard::Goodbye(DisconnectReason::UnexpectedIdentity);
        assert_eq!(rogue.hear(&end.said()), [told]);
    }
}

/// Also one that is no key at all, and our own.
#[test]
fn no_identity_but_the_proved_one_passes() {
    for id in [PeerId([0; 64]), PeerId([0xff; 64]), node(1).id()] {
        let (mut end, mut rogue) = at_stage(Direction::Inbound, Stage::Hello);
        let mut hello = rogue.honest_hello();
        hello.id = id;
        end.hear(&rogue.introduce(&hello));
        assert_eq!(end.error().kind(), Kind::WrongIdentity);
    }
}

#[test]
fn a_forged_static_key_is_answered_but_goes_no_further_than_a_claim() {
    let victim = node(5).id();
    let seen = RefCell::new(Vec::new());
    let policy = |remote: &Remote| {
        seen.borrow_mut().push(remote.clone());
        Ok::<_, Infallible>(())
    };
    let mut b = End::with(&node(2), answering(2), policy);
    b.hear(&auth_naming(victim));
    let answer = b.said();
    let len = packet_len(Packet::Ack, &answer).unwrap().unwrap();
    let mut ack = answer[..len].to_vec();
    assert_eq!(
        ecies::open(&node(1).key, &mut ack).unwrap_err(),
        EciesError::WrongTag,
        "the answer is sealed to the victim, not to the forger"
    );
    b.hear(&[0x11; 31]);
    assert_eq!(b.is(), "live");
    b.hear(&[0x11]);
    assert_eq!(*b.error(), HandshakeError::Unproved { id: victim });
    assert!(b.said().is_empty());
    let seen = seen.into_inner();
    assert_eq!(seen.len(), 1);
    assert!(
        matches!(seen[0], Remote::Named { id, .. } if id == victim),
        "never introduced under a name that is not its own"
    );
}

#[test]
fn a_replayed_auth_costs_an_answer_and_no_more() {
    let (alice, bob) = (node(1), node(2));
    let mut a = End::new(&alice, dialling(bob.key.public(), 1));
    let mut b = End::new(&bob, answering(2));
    let auth = a.said();
    b.hear(&auth);
    let answer = b.said();
    a.hear(&answer);
    let hello = a.said();
    b.hear(&hello);
    assert_eq!(b.is(), "live");

    let mut again = End::new(&bob, answering(3));
    again.hear(&auth);
    let other_answer = again.said();
    assert_ne!(answer, other_answer);
    assert!(other_answer.len() < 1024, "{} bytes", other_answer.len());
    again.hear(&hello);
    let id = alice.id();
    assert_eq!(*again.error(), HandshakeError::Unproved { id });
    assert!(again.said().is_empty());
}

#[test]
fn a_reflected_packet_is_nobodys() {
    let wrong_tag = |packet| RlpxError::Sealed {
        packet,
        error: EciesError::WrongTag,
    };
    let mut a = End::new(&node(1), dialling(node(2).key.public(), 1));
    let auth = a.said();
    a.hear(&auth);
    let (awaited, error) = (Awaited::Ack, wrong_tag(Packet::Ack));
    assert_eq!(*a.error(), HandshakeError::Rlpx { awaited, error });
    let mut listener = End::new(&node(1), answering(2));
    listener.hear(&auth);
    let (awaited, error) = (Awaited::Auth, wrong_tag(Packet::Auth));
    assert_eq!(*listener.error(), HandshakeError::Rlpx { awaited, error });

    // What a listener said comes back to it: its own frames are none to it either.
    let (mut end, mut rogue) = keyed(
        &node(1),
        &mallory(),
        Direction::Inbound,
        peerage_ethereum::AcceptAll,
    );
    let Heard::Hello(hello) = rogue.hear(&[]).remove(0) else {
        panic!("no Hello")
    };
    // Even sealed anew by whoever has the keys.
    end.hear(&rogue.introduce(&hello));
    assert_eq!(end.error().kind(), Kind::WrongIdentity);
}

/// Coordinates that are no point of the curve: of another curve, beyond the field, nothing at all.
fn no_points() -> Vec<[u8; 64]> {
    let mut twisted = node(7).id().0;
    twisted[63] ^= 1;
    let mut swapped = node(7).id().0;
    swapped.rotate_left(32);
    vec![twisted, swapped, [0; 64], [0xff; 64]]
}

#[test]
fn a_point_off_the_curve_is_refused_wherever_it_stands() {
    for point in no_points() {
        let sealed_off = |packet| RlpxError::Sealed {
            packet,
            error: EciesError::NotAPoint,
        };
        // In front of either packet.
        let mut auth = auth_naming(node(1).id());
        auth[3..67].copy_from_slice(&point);
        let mut ack = sealed(&node(1).key, &ack_body(node(6).id().0));
        ack[3..67].copy_from_slice(&point);
        let in_bodies = [
            (
                listener_hears(&auth),
                Awaited::Auth,
                sealed_off(Packet::Auth),
            ),
            (dialler_hears(&ack), Awaited::Ack, sealed_off(Packet::Ack)),
            // Inside them, sealed as they should be.
            (
                listener_hears(&auth_naming(PeerId(point))),
                Awaited::Auth,
                RlpxError::InvalidPoint {
                    field: "static key",
                },
            ),
            (
                dialler_hears(&sealed(&node(1).key, &ack_body(point))),
                Awaited::Ack,
                RlpxError::InvalidPoint {
                    field: "ephemeral key",
                },
            ),
        ];
        for ((got, said), awaited, error) in in_bodies {
            assert_eq!(got, HandshakeError::Rlpx { awaited, error });
            assert_eq!(got.kind(), Kind::Malformed);
            assert!(said.is_empty());
        }
    }
}

/// r beyond the order, zero, and a recovery id that does not exist.
#[test]
fn a_signature_that_no_key_made_gets_no_answer() {
    for (place, bytes) in [(4, [0xff; 32]), (4, [0; 32]), (36, [0; 32])] {
        let mut body = auth_body();
        body[place..place + 32].copy_from_slice(&bytes);
        let (error, said) = listener_hears(&sealed(&node(2).key, &body));
        let awaited = Awaited::Auth;
        let expected = RlpxError::InvalidSignature;
        assert_eq!(
            error,
            HandshakeError::Rlpx {
                awaited,
                error: expected
            }
        );
        assert!(said.is_empty());
    }
    let mut body = auth_body();
    body[68] = 4;
    let (error, _) = listener_hears(&sealed(&node(2).key, &body));
    assert_eq!(error.kind(), Kind::Malformed);
}

#[test]
fn our_own_key_is_recognised_from_both_sides() {
    let (error, said) = listener_hears(&auth_naming(node(2).id()));
    assert_eq!(error, HandshakeError::SelfConnection);
    assert_eq!(error.kind(), Kind::SelfConnection);
    assert!(said.is_empty());
    let mut a = End::new(&node(2), dialling(node(2).key.public(), 1));
    a.hear(b"whatever");
    assert_eq!(*a.error(), HandshakeError::SelfConnection);
    assert!(a.said().is_empty());
}

#[test]
fn a_packet_cut_short_is_waited_for_and_the_end_says_how_much_there_was() {
    let auth = auth_naming(node(1).id());
    let ack = sealed(&node(1).key, &ack_body(node(6).id().0));
    let listener = || End::new(&node(2), answering(2));
    let dialler = || End::new(&node(1), dialling(node(2).key.public(), 1));
    for len in [0, 1, 2, 3, 66, 67, 83, 200, ack.len() - 1] {
        for (mut end, packet, awaited) in [
            (listener(), &auth, Awaited::Auth),
            (dialler(), &ack, Awaited::Ack),
        ] {
            end.said();
            end.hear(&packet[..len]);
            assert_eq!(end.is(), "live");
            assert!(end.said().is_empty(), "nothing is said to half a packet");
            end.interrupt(Interruption::Closed);
            let received = len;
            assert_eq!(*end.error(), HandshakeError::Closed { awaited, received });
            assert!(end.said().is_empty());
        }
    }
}

#[test]
fn a_length_that_lies_is_found_out_by_the_tag_and_one_beyond_all_at_once() {
    let auth = auth_naming(node(1).id());
    let size = u16::from_be_bytes([auth[0], auth[1]]);
    let lying = |size: u16, extra: &[u8]| {
        let mut bytes = auth.to_vec();
        bytes[..2].copy_from_slice(&size.to_be_bytes());
        bytes.extend_from_slice(extra);
        bytes
    };
    for (size, extra) in [
        (size - 1, vec![]),
        (size + 1, vec![0]),
        (2048, vec![0; 2048]),
    ] {
        let (error, said) = listener_hears(&lying(size, &extra));
        let expected = RlpxError::Sealed {
            packet: Packet::Auth,
            error: EciesError::WrongTag,
        };
        let awaited = Awaited::Auth;
        assert_eq!(
            error,
            HandshakeError::Rlpx {
                awaited,
                error: expected
            }
        );
        assert!(said.is_empty());
    }
    // Two bytes are enough to see these.
    for size in [0, 281, 2049, u16::MAX] {
        let (error, _) = listener_hears(&size.to_be_bytes());
        assert_eq!(error.kind(), Kind::NotThisProtocol, "{size}");
    }
}

#[test]
fn the_packets_from_before_eip_8_are_told_to_be_old() {
    let old = packets("auth").remove(0);
    let (error, _) = listener_hears(&old);
    assert_eq!(
        (error.kind(), error.stage()),
        (Kind::Obsolete, Where::Greet("rlpx"))
    );
    let old = packets("ack").remove(0);
    assert_eq!(dialler_hears(&old).0.kind(), Kind::Obsolete);
}

#[test]
fn other_protocols_are_told_apart_at_once() {
    let greetings: [&[u8]; 9] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"220 mail ESMTP\r\n",
        // A TLS client's hello, and an alert.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x15\x03\x03\x00\x02\x02\x28",
        // Bitcoin's and Zcash's magic.
        b"\xf9\xbe\xb4\xd9version\0",
        b"\x24\xe9\x27\x64version\0",
    ];
    for greeting in greetings {
        for (error, said) in [listener_hears(greeting), dialler_hears(greeting)] {
            assert_eq!(error.kind(), Kind::NotThisProtocol, "{greeting:?}");
            assert!(said.is_empty());
        }
        // The first two bytes have said it.
        let (error, _) = listener_hears(&greeting[..2]);
        assert_eq!(error.kind(), Kind::NotThisProtocol);
    }
}

/// What a listener says first can only be read by whoever has the key it was told.
#[test]
fn a_listener_says_nothing_to_whoever_does_not_know_its_key() {
    let (_, auth) = Initiator::new(&node(1).key, node(3).key.public(), fresh(5)).unwrap();
    let (error, said) = listener_hears(&auth);
    assert_eq!(error.kind(), Kind::Malformed);
    assert!(said.is_empty());
}

/// A flip anywhere behind the keys is found by the frame it stands in.
#[test]
fn a_frame_changed_on_the_way_is_the_end_at_every_stage() {
    for direction in BOTH {
        for place in [0, 15, 16, 31, 32, 48] {
            let (mut end, mut rogue) = at_stage(direction, Stage::Hello);
            let mut hello = rogue.introduce_honestly();
            hello[place] ^= 1;
            end.hear(&hello);
            let expected = if place < 32 {
                Kind::WrongIdentity
            } else {
                Kind::Malformed
            };
            // A first block that decrypts to another message id is refused as that.
            let kind = end.error().kind();
            assert!(
                kind == expected || (place == 32 && kind == Kind::Violation),
                "{direction} {place}: {kind}"
            );

            let (mut end, mut rogue) = at_stage(direction, Stage::Status);
            let mut status = rogue.tell_honestly();
            status[place] ^= 1;
            end.hear(&status);
            let kind = end.error().kind();
            assert!(
                kind == Kind::Malformed || (place == 32 && kind == Kind::Violation),
                "{direction} {place}: {kind}"
            );
        }
    }
}

/// Two sessions between the same two, and the frames of one in the other.
#[test]
fn a_frame_of_another_session_is_none_of_this_one() {
    let (mut end, _) = at_stage(Direction::Inbound, Stage::Hello);
    let (_, mut other): (End, Rogue) = {
        let local = node(1);
        let mut end = End::new(&local, answering(42));
        let rogue = Rogue::dials(&mut end, &local, mallory());
        (end, rogue)
    };
    let hello: Bytes = other.introduce_honestly().freeze();
    end.hear(&hello);
    let id = mallory().id();
    assert_eq!(*end.error(), HandshakeError::Unproved { id });
}
