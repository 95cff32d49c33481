//! Random operations, applied to the matcher and to a reference model; every answer and every action
//! is compared, and what is derived is recomputed.

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU16, NonZeroU32};
use std::time::{Duration, Instant};

use peerage_matcher::{
    Action, AllowMatch, AnnouncementId, Area, Asn, Cancelled, Caps, Compartments, Config,
    ConnectionId, Count, Explanation, Extras, Geography, Limits, LoadLimit, Matcher, NatRule,
    NatType, NetworkType, OfferId, PortMappings, Preference, Properties, Shared, Taken,
    UnknownGeography, Versions, VolunteerId,
};

use crate::common::{self, compartment, connection, country, volunteer};
use crate::model::{Event, Ids, Label, Model, announcement_ending, offer_ending};
use peerage_testkit::Random;

/// How requests differ from each other.
#[derive(Clone, Copy)]
struct World {
    /// Ids of each kind of compartment.
    compartments: u64,
    /// Volunteers; few make duplicates likely.
    volunteers: u64,
    /// Networks in each of three countries.
    networks: u32,
    /// Operations between audits.
    audit_every: u64,
}

const DENSE: World = World {
    compartments: 2,
    volunteers: 40,
    networks: 2,
    audit_every: 16,
};

/// Most wait for long: the queues grow to hundreds.
const SPARSE: World = World {
    compartments: 60,
    volunteers: 1_000_000,
    networks: 5,
    audit_every: 512,
};

/// What a stream has seen, so that one in which nothing happens is noticed.
#[derive(Debug, Default)]
struct Seen {
    delivered: u64,
    answered: u64,
    failed: u64,
    refused: u64,
    most_waiting: usize,
}

struct Stream {
    random: Random,
    world: World,
    matcher: Matcher,
    model: Model,
    now: Instant,
    next: Label,
    announcements: BTreeMap<AnnouncementId, Label>,
    offers: BTreeMap<OfferId, Label>,
    /// The last announcement accepted under each key.
    by_key: BTreeMap<(VolunteerId, ConnectionId), Label>,
    /// The same the other way round; those that ended stay a while, to be used in vain.
    known_announcements: Vec<(Label, AnnouncementId)>,
    known_offers: Vec<(Label, OfferId)>,
    /// Announcements that were delivered to, by key.
    delivered: Vec<(VolunteerId, ConnectionId)>,
    /// Announcements neither delivered to, failed nor cancelled yet.
    open_announcements: BTreeSet<Label>,
    /// Offers neither answered, failed nor cancelled yet.
    open_offers: BTreeSet<Label>,
    seen: Seen,
}

impl Stream {
    fn new(seed: u64, config: Config, world: World) -> Self {
        let now = common::start();
        Self {
            random: Random::new(seed),
            world,
            matcher: Matcher::new(config.clone(), seed_bytes(seed), now).unwrap(),
            model: Model::new(config, now),
            now,
            next: 0,
            announcements: BTreeMap::new(),
            offers: BTreeMap::new(),
            known_announcements: Vec::new(),
            known_offers: Vec::new(),
            delivered: Vec::new(),
            by_key: BTreeMap::new(),
            open_announcements: BTreeSet::new(),
            open_offers: BTreeSet::new(),
            seen: Seen::default(),
        }
    }

    fn properties(&mut self) -> Properties {
        let random = &mut self.random;
        let nat = random.pick(&[
            NatType::UNKNOWN,
            NatType::OPEN,
            NatType::RESTRICTED,
            NatType::PORT_RESTRICTED,
            NatType::SYMMETRIC,
        ]);
        let letters = random.pick(&["AA", "BB", "CC"]);
        let asn = Asn(u32::try_from(random.below(self.world.networks.into())).unwrap());
        let geography = match random.below(12) {
            0 => Geography::UNKNOWN,
            1 => Geography {
                country: Some(country(letters)),
                asn: None,
            },
            2 => Geography {
                country: None,
                asn: Some(asn),
            },
            _ => Geography::known(country(letters), asn),
        };
        let mut versions = Versions::NONE;
        for version in 1..=3 {
            if random.chance(2) {
                versions = versions.with(version);
            }
        }
        Properties {
            nat,
            mappings: PortMappings {
                pcp: random.chance(8),
                ..PortMappings::NONE
            },
            network: random.pick(&[NetworkType::Wifi, NetworkType::Mobile]),
            geography,
            versions,
        }
    }

