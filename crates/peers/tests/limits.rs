//! Limits by direction, stage, group and standing.

use peerage_core::{ConnectedAddr, Endpoint, Failure as _};
use peerage_peers::{Dial, EvictRules, Fate, Refused, Standing, Tie};

use crate::common::{World, far, ip, secs, small};

#[test]
fn a_dial_beyond_a_limit_is_refused_with_the_limit() {
    let mut world = World::new(small());
    for n in 1..=3 {
        world.dial(n).unwrap();
    }
    let refused = world.dial(4).unwrap_err();
    assert_eq!(refused, Refused::PendingFull { limit: 3 });
    assert_eq!(refused.detail().iter().next().unwrap().1.to_string(), "3");
    assert!(refused.to_string().starts_with("3 attempts"));

    let mut world = World::new(small());
    let _ = (world.out(1), world.out(2));
    world.dial(3).unwrap();
    world.dial(4).unwrap();
    assert_eq!(
        world.dial(5),
        Err(Refused::Full { limit: 3 }),
        "3 slots and 1 spare dial"
    );
}

#[test]
fn nobody_is_dialled_twice() {
    let mut world = World::new(small());
    let dialling = world.dial(1).unwrap();
    let existing = dialling;
    assert_eq!(world.dial(1), Err(Refused::AlreadyDialling { existing }));
    world.greet(dialling, 1, Tie::Older).unwrap();
    assert_eq!(world.dial(1), Err(Refused::AlreadyConnected { existing }));
}

#[test]
fn a_spare_dial_that_comes_too_late_is_told_that_we_are_full() {
    let mut world = World::new(small());
    let _ = (world.out(1), world.out(2));
    let (a, b) = (world.dial(3).unwrap(), world.dial(4).unwrap());
    world.greet(a, 3, Tie::Older).unwrap();
    assert_eq!(
        world.greet(b, 4, Tie::Older),
        Err(Refused::Full { limit: 3 })
    );
    assert!(world.drain().contains(&format!("close {b} full")));
}

#[test]
fn a_group_has_its_share_of_both_directions_together() {
    let mut world = World::new(small());
    let a = world.admit("203.0.113.5").unwrap();
    let addr = Some(Endpoint::new(ip("203.0.113.99"), 8233));
    let dial = |n, standing| Dial {
        identity: n,
        addr,
        standing,
    };
    world
        .table
        .dial(world.now, dial(1, Standing::Ordinary))
        .unwrap();
    let group = peerage_peers::Groups::default()
        .of(ip("203.0.113.0"))
        .unwrap();
    let full = Refused::GroupFull { group, limit: 2 };
    assert_eq!(world.admit("203.0.113.6"), Err(full.clone()));
    assert_eq!(world.admit("::ffff:203.0.113.6"), Err(full.clone()));
    let dialled = world.table.dial(world.now, dial(2, Standing::Ordinary));
    assert_eq!(dialled, Err(full));
    let friend = world.table.dial(world.now, dial(3, Standing::Static));
    assert!(friend.is_ok(), "the operator's own wish");
    world.ended(a.id, peerage_peers::Outcome::Left);
    assert!(world.admit("203.0.113.6").is_ok());
    // IPv6 hosts own a /64 each.
    world.admit("2001:db8::1").unwrap();
    world.admit("2001:db8::2:1").unwrap();
    assert!(matches!(
        world.admit("2001:db8::3:1"),
        Err(Refused::GroupFull { .. })
    ));
}

#[test]
fn near_networks_and_proxies_have_no_group() {
    let mut config = small();
    config.limits.pending_in = 100;
    config.limits.active_in = 100;
    let mut world = World::new(config);
    for n in 0..10 {
        world.admit(&format!("127.0.0.{n}")).unwrap();
        world.admit(&format!("10.0.0.{n}")).unwrap();
        let transient = Endpoint::new(ip("203.0.113.1"), n);
        let proxied = ConnectedAddr::InboundProxy { transient };
        world
            .table
            .admit(world.now, proxied, Standing::Ordinary)
            .unwrap();
    }
    world.drain();
}

#[test]
fn refusals_are_few_and_cannot_be_pinned() {
    let mut config = small();
    config.limits.pending_in = 1;
    config.limits.refusing = 2;
    config.deadlines.refusing = secs(5);
    let mut world = World::new(config);
    world.admit(&far(0)).unwrap();
    let fates: Vec<_> = (1..=4)
        .map(|n| world.admit(&far(n)).map(|admitted| admitted.fate))
        .collect();
    assert!(
        fates[..2]
            .iter()
            .all(|fate| matches!(fate, Ok(Fate::Refuse { .. })))
    );
    let limit = 1;
    assert_eq!(
        fates[2..],
        [
            Err(Refused::PendingFull { limit }),
            Err(Refused::PendingFull { limit })
        ]
    );
    // They say nothing; their places are free again all the same.
    let said = world.pass(secs(5)).join("; ");
    assert!(said.contains("closed #2 inbound refused full"), "{said}");
    assert!(matches!(
        world.admit(&far(5)).unwrap().fate,
        Fate::Refuse { .. }
    ));
    let said = world.pass(secs(2)).join("; ");
    assert!(said.contains("abort #2"), "{said}");
}

