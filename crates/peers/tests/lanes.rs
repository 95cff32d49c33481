//! What waits, in both directions: budgets, fairness, backpressure, memory.

use peerage_core::{Budget, Reason};
use peerage_peers::{Heard, NotSent, NotTaken, Outcome, Overflow, SessionId, Table, Types};

use crate::common::{Toy, World, secs, small};

#[test]
fn a_full_control_lane_ends_the_session_and_loses_nothing_in_silence() {
    let mut config = small();
    config.budgets.control = Budget::new(3, 1000);
    let mut world = World::new(config);
    let id = world.out(1);
    for n in 0..3 {
        world.table.send(world.now, id, n.to_string(), 10).unwrap();
    }
    assert_eq!(
        world.table.send(world.now, id, "3".into(), 10),
        Err(NotSent::Ended)
    );
    assert_eq!(
        world.drain(),
        [
            format!("wake {id}"),
            format!("close {id} timed out"),
            format!("closed {id} outbound refused timeout told timed out"),
        ]
    );
    assert_eq!(world.table.overview(world.now).sending, 0);
}

#[test]
fn a_peer_that_takes_nothing_is_let_go() {
    let mut world = World::new(small());
    let id = world.out(1);
    world.table.send(world.now, id, "x".into(), 10).unwrap();
    world.table.bytes_in(world.now, id, 1);
    let said = world.pass(secs(20)).join("; ");
    assert!(
        said.contains(&format!("closed {id} outbound failed timeout")),
        "{said}"
    );
}

#[test]
fn control_overtakes_gossip_and_each_keeps_its_order() {
    let mut world = World::new(small());
    let id = world.out(1);
    for n in 0..3 {
        world
            .table
            .gossip(world.now, id, format!("gossip {n}"), 8)
            .unwrap();
        world
            .table
            .send(world.now, id, format!("control {n}"), 9)
            .unwrap();
    }
    assert_eq!(world.drain(), [format!("wake {id}")], "woken once");
    let sent: Vec<_> = std::iter::from_fn(|| world.table.poll_transmit(world.now, id)).collect();
    assert_eq!(
        sent,
        [
            "control 0",
            "control 1",
            "control 2",
            "gossip 0",
            "gossip 1",
            "gossip 2"
        ]
    );
    world.table.gossip(world.now, id, "more".into(), 4).unwrap();
    assert_eq!(world.drain(), [format!("wake {id}")], "woken again");
}

#[test]
fn gossip_beyond_its_budget_is_dropped_or_refused_and_counted() {
    for overflow in [Overflow::DropOldest, Overflow::Refuse] {
        let mut config = small();
        config.budgets.gossip = Budget::new(10, 1000);
        config.budgets.overflow = overflow;
        let mut world = World::new(config);
        let id = world.out(1);
        let results: Vec<_> = (0..30)
            .map(|n| world.table.gossip(world.now, id, format!("{n}"), 10))
            .collect();
        let tally = world.table.peer_at(world.now, id).unwrap().tally;
        let sent: Vec<_> =
            std::iter::from_fn(|| world.table.poll_transmit(world.now, id)).collect();
        assert_eq!(sent.len(), 10);
        match overflow {
            Overflow::DropOldest => {
                assert!(results.iter().all(Result::is_ok));
                assert_eq!((tally.gossip_dropped, tally.gossip_refused), (20, 0));
                assert_eq!(sent[0], "20");
            }
            Overflow::Refuse => {
                assert_eq!(results[10], Err(NotSent::GossipFull));
                assert_eq!((tally.gossip_dropped, tally.gossip_refused), (0, 20));
                assert_eq!(sent[0], "0");
            }
        }
    }
}

#[test]
fn all_sessions_share_a_budget_to_send() {
    let mut config = small();
    config.budgets.total_out = 100;
    let mut world = World::new(config);
    let ids = [world.out(1), world.out(2), world.inn(3)];
    let result = world
        .table
        .broadcast(world.now, &"block".to_owned(), 40, |_, _| true);
    assert_eq!((result.queued, result.refused), (2, 1));
    let full = world.table.send(world.now, ids[2], "x".into(), 40);
    assert_eq!(
        full,
        Err(NotSent::TotalFull { limit: 100 }),
        "an answer, and the session lives"
    );
    world.ended(ids[0], Outcome::Left);
    world.table.send(world.now, ids[2], "x".into(), 40).unwrap();
    assert_eq!(world.table.overview(world.now).sending, 80);
    let none = world
        .table
        .broadcast(world.now, &"b".to_owned(), 1, |_, version| *version > 900);
    assert_eq!(none.queued, 0);
}

