//! Every decoder against kept inputs and random ones.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use peerage_core::{Retry, UnixTime};
use peerage_inproxy::envelope::{Envelope, SessionId};
use peerage_inproxy::message::{
    Announce, Answer, Answered, Call, Matched, Numbers, Reply, Waiting,
};
use peerage_inproxy::{Code, Invitation, Pairing, Refusal, SignerKey, SignerSecret};
use peerage_matcher::{CompartmentId, ConnectionId, NetworkProtocol};
use proptest::prelude::*;

use crate::common::calls::{described, network, offer};
use crate::common::decoders::{DECODERS, run};
use crate::common::entry;

/// Sound inputs of each decoder. With `PEERAGE_REWRITE` they become the kept ones.
fn samples() -> BTreeMap<&'static str, Vec<Bytes>> {
    let connection = ConnectionId([3; 32]);
    let description = described(1, "192.0.2.1:9");
    let room = CompartmentId([5; 32]);
    let calls = [
        Call::Announce(Announce {
            network: network(),
            load: 3,
            wait_ms: 1000,
            personal: vec![room],
        }),
        Call::Offer(Box::new(offer())),
        Call::Answer(Answer {
            connection,
            description: description.clone(),
            proof: Bytes::from_static(&[7; 64]),
        }),
        Call::AnswerError { connection },
        Call::Coming { connection },
        Call::Outcome {
            connection,
            opened: true,
        },
        Call::Explain,
        Call::Stats,
    ];
    let replies = [
        Reply::Matched(Matched {
            connection,
            transport: 2,
            personal: true,
            answer_ms: 900,
            protocol: NetworkProtocol::Tcp,
            destination: offer().destination,
            description: description.clone(),
        }),
        Reply::Answered(Answered {
            connection,
            transport: 2,
            description: description.clone(),
            proof: Bytes::new(),
        }),
        Reply::Taken { delivered: true },
        Reply::Noted { awaited: false },
        Reply::Explained(vec![Waiting::default()]),
        Reply::Stats(Numbers::default()),
        Reply::Refused(Refusal::of(Code::NoMatch, Retry::Now, "nobody")),
    ];
    let id = SessionId([9; 16]);
    let envelopes = [
        Envelope::Hello([1; 48]),
        Envelope::HelloReply(id, [2; 48]),
        Envelope::First(id, Bytes::from_static(b"sealed")),
        Envelope::Call(id, 7, Bytes::from_static(b"sealed")),
        Envelope::Reply(7, Bytes::from_static(b"sealed")),
    ];
    let key = peerage_inproxy::PartySecret::new([4; 32]).public();
    let broker = peerage_inproxy::BrokerAddress {
        target: "broker.example:443".parse().unwrap(),
        key,
    };
    let invitation = Invitation {
        brokers: vec![broker.clone()],
        compartments: vec![room],
        entries: vec![entry()],
        expires: UnixTime(2_000_000_000),
    };
    let pairing = |volunteer| Pairing {
        broker: broker.clone(),
        compartment: room,
        volunteer,
        entries: vec![entry()],
    };
    let link = |link: String| Bytes::from(link);
    BTreeMap::from([
        (
            "envelope",
            envelopes.iter().map(|e| e.encode().unwrap()).collect(),
        ),
        ("call", calls.iter().map(|c| c.encode().unwrap()).collect()),
        (
            "reply",
            replies.iter().map(|r| r.encode().unwrap()).collect(),
        ),
        ("description", vec![description]),
        ("entry", vec![entry()]),
        (
            "invitation",
            vec![link(
                invitation.to_link(&SignerSecret::new(&[6; 32])).unwrap(),
            )],
        ),
        (
            "pairing",
            vec![
                link(pairing(None).to_link().unwrap()),
                link(pairing(Some(SignerKey([8; 32]))).to_link().unwrap()),
            ],
        ),
    ])
}

fn chosen(name: &str, input: &[u8]) -> Vec<u8> {
    let choice = DECODERS.iter().position(|(other, _)| *other == name);
    let choice = u8::try_from(choice.unwrap()).unwrap();
    [&[choice], input].concat()
}

#[test]
fn sound_inputs_are_accepted_and_shortened_ones_are_not() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    for (name, inputs) in samples() {
        for (at, input) in inputs.iter().enumerate() {
            if std::env::var_os("PEERAGE_REWRITE").is_some() {
                let folder = kept.join(name);
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join(format!("sound-{at}")), input).unwrap();
            }
            assert_eq!(run(&chosen(name, input)), Some((name, true)), "{name} {at}");
            for len in 0..input.len() {
                let short = run(&chosen(name, &input[..len]));
                // What is sealed may have any length.
                let sealed = name == "envelope" && len >= 10;
                assert!(sealed || short == Some((name, false)), "{name} {at} {len}");
            }
        }
    }
}

#[test]
fn kept_inputs_do_no_harm() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut count = 0;
    for (name, _) in DECODERS {
        for file in fs::read_dir(kept.join(name)).unwrap() {
            let input = fs::read(file.unwrap().path()).unwrap();
            let (ran, accepted) = run(&chosen(name, &input)).unwrap();
            assert_eq!(ran, name);
            count += usize::from(accepted);
        }
    }
    assert!(count >= samples().values().map(Vec::len).sum());
}

proptest! {
    #[test]
    fn no_input_does_harm(input in prop::collection::vec(any::<u8>(), 0..600)) {
        run(&input);
    }

    #[test]
    fn sound_inputs_with_a_byte_changed_do_no_harm(
        kind in 0..7_usize,
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let samples = samples();
        let (name, inputs) = samples.iter().nth(kind).unwrap();
        let mut input = which.get(inputs).to_vec();
        let at = at.index(input.len());
        input[at] = byte;
        run(&chosen(name, &input));
    }
}
