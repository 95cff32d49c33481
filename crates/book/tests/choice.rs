//! Whom the book chooses.

use std::collections::{BTreeMap, BTreeSet};

use peerage_book::{Cause, Config, Greeted, Identity, Key, Occupied, Standing, Tip, Verdict};
use peerage_core::{ConnectedAddr, Endpoint, Kind, Stage};

use crate::common::{
    apart, book, book_with, dial, endpoint, greet_and_part, hours, known, minutes, one, reason,
    seconds, seed, together,
};

#[test]
fn one_outbound_peer_in_an_address_group() {
    let (mut book, mut now) = book();
    for number in 0..10 {
        known(&mut book, now, together(number));
    }
    known(&mut book, now, apart(1));
    let mut groups = BTreeSet::new();
    for _ in 0..2 {
        groups.insert(dial(&mut book, now).address.to_string()[..2].to_owned());
        now = now.after(seconds(1));
    }
    assert_eq!(groups.len(), 2);
    assert!(book.next_dial(now, &one()).is_none());
}

#[test]
fn many_addresses_in_one_place_count_as_one() {
    let mut firsts: BTreeMap<bool, usize> = BTreeMap::new();
    for number in 0..400_u64 {
        let now = crate::common::start();
        let mut seed_bytes = [0; 16];
        seed_bytes[..8].copy_from_slice(&number.to_be_bytes());
        let mut book = peerage_book::Book::new(Config::default(), seed_bytes, now).unwrap();
        for number in 0..60 {
            known(&mut book, now, together(number));
        }
        known(&mut book, now, apart(1));
        let lonely = dial(&mut book, now).key == Key::from(apart(1));
        *firsts.entry(lonely).or_default() += 1;
    }
    // 60 of 61 addresses are in one group, which is one of two: half, not one in 61.
    assert!((150..250).contains(&firsts[&true]), "{firsts:?}");
}

#[test]
fn local_addresses_know_no_groups() {
    let config = Config {
        local: true,
        ..Config::default()
    };
    let (mut book, mut now) = book_with(config);
    for port in 1..=20 {
        known(&mut book, now, endpoint(&format!("127.0.0.1:{port}")));
    }
    for _ in 0..20 {
        let _ = dial(&mut book, now);
        now = now.after(seconds(1));
    }
}

#[test]
fn who_is_occupied_is_not_dialled() {
    let (mut book, now) = book();
    known(&mut book, now, apart(1));
    known(&mut book, now, apart(2));
    let mut occupied = Occupied::with_free(5);
    occupied.keys.insert(apart(1).into());
    occupied.ips.insert(apart(2).ip());
    assert!(book.next_dial(now, &occupied).is_none());
    occupied.ips.clear();
    assert_eq!(book.next_dial(now, &occupied).unwrap().key, apart(2).into());
}

#[test]
fn nobody_is_dialled_without_a_free_slot_and_no_two_at_once() {
    let (mut book, now) = book();
    known(&mut book, now, apart(1));
    known(&mut book, now, apart(2));
    assert!(book.next_dial(now, &Occupied::with_free(0)).is_none());
    assert!(book.next_dial(now, &Occupied::with_free(2)).is_some());
    assert!(book.next_dial(now, &Occupied::with_free(2)).is_none());
    let wakeup = book.wakeup().unwrap();
    assert_eq!(wakeup.why, "the next dial may start");
    let then = now.after(wakeup.at - now.at);
    assert!(book.next_dial(then, &Occupied::with_free(2)).is_some());
}

#[test]
fn a_record_of_another_fork_is_never_dialled_and_says_why() {
    let (mut book, now) = book();
    let wrong = reason(Stage::Input, Kind::WrongFork);
    let identity = Identity::new(&[1; 64]).unwrap();
    let tip = Tip::of(identity.clone(), vec![apart(1)], seed("s")).with_sequence(1);
    book.add(now, tip.clone().with_verdict(Verdict::unfit(&wrong)))
        .unwrap();
    assert!(book.next_dial(now, &one()).is_none());
    let story = &book.story(&identity.clone().into())[0];
    assert_eq!(story.standing, Standing::Unfit(Cause::from(&wrong)));
    assert!(story.to_string().contains("wrong_fork"));
    assert_eq!(book.story(&apart(1).into()).len(), 1, "found by address");

    // An older record changes nothing, a newer one does.
    let old = tip.clone().with_sequence(0).with_verdict(Verdict::Fit);
    book.add(now, old).unwrap();
    assert!(book.next_dial(now, &one()).is_none());
    let new = tip.with_sequence(2).with_verdict(Verdict::Fit);
    book.add(now, new).unwrap();
    assert_eq!(dial(&mut book, now).identity, Some(identity));
}

#[test]
fn a_newer_record_moves_a_node_but_not_where_it_was_proven() {
    let (mut book, now) = book();
    let identity = Identity::new(&[1; 64]).unwrap();
    let at = |numbers: &[u64], sequence| {
        let endpoints = numbers.iter().map(|number| apart(*number)).collect();
        Tip::of(identity.clone(), endpoints, seed("s")).with_sequence(sequence)
    };
    book.add(now, at(&[1], 1)).unwrap();
    assert_eq!(greet_and_part(&mut book, now), identity.clone().into());
    book.add(now, at(&[2], 2)).unwrap();
    book.add(now, at(&[3], 3)).unwrap();
    let entry = book.get(&identity.into()).unwrap();
    let mut spots: Vec<_> = entry.spots.iter().map(|spot| spot.endpoint).collect();
    spots.sort();
    assert_eq!(spots, [apart(1), apart(3)]);
}