#[test]
fn gossip_of_a_flooding_peer_waits_behind_that_of_the_others() {
    let mut world = World::new(small());
    let (loud, quiet) = (world.out(1), world.out(2));
    for n in 0..500 {
        world.gossip(loud, &n.to_string());
    }
    world.gossip(quiet, "here");
    let said = world.drain();
    assert_eq!(
        said[1],
        format!("gossip {quiet} here"),
        "its turn comes after one of each"
    );
    assert_eq!(said.len(), 501);
}

#[test]
fn control_of_a_new_peer_does_not_wait_behind_gossip() {
    let mut world = World::new(small());
    let loud = world.out(1);
    for n in 0..500 {
        world.gossip(loud, &n.to_string());
    }
    let id = world.dial(2).unwrap();
    world.greet(id, 2, peerage_peers::Tie::Older).unwrap();
    assert_eq!(world.drain()[0], format!("established {id} 2"));
}

#[test]
fn a_full_inbox_pauses_reading_and_resumes_when_half_is_fetched() {
    let mut config = small();
    config.budgets.inbox = Budget::new(10, 1000);
    let mut world = World::new(config);
    let id = world.out(1);
    for n in 0..12 {
        world.gossip(id, &n.to_string());
    }
    assert!(!world.table.can_read(id));
    assert_eq!(world.held.len(), 2, "two had been read already");
    assert_eq!(
        world
            .table
            .peer_at(world.now, id)
            .unwrap()
            .tally
            .messages_in,
        10
    );
    let said = world.drain();
    assert_eq!(said[0], format!("pause {id}"));
    assert_eq!(
        said.iter().position(|line| *line == format!("resume {id}")),
        Some(6)
    );
    assert!(world.table.can_read(id));
    for (id, len, heard) in std::mem::take(&mut world.held) {
        world.hear(id, len, heard);
    }
    assert_eq!(
        world.drain(),
        [format!("gossip {id} 10"), format!("gossip {id} 11")]
    );
}

#[test]
fn a_peer_that_is_held_back_is_not_read_and_never_late() {
    let mut config = small();
    config.keepalive = peerage_peers::Keepalive::ETHEREUM;
    let mut world = World::new(config);
    let (id, other) = (world.out(1), world.out(2));
    world.drain();
    world.table.hold_back(world.now, id, true).unwrap();
    world.table.hold_back(world.now, id, true).unwrap();
    assert_eq!(world.drain(), [format!("pause {id}")]);
    assert!(world.table.can_read(other));
    // What was read before comes all the same.
    world.gossip(id, "a");
    assert_eq!(world.drain(), [format!("gossip {id} a")]);
    let said = world.pass(std::time::Duration::from_secs(5));
    assert!(!said.iter().any(|line| line.contains(&id.to_string())));
    assert!(!world.table.can_read(id));
    world.table.hold_back(world.now, id, false).unwrap();
    assert_eq!(world.drain(), [format!("resume {id}")]);
    assert!(world.table.can_read(id));
    let gone = SessionId(999);
    let dead = world.table.hold_back(world.now, gone, true);
    assert_eq!(dead, Err(peerage_peers::Dead(gone)));
}

#[test]
fn all_sessions_share_a_budget_to_be_fetched_and_it_is_never_exceeded() {
    let mut config = small();
    config.budgets.total_in = 100;
    let mut world = World::new(config);
    let ids = [world.out(1), world.out(2), world.inn(3)];
    for round in 0..50 {
        let id = ids[round % 3];
        if world.table.can_read(id) {
            world.hear(id, 30, Heard::Gossip(round.to_string()));
        }
        assert!(world.table.overview(world.now).unread <= 100);
    }
    assert!(
        ids.iter().all(|id| !world.table.can_read(*id)),
        "all are held back"
    );
    assert_eq!(world.held.len(), 3);
    // An application that starts to fetch sets them free, without losing anything.
    let mut fetched = 0;
    for _ in 0..50 {
        let said = world.drain();
        fetched += said
            .iter()
            .filter(|line| line.starts_with("gossip"))
            .count();
        for (id, len, heard) in std::mem::take(&mut world.held) {
            assert!(world.table.can_read(id), "{said:?}");
            world.hear(id, len, heard);
        }
    }
    assert_eq!(fetched, 6);
    assert!(ids.iter().all(|id| world.table.can_read(*id)));
}

