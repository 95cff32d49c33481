//! The life of a session, from slot to goodbye.

use std::time::Duration;

use peerage_core::{Direction, Kind, Stage};
use peerage_peers::{
    Action, Ending, Event, Fate, Misdeed, NotSent, NotTaken, Outcome, Parting, Phase, Refused,
    SessionId, Standing, Tie,
};

use crate::common::{World, far, from, reason, secs, small};

#[test]
fn numbers_grow_and_are_never_used_twice() {
    let mut world = World::new(small());
    let a = world.out(1);
    world.ended(a, Outcome::Left);
    let b = world.out(1);
    let c = world.inn(2);
    assert!(a < b && b < c);
}

#[test]
fn established_comes_before_everything_else_of_a_session() {
    let mut world = World::new(small());
    let id = world.dial(1).unwrap();
    world.greet(id, 1, Tie::Older).unwrap();
    // What came early during the handshake takes the ordinary path.
    world.gossip(id, "early");
    world.request(id, "early request");
    let ping = peerage_peers::Heard::Ping {
        pong: "pong".into(),
    };
    world.hear(id, 8, ping);
    assert_eq!(
        world.drain(),
        [
            "established #1 1",
            "request #1 early request",
            "wake #1",
            "gossip #1 early"
        ]
    );
}

#[test]
fn a_message_before_the_handshake_ends_is_not_taken() {
    let mut world = World::new(small());
    let id = world.dial(1).unwrap();
    let heard = peerage_peers::Heard::Gossip("too early".to_owned());
    assert_eq!(
        world.table.received(world.now, id, 9, heard.clone()),
        Err(NotTaken::Dead(heard))
    );
    let sent = world.table.send(world.now, id, "x".into(), 1);
    assert!(matches!(sent, Err(NotSent::Dead(_))));
}

#[test]
fn every_ending_is_told_apart() {
    type End = fn(&mut World, SessionId);
    let cases: [(End, &str); 8] = [
        (
            |world, id| {
                let _ = world
                    .table
                    .disconnect(world.now, id, Parting::Requested, None);
            },
            "outbound cancelled cancelled told requested",
        ),
        (
            |world, id| {
                let why = Some(reason(Kind::Rejected, "banned"));
                let _ = world.table.disconnect(world.now, id, Parting::Breach, why);
            },
            "outbound cancelled rejected told breach",
        ),
        (
            |world, id| {
                let _ = world.table.misbehaved(world.now, id, Misdeed::BadMessage);
            },
            "outbound refused malformed told breach",
        ),
        (
            |world, id| world.table.ended(world.now, id, Outcome::Left),
            "outbound left closed told -",
        ),
        (
            |world, id| {
                let bye = Outcome::Goodbye(reason(Kind::PeerFull, "too many peers"));
                world.table.ended(world.now, id, bye);
            },
            "outbound goodbye peer_full told -",
        ),
        (
            |world, id| {
                let broken = Outcome::Failed(reason(Kind::Transport, "reset"));
                world.table.ended(world.now, id, broken);
            },
            "outbound failed transport told -",
        ),
        (
            |world, id| {
                let codec = Outcome::Refused(reason(Kind::Malformed, "bad frame"));
                world.table.ended(world.now, id, codec);
            },
            "outbound refused malformed told -",
        ),
        (
            |world, _| world.table.stop(world.now),
            "outbound cancelled cancelled told quitting",
        ),
    ];
    for (end, expected) in cases {
        let mut world = World::new(small());
        let id = world.out(1);
        end(&mut world, id);
        let said = world.drain();
        let closed: Vec<_> = said
            .iter()
            .filter(|line| line.starts_with("closed"))
            .collect();
        assert_eq!(closed, [&format!("closed {id} {expected}")], "{said:?}");
        let again = world.ended(id, Outcome::Left);
        assert!(again.is_empty(), "it is told once");
    }
}

#[test]
fn a_goodbye_has_a_time_and_then_the_task_is_stopped() {
    let mut world = World::new(small());
    let (a, b) = (world.out(1), world.out(2));
    let all = world
        .table
        .disconnect_all(world.now, Parting::Requested, None);
    assert_eq!(all, 2);
    let said = world.drain();
    assert_eq!(said[0], "close #1 requested");
    assert_eq!(world.table.overview(world.now).closing, 2);
    // One says goodbye in time, the other hangs.
    world.ended(a, Outcome::Left);
    assert_eq!(world.pass(secs(2)), [format!("abort {b}")]);
    assert_eq!(world.table.overview(world.now).closing, 0);
    assert!(
        world.table.poll_timeout().is_none(),
        "an empty table wants nothing"
    );
}

#[test]
fn goodbyes_are_limited_in_number() {
    let mut config = small();
    config.limits.closing = 1;
    let mut world = World::new(config);
    let _ = (world.out(1), world.out(2));
    world
        .table
        .disconnect_all(world.now, Parting::Requested, None);
    assert_eq!(
        world.drain(),
        [
            "close #1 requested",
            "closed #1 outbound cancelled cancelled told requested",
            "abort #2",
            "closed #2 outbound cancelled cancelled told -",
        ]
    );
}

