//! The handshake: the packets of EIP-8, everything that is not one, and what is proved when.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use peerage_core::Kind;
use peerage_ethereum::ecies::{self, EciesError};
use peerage_ethereum::frame::{FrameCipher, FrameError, OpenError};
use peerage_ethereum::key::{Ephemeral, SharedStatic};
use peerage_ethereum::rlpx::{
    Fresh, Initiator, MAX_PACKET_SIZE, Packet, Padding, Recipient, RlpxError, packet_len,
};

use crate::common::naive::{Naive, point};
use crate::common::{a, b, fresh, key, packets, secret};

fn on_auth(packet: &[u8]) -> Result<Recipient, RlpxError> {
    Recipient::on_auth(&b(), Bytes::copy_from_slice(packet))
}

fn on_ack(packet: &[u8]) -> Result<FrameCipher, RlpxError> {
    let (initiator, _) = Initiator::new(&a(), b().public(), fresh('a')).unwrap();
    initiator.on_ack(&a(), packet)
}

/// Auth and ack with a body of the test's making.
fn sealed<const N: usize>(packet: Packet, body: &[u8; N]) -> Bytes {
    let (from, to) = match packet {
        Packet::Auth => ("ephemeral_key_a", b()),
        Packet::Ack => ("ephemeral_key_b", a()),
    };
    ecies::seal(to.public(), &key(from), [3; 16], body, 200).freeze()
}

/// A body as ours, and the places of its items: signature, static key, nonce, version.
fn auth_body() -> [u8; 169] {
    let (_, auth) = Initiator::new(&a(), b().public(), fresh('a')).unwrap();
    let mut auth = auth.to_vec();
    ecies::open(&b(), &mut auth).unwrap()[..169]
        .try_into()
        .unwrap()
}

fn opens(from: &mut FrameCipher, to: &mut FrameCipher) -> Result<(), OpenError<()>> {
    let mut wire = BytesMut::new();
    from.egress
        .seal(&mut wire, 0, |data| data.extend_from_slice(b"hello"))
        .unwrap();
    let frame = to.ingress.next(&mut wire, |_, _| Ok(()))?.unwrap();
    assert_eq!(&frame.data[..], b"hello");
    Ok(())
}

#[test]
fn the_auths_of_eip_8_name_their_sender() {
    for packet in &packets("auth")[1..] {
        assert_eq!(packet_len(Packet::Auth, packet), Ok(Some(packet.len())));
        assert_eq!(on_auth(packet).unwrap().claimed(), a().public());
    }
}

#[test]
fn a_recipient_shares_its_frames_with_the_sender_of_each_auth_of_eip_8() {
    for packet in &packets("auth")[1..] {
        let (mut ours, ack) = on_auth(packet).unwrap().answer(&b(), fresh('b')).unwrap();
        // The other side from what the vectors tell about it and what our ack says.
        let mut opened = ack.to_vec();
        let body = ecies::open(&a(), &mut opened).unwrap();
        assert_eq!(body[..4], [0xf8, 100, 0xb8, 64]);
        assert_eq!(body[68], 0xa0);
        let nonce = body[69..101].try_into().unwrap();
        let theirs = point(&body[4..68]);
        let mut sends = Naive::with_point(&theirs, "nonce_b", nonce, packet);
        let mut wire = BytesMut::from(&sends.seal(b"\x80from a")[..]);
        let frame = ours.ingress.next(&mut wire, |_, _| Ok::<_, ()>(()));
        assert_eq!(&frame.unwrap().unwrap().data[..], b"from a");

        let mut receives = Naive::with_point(&theirs, "nonce_a", nonce, &ack);
        let mut wire = BytesMut::new();
        ours.egress
            .seal(&mut wire, 0, |data| data.extend_from_slice(b"from b"))
            .unwrap();
        assert_eq!(wire[..], receives.seal(b"\x80from b"));
    }
}

#[test]
fn an_initiator_shares_its_frames_with_the_sender_of_each_ack_of_eip_8() {
    for packet in &packets("ack")[1..] {
        assert_eq!(packet_len(Packet::Ack, packet), Ok(Some(packet.len())));
        let (initiator, auth) = Initiator::new(&a(), b().public(), fresh('a')).unwrap();
        let mut ours = initiator.on_ack(&a(), packet).unwrap();
        let mut wire = BytesMut::from(&Naive::new("nonce_a", packet).seal(b"\x80from b")[..]);
        let frame = ours.ingress.next(&mut wire, |_, _| Ok::<_, ()>(()));
        assert_eq!(&frame.unwrap().unwrap().data[..], b"from b");

        let mut wire = BytesMut::new();
        ours.egress
            .seal(&mut wire, 0, |data| data.extend_from_slice(b"from a"))
            .unwrap();
        assert_eq!(wire[..], Naive::new("nonce_b", &auth).seal(b"\x80from a"));
    }
}

