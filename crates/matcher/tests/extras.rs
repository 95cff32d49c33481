//! Each extra by itself, small.

use std::collections::BTreeSet;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use peerage_matcher::{
    Action, AllowMatch, Area, Asn, Config, Extras, LoadLimit, NatRule, NatType, OfferError,
    PollHints, QualityRule, Refused, Versions,
};

use crate::common::{
    ONE, SECOND, TWO, actions, announcement, answer, common, connection, country, deliveries,
    matcher, offer, personal, place, volunteer,
};

fn with(extras: Extras) -> Config {
    Config {
        extras,
        ..Config::default()
    }
}

#[test]
fn an_offer_with_too_little_time_is_refused_and_one_that_waits_is_told_early() {
    let (mut matcher, now) = matcher(with(Extras {
        least_offer_time: 2 * SECOND,
        ..Extras::default()
    }));
    let mut client = offer(1);
    client.deadline = Some(now + 2 * SECOND);
    let expected = Refused::TooLate {
        left: 2 * SECOND,
        least: Duration::from_millis(2_010),
    };
    assert_eq!(matcher.offer(now, client, common(ONE)), Err(expected));
    let mut client = offer(2);
    client.deadline = Some(now + 5 * SECOND);
    let to = matcher.offer(now, client.clone(), common(ONE)).unwrap();
    matcher.handle_timeout(now + 3 * SECOND);
    let error = OfferError::NoMatch;
    assert_eq!(actions(&mut matcher), [Action::FailOffer { to, error }]);
    // Once matched, it has all of its time.
    let now = now + 2 * SECOND;
    matcher.announce(now, announcement(3), common(ONE)).unwrap();
    client.deadline = Some(now + 5 * SECOND);
    matcher.offer(now, client, common(ONE)).unwrap();
    actions(&mut matcher);
    assert_eq!(matcher.poll_timeout().unwrap().at, now + 5 * SECOND);
}

#[test]
fn under_load_only_the_queue_that_is_less_than_half_the_other_grows() {
    let (mut matcher, now) = matcher(with(Extras {
        load_limit: Some(LoadLimit { entries: 10 }),
        ..Extras::default()
    }));
    for number in 0..10 {
        matcher
            .announce(now, announcement(number), common(ONE))
            .unwrap();
    }
    let refused = matcher.announce(now, announcement(11), common(ONE));
    assert_eq!(refused, Err(Refused::LoadLimited { own: 10, other: 0 }));
    for number in 0..5 {
        matcher.offer(now, offer(number), common(TWO)).unwrap();
    }
    let refused = matcher.offer(now, offer(5), common(TWO));
    assert_eq!(refused, Err(Refused::LoadLimited { own: 5, other: 10 }));
}

#[test]
fn the_caller_can_declare_pressure() {
    let (mut matcher, now) = matcher(with(Extras {
        load_limit: Some(LoadLimit { entries: 1_000 }),
        ..Extras::default()
    }));
    matcher.set_pressure(true);
    let refused = matcher.announce(now, announcement(1), common(ONE));
    assert_eq!(refused, Err(Refused::LoadLimited { own: 0, other: 0 }));
    matcher.set_pressure(false);
    matcher.announce(now, announcement(1), common(ONE)).unwrap();
}

#[test]
fn both_sides_must_share_a_known_version_and_the_highest_is_named() {
    let known = Versions::NONE.with(1).with(2);
    let (mut matcher, now) = matcher(with(Extras {
        versions: Some(known),
        ..Extras::default()
    }));
    let mut old = announcement(1);
    old.properties.versions = Versions::NONE.with(1);
    matcher.announce(now, old, common(ONE)).unwrap();
    let mut client = offer(2);
    client.properties.versions = Versions::NONE.with(2).with(3);
    matcher.offer(now, client, common(ONE)).unwrap();
    assert_eq!(actions(&mut matcher), []);
    let mut new = announcement(3);
    new.properties.versions = known.with(3);
    matcher.announce(now, new, common(ONE)).unwrap();
    match &actions(&mut matcher)[..] {
        [Action::Deliver { by, .. }] => assert_eq!(by.version, Some(2)),
        other => panic!("{other:?}"),
    }
    let mut strange = offer(4);
    strange.properties.versions = Versions::NONE.with(3);
    let refused = matcher.offer(now, strange, common(ONE));
    assert_eq!(refused, Err(Refused::NoVersion));
}

