//! Too much, too early, unasked: each is refused on as few bytes as can show it.

use bytes::BytesMut;
use peerage_core::{Direction, Failure, Kind};
use peerage_ethereum::error::Awaited;
use peerage_ethereum::eth::{MESSAGES, Role};
use peerage_ethereum::{
    CapName, Capability, CapabilitySpec, HandshakeError, Local, Message, OtherMessage, WireError,
    p2p,
};

use crate::common::pair::{End, node};
use crate::common::promises::{ENOUGH, naive_end, needed};
use crate::common::rogue::{BOTH, Heard, Rogue, Stage, at_stage, at_stage_of, mallory};

const TOY: CapName = CapName::from_static("toy");

/// A capability of two messages, one of them long.
fn toy() -> CapabilitySpec {
    let capability = Capability {
        name: TOY,
        version: 1,
    };
    CapabilitySpec::new(capability, [Some(1 << 20), None, Some(10)])
}

fn with_toy(mut local: Local) -> Local {
    let toy = std::iter::once(toy());
    local.capabilities = local.capabilities.iter().cloned().chain(toy).collect();
    local
}

fn toys(direction: Direction) -> (End, Rogue) {
    at_stage_of(
        &with_toy(node(1)),
        &with_toy(mallory()),
        direction,
        Stage::Status,
    )
}

