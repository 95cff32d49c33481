//! Limits by address group.

use peerage_testkit::Random;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use peerage_core::{Endpoint, Failure, Retry};
use peerage_matcher::{Config, Limited, Limits, Matcher, Rate, Refused, SponsorId};

use crate::common::{
    ONE, SECOND, TWO, actions, announcement, common, id, matcher, offer, volunteer,
};

fn limited(limits: Limits) -> (Matcher, Instant) {
    let mut config = Config::default();
    config.extras.announcement_limits = Some(limits);
    config.extras.offer_limits = Some(limits);
    config.extras.exempt_volunteers = [volunteer(77)].into();
    config.extras.exempt_sponsors = [SponsorId(id(7))].into();
    matcher(config)
}

fn from(number: u64, address: &str) -> peerage_matcher::Announcement {
    let mut announced = announcement(number);
    announced.address = Endpoint::new(address.parse().unwrap(), 1);
    announced
}

fn entries(limit: u32) -> Refused {
    Refused::Limited(Limited::Entries { limit })
}

#[test]
fn a_group_s_waiting_entries_are_limited_and_leaving_makes_room() {
    let (mut matcher, now) = limited(Limits::entries(2));
    let announce = |matcher: &mut Matcher, number, address| {
        matcher.announce(now, from(number, address), common(ONE))
    };
    let first = announce(&mut matcher, 1, "192.0.2.1").unwrap();
    announce(&mut matcher, 2, "192.0.2.1").unwrap();
    assert_eq!(announce(&mut matcher, 3, "192.0.2.1"), Err(entries(2)));
    // A spelling of the same address does not help.
    assert_eq!(
        announce(&mut matcher, 3, "::ffff:192.0.2.1"),
        Err(entries(2))
    );
    announce(&mut matcher, 4, "192.0.2.2").unwrap();
    matcher.cancel_announcement(now, first);
    announce(&mut matcher, 5, "192.0.2.1").unwrap();
    actions(&mut matcher);
}

#[test]
fn who_is_matched_at_once_or_later_counts_no_longer() {
    let (mut matcher, now) = limited(Limits::entries(1));
    matcher
        .announce(now, from(1, "192.0.2.1"), common(ONE))
        .unwrap();
    matcher.offer(now, offer(10), common(ONE)).unwrap();
    matcher
        .announce(now, from(2, "192.0.2.1"), common(ONE))
        .unwrap();
    for number in 11..14 {
        let mut client = offer(number);
        client.address = "192.0.2.9".parse().unwrap();
        matcher.offer(now, client, common(ONE)).unwrap();
        let announced = from(number, "192.0.2.1");
        let again = matcher.announce(now, announced, common(ONE));
        assert!(again.is_ok(), "{again:?}");
        actions(&mut matcher);
    }
}

#[test]
fn an_ipv6_customer_is_one_group() {
    let (mut matcher, now) = limited(Limits::entries(1));
    let mut announce = |number, address| matcher.announce(now, from(number, address), common(ONE));
    announce(1, "2001:db8:0:1200::1").unwrap();
    assert_eq!(announce(2, "2001:db8:0:12ff:ffff::9"), Err(entries(1)));
    announce(3, "2001:db8:0:1300::1").unwrap();
    let group = |address: &str| Limits::entries(1).group_of(address.parse().unwrap());
    assert_eq!(
        group("2001:db8:0:12ff::1"),
        "2001:db8:0:1200::".parse::<IpAddr>().unwrap()
    );
    let mut wide = Limits::entries(1);
    wide.prefix_v4 = 24;
    let group = wide.group_of("192.0.2.200".parse().unwrap());
    assert_eq!(group, "192.0.2.0".parse::<IpAddr>().unwrap());
}