#[test]
fn the_allow_match_rule_goes_by_country_and_network() {
    let [iran, germany] = ["IR", "DE"].map(|letters| Area::Country(country(letters)));
    let mut never = AllowMatch::default();
    never.never.insert(iran, BTreeSet::from([germany]));
    let mut only = AllowMatch::default();
    only.only
        .insert(Area::Asn(Asn(2)), BTreeSet::from([Area::Asn(Asn(5))]));
    for (allow_match, first, second) in
        [(never, ("DE", 5), ("FR", 1)), (only, ("DE", 1), ("DE", 5))]
    {
        let (mut matcher, now) = matcher(with(Extras {
            allow_match,
            ..Extras::default()
        }));
        for (number, (letters, asn)) in [(1, first), (2, second)] {
            let mut announced = announcement(number);
            announced.properties.geography = place(letters, asn);
            matcher.announce(now, announced, common(ONE)).unwrap();
        }
        matcher.offer(now, offer(9), common(ONE)).unwrap();
        assert_eq!(deliveries(&mut matcher), [(2, 9)]);
        // A client whom no row names may meet anyone.
        let mut other = offer(10);
        other.properties.geography = place("TR", 7);
        matcher.offer(now, other, common(ONE)).unwrap();
        assert_eq!(deliveries(&mut matcher), [(1, 10)]);
    }
}

#[test]
fn volunteers_of_refused_countries_are_not_queued() {
    let (mut matcher, now) = matcher(with(Extras {
        refused_countries: [country("DE")].into(),
        ..Extras::default()
    }));
    let refused = matcher.announce(now, announcement(1), common(ONE));
    let country = country("DE");
    assert_eq!(refused, Err(Refused::Country { country }));
    let mut client = offer(2);
    client.properties.geography = place("DE", 1);
    matcher.offer(now, client, common(ONE)).unwrap();
}

#[test]
fn incompatible_nats_can_be_kept_apart() {
    for nat in [NatRule::Prefer, NatRule::Require] {
        let (mut matcher, now) = matcher(with(Extras {
            nat,
            ..Extras::default()
        }));
        let mut strict = announcement(1);
        strict.properties.nat = NatType::SYMMETRIC;
        matcher.announce(now, strict, common(ONE)).unwrap();
        matcher.offer(now, offer(2), common(ONE)).unwrap();
        let expected = usize::from(nat == NatRule::Prefer);
        assert_eq!(deliveries(&mut matcher).len(), expected);
    }
}

#[test]
fn priority_comes_before_nat_and_only_without_personal_compartments() {
    let (mut matcher, now) = matcher(with(Extras {
        priority: true,
        ..Extras::default()
    }));
    let both = peerage_matcher::Compartments {
        personal: TWO,
        common: ONE,
    };
    let mut personal_one = announcement(1);
    personal_one.priority = true;
    personal_one.properties.nat = NatType::SYMMETRIC;
    matcher.announce(now, personal_one, both).unwrap();
    matcher.announce(now, announcement(2), common(ONE)).unwrap();
    let mut flagged = announcement(3);
    flagged.priority = true;
    flagged.properties.nat = NatType::SYMMETRIC;
    matcher.announce(now, flagged, common(ONE)).unwrap();
    for number in [7, 8, 9] {
        matcher.offer(now, offer(number), common(ONE)).unwrap();
    }
    assert_eq!(deliveries(&mut matcher), [(3, 7), (2, 8), (1, 9)]);
}

#[test]
fn the_least_loaded_comes_first_in_steps() {
    let (mut matcher, now) = matcher(with(Extras {
        load_step: NonZeroU16::new(8),
        ..Extras::default()
    }));
    for (number, load) in [(1, 17), (2, 8), (3, 15), (4, 7), (5, 60_000), (6, 400)] {
        let mut announced = announcement(number);
        announced.load = load;
        matcher.announce(now, announced, common(ONE)).unwrap();
    }
    for number in 10..16 {
        matcher.offer(now, offer(number), common(ONE)).unwrap();
    }
    let order: Vec<_> = deliveries(&mut matcher)
        .into_iter()
        .map(|(v, _)| v)
        .collect();
    assert_eq!(order, [4, 2, 3, 1, 5, 6]);
}