#[test]
fn the_forms_before_eip_8_are_refused_as_such() {
    for (packet, name) in [(Packet::Auth, "auth"), (Packet::Ack, "ack")] {
        let old = &packets(name)[0];
        let expected = RlpxError::PreEip8 { packet };
        assert_eq!(packet_len(packet, &old[..2]), Ok(None));
        assert_eq!(packet_len(packet, &old[..3]), Err(expected));
        assert_eq!(expected.kind(), Kind::Obsolete);
    }
    let (packet, packets) = (Packet::Auth, packets("auth"));
    assert_eq!(
        on_auth(&packets[0]).unwrap_err(),
        RlpxError::PreEip8 { packet }
    );
}

#[test]
fn the_length_is_judged_on_three_bytes() {
    for packet in [Packet::Auth, Packet::Ack] {
        assert_eq!(packet_len(packet, &[]), Ok(None));
        assert_eq!(packet_len(packet, &[0xff]), Ok(None));
        for size in 0..=u16::MAX {
            let [high, low] = size.to_be_bytes();
            let declared = usize::from(size);
            let two = packet_len(packet, &[high, low]);
            let three = packet_len(packet, &[high, low, 4]);
            if declared < packet.min_size() {
                let error = RlpxError::TooSmall {
                    packet,
                    size: declared,
                };
                assert_eq!((two, three), (Err(error), Err(error)));
            } else if declared > MAX_PACKET_SIZE {
                let error = RlpxError::TooLarge {
                    packet,
                    size: declared,
                };
                assert_eq!((two, three), (Err(error), Err(error)));
            } else {
                assert_eq!((two, three), (Ok(None), Ok(Some(2 + declared))));
            }
        }
        let got = 0x16;
        let not_a_key = RlpxError::NotAKey { packet, got };
        assert_eq!(packet_len(packet, &[2, 0, got]), Err(not_a_key));
    }
    assert_eq!(Packet::Auth.min_size(), 282);
    assert_eq!(Packet::Ack.min_size(), 215);
}

#[test]
fn strangers_are_told_apart_at_once() {
    for stranger in [
        &b"GET / HTTP/1.1"[..],
        b"SSH-2.0-x",
        b"\x16\x03\x01\x02\x00\x01",
    ] {
        let error = packet_len(Packet::Auth, stranger).unwrap_err();
        assert_eq!(error.kind(), Kind::NotThisProtocol, "{stranger:?}");
    }
}

#[test]
fn padding_is_100_to_300_bytes_and_each_of_them_happens() {
    let seen: BTreeSet<u16> = (0..=u16::MAX)
        .map(|random| Padding::from_random(random).bytes())
        .collect();
    assert_eq!(seen, (100..=300).collect());
}

#[test]
fn both_packets_carry_their_padding() {
    for random in [0, 100, 200] {
        let with = |side| Fresh {
            padding: Padding::from_random(random),
            ..fresh(side)
        };
        let padding = usize::from(Padding::from_random(random).bytes());
        let (_, auth) = Initiator::new(&a(), b().public(), with('a')).unwrap();
        assert_eq!(auth.len(), 284 + padding);
        let recipient = Recipient::on_auth(&b(), auth).unwrap();
        let (_, ack) = recipient.answer(&b(), with('b')).unwrap();
        assert_eq!(ack.len(), 217 + padding);
    }
}

#[test]
fn random_bytes_are_cut_into_nonce_iv_and_padding() {
    let mut random = [0; 50];
    random.iter_mut().zip(0..).for_each(|(byte, i)| *byte = i);
    let cut = Fresh::new(Ephemeral::from_bytes([1; 64]).unwrap(), random);
    assert_eq!(cut.nonce[..], random[..32]);
    assert_eq!(cut.iv[..], random[32..48]);
    assert_eq!(cut.padding, Padding::from_random(0x3031));
}

#[test]
fn a_flip_of_any_byte_of_auth_is_noticed() {
    let packet = &packets("auth")[1];
    for at in 0..packet.len() {
        let mut bad = packet.clone();
        bad[at] ^= 0x10;
        assert!(on_auth(&bad).is_err(), "byte {at}");
    }
}