#[test]
fn pending_attempts_are_called_off_without_touching_peers() {
    let mut world = World::new(small());
    let kept = world.out(1);
    let dial = world.dial(2).unwrap();
    let inbound = world.admit(&far(3)).unwrap().id;
    world
        .table
        .stage(world.now, inbound, Stage::Greet("hello"))
        .unwrap();
    assert_eq!(world.table.cancel_pending(world.now, None), 2);
    assert_eq!(
        world.drain(),
        [
            format!("close {dial} requested"),
            format!("closed {dial} outbound cancelled cancelled told -"),
            format!("close {inbound} requested"),
            format!("closed {inbound} inbound cancelled cancelled told requested"),
        ],
        "nobody listens to a dial that was not answered"
    );
    assert!(world.table.can_read(kept));
}

#[test]
fn an_attempt_has_a_deadline_and_so_has_each_stage() {
    let mut config = small();
    config.deadlines.attempt = secs(20);
    config.deadlines.stage = secs(10);
    config.deadlines.stages = vec![(Stage::Greet("slow"), secs(12))];
    let mut world = World::new(config);
    let silent = world.dial(1).unwrap();
    let lingering = world.dial(2).unwrap();
    let said = world.pass(secs(9));
    assert!(said.is_empty(), "{said:?}");
    world
        .table
        .stage(world.now, lingering, Stage::Greet("slow"))
        .unwrap();
    // Saying the same stage again wins no time.
    world.pass(Duration::from_millis(500));
    world.table.stage(world.now, silent, Stage::Reach).unwrap();
    let said = world.pass(Duration::from_millis(500));
    assert_eq!(
        said[1],
        format!("closed {silent} outbound failed timeout told -")
    );
    let said = world.pass(secs(9)).join("; ");
    assert!(!said.contains("closed"), "{said}");
    let said = world.pass(secs(1));
    let told = format!("closed {lingering} outbound failed timeout told timed out");
    assert_eq!(said[1], told, "20 s in all, although its stage had 12");
}

#[test]
fn the_closing_event_says_how_far_it_came() {
    let mut world = World::new(small());
    let id = world.dial(1).unwrap();
    world.pass(secs(3));
    let refused = reason(Kind::Refused, "connection refused");
    world
        .table
        .ended(world.now, id, Outcome::Failed(refused.clone()));
    let Some(Action::Event(Event::Closed(closed))) = world.table.poll_action() else {
        panic!()
    };
    assert_eq!(closed.phase, Phase::Pending(Stage::Reach));
    assert_eq!((closed.ending, &closed.reason), (Ending::Failed, &refused));
    assert_eq!((closed.lasted, closed.identity), (secs(3), Some(1)));
    assert_eq!(closed.direction, Direction::Outbound);
}

#[test]
fn early_answers_come_before_the_handshake_is_paid_for() {
    let mut world = World::new(small());
    let existing = world.out(1);
    let second = world.admit(&far(9)).unwrap().id;
    let early = world
        .table
        .identified(world.now, second, &1, (Standing::Ordinary, Tie::Older));
    assert_eq!(early, Err(Refused::AlreadyConnected { existing }));
    assert_eq!(
        early.unwrap_err().refusal(),
        peerage_core::Refusal::Duplicate
    );
    let dialled = world.dial(2).unwrap();
    let early = world
        .table
        .identified(world.now, dialled, &7, (Standing::Ordinary, Tie::Older));
    assert_eq!(early, Err(Refused::WrongIdentity));
    world.drain();
}

#[test]
fn two_ends_that_dial_each_other_keep_the_same_connection() {
    for (ours, theirs) in [(9_u32, 4_u32), (4, 9)] {
        // Both orders in which the two handshakes may end here.
        for inbound_first in [false, true] {
            let mut world = World::new(small());
            let tie = Tie::between(&ours, &theirs);
            let outbound = world.dial(theirs).unwrap();
            let inbound = world.admit(&far(theirs)).unwrap().id;
            let order = if inbound_first {
                [inbound, outbound]
            } else {
                [outbound, inbound]
            };
            let results = order.map(|id| world.greet(id, theirs, tie));
            let kept = if ours > theirs { outbound } else { inbound };
            assert_eq!(world.table.session_of(&theirs), Some(kept));
            assert_eq!(results[0], Ok(()));
            let said = world.drain().join("; ");
            let gone = if kept == outbound { inbound } else { outbound };
            assert!(said.contains(&format!("{kept} stays")), "{said}");
            assert!(
                said.contains(&format!("close {gone} already connected")),
                "{said}"
            );
            assert!(
                said.contains("already_connected told already connected"),
                "{said}"
            );
            assert_eq!(world.table.overview(world.now).established, 1);
        }
    }
}

