//! However the bytes arrive, the same comes of them.

use bytes::Bytes;
use peerage_core::{Direction, Interruption};
use peerage_verack::decred::Decred;
use peerage_verack::zcash::Zcash;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::{
    BOTH, Dialogue, Net, bad_checksum, concat, current, direct, header, isolated, message,
    nameless, node, other_chain, proxied, verack, version,
};

/// Everything that can be told about a handshake once it is over.
#[derive(Debug, PartialEq)]
struct Outcome {
    said: Vec<u8>,
    last_words: Vec<u8>,
    /// The error, or the peer with its early messages, in full.
    end: String,
    leftover: Vec<u8>,
    policy: Vec<(u32, u32)>,
}

/// Hears the parts; a handshake that still waits then sees the end of the stream.
fn outcome<D: Net>(mut dialogue: Dialogue<D>, parts: &[&[u8]]) -> Outcome {
    for part in parts {
        dialogue.hear(part);
    }
    dialogue.interrupt(Interruption::Closed);
    let leftover = dialogue.input.to_vec();
    let (end, last_words, leftover) = match dialogue.outcome().unwrap() {
        // What lies behind the last byte that was understood depends on how much came at once.
        Err(error) => (format!("{error:?}"), dialogue.last_words().to_vec(), vec![]),
        Ok(peer) => (format!("{peer:?}"), vec![], leftover),
    };
    Outcome {
        said: dialogue.said.clone(),
        last_words,
        end,
        leftover,
        policy: dialogue.policy().versions(),
    }
}

/// Frames that scripts are made of: mostly sound ones, so that long scripts get somewhere.
fn frames<D: Net>() -> Vec<Bytes> {
    let speaks = current::<D>();
    let good = version::<D>(speaks);
    let mut broken_version = good.to_vec();
    broken_version.truncate(90);
    vec![
        good.clone(),
        good.clone(),
        version::<D>(11),
        version::<D>(8),
        verack::<D>(),
        verack::<D>(),
        verack::<D>(),
        message::<D>("ping", &[1; 8]),
        message::<D>("pong", &[1; 8]),
        message::<D>("getaddr", &[]),
        message::<D>("tx", &[0; 900]),
        message::<D>("reject", &[0, 1, 0]),
        message::<D>("nobodyknows", &[1, 2, 3]),
        nameless::<D>(&[]),
        bad_checksum(&message::<D>("ping", &[1; 8])),
        header::<D>("inv", 40_000),
        other_chain::<D>(&good),
        Bytes::from(broken_version),
        Bytes::from_static(b"HTTP/1.1 400 Bad Request\r\n"),
    ]
}

/// Scripts that succeed in both directions, one that leaves bytes behind among them.
fn good_scripts<D: Net>() -> Vec<Vec<u8>> {
    let ping = message::<D>("ping", &[3; 8]);
    let (old, new) = (version::<D>(11), version::<D>(current::<D>()));
    let mut scripts = vec![
        concat([&new, &verack::<D>()]),
        concat([&new, &verack::<D>(), &ping, &ping]),
    ];
    if D::NETWORK.0 == "zcash" {
        scripts.push(concat([&ping, &new, &ping, &verack::<D>(), &ping]));
    } else {
        scripts.push(concat([&old, &ping, &ping, &ping, &verack::<D>(), &ping]));
    }
    scripts
}

fn one_byte_at_a_time<D: Net>() {
    for direction in BOTH {
        for script in good_scripts::<D>() {
            let whole = outcome(Dialogue::<D>::new(direction), &[&script]);
            assert!(whole.end.starts_with("Peer"), "{}", whole.end);
            let bytes: Vec<_> = script.chunks(1).collect();
            let trickled = outcome(Dialogue::<D>::new(direction), &bytes);
            assert_eq!(trickled, whole, "{direction}");
        }
        for frame in frames::<D>() {
            let before = [vec![], version::<D>(current::<D>()).to_vec()];
            for script in before.map(|before| [before, frame.to_vec()].concat()) {
                let whole = outcome(Dialogue::<D>::new(direction), &[&script]);
                let bytes: Vec<_> = script.chunks(1).collect();
                let trickled = outcome(Dialogue::<D>::new(direction), &bytes);
                assert_eq!(trickled, whole, "{direction}");
            }
        }
    }
}

#[test]
fn one_byte_at_a_time_gives_the_same_as_all_at_once() {
    one_byte_at_a_time::<Zcash>();
    one_byte_at_a_time::<Decred>();
}

/// Every place where a stream can be cut in two.
#[test]
fn a_cut_anywhere_changes_nothing() {
    fn check<D: Net>() {
        for direction in BOTH {
            for script in good_scripts::<D>() {
                let whole = outcome(Dialogue::<D>::new(direction), &[&script]);
                for cut in 0..=script.len() {
                    let (a, b) = script.split_at(cut);
                    let halves = outcome(Dialogue::<D>::new(direction), &[a, b]);
                    assert_eq!(halves, whole, "{direction} at {cut}");
                }
            }
        }
    }
    check::<Zcash>();
    check::<Decred>();
}

fn chunked<'a>(script: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = script;
    let mut parts = Vec::new();
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (part, after) = rest.split_at((*size).min(rest.len()));
        parts.push(part);
        rest = after;
    }
    parts
}

fn chunks_change_nothing<D: Net>(
    picks: &[prop::sample::Index],
    sizes: &[usize],
    direction: Direction,
    kind: usize,
) {
    let known = frames::<D>();
    let picked: Vec<_> = picks.iter().map(|pick| pick.get(&known)).collect();
    let script = concat(picked);
    let addr = [direct, proxied, isolated][kind](direction);
    let start = || Dialogue::<D>::of(&node(1), addr);
    let whole = outcome(start(), &[&script]);
    let pieces = outcome(start(), &chunked(&script, sizes));
    assert_eq!(pieces, whole);
    // The same bytes to another handshake, in the same process, give the same once more.
    assert_eq!(outcome(start(), &[&script]), whole);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_script_in_any_pieces_comes_to_the_same(
        picks in vec(any::<prop::sample::Index>(), 0..12),
        sizes in vec(1_usize..200, 1..8),
        inbound: bool,
        kind in 0_usize..3,
    ) {
        let direction = if inbound { Direction::Inbound } else { Direction::Outbound };
        chunks_change_nothing::<Zcash>(&picks, &sizes, direction, kind);
        chunks_change_nothing::<Decred>(&picks, &sizes, direction, kind);
    }
}