#[test]
fn a_flip_of_any_byte_of_ack_is_noticed() {
    let packet = &packets("ack")[1];
    for at in 0..packet.len() {
        let mut bad = packet.clone();
        bad[at] ^= 0x10;
        assert!(on_ack(&bad).is_err(), "byte {at}");
    }
}

#[test]
fn a_packet_cut_short_at_any_length_is_refused_and_not_measured_differently() {
    for (packet, bytes) in [
        (Packet::Auth, &packets("auth")[1]),
        (Packet::Ack, &packets("ack")[1]),
    ] {
        for len in 0..bytes.len() {
            let part = &bytes[..len];
            let known = (len > 2).then_some(bytes.len());
            assert_eq!(packet_len(packet, part), Ok(known));
            let error = match packet {
                Packet::Auth => on_auth(part).unwrap_err(),
                Packet::Ack => on_ack(part).unwrap_err(),
            };
            let lies = matches!(
                error,
                RlpxError::Sealed {
                    error: EciesError::Length { .. },
                    ..
                }
            );
            assert!(lies, "{len} bytes: {error}");
        }
    }
}

#[test]
fn bytes_behind_a_packet_are_not_part_of_it() {
    let mut longer = packets("auth")[1].clone();
    let len = longer.len();
    longer.push(0);
    assert_eq!(packet_len(Packet::Auth, &longer), Ok(Some(len)));
    assert!(on_auth(&longer).is_err());
}

#[test]
fn a_missing_or_misshapen_item_is_named() {
    let good = auth_body();
    assert!(Recipient::on_auth(&b(), sealed(Packet::Auth, &good)).is_ok());
    // A list header turned into a string's, and each item a byte shorter than it is.
    for (at, byte, field) in [
        (0, 0xb8, "list"),
        (3, 64, "signature"),
        (2, 0xf8, "signature"),
        (70, 63, "static key"),
        (135, 0x9f, "nonce"),
        (168, 0xb8, "version"),
    ] {
        let mut body = good;
        body[at] = byte;
        let error = Recipient::on_auth(&b(), sealed(Packet::Auth, &body));
        assert_eq!(
            error.unwrap_err(),
            RlpxError::Malformed { field },
            "at {at}"
        );
    }
    // The list ends before the version.
    let mut body = good;
    body[1] -= 1;
    let error = Recipient::on_auth(&b(), sealed(Packet::Auth, &body));
    assert_eq!(
        error.unwrap_err(),
        RlpxError::Malformed { field: "version" }
    );
    let huge = sealed(Packet::Auth, &[0xfb, 0xff, 0xff, 0xff, 0xff]);
    assert!(
        Recipient::on_auth(&b(), huge).is_err(),
        "a list longer than memory"
    );
}

#[test]
fn keys_off_the_curve_in_a_body_are_refused() {
    let mut body = auth_body();
    body[80] ^= 1;
    let error = Recipient::on_auth(&b(), sealed(Packet::Auth, &body)).unwrap_err();
    let field = "static key";
    assert_eq!(error, RlpxError::InvalidPoint { field });

    let mut body = [0; 102];
    body[..4].copy_from_slice(&[0xf8, 100, 0xb8, 64]);
    (body[68], body[101]) = (0xa0, 4);
    let error = on_ack(&sealed(Packet::Ack, &body)).unwrap_err();
    let field = "ephemeral key";
    assert_eq!(error, RlpxError::InvalidPoint { field });
}

#[test]
fn a_signature_that_is_none_is_refused_before_the_answer() {
    for (range, byte) in [(4..36, 0), (4..36, 0xff), (68..69, 4), (68..69, 0xff)] {
        let mut body = auth_body();
        body[range].fill(byte);
        let recipient = Recipient::on_auth(&b(), sealed(Packet::Auth, &body)).unwrap();
        let error = recipient.answer(&b(), fresh('b')).unwrap_err();
        assert_eq!(error, RlpxError::InvalidSignature);
    }
}

#[test]
fn we_notice_that_we_reached_ourselves_on_both_sides() {
    let error = Initiator::new(&b(), b().public(), fresh('a')).unwrap_err();
    assert_eq!(error, RlpxError::SelfConnection);
    let kept = SharedStatic::new(&b(), b().public());
    let error = Initiator::with_shared(&b(), &kept, fresh('a')).unwrap_err();
    assert_eq!(error, RlpxError::SelfConnection);

    let mut body = auth_body();
    body[71..135].copy_from_slice(&b().id().0);
    let error = Recipient::on_auth(&b(), sealed(Packet::Auth, &body)).unwrap_err();
    assert_eq!(error, RlpxError::SelfConnection);
    assert_eq!(error.kind(), Kind::SelfConnection);
}

