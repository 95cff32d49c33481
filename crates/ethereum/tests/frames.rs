//! Frames beside the naive model; and everything that is no frame.

use bytes::BytesMut;
use peerage_ethereum::frame::{
    FrameError, HEADER_LEN, Ingress, MAX_FRAME_SIZE, OpenError, SealError, wire_len,
};
use proptest::prelude::*;

use crate::common::naive::Naive;
use crate::common::{Session, session};

/// What A sends, the naive way.
fn naive_a(session: &Session) -> Naive {
    Naive::new("nonce_b", &session.auth)
}

fn naive_b(session: &Session) -> Naive {
    Naive::new("nonce_a", &session.ack)
}

fn next(ingress: &mut Ingress, input: &mut BytesMut) -> Result<Option<(u64, Vec<u8>)>, FrameError> {
    match ingress.next(input, |_, _| Ok::<_, ()>(())) {
        Ok(frame) => Ok(frame.map(|frame| (frame.id, frame.data.to_vec()))),
        Err(OpenError::Frame(error)) => Err(error),
        Err(refused) => panic!("{refused}"),
    }
}

/// The id as RLP, by hand.
fn body(id: u64, data: &[u8]) -> Vec<u8> {
    let bytes = id.to_be_bytes();
    let bytes = &bytes[id.leading_zeros() as usize / 8..];
    let mut body = match id {
        1..=0x7f => Vec::new(),
        _ => (0x80..).nth(bytes.len()).into_iter().collect(),
    };
    body.extend_from_slice(bytes);
    body.extend_from_slice(data);
    body
}

const IDS: [u64; 9] = [0, 1, 0x10, 0x7f, 0x80, 0xff, 0x100, 0xffff_ffff, u64::MAX];

#[test]
fn frames_are_those_of_the_naive_model() {
    let mut session = session();
    let mut model = naive_a(&session);
    let mut sealed = BytesMut::new();
    let mut expected = Vec::new();
    for len in (0..70).chain([4080, 4096, 4097, 9000]) {
        let id = IDS[len % IDS.len()];
        let data: Vec<u8> = (0..=255).cycle().skip(len).take(len).collect();
        let before = sealed.len();
        session
            .a
            .egress
            .seal(&mut sealed, id, |output| output.extend_from_slice(&data))
            .unwrap();
        assert_eq!(sealed.len() - before, wire_len(body(id, &data).len()));
        expected.extend(model.seal(&body(id, &data)));
        assert!(sealed[..] == expected[..], "{len} bytes");
    }
}

#[test]
fn a_frame_that_comes_byte_by_byte_is_admitted_once_and_left_alone_until_whole() {
    let mut session = session();
    let mut model = naive_b(&session);
    let ingress = &mut session.a.ingress;
    for len in [0, 14, 15, 16, 5000] {
        let data = vec![3; len];
        let wire = model.seal(&body(0x11, &data));
        let mut input = BytesMut::new();
        let mut admitted = Vec::new();
        for (at, byte) in wire.iter().enumerate() {
            let wanted = ingress.wants();
            assert!(wanted > at, "{wanted} wanted with {at} there");
            assert_eq!(ingress.is_between_frames(), at < HEADER_LEN);
            input.extend_from_slice(&[*byte]);
            let frame = ingress.next(&mut input, |id, len| {
                admitted.push((at + 1, id, len));
                Ok::<_, ()>(())
            });
            match frame.unwrap() {
                Some(frame) => {
                    assert_eq!(at + 1, wire.len());
                    assert_eq!((frame.id, frame.data.to_vec()), (0x11, data.clone()));
                }
                None => assert_eq!(input[..], wire[..=at], "touched"),
            }
        }
        assert!(input.is_empty() && ingress.is_between_frames());
        assert_eq!(admitted, [(HEADER_LEN + 16, 0x11, len)]);
    }
}