#[test]
fn every_third_match_is_a_newcomers_turn() {
    let (mut matcher, now) = matcher(with(Extras {
        priority: true,
        newcomer_turn: NonZeroU32::new(3),
        ..Extras::default()
    }));
    for number in 1..=4 {
        let mut old = announcement(number);
        old.priority = true;
        matcher.announce(now, old, common(ONE)).unwrap();
    }
    for number in 5..=6 {
        let mut new = announcement(number);
        new.newcomer = true;
        matcher.announce(now, new, common(ONE)).unwrap();
    }
    for number in 10..16 {
        matcher.offer(now, offer(number), common(ONE)).unwrap();
    }
    let order: Vec<_> = deliveries(&mut matcher)
        .into_iter()
        .map(|(v, _)| v)
        .collect();
    assert_eq!(order, [1, 2, 5, 3, 4, 6]);
}

#[test]
fn hints_for_the_next_poll_grow_with_the_volunteer_s_own_class() {
    let (mut matcher, now) = matcher(with(Extras {
        poll_hints: Some(PollHints {
            least: SECOND,
            most: 61 * SECOND,
            full_at: 4,
        }),
        ..Extras::default()
    }));
    let class = announcement(1).properties.class();
    assert_eq!(matcher.next_poll(class), Some(SECOND));
    for number in 1..=3 {
        let mut announced = announcement(number);
        announced.deadline = Some(now + Duration::from_secs(number));
        matcher.announce(now, announced, common(ONE)).unwrap();
    }
    let mut strict = announcement(9);
    strict.properties.nat = NatType::SYMMETRIC;
    matcher.announce(now, strict, common(ONE)).unwrap();
    assert_eq!(matcher.next_poll(class), Some(46 * SECOND));
    matcher.handle_timeout(now + SECOND);
    match &actions(&mut matcher)[..] {
        [Action::FailAnnouncement { next_poll, .. }] => assert_eq!(*next_poll, Some(31 * SECOND)),
        other => panic!("{other:?}"),
    }
    for number in 10..20 {
        matcher
            .announce(now, announcement(number), common(ONE))
            .unwrap();
    }
    assert_eq!(matcher.next_poll(class), Some(61 * SECOND));
}

/// A volunteer behind a symmetric NAT that announced after one behind an open one: does it come
/// first?
struct Contest {
    matcher: peerage_matcher::Matcher,
    now: std::time::Instant,
    next: u64,
}

impl Contest {
    fn new(rule: QualityRule) -> Self {
        let (matcher, now) = matcher(with(Extras {
            quality: Some(rule),
            ..Extras::default()
        }));
        Self {
            matcher,
            now,
            next: 100,
        }
    }

    fn report(&mut self, client: Option<Asn>) {
        let seen_in = Some(Asn(1));
        self.matcher
            .report_quality(self.now, volunteer(1), seen_in, client);
    }

    fn comes_first(&mut self, contender: NatType, rival: NatType, client: Asn) -> bool {
        self.next += 10;
        let mut first = announcement(self.next);
        first.properties.nat = rival;
        let rival = self.matcher.announce(self.now, first, common(ONE)).unwrap();
        let mut second = announcement(1);
        second.connection = connection(self.next);
        second.properties.nat = contender;
        let id = self
            .matcher
            .announce(self.now, second, common(ONE))
            .unwrap();
        let mut offered = offer(self.next);
        offered.properties.geography.asn = Some(client);
        self.matcher.offer(self.now, offered, common(ONE)).unwrap();
        let won = !self.matcher.is_waiting(id);
        self.matcher.cancel_announcement(self.now, id);
        self.matcher.cancel_announcement(self.now, rival);
        actions(&mut self.matcher);
        won
    }
}

const FAR: Asn = Asn(99);

#[test]
fn a_good_report_gives_priority_for_a_day() {
    let mut contest = Contest::new(QualityRule::default());
    assert!(!contest.comes_first(NatType::SYMMETRIC, NatType::OPEN, FAR));
    contest.report(None);
    assert!(contest.comes_first(NatType::SYMMETRIC, NatType::OPEN, FAR));
    contest.now += Duration::from_secs(24 * 60 * 60 - 1);
    assert!(contest.comes_first(NatType::SYMMETRIC, NatType::OPEN, FAR));
    contest.now += SECOND;
    assert!(!contest.comes_first(NatType::SYMMETRIC, NatType::OPEN, FAR));
}