    fn ids(&mut self) -> Ids {
        let random = &mut self.random;
        let mut list = |one_in| {
            let mut ids = Vec::new();
            while random.chance(one_in) && ids.len() < 4 {
                ids.push(compartment(random.below(self.world.compartments)));
            }
            ids
        };
        let personal = list(3);
        let mut common = list(3);
        if personal.is_empty() && common.is_empty() && !self.random.chance(40) {
            common.push(compartment(self.random.below(self.world.compartments)));
        }
        Ids { personal, common }
    }

    fn deadline(&mut self, most: u64) -> Option<Instant> {
        (!self.random.chance(8)).then(|| {
            let wait = Duration::from_micros(self.random.below(most * 1_000));
            self.now + wait
        })
    }

    fn address(&mut self) -> u64 {
        self.random.below(50)
    }

    fn announce(&mut self) {
        let (label, ids) = (self.next, self.ids());
        self.next += 1;
        let mut record = common::announcement(label);
        record.volunteer = volunteer(self.random.below(self.world.volunteers));
        record.connection = connection(self.random.below(2));
        record.properties = self.properties();
        record.address = peerage_core::Endpoint::new(common::address(self.address()), 1);
        record.priority = self.random.chance(4);
        record.newcomer = self.random.chance(4);
        record.load = u16::try_from(self.random.below(40)).unwrap();
        record.deadline = self.deadline(20_000);
        let compartments = Compartments {
            personal: &ids.personal,
            common: &ids.common,
        };
        let got = self.matcher.announce(self.now, record, compartments);
        let key = (record.volunteer, record.connection);
        let expected = self.model.announce(self.now, label, record, ids);
        assert_eq!(got.map(|_| ()), expected, "announcement {label}");
        self.seen.refused += u64::from(got.is_err());
        if let Ok(id) = got {
            self.by_key.insert(key, label);
            self.open_announcements.insert(label);
            assert_eq!(self.announcements.insert(id, label), None, "a handle twice");
            self.known_announcements.push((label, id));
        }
    }