#[test]
fn the_exempt_are_counted_apart_and_held_to_the_ceilings_only() {
    let (mut matcher, now) = limited(Limits::entries(1));
    matcher
        .announce(now, from(1, "192.0.2.1"), common(ONE))
        .unwrap();
    for number in 0..20 {
        let mut exempt = from(2, "192.0.2.1");
        exempt.volunteer = volunteer(77);
        exempt.connection = crate::common::connection(number);
        matcher.announce(now, exempt, common(ONE)).unwrap();
    }
    let refused = matcher.announce(now, from(3, "192.0.2.1"), common(ONE));
    assert_eq!(refused, Err(entries(1)));

    let mut client = offer(1);
    matcher.offer(now, client.clone(), common(TWO)).unwrap();
    let refused = matcher.offer(now, client.clone(), common(TWO));
    assert_eq!(refused, Err(entries(1)));
    client.sponsor = Some(SponsorId(id(7)));
    for _ in 0..20 {
        matcher.offer(now, client.clone(), common(TWO)).unwrap();
    }
    client.sponsor = Some(SponsorId(id(8)));
    assert!(matcher.offer(now, client, common(TWO)).is_err());
    actions(&mut matcher);
}

fn with_rate(per_minute: u32, burst: u32) -> Limits {
    Limits {
        rate: Some(Rate { per_minute, burst }),
        ..Limits::entries(1_000)
    }
}

/// A token bucket, written as one.
struct Bucket {
    tokens: f64,
    at: f64,
}

#[test]
fn the_rate_is_that_of_a_token_bucket() {
    let (mut matcher, start) = limited(with_rate(30, 4));
    let mut random = Random::new(3);
    let mut bucket = Bucket {
        tokens: 4.0,
        at: 0.0,
    };
    let (mut millis, mut admitted, mut refused) = (1_u64, 0, 0);
    for _ in 0..3_000 {
        // Odd steps never meet the exact moment of a new token, where rounding would decide.
        millis += 1 + 2 * random.below(1_500);
        let now = start + Duration::from_millis(millis);
        let at = millis as f64 / 1_000.0;
        bucket.tokens = (bucket.tokens + (at - bucket.at) * 0.5).min(4.0);
        bucket.at = at;
        let allowed = bucket.tokens >= 1.0 - 1e-9;
        bucket.tokens -= f64::from(u8::from(allowed));
        let got = matcher.offer(now, offer(1), common(ONE));
        assert_eq!(got.is_ok(), allowed, "at {millis}: {}", bucket.tokens);
        match got {
            Ok(id) => {
                admitted += 1;
                matcher.cancel_offer(now, id);
            }
            Err(error) => {
                refused += 1;
                let Refused::Limited(Limited::Rate { wait }) = error else {
                    panic!("{error}");
                };
                assert_eq!(error.retry(), Retry::After(wait));
                let missing = (1.0 - bucket.tokens) * 2.0;
                assert!((wait.as_secs_f64() - missing).abs() < 0.001);
            }
        }
    }
    assert!(admitted > 500 && refused > 500, "{admitted} {refused}");
}

#[test]
fn whoever_waits_as_told_is_admitted() {
    let (mut matcher, now) = limited(with_rate(6, 1));
    matcher.offer(now, offer(1), common(ONE)).unwrap();
    let Err(error) = matcher.offer(now, offer(1), common(ONE)) else {
        panic!("admitted");
    };
    assert_eq!(error.retry(), Retry::After(10 * SECOND));
    let later = now + 10 * SECOND;
    matcher.offer(later, offer(1), common(ONE)).unwrap();
}

#[test]
fn groups_are_forgotten_once_there_is_nothing_to_remember_or_no_room() {
    let limits = Limits {
        groups: 3,
        ..with_rate(1, 1)
    };
    let (mut matcher, now) = limited(limits);
    let mut visit = |number: u64, now| {
        let mut client = offer(number);
        client.address = crate::common::address(number);
        let got = matcher.offer(now, client, common(ONE));
        if let Ok(id) = got {
            matcher.cancel_offer(now, id);
        }
        got.is_ok()
    };
    assert!(visit(1, now));
    assert!(!visit(1, now));
    for number in 2..5 {
        assert!(visit(number, now));
    }
    // Three others since: the first has been forgotten, the last has not.
    assert!(visit(1, now));
    assert!(!visit(4, now));
    assert!(visit(4, now + 61 * SECOND));
    matcher.audit().unwrap();
}
