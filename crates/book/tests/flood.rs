//! Those who tell too much displace only themselves.

use peerage_book::{Book, Config, GossipEntry, Greeted, Key, Now, Occupied, Refused, Source, Tip};
use peerage_core::{Endpoint, Kind};

use crate::common::{apart, book, book_with, gossiper, known, seconds, seed, unreached};
use peerage_testkit::Random;

/// A public address by chance, of any group.
fn anywhere(random: &mut Random) -> Endpoint {
    let bits = u32::try_from(random.below(100 << 24)).unwrap() + (20 << 24);
    Endpoint::new(std::net::Ipv4Addr::from_bits(bits).into(), 8233)
}

#[test]
fn a_million_entries_of_one_gossiper_keep_the_others() {
    let (mut book, mut now) = book();
    for number in 0..300 {
        known(&mut book, now, apart(number));
    }
    let mut random = Random::new(1);
    let liar = gossiper(9_999);
    for _ in 0..1_000 {
        let entries: Vec<_> = (0..1_000)
            .map(|_| GossipEntry {
                endpoint: anywhere(&mut random),
                services: 1,
                seen: now.wall,
            })
            .collect();
        book.gossip(now, &liar, &entries);
        now = now.after(seconds(10));
    }
    for number in 0..300 {
        assert!(book.get(&apart(number).into()).is_some(), "{number}");
    }
    let caps = Config::default().caps;
    assert!(book.len() <= 300 + caps.per_source);
    book.audit().unwrap();
}

#[test]
fn a_source_that_is_full_is_told_so() {
    let (mut book, now) = book();
    let mut random = Random::new(2);
    let results: Vec<_> = (0..20_000)
        .map(|_| book.add(now, Tip::at(anywhere(&mut random), gossiper(1))))
        .collect();
    let full = |result: &&Result<_, Refused>| **result == Err(Refused::SourceFull);
    assert!(results.iter().filter(full).count() > 18_000);
    assert_eq!(book.len(), Config::default().caps.per_source);
}

/// Many flooders in many groups: whoever told of less than its share keeps it all.
#[test]
fn a_full_book_takes_from_whoever_holds_the_most() {
    let mut config = Config::default();
    config.caps.new = 2_000;
    config.caps.per_source = 400;
    let (mut book, now) = book_with(config);
    let honest: Vec<Endpoint> = (0..60).map(apart).collect();
    for endpoint in &honest {
        known(&mut book, now, *endpoint);
    }
    let mut random = Random::new(3);
    for flooder in 0..20 {
        for _ in 0..1_000 {
            let tip = Tip::at(anywhere(&mut random), gossiper(flooder * 7));
            let _refused = book.add(now, tip);
        }
    }
    assert_eq!(book.len(), 2_000);
    for endpoint in &honest {
        assert!(book.get(&Key::from(*endpoint)).is_some());
    }
    book.audit().unwrap();
}

/// A flooder that names honest peers first does not take them along when it is cut.
#[test]
fn an_honest_peer_named_by_a_flooder_is_charged_to_who_told_less() {
    let mut config = Config::default();
    config.caps.new = 500;
    config.caps.per_source = 400;
    let (mut book, now) = book_with(config);
    let mut random = Random::new(4);
    let honest: Vec<Endpoint> = (0..20).map(apart).collect();
    for endpoint in &honest {
        book.add(now, Tip::at(*endpoint, gossiper(5_000))).unwrap();
    }
    while book.len() < 400 {
        let _refused = book.add(now, Tip::at(anywhere(&mut random), gossiper(5_000)));
    }
    for endpoint in &honest {
        book.add(now, Tip::at(*endpoint, seed("honest"))).unwrap();
    }
    for other in 0..10 {
        for _ in 0..100 {
            let tip = Tip::at(anywhere(&mut random), gossiper(6_000 + other));
            let _refused = book.add(now, tip);
        }
    }
    for endpoint in &honest {
        assert!(book.get(&Key::from(*endpoint)).is_some());
    }
    book.audit().unwrap();
}

#[test]
fn one_address_group_holds_so_many() {
    let (mut book, now) = book();
    for number in 0..1_000 {
        let endpoint = crate::common::together(number);
        let _refused = book.add(now, Tip::at(endpoint, gossiper(number)));
    }
    assert_eq!(book.len(), Config::default().caps.per_group);
}

/// Peers that greet us by the thousand, in one hand, do not push out the others.
#[test]
fn tried_peers_of_one_group_are_bounded_too() {
    let mut config = Config::default();
    config.caps.per_group = 8;
    config.outbound_per_group = 1_000;
    let (mut book, mut now) = book_with(config);
    let honest = known(&mut book, now, apart(1));
    let mut random = Random::new(5);
    for number in 0..200 {
        let endpoint = crate::common::together(number);
        let _refused = book.add(now, Tip::at(endpoint, seed("s")));
        drive(&mut book, now, &mut random);
        now = now.after(seconds(600));
    }
    let tried = book.entries().filter(|entry| entry.last_success.is_some());
    assert!(tried.count() <= 9);
    assert!(book.get(&honest).is_some());
    book.audit().unwrap();
}

fn drive(book: &mut Book, now: Now, random: &mut Random) {
    if let Some(next) = book.next_dial(now, &Occupied::with_free(1)) {
        let result = if random.chance(10) {
            Err(unreached(Kind::ConnectionRefused))
        } else {
            Ok(Greeted::default())
        };
        let greeted = result.is_ok();
        book.outcome(now, next.id, result).unwrap();
        if greeted {
            let left = crate::common::reason(peerage_core::Stage::Keep("x"), Kind::Left);
            book.left(now.after(seconds(90)), next.id, &left).unwrap();
        }
    }
}

#[test]
fn a_name_of_a_source_is_bounded() {
    let (mut book, now) = book();
    let long = "é".repeat(1_000);
    book.add(now, Tip::at(apart(1), Source::Seed(long.as_str().into())))
        .unwrap();
    let Source::Seed(name) = &book.get(&apart(1).into()).unwrap().sources[0] else {
        panic!();
    };
    assert!(name.len() <= Source::MAX_NAME);
}