    fn offer(&mut self) {
        let (label, ids) = (self.next, self.ids());
        self.next += 1;
        let mut record = common::offer(label);
        record.properties = self.properties();
        record.address = common::address(self.address());
        record.deadline = self.deadline(8_000);
        if self.random.chance(60) {
            record.secret = vec![0; 70_000].into();
        }
        let compartments = Compartments {
            personal: &ids.personal,
            common: &ids.common,
        };
        let got = self.matcher.offer(self.now, record.clone(), compartments);
        let expected = self.model.offer(self.now, label, record, ids);
        assert_eq!(got.map(|_| ()), expected, "offer {label}");
        self.seen.refused += u64::from(got.is_err());
        if let Ok(id) = got {
            self.open_offers.insert(label);
            assert_eq!(self.offers.insert(id, label), None, "a handle twice");
            self.known_offers.push((label, id));
        }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..34 => self.announce(),
            34..66 => self.offer(),
            66..72 => {
                if let Some((label, id)) = self.some_announcement() {
                    let got = self.matcher.cancel_announcement(self.now, id);
                    let expected = self.model.cancel_announcement(self.now, label);
                    assert_eq!(got.map(was_waiting), expected);
                    if expected == Some(true) {
                        assert!(self.open_announcements.remove(&label), "left twice");
                    }
                }
            }
            72..78 => {
                if !self.known_offers.is_empty() {
                    let (label, id) = self.random.pick(&self.known_offers);
                    let got = self.matcher.cancel_offer(self.now, id);
                    let expected = self.model.cancel_offer(self.now, label);
                    assert_eq!(got.map(was_waiting), expected);
                    if expected.is_some() {
                        assert!(self.open_offers.remove(&label), "left twice");
                    }
                }
            }
            78..90 => self.reply(),
            90..98 => {
                let longest = self.random.pick(&[20, 500, 3_000]);
                self.now += Duration::from_micros(self.random.below(longest * 1_000));
                self.matcher.handle_timeout(self.now);
                self.model.advance(self.now);
            }
            98 => {
                self.matcher.hold();
                self.model.hold();
            }
            _ => {
                self.matcher.resume(self.now);
                self.model.resume(self.now);
            }
        }
    }

    /// An answer, or that there is none, to someone's connection.
    fn reply(&mut self) {
        let len = self.delivered.len();
        if len > 40 {
            self.delivered.drain(..len - 20);
        }
        let made_up = (
            volunteer(self.random.below(self.world.volunteers)),
            connection(self.random.below(2)),
        );
        let key = if self.delivered.is_empty() || self.random.chance(6) {
            made_up
        } else {
            self.random.pick(&self.delivered)
        };
        if self.random.chance(3) {
            let got = self.matcher.answer_error(self.now, &key.0, &key.1);
            assert_eq!(got, self.model.answer_error(self.now, key));
        } else {
            let answer = common::answer();
            let got = self.matcher.answer(self.now, &key.0, &key.1, answer);
            let expected = self.model.answer(self.now, key);
            assert_eq!(got.map(|taken| taken == Taken::Delivered), expected);
        }
    }

    fn some_announcement(&mut self) -> Option<(Label, AnnouncementId)> {
        // The newest are the likeliest to live.
        let len = self.known_announcements.len();
        if len > 400 {
            self.known_announcements.drain(..len - 200);
        }
        let len = self.known_offers.len();
        if len > 400 {
            self.known_offers.drain(..len - 200);
        }
        (!self.known_announcements.is_empty()).then(|| self.random.pick(&self.known_announcements))
    }

    /// Compares what came out.
    fn compare(&mut self) {
        let mut got = Vec::new();
        while let Some(action) = self.matcher.poll_action() {
            got.push(self.event(action));
        }
        let mut expected = self.model.take_events();
        got.sort_unstable();
        expected.sort_unstable();
        assert_eq!(got, expected);
        let stats = self.matcher.stats();
        let sizes = (stats.announcements, stats.offers, stats.pending);
        assert_eq!(sizes, self.model.sizes());
        self.seen.most_waiting = self.seen.most_waiting.max(sizes.0 + sizes.1);
    }

    fn event(&mut self, action: Action) -> Event {
        match action {
            Action::Deliver { to, offer, by } => {
                self.seen.delivered += 1;
                let number = u64::from_be_bytes(offer.description[..].try_into().unwrap());
                assert_eq!(self.offers[&by.offer], number, "another offer");
                let announcement = self.announcements[&to];
                let record = self.matcher.announcement(to).unwrap();
                self.delivered.push((record.volunteer, record.connection));
                assert!(self.open_announcements.remove(&announcement), "left twice");
                Event::Deliver {
                    announcement,
                    offer: number,
                    preferred: by.preferred,
                    personal: matches!(by.shared, Shared::Personal(_)),
                }
            }
            Action::Answer {
                to, announcement, ..
            } => {
                self.seen.answered += 1;
                let offer = self.offers[&to];
                assert!(self.open_offers.remove(&offer), "left twice");
                let key = (announcement.volunteer, announcement.connection);
                Event::Answer {
                    offer,
                    announcement: self.by_key[&key],
                }
            }
            Action::FailAnnouncement { to, error, .. } => {
                self.seen.failed += 1;
                let label = self.announcements[&to];
                assert!(self.open_announcements.remove(&label), "left twice");
                Event::FailAnnouncement(label, announcement_ending(error))
            }
            Action::FailOffer { to, error } => {
                self.seen.failed += 1;
                let label = self.offers[&to];
                assert!(self.open_offers.remove(&label), "left twice");
                Event::FailOffer(label, offer_ending(error))
            }
        }
    }

    /// What rules keep away from someone who waits, counted one by one.
    fn compare_explanation(&mut self) {
        let offer = (!self.known_offers.is_empty()).then(|| self.random.pick(&self.known_offers));
        if let Some((label, id)) = offer {
            let got = self.matcher.explain_offer(id);
            let expected = self.model.count_for_offer(label);
            compare_counts(got, expected);
        }
        if let Some((label, id)) = self.some_announcement() {
            let got = self.matcher.explain_announcement(id);
            let expected = self.model.count_for_announcement(label);
            compare_counts(got, expected);
        }
    }

    fn run(&mut self, operations: u64) {
        for operation in 0..operations {
            self.step();
            self.compare();
            if operation % self.world.audit_every == 0 {
                self.matcher.audit().unwrap();
                self.compare_explanation();
            }
        }
    }

    /// Ends by time or by a stop, and leaves nothing behind.
    fn drain(mut self, by_stop: bool) -> Seen {
        if by_stop {
            self.matcher.stop(self.now);
            self.model.stop(self.now);
        } else {
            // Those without a deadline are cancelled first.
            for (id, _) in std::mem::take(&mut self.announcements).into_iter() {
                self.announcements.insert(id, 0);
                if self.matcher.is_waiting(id) {
                    self.matcher.cancel_announcement(self.now, id);
                }
            }
            for (id, label) in std::mem::take(&mut self.offers) {
                self.matcher.cancel_offer(self.now, id);
                self.model.cancel_offer(self.now, label);
            }
            self.open_offers.clear();
            self.open_announcements.clear();
            self.now += Duration::from_secs(100);
            self.matcher.handle_timeout(self.now);
            while self.matcher.poll_action().is_some() {}
            let stats = self.matcher.stats();
            assert_eq!(
                (stats.announcements, stats.offers, stats.pending),
                (0, 0, 0)
            );
        }
        if by_stop {
            self.compare();
        }
        self.matcher.audit().unwrap();
        assert_eq!(self.matcher.stats().rooms, 0);
        assert_eq!(self.matcher.stats().offer_bytes, 0);
        assert_eq!(self.matcher.poll_timeout(), None);
        assert!(self.open_announcements.is_empty(), "never left");
        assert!(self.open_offers.is_empty(), "never left");
        self.seen
    }
}

