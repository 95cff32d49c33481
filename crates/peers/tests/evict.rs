//! Who makes room, and who never does. The scenario is Bitcoin Core's `p2p_eviction`.

use std::time::{Duration, Instant};

use peerage_peers::evict::{Candidate, choose};
use peerage_peers::{EvictRules, Group, Groups, Rotation, SessionId, Standing, Tie};
use proptest::prelude::*;

use crate::common::{World, far, ip, secs, small, start};

const RULES: EvictRules = EvictRules {
    by_group: 2,
    by_rtt: 2,
    by_use: 2,
    min_age: Duration::from_secs(30),
    every: Duration::ZERO,
};

fn group(text: &str) -> Option<Group> {
    Groups::default().of(ip(text))
}

fn candidates(count: u64) -> Vec<Candidate> {
    let t0 = start();
    (0..count)
        .map(|n| Candidate {
            id: SessionId(n),
            group: group("203.0.113.1"),
            since: t0 + secs(n),
            rtt: Some(Duration::from_millis(100 + n)),
            useful_at: None,
        })
        .collect()
}

#[test]
fn the_near_the_useful_the_elder_and_the_far_flung_stay() {
    let mut peers = candidates(20);
    let now = start() + secs(1000);
    let groups = ["198.51.100.1", "192.0.2.1"];
    peers[19].group = group(groups[0]);
    peers[18].group = group(groups[1]);
    peers[17].rtt = Some(Duration::from_millis(1));
    peers[16].rtt = Some(Duration::from_millis(2));
    peers[15].useful_at = Some(now);
    peers[14].useful_at = Some(now - secs(1));
    // The crowd's eldest is protected as the crowd's, unless its group ranks lowest.
    let rank = |other: Group| u64::from(Some(other) != group("203.0.113.1"));
    assert_eq!(
        choose(&RULES, now, peers.clone(), rank),
        Some(SessionId(13))
    );
    // Without what protects them, the youngest goes.
    let none = EvictRules {
        by_group: 0,
        by_rtt: 0,
        by_use: 0,
        ..RULES
    };
    peers[19].group = peers[0].group;
    assert_eq!(choose(&none, now, peers, rank), Some(SessionId(19)));
}

#[test]
fn nobody_goes_before_it_had_its_time_nor_when_all_are_protected() {
    let peers = candidates(20);
    assert_eq!(
        choose(&RULES, start() + secs(25), peers.clone(), |_| 0),
        None
    );
    let few = peers[..5].to_vec();
    let wide = EvictRules { by_rtt: 5, ..RULES };
    assert_eq!(choose(&wide, start() + secs(1000), few, |_| 0), None);
}

#[test]
fn the_most_crowded_group_gives_way() {
    let none = EvictRules {
        by_group: 0,
        by_rtt: 0,
        by_use: 0,
        ..RULES
    };
    let mut peers = candidates(12);
    for peer in &mut peers[8..] {
        peer.group = group("198.51.100.1");
    }
    // Of the younger half, six, four are of the second group and two of the first.
    let now = start() + secs(1000);
    assert_eq!(
        choose(&none, now, peers.clone(), |_| 0),
        Some(SessionId(11))
    );
    for peer in &mut peers[9..] {
        peer.group = None;
    }
    assert_eq!(
        choose(&none, now, peers, |_| 0),
        Some(SessionId(11)),
        "no group is one group"
    );
}

fn full() -> World {
    let mut config = small();
    config.limits.active_in = 6;
    config.limits.pending_in = 20;
    config.evict = Some(EvictRules {
        by_group: 1,
        by_rtt: 1,
        by_use: 1,
        min_age: secs(30),
        every: secs(1),
    });
    config.keepalive.first = secs(100_000);
    config.keepalive.idle = secs(100_000);
    World::new(config)
}

#[test]
fn a_newcomer_takes_the_place_of_the_least_useful() {
    let mut world = full();
    let ids: Vec<_> = (1..=6)
        .map(|n| {
            world.pass(secs(1));
            world.inn(n)
        })
        .collect();
    world.pass(secs(60));
    world.table.useful(world.now, ids[5]);
    let newcomer = world.admit(&far(7)).unwrap().id;
    world.greet(newcomer, 7, Tie::Older).unwrap();
    let said = world.drain();
    assert!(
        said[0].starts_with("close") && said[0].ends_with("full"),
        "{said:?}"
    );
    assert!(said[1].contains("inbound refused full told full"));
    assert_eq!(said[2], format!("established {newcomer} 7"));
    assert!(world.table.can_read(ids[5]), "it was of use");
    assert_eq!(world.table.overview(world.now).active, [6, 0]);
}

