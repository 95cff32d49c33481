//! What is known to be wrong elsewhere, each with the behaviour that is right here.
//!
//! The first six are those of the early reth session manager; the others were reported by users of
//! reth, zebra, dcrd, btcd and geth.

use peerage_core::{Failure as _, Kind, Stage};
use peerage_peers::{
    Action, Event, Greeted, Heard, Keepalive, Misdeed, Outcome, Parting, Refused, Standing, Tie,
};

use crate::common::{World, far, reason, secs, small, to};

#[test]
fn identity_is_what_was_proven_not_what_hello_says() {
    let mut world = World::new(small());
    let id = world.dial(1).unwrap();
    let early = (Standing::Ordinary, Tie::Older);
    world.table.identified(world.now, id, &1, early).unwrap();
    // Hello claims another key: reth issue 26639, nethermind issue 13348.
    assert_eq!(world.greet(id, 2, Tie::Older), Err(Refused::WrongIdentity));
    let said = world.drain();
    assert_eq!(said[0], format!("close {id} unexpected identity"));
    assert_eq!(world.table.session_of(&2), None);
}

#[test]
fn a_failed_attempt_is_removed_once() {
    let mut world = World::new(small());
    let (a, b) = (world.dial(1).unwrap(), world.dial(2).unwrap());
    let failed = || Outcome::Failed(reason(Kind::Malformed, "ecies"));
    assert_eq!(world.ended(a, failed()).len(), 1);
    assert!(world.ended(a, failed()).is_empty());
    assert_eq!(world.table.overview(world.now).pending, [0, 1]);
    assert!(
        world
            .table
            .stage(world.now, b, Stage::Greet("hello"))
            .is_ok()
    );
}

#[test]
fn a_silent_handshake_ends_by_itself() {
    let mut world = World::new(small());
    let id = world.admit(&far(1)).unwrap().id;
    let said = world.pass(secs(30)).join("; ");
    assert!(
        said.contains(&format!("closed {id} inbound failed timeout")),
        "{said}"
    );
    assert!(said.contains(&format!("abort {id}")), "{said}");
}

#[test]
fn dials_are_limited() {
    let mut world = World::new(small());
    let started = (0..100).filter(|n| world.dial(*n).is_ok()).count();
    assert_eq!(started, 3);
}

#[test]
fn a_dial_stalled_before_the_handshake_can_be_called_off() {
    for stage in [Stage::Reach, Stage::Greet("ack"), Stage::Greet("hello")] {
        let mut world = World::new(small());
        let id = world.dial(1).unwrap();
        world.table.stage(world.now, id, stage).unwrap();
        world
            .table
            .disconnect(world.now, id, Parting::Requested, None)
            .unwrap();
        let said = world.drain();
        assert_eq!(said[0], format!("close {id} requested"));
        assert_eq!(
            world.pass(secs(2)),
            [format!("abort {id}")],
            "even if its task hangs"
        );
        assert!(world.dial(1).is_ok());
    }
}

#[test]
fn a_fork_transition_reaches_handshakes_that_began_before_it() {
    let mut world = World::new(small());
    let id = world.dial(1).unwrap();
    world.table.set_status(world.now, 250);
    assert!(matches!(
        world.greet(id, 1, Tie::Older),
        Err(Refused::Incompatible(_))
    ));
}

#[test]
fn a_penalty_is_never_dropped_however_busy_the_reader() {
    // reth: a bad message is try-sent, a breach dropped when the queue is full.
    let mut config = small();
    config.backlog = 2;
    let mut world = World::new(config);
    let (a, b) = (world.out(1), world.out(2));
    for n in 0..1000 {
        world.gossip(a, &n.to_string());
        world.request(b, "q");
    }
    world
        .table
        .misbehaved(world.now, b, Misdeed::BadMessage)
        .unwrap();
    let said = world.drain();
    assert!(
        said.contains(&format!("misbehaved {b} bad_message 1")),
        "{said:?}"
    );
    assert!(said.contains(&format!(
        "closed {b} outbound refused malformed told breach"
    )));
}

#[test]
fn a_goodbye_keeps_its_reason() {
    // The reference reports a remote disconnect as a connection error.
    let mut world = World::new(small());
    let id = world.out(1);
    let why = reason(Kind::PeerFull, "too many peers");
    world
        .table
        .ended(world.now, id, Outcome::Goodbye(why.clone()));
    let Some(Action::Event(Event::Closed(closed))) = world.table.poll_action() else {
        panic!()
    };
    assert_eq!(closed.reason, why);
}

