//! Dialogues read again from their bytes and their seed.

use peerage_core::{Direction, UnixTime};
use peerage_ethereum::dissect::{Piece, What, dissect_dialogue};
use peerage_ethereum::{Attempt, Message, PublicKey};

use crate::common::pair::{End, NOW, converse, inbound, node, outbound};

fn attempt(peer: Option<&PublicKey>, seed: u8) -> Attempt {
    let addr = if peer.is_some() {
        outbound()
    } else {
        inbound()
    };
    let time: UnixTime = NOW;
    Attempt::seeded(addr, peer.copied(), time, &[seed; 32])
}

fn names(pieces: &[Piece]) -> Vec<String> {
    let name = |piece: &Piece| match &piece.what {
        What::Exchange { name, error: None } => (*name).to_owned(),
        What::Message(message) if message.error.is_none() && message.canonical => {
            message.name.clone()
        }
        other => format!("{other:?}"),
    };
    pieces.iter().map(name).collect()
}

#[test]
fn either_side_can_read_the_whole_dialogue_again() {
    let (alice, bob) = (node(1), node(2));
    let mut a = End::new(&alice, attempt(Some(bob.key.public()), 1));
    let mut b = End::new(&bob, attempt(None, 2));
    let (mut from_a, mut from_b) = (Vec::new(), Vec::new());
    loop {
        let (said_a, said_b) = (a.said(), b.said());
        if said_a.is_empty() && said_b.is_empty() {
            break;
        }
        from_a.extend_from_slice(&said_a);
        from_b.extend_from_slice(&said_b);
        b.hear(&said_a);
        a.hear(&said_b);
    }
    let (mut a, mut b) = (a.into_peer(), b.into_peer());
    from_a.extend_from_slice(&a.say(&Message::Ping));
    from_b.extend_from_slice(&b.say(&Message::Pong));

    for direction in [Direction::Outbound, Direction::Inbound] {
        let (by_a, by_b) = match direction {
            Direction::Outbound => {
                dissect_dialogue(&alice, attempt(Some(bob.key.public()), 1), &from_a, &from_b)
            }
            Direction::Inbound => {
                let (by_b, by_a) = dissect_dialogue(&bob, attempt(None, 2), &from_b, &from_a);
                (by_a, by_b)
            }
        };
        assert_eq!(
            names(&by_a),
            ["auth", "Hello", "Status", "Ping"],
            "{direction:?}"
        );
        assert_eq!(
            names(&by_b),
            ["ack", "Hello", "Status", "Pong"],
            "{direction:?}"
        );
        for (pieces, stream) in [(&by_a, &from_a), (&by_b, &from_b)] {
            let ends = pieces.iter().scan(0, |at, piece| {
                assert_eq!(piece.offset, *at);
                *at += piece.len;
                Some(*at)
            });
            assert_eq!(ends.last(), Some(stream.len()));
        }
    }
}

#[test]
fn what_cannot_be_read_is_said_and_never_hidden() {
    let (alice, bob) = (node(1), node(2));
    let mut a = End::new(&alice, attempt(Some(bob.key.public()), 1));
    let mut b = End::new(&bob, attempt(None, 2));
    let auth = a.said();
    b.hear(&auth);
    let mut answer = b.said().to_vec();
    let again = || attempt(Some(bob.key.public()), 1);

    let cut = &answer[..100];
    let (_, heard) = dissect_dialogue(&alice, again(), &auth, cut);
    assert_eq!((heard.len(), heard[0].len), (1, 100));

    let last = answer.len() - 1;
    answer[last] ^= 1;
    let (said, heard) = dissect_dialogue(&alice, again(), &auth, &answer);
    assert_eq!(names(&said), ["auth"]);
    assert!(
        matches!(&heard[1].what, What::Sealed(why) if why.contains("tag")),
        "{heard:?}"
    );

    let (_, heard) = dissect_dialogue(&alice, again(), &auth, b"HTTP/1.1 400 Bad Request");
    assert!(
        matches!(&heard[0].what, What::Exchange { error: Some(_), .. }),
        "{heard:?}"
    );
    let mut nobody = End::new(&bob, attempt(None, 3));
    converse(&mut a, &mut nobody);
}