#[test]
fn endpoints_of_one_node_are_bounded_and_tried_in_turn() {
    let (mut book, mut now) = book();
    let identity = Identity::new(&[1; 64]).unwrap();
    for sequence in 1..20 {
        let tip = Tip::of(identity.clone(), vec![apart(sequence)], seed("s"));
        book.add(now, tip).unwrap();
    }
    assert_eq!(book.get(&identity.into()).unwrap().spots.len(), 4);
    let mut addresses = BTreeSet::new();
    for _ in 0..4 {
        let next = dial(&mut book, now);
        addresses.insert(next.address.clone());
        let failed = crate::common::unreached(Kind::ConnectionRefused);
        book.outcome(now, next.id, Err(failed)).unwrap();
        now = now.after(hours(2));
    }
    assert_eq!(addresses.len(), 4);
}

#[test]
fn good_peers_of_before_a_restart_come_first() {
    let (mut book, mut now) = book();
    for number in 0..40 {
        known(&mut book, now, apart(number));
    }
    let mut sessions = BTreeSet::new();
    for _ in 0..3 {
        let next = dial(&mut book, now);
        sessions.insert(next.key.clone());
        book.outcome(now, next.id, Ok(Greeted::default())).unwrap();
        now = now.after(seconds(30));
    }
    assert_eq!(book.anchors().len(), 3);
    let snapshot = book.snapshot();
    let (mut again, _) = crate::common::book();
    let imported = again.import(now, snapshot);
    assert_eq!((imported.candidates, imported.refused.len()), (40, 0));
    for _ in 0..3 {
        let next = dial(&mut again, now);
        assert_eq!(next.why, "anchor");
        assert!(sessions.remove(&next.key));
        now = now.after(seconds(1));
    }
    assert_ne!(dial(&mut again, now).why, "anchor");
    again.audit().unwrap();
}

#[test]
fn the_best_of_a_group_is_dialled_first() {
    let (mut book, mut now) = book();
    for number in 0..3 {
        known(&mut book, now, together(number));
    }
    // All three become known peers; one earns a long session.
    for _ in 0..3 {
        greet_and_part(&mut book, now);
        now = now.after(minutes(4));
    }
    now = now.after(hours(1));
    let next = dial(&mut book, now);
    let good = next.key.clone();
    book.outcome(now, next.id, Ok(Greeted::default())).unwrap();
    now = now.after(hours(3));
    let left = reason(Stage::Keep("receive"), Kind::Left);
    book.left(now, next.id, &left).unwrap();
    now = now.after(minutes(30));
    assert_eq!(dial(&mut book, now).key, good);
}

/// Where there are no records, whoever comes later cannot talk a candidate away, nor back.
#[test]
fn a_stranger_cannot_call_anothers_candidate_unfit() {
    let (mut book, now) = book();
    let wrong = Verdict::unfit(&reason(Stage::Input, Kind::Incompatible));
    let key = known(&mut book, now, apart(1));
    for liar in 2..20 {
        let tip = Tip::at(apart(1), crate::common::gossiper(liar));
        book.add(now, tip.with_verdict(wrong.clone())).unwrap();
    }
    assert_eq!(book.story(&key)[0].standing, Standing::Ready);
    // Not even in its first word: an address has no record that could be judged.
    let tip = Tip::at(apart(50), crate::common::gossiper(2));
    book.add(now, tip.with_verdict(wrong)).unwrap();
    assert_eq!(book.story(&apart(50).into())[0].standing, Standing::Ready);
}

#[test]
fn each_source_is_known_by_how_many_of_its_candidates_lived() {
    let (mut book, mut now) = book();
    for number in 0..4 {
        known(&mut book, now, apart(number));
    }
    book.add(now, Tip::at(apart(9), seed("other"))).unwrap();
    assert_eq!(book.ready(), 5);
    for _ in 0..5 {
        let next = dial(&mut book, now);
        let result = if next.key == Key::from(apart(0)) {
            Ok(Greeted::default())
        } else {
            Err(crate::common::unreached(Kind::ConnectionRefused))
        };
        book.outcome(now, next.id, result).unwrap();
        now = now.after(seconds(1));
    }
    assert_eq!(book.ready(), 0);
    let yields = book.yields();
    let of = |name: &str| {
        let counted = yields[&peerage_book::SourceGroup::Seed(name.into())];
        (counted.told, counted.lived)
    };
    assert_eq!((of("s"), of("other")), ((4, 1), (1, 0)));
}

#[test]
fn nobody_is_dialled_where_a_peer_without_an_identity_dialled_us_from() {
    let (mut book, now) = book();
    known(&mut book, now, apart(1));
    let guest = |port| Endpoint::new(apart(1).ip(), port);
    let connected = |addr| ConnectedAddr::InboundDirect { addr };
    let mut occupied = one();
    for port in [50_001, 50_002] {
        occupied.arrived(&guest(port).into(), &connected(guest(port)));
    }
    assert_eq!(book.next_dial(now, &occupied), None);
    occupied.left(&guest(50_001).into(), &connected(guest(50_001)));
    assert_eq!(book.next_dial(now, &occupied), None, "the other is there");
    occupied.left(&guest(50_002).into(), &connected(guest(50_002)));
    assert!(book.next_dial(now, &occupied).is_some());
    assert_eq!(occupied, one());
}

#[test]
fn a_guest_with_an_identity_keeps_nobody_else_away() {
    let (mut book, now) = book();
    known(&mut book, now, apart(1));
    let identity: Key = Identity::new(&[7; 33]).unwrap().into();
    let addr = Endpoint::new(apart(1).ip(), 50_001);
    let mut occupied = one();
    occupied.arrived(&identity, &ConnectedAddr::InboundDirect { addr });
    assert!(book.next_dial(now, &occupied).is_some());
}
