//! What an operator may decide, and the reasons that errors give.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use peerage_core::{Failure, Kind, Retry};
use peerage_matcher::error::Queue;
use peerage_matcher::{
    AllowMatch, AnnouncementError, AnswerError, Area, Asn, Caps, CompartmentId, Compartments,
    Config, ConfigError, Extras, Limited, Limits, Matcher, OfferError, PollHints, Preference,
    QualityRule, Rate, Refused,
};

use crate::common::{ONE, SECOND, announcement, common, country, matcher, offer, start};

fn refused(change: impl FnOnce(&mut Config)) -> ConfigError {
    let mut config = Config::default();
    change(&mut config);
    let made = Matcher::new(config, [0; 16], start());
    made.err().expect("accepted")
}

#[test]
fn values_out_of_bounds_are_refused_by_name() {
    let zero = QualityRule {
        charges: 0,
        ..QualityRule::default()
    };
    type Change = fn(&mut Config);
    let cases: [(&str, Change); 10] = [
        ("caps.announcements", |c| {
            c.caps.announcements = Caps::CEILING + 1
        }),
        ("max_compartments", |c| c.max_compartments = 0),
        ("max_compartments", |c| c.max_compartments = 101),
        ("tick", |c| c.tick = Duration::ZERO),
        ("answer_timeout", |c| c.answer_timeout = Duration::ZERO),
        ("limits.entries", |c| {
            c.extras.offer_limits = Some(Limits::entries(Limits::CEILING_ENTRIES + 1));
        }),
        ("limits.rate.per_minute", |c| {
            c.extras.announcement_limits = Some(Limits {
                rate: Some(Rate {
                    per_minute: 0,
                    burst: 1,
                }),
                ..Limits::entries(1)
            });
        }),
        ("limits.prefix_v6", |c| {
            c.extras.offer_limits = Some(Limits {
                prefix_v6: 129,
                ..Limits::entries(1)
            });
        }),
        ("extras.poll_hints.least", |c| {
            c.extras.poll_hints = Some(PollHints {
                least: 2 * SECOND,
                most: SECOND,
                full_at: 1,
            });
        }),
        ("extras.versions", |c| {
            c.extras.versions = Some(Default::default())
        }),
    ];
    for (expected, change) in cases {
        match refused(change) {
            ConfigError::OutOfRange { name, .. } => assert_eq!(name, expected),
            other => panic!("{other}"),
        }
    }
    let error = refused(|config| config.extras.quality = Some(zero));
    assert_eq!(
        error.to_string(),
        "quality.charges is 0, it must be from 1 to 100"
    );
    assert_eq!(error.kind(), Kind::Usage);
}

#[test]
fn an_allow_match_rule_of_too_many_areas_is_refused() {
    let error = refused(|config| {
        let areas = (0..)
            .map(|n| Area::Asn(Asn(n)))
            .take(AllowMatch::MAX_VOLUNTEER_AREAS + 1);
        let client = Area::Country(country("IR"));
        config
            .extras
            .allow_match
            .never
            .insert(client, areas.collect());
    });
    assert!(error.to_string().contains("areas of volunteers"), "{error}");
}

#[test]
fn as_many_areas_as_allowed_are_told_apart() {
    let mut config = Config::default();
    let last = u32::try_from(AllowMatch::MAX_VOLUNTEER_AREAS).unwrap() - 1;
    let areas = (0..=last).map(|n| Area::Asn(Asn(100 + n)));
    let client = Area::Country(country("IR"));
    config
        .extras
        .allow_match
        .never
        .insert(client, areas.collect());
    let (mut matcher, now) = matcher(config);
    for (number, asn) in [(1, 100), (2, 100 + last), (3, 101 + last)] {
        let mut announced = announcement(number);
        announced.properties.geography.asn = Some(Asn(asn));
        matcher.announce(now, announced, common(ONE)).unwrap();
    }
    matcher.offer(now, offer(9), common(ONE)).unwrap();
    assert_eq!(crate::common::deliveries(&mut matcher), [(3, 9)]);
}