#[test]
fn a_tie_is_won_even_when_all_slots_of_that_direction_are_taken() {
    let mut config = small();
    config.limits.active_out = 1;
    config.limits.spare_dials = 2;
    let mut world = World::new(config);
    let late = world.dial(7).unwrap();
    let _full = world.out(1);
    let inbound = world.admit(&far(7)).unwrap().id;
    world
        .greet(inbound, 7, Tie::Keep(Direction::Outbound))
        .unwrap();
    world
        .greet(late, 7, Tie::Keep(Direction::Outbound))
        .unwrap();
    assert_eq!(world.table.session_of(&7), Some(late));
    world.drain();
    let overview = world.table.overview(world.now);
    assert_eq!(
        overview.active,
        [1, 1],
        "it has taken over the inbound slot"
    );
}

#[test]
fn a_duplicate_makes_us_doubt_that_the_first_still_lives() {
    let mut world = World::new(small());
    let ghost = world.out(1);
    let again = world.admit(&far(1)).unwrap().id;
    assert!(
        world
            .greet(again, 1, Tie::Keep(Direction::Outbound))
            .is_err()
    );
    let said = world.pass(secs(21)).join("; ");
    assert!(
        said.contains(&format!("wake {ghost}")),
        "a ping at once: {said}"
    );
    // Its task takes the ping, and nobody answers.
    let mut world = World::new(small());
    let ghost = world.out(1);
    let again = world.admit(&far(1)).unwrap().id;
    assert!(
        world
            .greet(again, 1, Tie::Keep(Direction::Outbound))
            .is_err()
    );
    world.pass(Duration::ZERO);
    assert!(
        world
            .table
            .poll_transmit(world.now, ghost)
            .unwrap()
            .starts_with("ping")
    );
    let said = world.pass(secs(21)).join("; ");
    assert!(
        said.contains(&format!("closed {ghost} outbound failed timeout")),
        "{said}"
    );
}

#[test]
fn a_token_of_a_dead_session_is_an_error() {
    let mut world = World::new(small());
    let id = world.out(1);
    world.request(id, "q");
    let Some(Action::Event(Event::Request { token, .. })) = world.table.poll_action() else {
        panic!()
    };
    world.ended(id, Outcome::Left);
    let dead = world.table.respond(world.now, token, "a".into(), 1);
    assert!(matches!(dead, Err(NotSent::Dead(_))));
}

#[test]
fn a_stopped_table_takes_nobody_in() {
    let mut world = World::new(small());
    let pending = world.dial(1).unwrap();
    world.table.stop(world.now);
    assert_eq!(world.dial(2), Err(Refused::Stopping));
    assert_eq!(world.admit(&far(3)), Err(Refused::Stopping));
    assert_eq!(world.greet(pending, 1, Tie::Older), Err(Refused::Gone));
    world.drain();
}

#[test]
fn an_inbound_peer_at_capacity_is_told_so() {
    let mut config = small();
    config.limits.pending_in = 1;
    let mut world = World::new(config);
    let greeted = world.admit(&far(1)).unwrap();
    assert_eq!(greeted.fate, Fate::Greet);
    let refused = world.admit(&far(2)).unwrap();
    assert!(matches!(refused.fate, Fate::Refuse { .. }));
    // Its handshake went through in spite of it.
    let full = world.greet(refused.id, 2, Tie::Older);
    assert!(matches!(full, Err(Refused::Full { .. })));
    assert_eq!(
        world.drain(),
        [
            "close #2 full".to_owned(),
            "closed #2 inbound refused full told full".to_owned()
        ]
    );
    // The other way: its task said so in the handshake.
    let refused = world
        .table
        .admit(world.now, from(&far(3)), Standing::Ordinary)
        .unwrap();
    let said = world.ended(refused.id, Outcome::Left);
    assert_eq!(said, ["closed #3 inbound refused full told -"]);
}

/// Whoever carries out an attempt has deadlines of its own. Behind a safety net the table cannot be
/// the first to speak, however long it was not looked after.
#[test]
fn behind_a_safety_net_the_task_speaks_first() {
    let config = small();
    let limit = config.deadlines.stage;
    for jump in (0..=60_000).step_by(500).map(Duration::from_millis) {
        let mut world = World::new(config.clone().as_safety_net());
        let id = world.dial(1).unwrap();
        // A moment before the task's deadline somebody looked last.
        world.pass(limit.checked_sub(Duration::from_millis(1)).unwrap());
        world.now += jump;
        world.table.handle_timeout(world.now);
        let said = world.drain();
        let spoke = said.iter().any(|line| line.contains("closed"));
        assert!(!spoke, "after {jump:?}: {said:?}");
        // The task, which woke at the same time, comes second.
        let failed = Outcome::Failed(crate::common::reason(Kind::Timeout, "no version came"));
        let said = world.ended(id, failed);
        assert!(
            said[0].starts_with("closed #1 outbound failed timeout"),
            "{said:?}"
        );
    }
}