#[test]
fn friends_take_no_slots_and_find_one_when_all_are_taken() {
    let mut config = small();
    config.limits.active_in = 1;
    config.limits.active_out = 1;
    config.limits.spare_dials = 0;
    let mut world = World::new(config);
    world.out(1);
    world.inn(2);
    assert!(world.dial(3).is_err());
    for n in 10..20 {
        let id = world.dial_as(n, Standing::Static).unwrap();
        world.greet(id, n, Tie::Older).unwrap();
    }
    // One that dials us is recognised by its key, in the middle of its refusal.
    let stranger = world.admit(&far(30)).unwrap();
    assert!(matches!(stranger.fate, Fate::Refuse { .. }));
    let friend = (Standing::Trusted, Tie::Older);
    world
        .table
        .identified(world.now, stranger.id, &30, friend)
        .unwrap();
    world.greet(stranger.id, 30, Tie::Older).unwrap();
    world.drain();
    let overview = world.table.overview(world.now);
    assert_eq!((overview.active, overview.established), ([1, 1], 13));
    assert_eq!(world.table.session_of(&30), Some(stranger.id));
}

#[test]
fn a_caller_that_does_not_listen_gets_no_more_attempts() {
    let mut config = small();
    config.backlog = 10;
    let mut world = World::new(config);
    let mut refused = None;
    for n in 0..100 {
        match world.dial(n) {
            Ok(id) => world
                .table
                .ended(world.now, id, peerage_peers::Outcome::Left),
            Err(error) => refused = Some(error),
        }
    }
    assert_eq!(refused, Some(Refused::Backlog { limit: 10 }));
    assert_eq!(world.table.waiting(), 10);
    assert_eq!(world.drain().len(), 10);
    assert!(world.dial(500).is_ok());
}

fn wide(evict: Option<EvictRules>) -> World {
    let mut config = small();
    config.limits.pending_in = 100;
    config.limits.active_in = 100;
    config.limits.closing = 64;
    config.keepalive.first = secs(1_000_000);
    config.keepalive.idle = secs(1_000_000);
    config.evict = evict;
    World::new(config)
}

#[test]
fn a_lowered_limit_lets_a_few_go_at_a_time_and_only_those_who_are_too_many() {
    let mut world = wide(Some(EvictRules::default()));
    let out = world.out(200);
    let all: Vec<_> = (0..60).map(|n| world.inn(n)).collect();
    world.pass(secs(60));
    let mut limits = world.table.config().limits;
    // Whoever still fits stays.
    limits.active_in = 60;
    world.table.set_limits(world.now, limits);
    assert!(world.pass(secs(60)).is_empty());

    limits.active_in = 20;
    world.table.set_limits(world.now, limits);
    assert!(world.drain().is_empty(), "nobody goes at once");
    let overview = |world: &World| world.table.overview(world.now).active[0];
    let said = world.pass(secs(5));
    let told = "inbound refused full told full";
    let gone = |said: &[String]| said.iter().filter(|line| line.contains(told)).count();
    assert_eq!((gone(&said), overview(&world)), (5, 55), "{said:?}");
    // Nobody takes their places meanwhile, although the others could be evicted.
    let late = world.admit(&far(100)).unwrap();
    assert!(matches!(late.fate, Fate::Refuse { .. }), "{late:?}");
    world.ended(late.id, peerage_peers::Outcome::Left);
    let said = world.pass(secs(120));
    assert_eq!((gone(&said), overview(&world)), (35, 20));
    assert!(world.pass(secs(600)).is_empty());
    // Those who came first are worth more than those who came last.
    let stays = |ids: &[_]| ids.iter().filter(|id| world.table.can_read(**id)).count();
    assert!(stays(&all[..30]) > 2 * stays(&all[30..]));
    assert!(world.table.can_read(out));

    // The usual rules spare twenty; the operator's word does not.
    (limits.active_in, limits.active_out) = (0, 0);
    world.table.set_limits(world.now, limits);
    world.pass(secs(300));
    assert_eq!(world.table.overview(world.now).established, 0);
}

#[test]
fn a_friend_is_never_too_many_and_a_former_one_may_be() {
    let mut world = wide(Some(EvictRules::default()));
    let (a, b) = (world.inn(1), world.inn(2));
    world
        .table
        .set_standing(world.now, a, Standing::Static)
        .unwrap();
    let limits = peerage_peers::Limits {
        active_in: 0,
        ..world.table.config().limits
    };
    world.table.set_limits(world.now, limits);
    world.pass(secs(60));
    assert!(world.table.can_read(a) && !world.table.can_read(b));
    assert!(
        world
            .table
            .set_standing(world.now, b, Standing::Static)
            .is_err()
    );
    world
        .table
        .set_standing(world.now, a, Standing::Ordinary)
        .unwrap();
    let said = world.pass(secs(60)).join("; ");
    assert!(said.contains(&format!("close {a} full")), "{said}");
}

#[test]
fn without_eviction_a_lowered_limit_is_reached_when_peers_leave() {
    let mut world = wide(None);
    let ids: Vec<_> = (0..5).map(|n| world.inn(n)).collect();
    let mut limits = world.table.config().limits;
    limits.active_in = 3;
    world.table.set_limits(world.now, limits);
    assert!(world.pass(secs(600)).is_empty());
    for id in &ids[..2] {
        world.ended(*id, peerage_peers::Outcome::Left);
        let late = world.admit(&far(9)).unwrap();
        assert!(matches!(late.fate, Fate::Refuse { .. }));
        world.ended(late.id, peerage_peers::Outcome::Left);
    }
    world.ended(ids[2], peerage_peers::Outcome::Left);
    assert!(matches!(world.admit(&far(9)).unwrap().fate, Fate::Greet));
}
