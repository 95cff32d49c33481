//! The rule "not the same country and network", and what is unknown.

use peerage_matcher::{Asn, Config, Country, Geography, Refused, UnknownGeography};

use crate::common::{
    ONE, announcement, common, country, deliveries, matcher, offer, personal, place,
};

const NOWHERE: Geography = Geography::UNKNOWN;

fn meet(config: Config, client: Geography, volunteer: Geography) -> bool {
    let (mut matcher, now) = matcher(config);
    let mut announced = announcement(1);
    announced.properties.geography = volunteer;
    matcher.announce(now, announced, common(ONE)).unwrap();
    let mut offered = offer(2);
    offered.properties.geography = client;
    matcher.offer(now, offered, common(ONE)).unwrap();
    !deliveries(&mut matcher).is_empty()
}

fn with(unknown_geography: UnknownGeography) -> Config {
    Config {
        unknown_geography,
        ..Config::default()
    }
}

#[test]
fn only_country_and_network_together_make_the_same_place() {
    for unknown in [UnknownGeography::Distinct, UnknownGeography::Equal] {
        let meets = |other| meet(with(unknown), place("DE", 1), other);
        assert!(!meets(place("DE", 1)));
        assert!(meets(place("DE", 2)));
        assert!(meets(place("FR", 1)));
        assert!(meets(NOWHERE));
    }
}

#[test]
fn unknown_places_are_distinct_unless_the_operator_says_that_they_are_equal() {
    let half = Geography {
        country: Some(country("DE")),
        asn: None,
    };
    let other_half = Geography {
        country: None,
        asn: Some(Asn(0)),
    };
    for place in [NOWHERE, half, other_half] {
        assert!(meet(Config::default(), place, place), "{place:?}");
        assert!(!meet(with(UnknownGeography::Equal), place, place));
    }
    for (client, volunteer) in [(NOWHERE, half), (half, other_half), (other_half, NOWHERE)] {
        assert!(meet(with(UnknownGeography::Equal), client, volunteer));
    }
}

#[test]
fn unknown_places_can_be_refused() {
    let (mut matcher, now) = matcher(with(UnknownGeography::Refused));
    let mut announced = announcement(1);
    announced.properties.geography.asn = None;
    let refused = matcher.announce(now, announced, common(ONE));
    assert_eq!(refused, Err(Refused::UnknownGeography));
    let mut offered = offer(2);
    offered.properties.geography = NOWHERE;
    let refused = matcher.offer(now, offered, common(ONE));
    assert_eq!(refused, Err(Refused::UnknownGeography));
}

#[test]
fn the_rule_holds_for_personal_compartments_unless_they_are_exempt() {
    for personal_exempt in [false, true] {
        let mut config = Config::default();
        config.extras.personal_exempt = personal_exempt;
        let (mut matcher, now) = matcher(config);
        matcher
            .announce(now, announcement(1), personal(ONE))
            .unwrap();
        let mut offered = offer(2);
        offered.properties.geography = announcement(1).properties.geography;
        matcher.offer(now, offered, personal(ONE)).unwrap();
        assert_eq!(deliveries(&mut matcher).len(), usize::from(personal_exempt));
    }
}

#[test]
fn a_country_is_two_letters_in_upper_case() {
    assert_eq!(Country::new(*b"de"), Country::new(*b"DE"));
    assert_eq!(country("DE").to_string(), "DE");
    for letters in [*b"d1", *b"  ", [0xc3, 0xa4]] {
        assert_eq!(Country::new(letters), None);
    }
}