#[track_caller]
fn flooded(end: &End) {
    let error = end.error();
    assert!(
        matches!(
            error,
            HandshakeError::Flood {
                awaited: Awaited::Status,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(error.kind(), Kind::Flood);
}

#[test]
fn pings_before_a_status_are_answered_sixteen_times() {
    for direction in BOTH {
        let (mut end, mut rogue) = at_stage(direction, Stage::Status);
        for _ in 0..16 {
            end.hear(&rogue.message(p2p::PING, p2p::EMPTY));
            assert_eq!(rogue.hear(&end.said()), [Heard::Pong]);
        }
        let ping = rogue.message(p2p::PING, p2p::EMPTY);
        let needed = needed(&ping, |byte| {
            end.hear(byte);
            end.is() == "failed"
        });
        assert_eq!(needed, ENOUGH);
        flooded(&end);
    }
}

/// All at once: what comes out is bounded as well, and the Status behind sixteen is still read.
#[test]
fn a_burst_of_pings_and_a_status_behind_them_is_a_peer() {
    for direction in BOTH {
        let (mut end, mut rogue) = at_stage(direction, Stage::Status);
        let mut burst = BytesMut::new();
        (0..16).for_each(|_| burst.extend_from_slice(&rogue.message(p2p::PING, p2p::EMPTY)));
        burst.extend_from_slice(&rogue.tell_honestly());
        end.hear(&burst);
        assert_eq!(end.is(), "peer");
        let heard = rogue.hear(&end.said());
        assert_eq!(heard.iter().filter(|h| **h == Heard::Pong).count(), 16);
    }
}

#[test]
fn before_a_status_other_capabilities_may_say_sixteen_things() {
    for direction in BOTH {
        let (mut end, mut rogue) = toys(direction);
        let id = rogue.wire_id(TOY, 0);
        (0..16_u8).for_each(|n| end.hear(&rogue.message(id, &[n; 100])));
        assert_eq!(end.is(), "live");
        let status = rogue.tell_honestly();
        end.hear(&status);
        let mut life = end.into_peer();
        for n in 0..16_u8 {
            let other = Message::Other(OtherMessage {
                capability: TOY,
                id: 0,
                body: vec![n; 100].into(),
            });
            assert_eq!(life.hear(&[]).unwrap(), Some(other), "in order, once");
        }
        assert_eq!(life.hear(&[]).unwrap(), None);

        let (mut end, mut rogue) = toys(direction);
        (0..17).for_each(|_| end.hear(&rogue.message(id, &[])));
        flooded(&end);
    }
}

#[test]
fn before_a_status_other_capabilities_may_say_64_kib() {
    let noise: Vec<u8> = (0..70_000_u32)
        .flat_map(|n| n.wrapping_mul(0x9e37_79b9).to_be_bytes())
        .collect();
    let (mut end, mut rogue) = toys(Direction::Inbound);
    let id = rogue.wire_id(TOY, 0);
    end.hear(&rogue.message(id, &noise[..40_000]));
    assert_eq!(end.is(), "live");
    // The second is refused by its length, before it is there.
    let second = rogue.message(id, &noise[..40_000]);
    let needed = needed(&second, |byte| {
        end.hear(byte);
        end.is() == "failed"
    });
    assert_eq!(needed, ENOUGH);
    flooded(&end);
}

/// What counts is what is kept, and that is the plain body: sixteen bombs would be a megabyte.
#[test]
fn early_messages_count_as_long_as_they_are_when_decompressed() {
    let (mut end, mut rogue) = toys(Direction::Inbound);
    let id = rogue.wire_id(TOY, 0);
    let bomb = rogue.message(id, &[0; 60_000]);
    assert!(bomb.len() < 4096, "{} bytes", bomb.len());
    end.hear(&bomb);
    assert_eq!(end.is(), "live");
    end.hear(&rogue.message(id, &[0; 60_000]));
    flooded(&end);

    let (mut end, mut rogue) = toys(Direction::Inbound);
    end.hear(&rogue.message(id, &[0; (64 << 10) + 1]));
    flooded(&end);
}

/// The limit of each message counts before the budget does.
#[test]
fn an_early_message_over_its_own_limit_is_refused_unread() {
    let (mut end, mut rogue) = toys(Direction::Inbound);
    let id = rogue.wire_id(TOY, 2);
    let frame = rogue.frame(id, &[0; 100]);
    end.hear(&frame[..ENOUGH]);
    assert!(
        matches!(
            end.error(),
            HandshakeError::Message {
                error: WireError::Oversized { len: 100, .. },
                ..
            }
        ),
        "{}",
        end.error()
    );
    // A reserved id has no message at all.
    let (mut end, mut rogue) = toys(Direction::Inbound);
    end.hear(&rogue.message(id - 1, &[])[..ENOUGH]);
    assert_eq!(end.error().kind(), Kind::Violation);
}

#[test]
fn before_a_hello_there_is_nothing_but_a_hello() {
    for direction in BOTH {
        for id in (2..0x40).chain([u64::MAX]) {
            let (mut end, mut rogue) = at_stage(direction, Stage::Hello);
            let frame = rogue.frame(id, &[0; 4000]);
            let needed = needed(&frame, |byte| {
                end.hear(byte);
                end.is() == "failed"
            });
            assert_eq!(needed, ENOUGH);
            let awaited = Awaited::Hello;
            assert_eq!(*end.error(), HandshakeError::Unexpected { awaited, id });
            if direction == Direction::Inbound && id > 0x14 {
                break;
            }
        }
    }
}

#[test]
fn a_hello_over_its_limit_is_not_waited_for() {
    let (mut end, mut rogue) = at_stage(Direction::Inbound, Stage::Hello);
    end.hear(&rogue.frame(p2p::HELLO, &[0; 2049])[..ENOUGH]);
    assert_eq!(end.error().kind(), Kind::Malformed);
    // Nor is one of sixteen megabytes, whatever the limit of a frame.
    let (mut end, mut naive) = naive_end();
    end.hear(&naive.seal_as(0xff_ffff, &[0x80; 16])[..ENOUGH]);
    assert_eq!(end.error().kind(), Kind::Malformed, "{}", end.error());
}

/// Hundreds of capabilities fit into 2048 bytes; they cost no more than the limit says.
#[test]
fn an_inflated_list_of_capabilities_is_refused_or_cut() {
    let (mut end, mut rogue) = at_stage(Direction::Inbound, Stage::Hello);
    let mut hello = rogue.honest_hello();
    let eth = hello.capabilities.clone();
    let other = |version| Capability {
        name: CapName::from_static("a"),
        version,
    };
    hello.capabilities = (0..300).map(other).chain(eth).collect();
    assert!(hello.encode().len() < 2048);
    end.hear(&rogue.introduce(&hello));
    let error = end.error();
    assert!(
        matches!(error.kind(), Kind::Incompatible | Kind::Malformed),
        "{error}"
    );
    if let HandshakeError::NothingShared { theirs } = error {
        assert!(theirs.len() <= 64);
    }
    assert!(error.reason().message.len() < 500);
}

#[test]
fn before_a_status_eth_says_nothing_else() {
    for row in MESSAGES.iter().filter(|row| row.role != Role::Handshake) {
        let (mut end, mut rogue) = at_stage(Direction::Inbound, Stage::Status);
        let id = rogue.eth_id(row.id);
        let frame = rogue.frame(id, &[0; 5000]);
        let needed = needed(&frame, |byte| {
            end.hear(byte);
            end.is() == "failed"
        });
        assert_eq!(needed, ENOUGH);
        let awaited = Awaited::Status;
        assert_eq!(*end.error(), HandshakeError::Unexpected { awaited, id });
    }
}

#[test]
fn a_status_before_hello_and_a_second_hello_are_refused() {
    for direction in BOTH {
        let (mut end, mut rogue) = at_stage(direction, Stage::Hello);
        end.hear(&rogue.frame(0x10, &[0xc0]));
        let (awaited, id) = (Awaited::Hello, 0x10);
        assert_eq!(*end.error(), HandshakeError::Unexpected { awaited, id });

        let (mut end, mut rogue) = at_stage(direction, Stage::Status);
        let hello = rogue.honest_hello().encode();
        end.hear(&rogue.message(p2p::HELLO, &hello));
        let (awaited, id) = (Awaited::Status, p2p::HELLO);
        assert_eq!(*end.error(), HandshakeError::Unexpected { awaited, id });
    }
}

#[test]
fn an_unknown_id_before_a_status_is_refused() {
    for id in [4, 0xf, 0x1b, 0x26, 0x1000, u64::MAX] {
        let (mut end, mut rogue) = at_stage(Direction::Inbound, Stage::Status);
        end.hear(&rogue.frame(id, &[0; 999])[..ENOUGH]);
        assert_eq!(end.error().kind(), Kind::Violation, "{id:#x}");
    }
}

/// A body made of an honest one.
type Body = fn(&[u8]) -> Vec<u8>;

#[test]
fn a_status_with_more_in_it_or_too_long_is_refused() {
    // Extra items, a list that lies about its length, and a block that does.
    let bodies: [Body; 3] = [
        |status| {
            let mut longer = status.to_vec();
            longer[1] += 1;
            longer.push(1);
            longer
        },
        |status| [&[0xfa, 0xff, 0xff, 0xff], &status[2..]].concat(),
        |status| [status, &[0]].concat(),
    ];
    for body in bodies {
        let (mut end, mut rogue) = at_stage(Direction::Inbound, Stage::Status);
        let id = rogue.eth_id(0);
        let status = rogue.honest_status().encode();
        end.hear(&rogue.message(id, &body(&status)));
        assert_eq!(end.error().kind(), Kind::Malformed);
    }
    let (mut end, mut rogue) = at_stage(Direction::Inbound, Stage::Status);
    let id = rogue.eth_id(0);
    end.hear(&rogue.frame(id, &[0; 2000])[..ENOUGH]);
    assert_eq!(end.error().kind(), Kind::Malformed);
    let (mut end, mut rogue) = at_stage(Direction::Inbound, Stage::Status);
    end.hear(&rogue.message(id, &[0; 100_000]));
    assert_eq!(end.error().kind(), Kind::Malformed);
}

#[test]
fn a_peer_without_eth_cannot_answer_its_questions() {
    let only_toy = |mut local: Local| {
        local.capabilities = [toy()].into();
        local
    };
    let (mut end, mut rogue) = at_stage_of(
        &only_toy(node(1)),
        &only_toy(mallory()),
        Direction::Inbound,
        Stage::Hello,
    );
    end.hear(&rogue.introduce_honestly());
    let mut life = end.into_peer();
    assert_eq!(life.info.chain, None);
    rogue.hear(&[]);
    let error = life.hear(&rogue.frame(0x13, &[0])).unwrap_err();
    assert_eq!(error.kind(), Kind::Violation, "{error}");
}