#[test]
fn friends_and_peers_we_dialled_never_make_room() {
    let mut world = full();
    let ours = world.out(100);
    let friend = world
        .table
        .admit(world.now, crate::common::from(&far(101)), Standing::Trusted);
    let friend = friend.unwrap().id;
    world.greet(friend, 101, Tie::Older).unwrap();
    for n in 1..=60 {
        if let Ok(admitted) = world.admit(&far(n)) {
            let _ = world.greet(admitted.id, n, Tie::Older);
        }
        world.pass(secs(31));
    }
    assert!(world.table.can_read(ours) && world.table.can_read(friend));
    let overview = world.table.overview(world.now);
    assert_eq!((overview.active, overview.established), ([6, 1], 8));
}

#[test]
fn peers_rotate_only_when_all_slots_are_taken_and_they_had_their_time() {
    let mut config = small();
    config.keepalive.first = secs(1_000_000);
    config.keepalive.idle = secs(1_000_000);
    config.rotation = Some(Rotation {
        min: secs(180),
        max: secs(420),
        min_age: secs(600),
    });
    let mut world = World::new(config);
    let _ = (world.out(1), world.out(2));
    assert!(world.pass(secs(5000)).is_empty(), "a slot is free");
    world.out(3);
    let mut gone = 0;
    for n in 4..24 {
        let said = world.pass(secs(420 + 5));
        gone += said
            .iter()
            .filter(|line| line.contains("outbound refused rejected told full"))
            .count();
        if let Ok(id) = world.dial(n) {
            world.greet(id, n, Tie::Older).unwrap();
        }
        world.drain();
    }
    assert!((10..=30).contains(&gone), "{gone}");
}

#[test]
fn evictions_have_a_pace() {
    let mut world = full();
    for n in 1..=6 {
        world.inn(n);
    }
    world.pass(secs(60));
    let mut came = Vec::new();
    for n in 10..20 {
        let id = world.admit(&far(n)).unwrap().id;
        if world.greet(id, n, Tie::Older).is_ok() {
            came.push(n);
        }
        if n == 14 {
            world.pass(secs(1));
        }
    }
    assert_eq!(came, [10, 15]);
    world.drain();
}

/// The same rules in full sorts, one after the other.
fn naive(
    rules: &EvictRules,
    now: Instant,
    peers: &[Candidate],
    rank: fn(Group) -> u64,
) -> Option<SessionId> {
    let mut left: Vec<_> = peers
        .iter()
        .filter(|p| now - p.since >= rules.min_age)
        .copied()
        .collect();
    left.sort_by_key(|p| (p.since, p.id));
    let mut groups: Vec<Group> = left.iter().filter_map(|p| p.group).collect();
    groups.sort_by_key(|group| std::cmp::Reverse((rank(*group), *group)));
    groups.dedup();
    for group in groups.into_iter().take(rules.by_group) {
        let eldest = left.iter().position(|p| p.group == Some(group)).unwrap();
        left.remove(eldest);
    }
    for _ in 0..rules.by_rtt {
        if let Some(near) = left
            .iter()
            .filter(|p| p.rtt.is_some())
            .min_by_key(|p| (p.rtt, p.since, p.id))
            .copied()
        {
            left.retain(|p| p.id != near.id);
        }
    }
    for _ in 0..rules.by_use {
        let useful = left.iter().filter(|p| p.useful_at.is_some());
        if let Some(last) = useful
            .max_by_key(|p| (p.useful_at, std::cmp::Reverse(p.id)))
            .copied()
        {
            left.retain(|p| p.id != last.id);
        }
    }
    left.drain(..left.len() / 2);
    let crowd = |p: &Candidate| left.iter().filter(|other| other.group == p.group).count();
    let most = left.iter().map(crowd).max()?;
    left.iter().rev().find(|p| crowd(p) == most).map(|p| p.id)
}

proptest! {
    #[test]
    fn the_choice_is_that_of_the_rules_read_one_by_one(
        peers in proptest::collection::vec((0..5_u8, 0..100_u64, 0..6_u64, 0..6_u64), 0..40),
        (by_group, by_rtt, by_use) in (0..4_usize, 0..4_usize, 0..4_usize),
    ) {
        let t0 = start();
        let some = |n: u64| (n > 1).then_some(n);
        let peers: Vec<_> = (0..).zip(&peers).map(|(n, (net, since, rtt, used))| Candidate {
            id: SessionId(n),
            group: (*net > 0).then(|| group(&format!("203.0.{net}.1"))).flatten(),
            since: t0 + secs(*since),
            rtt: some(*rtt).map(secs),
            useful_at: some(*used).map(|n| t0 + secs(n)),
        }).collect();
        let rules = EvictRules { by_group, by_rtt, by_use, ..RULES };
        let rank = |group: Group| u64::from(group.to_string().as_bytes()[6]) * 7 % 5;
        let now = t0 + secs(100);
        let expected = naive(&rules, now, &peers, rank);
        prop_assert_eq!(choose(&rules, now, peers, rank), expected);
    }
}