#[test]
fn the_reference_s_order_takes_no_extra_that_extends_the_key() {
    let extending: [(&str, Extras); 4] = [
        (
            "priority",
            Extras {
                priority: true,
                ..Extras::default()
            },
        ),
        (
            "quality",
            Extras {
                quality: Some(QualityRule::default()),
                ..Extras::default()
            },
        ),
        (
            "load_step",
            Extras {
                load_step: NonZeroU16::new(8),
                ..Extras::default()
            },
        ),
        (
            "newcomer_turn",
            Extras {
                newcomer_turn: NonZeroU32::new(2),
                ..Extras::default()
            },
        ),
    ];
    for (extra, extras) in extending {
        let error = refused(|config| {
            config.preference = Preference::Reference;
            config.extras = extras;
        });
        assert_eq!(error, ConfigError::NotInReference { extra });
    }
}

#[test]
fn defaults_are_those_documented_and_all_extras_are_off() {
    let config = Config::default();
    assert_eq!(config.preference, Preference::Lexicographic);
    let caps = config.caps;
    assert_eq!(
        [caps.announcements, caps.offers, caps.pending],
        [1_000_000; 3]
    );
    assert_eq!(config.max_compartments, 10);
    assert_eq!(config.answer_timeout, 30 * SECOND);
    assert_eq!(config.extras, Extras::default());
    config.check().unwrap();
}

#[test]
fn compartments_are_counted_and_repeated_ones_do_no_harm() {
    let (mut matcher, now) = matcher(Config::default());
    let nothing = Compartments::default();
    let got = matcher.announce(now, announcement(1), nothing);
    assert_eq!(got, Err(Refused::NoCompartment));
    let many = [CompartmentId([3; 32]); 11];
    let got = matcher.offer(now, offer(1), common(&many));
    assert_eq!(
        got,
        Err(Refused::TooManyCompartments { len: 11, limit: 10 })
    );
    let id = matcher
        .announce(now, announcement(1), common(&many[..10]))
        .unwrap();
    matcher.audit().unwrap();
    assert_eq!(matcher.stats().rooms, 1);
    matcher.cancel_announcement(now, id);
    matcher.audit().unwrap();
    assert_eq!(matcher.stats().rooms, 0);
}

#[test]
fn opaque_bytes_are_bounded_one_by_one_and_together() {
    let mut config = Config {
        max_opaque_len: 1_000,
        ..Config::default()
    };
    config.caps.offer_bytes = 2_000;
    let (mut matcher, now) = matcher(config);
    let mut client = offer(1);
    client.description = vec![1; 1_000].into();
    let len = client.opaque_len();
    let got = matcher.offer(now, client.clone(), common(ONE));
    assert_eq!(got, Err(Refused::TooLong { len, limit: 1_000 }));
    client.description = vec![1; 900].into();
    for _ in 0..2 {
        matcher.offer(now, client.clone(), common(ONE)).unwrap();
    }
    let full = Refused::Full {
        queue: Queue::OfferBytes,
        limit: 2_000,
    };
    assert_eq!(matcher.offer(now, client, common(ONE)), Err(full));
    assert_eq!(matcher.stats().offer_bytes, 2 * (len - 100));
}

#[test]
fn every_way_to_fail_says_whether_to_try_again() {
    let never = [
        Refused::NoCompartment,
        Refused::Duplicate,
        Refused::NoVersion,
        Refused::UnknownGeography,
        Refused::Country {
            country: country("DE"),
        },
        Refused::TooLong { len: 2, limit: 1 },
        Refused::TooManyCompartments { len: 2, limit: 1 },
    ];
    for error in never {
        assert_eq!(error.retry(), Retry::Never, "{error}");
    }
    let again = [
        Refused::Stopped,
        Refused::Full {
            queue: Queue::Pending,
            limit: 1,
        },
        Refused::LoadLimited { own: 1, other: 1 },
        Refused::Limited(Limited::Entries { limit: 1 }),
        Refused::Limited(Limited::Rate { wait: SECOND }),
        Refused::TooLate {
            left: SECOND,
            least: SECOND,
        },
    ];
    for error in again {
        assert_ne!(error.retry(), Retry::Never, "{error}");
    }
    for error in [
        OfferError::NoMatch,
        OfferError::NoAnswer,
        OfferError::VolunteerLeft,
        OfferError::AnswerTimeout,
        OfferError::Stopped,
    ] {
        assert_ne!(error.retry(), Retry::Never, "{error}");
        assert_eq!(error.reason().message, error.to_string().into());
    }
    for error in [AnnouncementError::NoMatch, AnnouncementError::Stopped] {
        assert_ne!(error.retry(), Retry::Never, "{error}");
    }
    assert_eq!(AnswerError::NoClient.retry(), Retry::Never);
}
