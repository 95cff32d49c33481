//! Peers and strangers who mean harm, and an application that does not listen.

use peerage_core::Endpoint;
use peerage_peers::{Config, Dial, Groups, Heard, NotTaken, Standing, Tie, Treatment};

use crate::common::{World, far, ip, secs, small};

#[test]
fn a_deaf_application_and_hostile_peers_cannot_grow_the_queue() {
    let mut config = small();
    config.backlog = 64;
    config.conduct.unsolicited = Treatment::Strike;
    config.conduct.stray_pong = Treatment::Strike;
    let (strikes, max) = (config.conduct.strikes as usize, config.theirs.max);
    let mut world = World::new(config);
    let mut seed = 1_u64;
    let mut ids = Vec::new();
    let mut refused = 0;
    for n in 0..20_000_u32 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        match seed >> 61 {
            0 | 1 => match world.table.admit(
                world.now,
                crate::common::from(&far(n % 5000)),
                Standing::Ordinary,
            ) {
                Ok(admitted) => {
                    if world.greet(admitted.id, n, Tie::Older).is_ok() {
                        ids.push(admitted.id);
                    }
                }
                Err(_) => refused += 1,
            },
            kind => {
                let Some(id) = ids.get(n as usize % ids.len().max(1)).copied() else {
                    continue;
                };
                let heard = match kind {
                    2 => Heard::Request("q".to_owned()),
                    3 => Heard::Answer {
                        key: 1,
                        message: "a".to_owned(),
                    },
                    4 => Heard::Pong { nonce: None },
                    5 => Heard::Ping {
                        pong: "pong".to_owned(),
                    },
                    _ => Heard::Gossip("g".to_owned()),
                };
                match world.table.received(world.now, id, 1, heard) {
                    Ok(()) | Err(NotTaken::Held(_)) => {}
                    Err(NotTaken::Dead(_)) => ids.retain(|other| *other != id),
                }
            }
        }
        if n % 50 == 0 {
            world.now += secs(1);
            world.table.handle_timeout(world.now);
        }
        // Beyond the backlog each session adds what it can add once.
        let bound = 64 + 9 * (strikes + 2 * max + 8);
        assert!(
            world.table.waiting() <= bound,
            "{} of {bound}",
            world.table.waiting()
        );
    }
    assert!(refused > 1000);
    world.table.check().unwrap();
    world.drain();
}

#[test]
fn ten_thousand_groups_share_the_slots_there_are() {
    let mut config = Config::zcash();
    config.groups = Groups::strict();
    let mut world = World::new(config.clone());
    let mut taken = 0;
    for n in 0..10_000_u32 {
        if let Ok(admitted) = world.admit(&far(n % 12_000))
            && world.greet(admitted.id, n, Tie::Older).is_ok()
        {
            taken += 1;
        }
        while world.table.poll_action().is_some() {}
    }
    let overview = world.table.overview(world.now);
    assert_eq!(overview.active[0], config.limits.active_in);
    assert_eq!(
        taken, config.limits.active_in,
        "nobody is evicted before its time"
    );
    assert!(overview.closing <= config.limits.closing);
    world.table.check().unwrap();
}

#[test]
fn thousands_of_pending_strangers_all_end() {
    let mut config = Config::ethereum();
    config.limits.pending_in = 5000;
    config.limits.active_in = 6000;
    let mut world = World::new(config);
    for n in 0..5000 {
        world.admit(&far(n)).unwrap();
    }
    let said = world.pass(secs(25));
    let closed = said
        .iter()
        .filter(|line| line.contains("inbound failed timeout"))
        .count();
    assert_eq!(closed, 5000);
    let overview = world.table.overview(world.now);
    assert_eq!((overview.pending, overview.closing), ([0, 0], 0));
    assert!(world.table.poll_timeout().is_none());
}

#[test]
fn a_peer_that_trickles_and_never_pongs_is_let_go() {
    let mut world = World::new(small());
    let id = world.out(1);
    let mut closed = false;
    for _ in 0..400 {
        let said = world.pass(secs(1)).join("; ");
        closed |= said.contains(&format!("closed {id}"));
        while world.table.poll_transmit(world.now, id).is_some() {}
        world.table.bytes_in(world.now, id, 1);
    }
    assert!(closed);
}

#[test]
fn a_peer_that_ends_its_session_again_and_again_leaves_nothing_behind() {
    let mut world = World::new(small());
    for n in 0..2000 {
        let id = world.inn(n % 7);
        world.gossip(id, "x");
        world.request(id, "q");
        world.ended(id, peerage_peers::Outcome::Left);
    }
    let overview = world.table.overview(world.now);
    assert_eq!(
        (overview.established, overview.unread, overview.sending),
        (0, 0, 0)
    );
    assert_eq!(world.table.waiting(), 0);
}

#[test]
fn nothing_panics_on_numbers_that_do_not_exist() {
    let mut world = World::new(small());
    let id = peerage_peers::SessionId(u64::MAX);
    let now = world.now;
    let table = &mut world.table;
    assert!(table.stage(now, id, peerage_core::Stage::Reach).is_err());
    assert!(
        table
            .identified(now, id, &1, (Standing::Ordinary, Tie::Older))
            .is_err()
    );
    assert!(
        table
            .disconnect(now, id, peerage_peers::Parting::Full, None)
            .is_err()
    );
    assert!(table.send(now, id, "x".into(), usize::MAX).is_err());
    assert!(table.poll_transmit(now, id).is_none());
    assert!(!table.cancel_request(now, id, &1));
    assert!(!table.can_read(id));
    table.ended(now, id, peerage_peers::Outcome::Left);
    table.bytes_in(now, id, usize::MAX);
    table.useful(now, id);
    assert!(table.peer_at(now, id).is_none());
    let id = world.out(1);
    let now = world.now;
    world.table.bytes_in(now, id, usize::MAX);
    world.table.bytes_in(now, id, usize::MAX);
    assert!(world.table.send(now, id, "x".into(), usize::MAX).is_err());
    let huge = Heard::Gossip("x".to_owned());
    world.hear(id, usize::MAX, huge.clone());
    world.hear(id, usize::MAX, huge);
    assert_eq!(world.held.len(), 1);
    let addr = Some(Endpoint::new(ip("::"), 0));
    let dial = Dial {
        identity: 77,
        addr,
        standing: Standing::Ordinary,
    };
    assert!(world.table.dial(now, dial).is_ok());
    world.drain();
}