#[test]
fn a_message_is_refused_by_its_id_and_size_before_its_body_is_there() {
    let mut session = session();
    let mut model = naive_b(&session);
    // The header says nearly 16 MiB; only the first block of them comes.
    let frame = model.seal_as(0xff_ff00, &body(0x13, &[0; 14]));
    let mut input = BytesMut::from(&frame[..HEADER_LEN + 16]);
    let ingress = &mut session.a.ingress;
    let refused = ingress.next(&mut input, |id, len| {
        assert_eq!((id, len), (0x13, 0xff_ff00 - 1));
        Err("too long")
    });
    let (id, len, error) = (0x13, 0xff_ff00 - 1, "too long");
    assert_eq!(refused, Err(OpenError::Refused { id, len, error }));
    assert_eq!(next(ingress, &mut input), Err(FrameError::Dead));
    assert_eq!(ingress.wants(), 0);
}

#[test]
fn a_flip_of_any_byte_is_noticed_and_kills_the_direction() {
    let wire = naive_b(&session()).seal(&body(0x10, &[1; 40]));
    for at in 0..wire.len() {
        let mut session = session();
        let mut bad = BytesMut::from(&wire[..]);
        bad[at] ^= 0x80;
        let error = next(&mut session.a.ingress, &mut bad).unwrap_err();
        match at {
            0..32 => assert_eq!(error, FrameError::HeaderTag, "byte {at}"),
            // The id itself: 0x10 becomes 0x90, a string too long for an integer.
            32 => assert_eq!(error, FrameError::MessageId),
            _ => assert_eq!(error, FrameError::BodyTag, "byte {at}"),
        }
        let mut good = BytesMut::from(&wire[..]);
        assert_eq!(
            next(&mut session.a.ingress, &mut good),
            Err(FrameError::Dead)
        );
    }
}

#[test]
fn frames_swapped_left_out_or_sent_twice_are_noticed() {
    let mut model = naive_b(&session());
    let [one, two] = [b"one", b"two"].map(|data| model.seal(&body(0x10, data)));
    for wrong in [[&two, &one], [&one, &one]] {
        let mut session = session();
        let mut input = BytesMut::from(&wrong.map(|frame| &frame[..]).concat()[..]);
        let ingress = &mut session.a.ingress;
        let outcome = (0..2).try_for_each(|_| next(ingress, &mut input).map(|_| ()));
        assert_eq!(outcome, Err(FrameError::HeaderTag));
    }
}

#[test]
fn what_we_sent_does_not_open_as_if_the_other_had() {
    let mut session = session();
    let mut reflected = BytesMut::new();
    session.a.egress.seal(&mut reflected, 1, |_| {}).unwrap();
    let error = next(&mut session.a.ingress, &mut reflected);
    assert_eq!(error, Err(FrameError::HeaderTag));
}

#[test]
fn an_empty_frame_and_one_without_an_id_are_refused() {
    let cases: [(&[u8], FrameError); 7] = [
        (b"", FrameError::Empty),
        (b"\x00", FrameError::MessageId),
        (b"\x81\x05", FrameError::MessageId),
        (b"\x82\x00\xff", FrameError::MessageId),
        (b"\x81", FrameError::MessageId),
        (
            b"\x89\x01\x01\x01\x01\x01\x01\x01\x01\x01",
            FrameError::MessageId,
        ),
        (b"\xc0", FrameError::MessageId),
    ];
    for (body, expected) in cases {
        let mut session = session();
        let mut input = BytesMut::from(&naive_b(&session).seal(body)[..]);
        input.extend_from_slice(&[0; 64]);
        let ingress = &mut session.a.ingress;
        assert_eq!(next(ingress, &mut input), Err(expected), "{body:x?}");
    }
}

#[test]
fn what_a_header_says_behind_the_size_does_not_matter() {
    for rest in [
        [0; 13],
        [0xff; 13],
        *b"\xc3\x05\x01\x82\x10\0\0\0\0\0\0\0\0",
    ] {
        let mut session = session();
        let mut header = [0; 16];
        header[2] = 3;
        header[3..].copy_from_slice(&rest);
        let wire = naive_b(&session).seal_with(header, b"\x10ab");
        let mut input = BytesMut::from(&wire[..]);
        let frame = next(&mut session.a.ingress, &mut input);
        assert_eq!(frame, Ok(Some((0x10, b"ab".to_vec()))));
    }
}