#[test]
fn a_pong_behind_a_long_block_is_no_death() {
    // btcd issues 776 and 518: peers were dropped during sync.
    let mut world = World::new(small());
    let id = world.out(1);
    world.pass(secs(59));
    while world.table.poll_transmit(world.now, id).is_some() {}
    for _ in 0..60 {
        world.table.bytes_in(world.now, id, 30_000);
        let said = world.pass(secs(1)).join("; ");
        assert!(!said.contains("closed"), "{said}");
    }
    let nonce = world.table.awaited_pong(id);
    world.hear(id, 8, Heard::Pong { nonce });
    let peer = world.table.peer_at(world.now, id).unwrap();
    assert_eq!(peer.rtt.unwrap().latest, secs(60));
}

#[test]
fn a_flood_of_pings_costs_a_bounded_number_of_pongs() {
    // geth CVE-2023-40591: a goroutine for each.
    let mut world = World::new(small());
    let id = world.out(1);
    for _ in 0..10_000 {
        world.hear(
            id,
            8,
            Heard::Ping {
                pong: "pong".into(),
            },
        );
    }
    let pongs = std::iter::from_fn(|| world.table.poll_transmit(world.now, id)).count();
    assert_eq!(pongs, 0, "the session is over");
    let said = world.drain().join("; ");
    assert!(said.contains("ping_flood 10"), "{said}");
    assert!(said.contains("refused flood told breach"), "{said}");
}

#[test]
fn a_trusted_peer_finds_no_closed_door() {
    // reth issue 7140: slots closed to trusted peers.
    let mut config = small();
    config.limits.active_out = 0;
    config.limits.spare_dials = 0;
    config.limits.pending_out = 0;
    config.limits.per_group = 0;
    let mut world = World::new(config);
    assert!(world.dial(1).is_err());
    assert!(world.dial_as(1, Standing::Trusted).is_ok());
}

#[test]
fn zero_peers_is_a_state_like_any_other() {
    // zebra issues 1435, 1905, 1633: hangs without peers.
    let mut world = World::new(small());
    assert!(world.table.poll_timeout().is_none());
    assert!(world.table.poll_action().is_none());
    world.table.handle_timeout(world.now);
    world.table.set_status(world.now, 5);
    world
        .table
        .broadcast(world.now, &"x".to_owned(), 1, |_, _| true);
    world.now += secs(100_000);
    let id = world.out(1);
    assert!(world.drain().is_empty(), "an empty table does not stall");
    world.ended(id, Outcome::Left);
    assert!(world.table.poll_timeout().is_none());
}

#[test]
fn losing_every_peer_at_once_leaves_every_slot_free() {
    let mut world = World::new(small());
    for round in 0..20 {
        let ids = [world.out(1), world.out(2), world.inn(3)];
        for id in ids {
            world.ended(id, Outcome::Failed(reason(Kind::Transport, "cut")));
        }
        let overview = world.table.overview(world.now);
        assert_eq!(
            (overview.active, overview.established),
            ([0, 0], 0),
            "round {round}"
        );
    }
}

#[test]
fn geth_keeps_us_because_we_ping_in_time() {
    // reth pings every 60 s and lives on geth's pings alone.
    assert!(Keepalive::ETHEREUM.interval <= secs(15));
    assert!(Keepalive::ETHEREUM.first <= secs(15));
}

#[test]
fn a_refusal_says_what_to_do() {
    let mut world = World::new(small());
    let existing = world.out(1);
    let refused = world.dial(1).unwrap_err();
    let why = refused.reason();
    assert_eq!(why.kind, Kind::AlreadyConnected);
    assert!(why.to_string().contains(&existing.to_string()), "{why}");
    let greeted = Greeted {
        identity: 2,
        addr: to(&far(2)),
        profile: 1,
        standing: Standing::Ordinary,
        tie: Tie::Older,
    };
    let id = world.dial(2).unwrap();
    let refused = world.table.established(world.now, id, greeted).unwrap_err();
    assert_eq!(refused.reason().kind, Kind::Obsolete);
    assert!(refused.to_string().contains("too old"));
}