fn compare_counts(got: Option<Explanation>, expected: Option<[usize; 6]>) {
    assert_eq!(got.is_some(), expected.is_some());
    let (Some(got), Some(expected)) = (got, expected) else {
        return;
    };
    assert_eq!(got.others, expected.iter().sum::<usize>());
    let counts = got.excluded.iter().map(|(_, count)| *count);
    for (count, expected) in counts.chain([got.eligible]).zip(expected) {
        match count {
            Count::Exactly(count) => assert_eq!(count, expected, "{got:?}"),
            Count::Between(least, most) => {
                assert!((least..=most).contains(&expected), "{got:?} {expected}");
            }
        }
    }
}

fn was_waiting(cancelled: Cancelled) -> bool {
    cancelled == Cancelled::Waiting
}

fn seed_bytes(seed: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes
}

fn plain(preference: Preference) -> Config {
    Config {
        preference,
        ..Config::default()
    }
}

/// Every eligibility rule there is, and small caps.
fn strict(preference: Preference) -> Config {
    let area = |letters| Area::Country(country(letters));
    let mut allow_match = AllowMatch::default();
    allow_match.never.insert(area("AA"), [area("BB")].into());
    let network = Area::Asn(Asn(1));
    allow_match.never.insert(network, [network].into());
    allow_match
        .only
        .insert(area("CC"), [area("AA"), Area::Asn(Asn(0))].into());
    Config {
        preference,
        caps: Caps {
            announcements: 30,
            offers: 25,
            pending: 20,
            offer_bytes: 900,
        },
        max_compartments: 3,
        unknown_geography: UnknownGeography::Equal,
        extras: Extras {
            announcement_limits: Some(Limits::entries(2)),
            offer_limits: Some(Limits::entries(1)),
            least_offer_time: Duration::from_millis(300),
            load_limit: Some(LoadLimit { entries: 50 }),
            versions: Some(Versions::NONE.with(1).with(2)),
            allow_match,
            refused_countries: [country("ZZ")].into(),
            personal_exempt: true,
            nat: NatRule::Require,
            ..Extras::default()
        },
        ..Config::default()
    }
}

/// Every extra that extends the key.
fn ranked() -> Config {
    Config {
        unknown_geography: UnknownGeography::Refused,
        extras: Extras {
            priority: true,
            load_step: NonZeroU16::new(2),
            newcomer_turn: NonZeroU32::new(3),
            refused_countries: [country("BB")].into(),
            ..Extras::default()
        },
        ..Config::default()
    }
}

fn run(name: &str, config: Config, world: World, operations: u64, seed: u64) {
    for (part, by_stop) in [(0, true), (1, false)] {
        let mut stream = Stream::new(seed + part, config.clone(), world);
        stream.run(operations / 2);
        let seen = stream.drain(by_stop);
        println!("{name}: {seen:?}");
        let enough = operations / 200;
        assert!(
            seen.delivered > enough && seen.answered > enough / 5,
            "{seen:?}"
        );
        assert!(seen.failed > enough && seen.refused > 0, "{seen:?}");
    }
}

fn streams(preference: Preference, operations: u64) {
    run("plain, dense", plain(preference), DENSE, operations / 2, 1);
    run(
        "plain, sparse",
        plain(preference),
        SPARSE,
        operations / 4,
        2,
    );
    run("all rules", strict(preference), DENSE, operations / 4, 3);
}

#[test]
fn every_decision_is_that_of_the_lexicographic_model() {
    streams(Preference::Lexicographic, 12_000);
    run("ranked", ranked(), DENSE, 4_000, 4);
}

#[test]
fn every_decision_is_that_of_the_reference_model() {
    streams(Preference::Reference, 12_000);
}

/// `cargo test --release -p peerage-matcher --test suite million -- --ignored --nocapture`
#[test]
#[ignore = "minutes; meant for the release profile"]
fn a_million_operations_agree_with_the_lexicographic_model() {
    streams(Preference::Lexicographic, 1_000_000);
    run("ranked", ranked(), DENSE, 250_000, 14);
}

/// As above.
#[test]
#[ignore = "minutes; meant for the release profile"]
fn a_million_operations_agree_with_the_reference_model() {
    streams(Preference::Reference, 1_000_000);
}