#[test]
fn the_longest_frame_arrives_and_a_longer_one_is_not_sent() {
    let mut session = session();
    let mut wire = BytesMut::from("what stood there");
    let before = wire.clone();
    let egress = &mut session.a.egress;
    let error = egress.seal(&mut wire, 1, |output| {
        output.resize(output.len() + MAX_FRAME_SIZE, 0);
    });
    let size = MAX_FRAME_SIZE + 1;
    assert_eq!(error, Err(SealError::TooLarge { size }));
    assert_eq!(wire, before);

    let mut wire = BytesMut::with_capacity(wire_len(MAX_FRAME_SIZE));
    let place = wire.as_ptr();
    egress
        .seal(&mut wire, 1, |output| {
            output.resize(output.len() + MAX_FRAME_SIZE - 1, 5);
        })
        .unwrap();
    assert_eq!(wire.as_ptr(), place, "copied although it had room");
    let frame = session.b.ingress.next(&mut wire, |_, _| Ok::<_, ()>(()));
    let data = frame.unwrap().unwrap().data;
    assert_eq!(data.len(), MAX_FRAME_SIZE - 1);
    assert!(data.iter().all(|byte| *byte == 5));
    assert_eq!(data.as_ptr(), place.wrapping_add(HEADER_LEN + 1), "copied");
}

#[test]
fn a_writer_that_shortens_the_output_sends_nothing() {
    let mut session = session();
    let mut wire = BytesMut::from("before");
    let egress = &mut session.a.egress;
    let error = egress.seal(&mut wire, 1, BytesMut::clear);
    assert_eq!(error, Err(SealError::Shortened));
    let mut wire = BytesMut::new();
    egress.seal(&mut wire, 1, |_| {}).unwrap();
    let frame = next(&mut session.b.ingress, &mut wire);
    assert_eq!(frame, Ok(Some((1, Vec::new()))), "the stream went on");
}

/// One step of a conversation.
#[derive(Clone, Debug)]
enum Step {
    /// A seals a message.
    Send { id: u64, len: usize },
    /// This much of what is under way arrives at B.
    Arrive(usize),
    /// B looks for a frame.
    Look,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![0..40_usize, 100..300_usize, 4000..4200_usize];
    let id = prop_oneof![0..0x40_u64, any::<u64>()];
    let step = prop_oneof![
        (id, len).prop_map(|(id, len)| Step::Send { id, len }),
        prop_oneof![1..60_usize, 1..9000_usize].prop_map(Step::Arrive),
        Just(Step::Look),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever is sent, and however it arrives: the bytes are the model's, and the messages come
    /// out as soon as they are whole, in their order.
    #[test]
    fn any_conversation_is_that_of_the_naive_model(steps in steps()) {
        let mut session = session();
        let mut model = naive_a(&session);
        let (mut wire, mut input) = (BytesMut::new(), BytesMut::new());
        let mut expected = std::collections::VecDeque::new();
        let finish = [Step::Arrive(usize::MAX)].into_iter().chain((0..40).map(|_| Step::Look));
        for step in steps.into_iter().chain(finish) {
            match step {
                Step::Send { id, len } => {
                    let data: Vec<u8> = (0..=255).cycle().skip(len).take(len).collect();
                    let before = wire.len();
                    let write = |output: &mut BytesMut| output.extend_from_slice(&data);
                    session.a.egress.seal(&mut wire, id, write).unwrap();
                    let frame = model.seal(&body(id, &data));
                    prop_assert_eq!(&wire[before..], &frame[..]);
                    expected.push_back((frame.len(), id, data));
                }
                Step::Arrive(len) => {
                    let len = len.min(wire.len());
                    input.unsplit(wire.split_to(len));
                }
                Step::Look => {
                    let whole = expected.front().is_some_and(|(len, ..)| input.len() >= *len);
                    match next(&mut session.b.ingress, &mut input).unwrap() {
                        Some((id, data)) => {
                            let (_, sent_id, sent) = expected.pop_front().unwrap();
                            prop_assert_eq!((id, data), (sent_id, sent));
                        }
                        None => prop_assert!(!whole),
                    }
                }
            }
        }
        prop_assert!(expected.is_empty() && wire.is_empty() && input.is_empty());
    }
}