#[test]
fn quality_belongs_to_a_volunteer_in_a_network() {
    let mut contest = Contest::new(QualityRule::default());
    let elsewhere = Some(Asn(12));
    contest
        .matcher
        .report_quality(contest.now, volunteer(1), elsewhere, None);
    assert!(!contest.comes_first(NatType::SYMMETRIC, NatType::OPEN, FAR));
}

#[test]
fn ten_matches_without_a_report_end_it_five_minutes_later() {
    let mut contest = Contest::new(QualityRule::default());
    contest.report(None);
    for _ in 0..10 {
        assert!(contest.comes_first(NatType::SYMMETRIC, NatType::OPEN, FAR));
    }
    contest.now += Duration::from_secs(299);
    assert!(contest.comes_first(NatType::SYMMETRIC, NatType::OPEN, FAR));
    contest.now += SECOND;
    assert!(!contest.comes_first(NatType::SYMMETRIC, NatType::OPEN, FAR));
}

#[test]
fn a_report_in_time_takes_all_charges_back() {
    let mut contest = Contest::new(QualityRule::default());
    contest.report(None);
    for _ in 0..10 {
        assert!(contest.comes_first(NatType::SYMMETRIC, NatType::OPEN, FAR));
    }
    contest.now += Duration::from_secs(299);
    contest.report(None);
    contest.now += Duration::from_secs(600);
    assert!(contest.comes_first(NatType::SYMMETRIC, NatType::OPEN, FAR));
}

#[test]
fn quality_for_the_client_s_network_stands_in_for_nat_among_those_of_priority() {
    let near = Asn(50);
    let mut contest = Contest::new(QualityRule::default());
    contest.report(Some(near));
    // The rival has priority too, and a better NAT.
    for rival in 0..100 {
        let seen_in = Some(Asn(1));
        let rival = volunteer(100 + rival);
        contest
            .matcher
            .report_quality(contest.now, rival, seen_in, None);
    }
    assert!(!contest.comes_first(NatType::SYMMETRIC, NatType::OPEN, FAR));
    // Equal then, and the rival is older.
    assert!(!contest.comes_first(NatType::SYMMETRIC, NatType::OPEN, near));
    assert!(contest.comes_first(NatType::SYMMETRIC, NatType::SYMMETRIC, near));
    assert!(!contest.comes_first(NatType::SYMMETRIC, NatType::SYMMETRIC, FAR));
}

#[test]
fn only_the_newest_networks_and_volunteers_are_remembered() {
    let mut contest = Contest::new(QualityRule {
        volunteers: 2,
        client_networks: 2,
        ..QualityRule::default()
    });
    for network in [50, 51, 52] {
        contest.report(Some(Asn(network)));
    }
    let seen_in = Some(Asn(1));
    contest
        .matcher
        .report_quality(contest.now, volunteer(110), seen_in, None);
    // Rival 110 is the first contest's: of priority as well.
    assert!(!contest.comes_first(NatType::SYMMETRIC, NatType::SYMMETRIC, Asn(50)));
    contest.now += SECOND;
    for number in [900, 901] {
        contest
            .matcher
            .report_quality(contest.now, volunteer(number), seen_in, None);
    }
    assert!(!contest.comes_first(NatType::SYMMETRIC, NatType::OPEN, Asn(52)));
}

#[test]
fn a_match_says_by_which_compartment_and_nat() {
    let (mut matcher, now) = matcher(Config::default());
    matcher
        .announce(now, announcement(1), personal(TWO))
        .unwrap();
    matcher.offer(now, offer(2), personal(TWO)).unwrap();
    match &actions(&mut matcher)[..] {
        [Action::Deliver { by, offer: got, .. }] => {
            assert_eq!(by.shared, peerage_matcher::Shared::Personal(TWO[0]));
            assert!(by.preferred);
            assert_eq!(
                (by.classes.0.name(), by.classes.1.name()),
                ("strict", "unlimited")
            );
            assert_eq!(by.version, Some(1));
            assert_eq!(**got, offer(2));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(matcher.stats().matches, [[0; 3], [0; 3], [1, 0, 0]]);
    matcher
        .answer(now, &volunteer(1), &connection(1), answer())
        .unwrap();
}