#[test]
fn a_reflected_packet_does_not_open() {
    let (initiator, auth) = Initiator::new(&a(), b().public(), fresh('a')).unwrap();
    let packet = Packet::Ack;
    let error = EciesError::WrongTag;
    let reflected = initiator.on_ack(&a(), &auth).unwrap_err();
    assert_eq!(reflected, RlpxError::Sealed { packet, error });
    let packet = Packet::Auth;
    let reflected = Recipient::on_auth(&a(), auth).unwrap_err();
    assert_eq!(reflected, RlpxError::Sealed { packet, error });
}

#[test]
fn a_kept_static_secret_gives_the_same_session() {
    let at_a = SharedStatic::new(&a(), b().public());
    let at_b = SharedStatic::new(&b(), a().public());
    let (_, plain) = Initiator::new(&a(), b().public(), fresh('a')).unwrap();
    let (initiator, auth) = Initiator::with_shared(&a(), &at_a, fresh('a')).unwrap();
    assert_eq!(auth, plain);
    let recipient = Recipient::on_auth(&b(), auth).unwrap();
    let (mut b_side, ack) = recipient.answer_with(&b(), &at_b, fresh('b')).unwrap();
    let mut a_side = initiator.on_ack(&a(), &ack).unwrap();
    assert_eq!(opens(&mut a_side, &mut b_side), Ok(()));
}

#[test]
fn a_kept_secret_of_others_is_not_used() {
    let others = SharedStatic::new(&b(), key("ephemeral_key_a").public());
    let (initiator, auth) = Initiator::new(&a(), b().public(), fresh('a')).unwrap();
    let recipient = Recipient::on_auth(&b(), auth).unwrap();
    let (mut b_side, ack) = recipient.answer_with(&b(), &others, fresh('b')).unwrap();
    let mut a_side = initiator.on_ack(&a(), &ack).unwrap();
    assert_eq!(opens(&mut a_side, &mut b_side), Ok(()));
}

/// C knows everything but A's static key: it claims to be A, with keys of its own.
#[test]
fn a_forged_claim_opens_but_its_frames_do_not() {
    let c = key("ephemeral_key_b");
    let (initiator, auth) = Initiator::new(&c, b().public(), fresh('a')).unwrap();
    let mut opened = auth.to_vec();
    let mut body: [u8; 169] = ecies::open(&b(), &mut opened).unwrap()[..169]
        .try_into()
        .unwrap();
    body[71..135].copy_from_slice(&a().id().0);
    let forged = sealed(Packet::Auth, &body);
    let recipient = Recipient::on_auth(&b(), forged).unwrap();
    assert_eq!(recipient.claimed(), a().public(), "a claim and no more");
    let (mut at_b, ack) = recipient.answer(&b(), fresh('b')).unwrap();
    // The answer goes to A; give C even that one opened and sealed to itself.
    let mut opened = ack.to_vec();
    let body: [u8; 102] = ecies::open(&a(), &mut opened).unwrap()[..102]
        .try_into()
        .unwrap();
    let ack = ecies::seal(c.public(), &key("ephemeral_key_a"), [3; 16], &body, 100);
    let mut at_c = initiator.on_ack(&c, &ack).unwrap();
    let refused = opens(&mut at_c, &mut at_b);
    assert_eq!(refused, Err(OpenError::Frame(FrameError::HeaderTag)));
}

#[test]
fn a_replayed_auth_is_answered_but_leads_to_other_keys() {
    let (initiator, auth) = Initiator::new(&a(), b().public(), fresh('a')).unwrap();
    let first = Recipient::on_auth(&b(), auth.clone()).unwrap();
    let (_, ack) = first.answer(&b(), fresh('b')).unwrap();
    let mut at_a = initiator.on_ack(&a(), &ack).unwrap();

    let again = Recipient::on_auth(&b(), auth).unwrap();
    let other = Fresh {
        nonce: secret("nonce_a"),
        ..fresh('b')
    };
    let (mut at_b, _) = again.answer(&b(), other).unwrap();
    // What A once sent is no use in the new session.
    let refused = opens(&mut at_a, &mut at_b);
    assert_eq!(refused, Err(OpenError::Frame(FrameError::HeaderTag)));
}
