//! Peers judged anew when our head moves.

use std::collections::BTreeSet;

use peerage_core::Kind;
use peerage_peers::{Greeted, Refused, SessionId, Standing, Tie};

use crate::common::{World, far, small, to};

fn greeted(n: u32, version: u32) -> Greeted<crate::common::Toy> {
    Greeted {
        identity: n,
        addr: to(&far(n)),
        profile: version,
        standing: Standing::Ordinary,
        tie: Tie::Older,
    }
}

#[test]
fn a_rising_minimum_names_those_who_are_too_old_now() {
    let mut world = World::new(small());
    let ids: Vec<_> = [(1, 170_150), (2, 170_160), (3, 170_190)]
        .into_iter()
        .map(|(n, version)| {
            let id = world.dial(n).unwrap();
            world
                .table
                .established(world.now, id, greeted(n, version))
                .unwrap();
            id
        })
        .collect();
    world.drain();
    assert!(world.table.set_status(world.now, 170_150).is_empty());
    assert_eq!(world.table.set_status(world.now, 170_190), ids[..2]);
    assert_eq!(
        world.drain(),
        [
            "incompatible #1 obsolete",
            "close #1 incompatible",
            "closed #1 outbound refused obsolete told incompatible",
            "incompatible #2 obsolete",
            "close #2 incompatible",
            "closed #2 outbound refused obsolete told incompatible",
        ]
    );
    assert_eq!(world.table.overview(world.now).established, 1);
}

#[test]
fn a_handshake_under_way_is_judged_by_the_status_of_its_end() {
    let mut world = World::new(small());
    let id = world.dial(1).unwrap();
    world.table.set_status(world.now, 300);
    let refused = world
        .table
        .established(world.now, id, greeted(1, 200))
        .unwrap_err();
    let Refused::Incompatible(reason) = &refused else {
        panic!("{refused:?}")
    };
    assert_eq!(reason.kind, Kind::Obsolete);
    let said = world.drain();
    assert_eq!(
        said[1],
        "closed #1 outbound refused obsolete told incompatible"
    );
}

#[test]
fn a_peer_that_says_something_new_of_itself_is_judged_anew() {
    let mut world = World::new(small());
    let id = world.out(1);
    world.table.set_profile(world.now, id, 150).unwrap();
    assert_eq!(world.table.profile(id), Some(&150));
    world.table.set_profile(world.now, id, 50).unwrap();
    assert_eq!(world.drain()[0], format!("incompatible {id} obsolete"));
    assert!(world.table.set_profile(world.now, id, 150).is_err());
    assert_eq!(*world.table.status(), 100);
}

#[test]
fn a_peer_that_is_trusted_frees_its_slot_and_takes_one_again() {
    let mut world = World::new(small());
    let id = world.out(1);
    let active = |world: &World| world.table.overview(world.now).active;
    assert_eq!(active(&world), [0, 1]);
    for (standing, slots) in [
        (Standing::Trusted, [0, 0]),
        (Standing::Static, [0, 0]),
        (Standing::Ordinary, [0, 1]),
    ] {
        world.table.set_standing(world.now, id, standing).unwrap();
        assert_eq!(active(&world), slots);
        world.table.check().unwrap();
    }
    let nobody = world
        .table
        .set_standing(world.now, SessionId(77), Standing::Static);
    nobody.unwrap_err();
}

#[test]
fn a_sample_has_each_peer_at_most_once_and_sooner_or_later_all() {
    let mut world = World::new(small());
    let all: BTreeSet<_> = (1..=3).map(|n| world.out(n)).collect();
    let mut seen = BTreeSet::new();
    for most in [1, 2, 3, 9].into_iter().cycle().take(40) {
        let sample = world.table.sample(most);
        let once: BTreeSet<_> = sample.iter().copied().collect();
        assert_eq!((sample.len(), once.len()), (most.min(3), most.min(3)));
        assert!(once.is_subset(&all));
        if most == 1 {
            seen.extend(once);
        }
    }
    assert_eq!(seen, all);
}
