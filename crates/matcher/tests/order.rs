//! Who is chosen: small cases by hand, and whole passes against the reference's scan.

use peerage_matcher::{
    CompartmentId, Compartments, Config, Geography, NatType, Preference, UnknownGeography,
};

use crate::common::{
    ONE, TWO, announcement, common, compartment, connection, deliveries, matcher, offer, personal,
    place, properties, volunteer,
};
use crate::scan::{Entry, Scan};
use peerage_testkit::Random;

fn with(preference: Preference) -> Config {
    Config {
        preference,
        unknown_geography: UnknownGeography::Equal,
        ..Config::default()
    }
}

/// f: preferred NAT, not personal. Then personal without preferred NAT. Then both.
fn three_entries(preference: Preference) -> Vec<(u64, u64)> {
    let (mut matcher, now) = matcher(with(preference));
    for (number, nat, compartments) in [
        (1, NatType::OPEN, common(TWO)),
        (2, NatType::SYMMETRIC, personal(ONE)),
        (3, NatType::OPEN, personal(ONE)),
    ] {
        let mut volunteer = announcement(number);
        volunteer.properties.nat = nat;
        matcher.announce(now, volunteer, compartments).unwrap();
    }
    let both = Compartments {
        personal: ONE,
        common: TWO,
    };
    matcher.offer(now, offer(9), both).unwrap();
    deliveries(&mut matcher)
}

#[test]
fn of_three_entries_the_lexicographic_order_takes_the_one_with_both_merits() {
    assert_eq!(three_entries(Preference::Lexicographic), [(3, 9)]);
}

#[test]
fn of_three_entries_the_reference_order_is_stopped_by_the_middle_one() {
    assert_eq!(three_entries(Preference::Reference), [(1, 9)]);
}

#[test]
fn without_the_middle_entry_both_orders_agree() {
    for preference in [Preference::Lexicographic, Preference::Reference] {
        let (mut matcher, now) = matcher(with(preference));
        matcher.announce(now, announcement(1), common(TWO)).unwrap();
        matcher
            .announce(now, announcement(3), personal(ONE))
            .unwrap();
        let both = Compartments {
            personal: ONE,
            common: TWO,
        };
        matcher.offer(now, offer(9), both).unwrap();
        assert_eq!(deliveries(&mut matcher), [(3, 9)]);
    }
}

#[test]
fn an_announcement_goes_to_the_earliest_offer_it_may_meet() {
    let (mut matcher, now) = matcher(Config::default());
    let mut same_place = offer(1);
    same_place.properties.geography = place("DE", 1);
    matcher.offer(now, same_place, common(ONE)).unwrap();
    matcher.offer(now, offer(2), common(TWO)).unwrap();
    matcher.offer(now, offer(3), common(ONE)).unwrap();
    matcher.offer(now, offer(4), common(ONE)).unwrap();
    matcher.announce(now, announcement(7), common(ONE)).unwrap();
    assert_eq!(deliveries(&mut matcher), [(7, 3)]);
}

/// A dense world, in the terms of both.
struct World {
    random: Random,
    /// One announcement in so many has personal compartments.
    personal_in: u64,
}

impl World {
    fn ids(&mut self, one_in: u64) -> Vec<CompartmentId> {
        let mut ids = Vec::new();
        while self.random.chance(one_in) && ids.len() < 3 {
            ids.push(compartment(self.random.below(3)));
        }
        ids
    }

    fn entry(
        &mut self,
        label: u64,
        is_offer: bool,
    ) -> (Entry, NatType, Geography, [Vec<CompartmentId>; 2]) {
        let nats = [NatType::OPEN, NatType::PORT_RESTRICTED, NatType::SYMMETRIC];
        let nat = self.random.pick(&nats);
        let places = [
            place("AA", 1),
            place("AA", 2),
            place("BB", 1),
            Geography::UNKNOWN,
        ];
        let geography = self.random.pick(&places);
        let personal = self.ids(if is_offer { 2 } else { self.personal_in });
        let mut common = self.ids(3);
        if personal.is_empty() && common.is_empty() {
            common.push(compartment(self.random.below(3)));
        }
        let raw = |ids: &[CompartmentId]| ids.iter().map(|id| id.0).collect();
        let letters = geography
            .country
            .map_or(0, |c| u16::from_be_bytes(c.letters()));
        let entry = Entry {
            label,
            personal: raw(&personal),
            common: raw(&common),
            geography: (letters, geography.asn.map_or(0, |asn| asn.0)),
            class: nat.class() as usize,
        };
        (entry, nat, geography, [personal, common])
    }
}

/// Sets are queued, then one pass runs on both sides; pairs are compared, and what is left goes on
/// into the next round.
fn passes(seed: u64, personal_in: u64, rounds: u64) -> usize {
    let mut world = World {
        random: Random::new(seed),
        personal_in,
    };
    let (mut matcher, now) = matcher(with(Preference::Reference));
    let mut scan = Scan::default();
    let mut pairs = 0;
    for round in 0..rounds {
        matcher.hold();
        for at in 0..world.random.below(8) {
            let label = round * 100 + at;
            let (entry, nat, geography, [personal, common]) = world.entry(label, false);
            scan.announce(entry);
            let mut record = announcement(label);
            (record.volunteer, record.connection) = (volunteer(label), connection(label));
            record.properties = properties(nat, geography);
            let ids = Compartments {
                personal: &personal,
                common: &common,
            };
            matcher.announce(now, record, ids).unwrap();
        }
        for at in 0..world.random.below(8) {
            let label = round * 100 + 50 + at;
            let (entry, nat, geography, [personal, common]) = world.entry(label, true);
            scan.offer(entry);
            let mut record = offer(label);
            record.properties = properties(nat, geography);
            let ids = Compartments {
                personal: &personal,
                common: &common,
            };
            matcher.offer(now, record, ids).unwrap();
        }
        matcher.resume(now);
        let got = deliveries(&mut matcher);
        let expected: Vec<_> = scan.pass().into_iter().map(|(o, a)| (a, o)).collect();
        assert_eq!(got, expected, "seed {seed}, round {round}");
        pairs += got.len();
        let stats = matcher.stats();
        assert_eq!((stats.announcements, stats.offers), scan.len());
    }
    pairs
}

#[test]
fn whole_passes_agree_with_the_reference_s_scan() {
    for personal_in in [2, 5, 1_000] {
        let pairs = passes(personal_in, personal_in, 400);
        assert!(pairs > 500, "{pairs}");
    }
}