#[test]
fn a_message_longer_than_every_budget_passes_alone() {
    let mut config = small();
    config.budgets.inbox = Budget::new(10, 100);
    config.budgets.total_in = 200;
    let mut world = World::new(config);
    let id = world.out(1);
    world.hear(id, 5000, Heard::Gossip("huge".into()));
    assert!(world.held.is_empty() && !world.table.can_read(id));
    assert_eq!(world.drain().len(), 3);
    // Behind something else it waits until that is gone.
    world.hear(id, 1, Heard::Gossip("small".into()));
    world.hear(id, 5000, Heard::Gossip("huge".into()));
    assert_eq!(world.held.len(), 1);
    let said = world.drain();
    assert_eq!(said.last().unwrap(), &format!("resume {id}"));
    let (id, len, heard) = world.held.remove(0);
    world.hear(id, len, heard);
    assert!(world.held.is_empty());
}

#[test]
fn a_held_message_is_handed_back_whole() {
    let mut config = small();
    config.budgets.inbox = Budget::new(1, 100);
    let mut world = World::new(config);
    let id = world.out(1);
    world.gossip(id, "first");
    let second = Heard::Gossip("second".to_owned());
    let held = world.table.received(world.now, id, 6, second.clone());
    assert_eq!(held, Err(NotTaken::Held(second)));
}

#[test]
fn what_nobody_fetched_is_counted_when_a_session_ends() {
    let mut world = World::new(small());
    let id = world.out(1);
    for n in 0..5 {
        world.gossip(id, &n.to_string());
    }
    world.table.ended(world.now, id, Outcome::Left);
    let mut undelivered = None;
    while let Some(action) = world.table.poll_action() {
        if let peerage_peers::Action::Event(peerage_peers::Event::Closed(closed)) = action {
            undelivered = Some(closed.tally.undelivered);
        }
    }
    assert_eq!(undelivered, Some(5));
    assert_eq!(world.table.overview(world.now).unread, 0);
    world.drain();
}

#[test]
fn bytes_and_messages_are_metered_per_peer_and_in_all() {
    let mut world = World::new(small());
    let (a, b) = (world.out(1), world.out(2));
    for _ in 0..16 {
        world.table.bytes_in(world.now, a, 1000);
        world.table.bytes_out(world.now, a, 500);
        world.table.bytes_in(world.now, b, 3000);
        world.gossip(b, "x");
        world.pass(secs(1));
    }
    let peer = world.table.peer_at(world.now, a).unwrap();
    assert_eq!((peer.tally.bytes_in, peer.tally.bytes_out), (16_000, 8_000));
    assert!((875..=1000).contains(&peer.rate_in), "{}", peer.rate_in);
    world.ended(a, Outcome::Left);
    let all = world.table.overview(world.now);
    assert_eq!((all.tally.bytes_in, all.tally.messages_in), (64_000, 16));
    assert!((3500..=4000).contains(&all.rate_in), "{}", all.rate_in);
    world.pass(secs(30));
    assert_eq!(world.table.overview(world.now).rate_in, 0);
}

#[test]
fn an_idle_session_is_small() {
    /// Ethereum's: a key of 64 bytes, and what the handshake learned behind a pointer.
    #[derive(Debug)]
    struct Wide;
    impl Types for Wide {
        type Identity = [u8; 64];
        type Profile = std::sync::Arc<str>;
        type Status = ();
        type Message = [u64; 8];
        type Key = u64;
        fn judge(_: &(), _: &Self::Profile) -> Result<(), Reason> {
            Ok(())
        }
        fn ping(nonce: u64) -> [u64; 8] {
            [nonce; 8]
        }
    }
    for len in [Table::<Toy>::idle_len(), Table::<Wide>::idle_len()] {
        println!("an idle session: {len} bytes; target 1,024");
        assert!(len <= 1024, "{len}");
    }
}
