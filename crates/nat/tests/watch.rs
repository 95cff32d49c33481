//! When to survey again.

use std::net::IpAddr;
use std::time::Duration;

use peerage_core::Endpoint;
use peerage_core::nat::Behaviour;
use peerage_nat::survey::Unknown;
use peerage_nat::watch::{Attachment, Due, WatchRules};
use peerage_nat::{Family, Report, Watch};

use crate::common::start;

fn report(mapping: Result<Behaviour, Unknown>) -> Report {
    Report {
        family: Family::V4,
        started_at: start(),
        ended_at: start(),
        mapping,
        filtering: Ok(Behaviour::EndpointIndependent),
        local: None,
        external: None,
        externals: Vec::new(),
        hairpin: None,
        servers: Vec::new(),
        trials: Vec::new(),
    }
}

fn at(last: u8) -> Option<Attachment> {
    Some(Attachment {
        local: IpAddr::from([192, 168, 1, last]),
        gateway: None,
    })
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_first_waits_for_a_network_and_until_it_has_settled() {
    let mut watch = Watch::new(WatchRules::default());
    let now = start();
    assert_eq!(
        (watch.poll_due(now + secs(1000)), watch.poll_timeout()),
        (None, None)
    );
    assert!(watch.handle_attachment(now, at(1)));
    assert_eq!(watch.poll_due(now + secs(1)), None);
    assert!(
        watch.handle_attachment(now + secs(1), at(2)),
        "it goes on changing"
    );
    assert_eq!(watch.poll_due(now + secs(2)), None);
    assert!(!watch.handle_attachment(now + secs(2), at(2)));
    assert_eq!(watch.poll_due(now + secs(3)), Some(Due::NetworkChanged));
    assert_eq!(watch.poll_due(now + secs(3)), None, "one at a time");
}

#[test]
fn an_unknown_result_is_tried_again_soon_and_then_less_often() {
    let mut watch = Watch::new(WatchRules::default());
    let mut now = start();
    watch.handle_attachment(now, at(1));
    now += secs(2);
    assert_eq!(watch.poll_due(now), Some(Due::First));
    for wait in [30, 60, 120, 240, 480, 600, 600] {
        assert!(watch.handle_report(now, report(Err(Unknown::NoAnswer))));
        assert_eq!(watch.poll_timeout().unwrap().at, now + secs(wait));
        now += secs(wait);
        assert_eq!(watch.poll_due(now), Some(Due::Unknown));
    }
    assert!(watch.handle_report(now, report(Ok(Behaviour::EndpointIndependent))));
    assert_eq!(watch.poll_due(now + secs(1799)), None);
    assert_eq!(watch.poll_due(now + secs(1800)), Some(Due::Old));
}

#[test]
fn a_change_forgets_the_result_and_spoils_the_one_under_way() {
    let mut watch = Watch::new(WatchRules::default());
    let mut now = start();
    watch.handle_attachment(now, at(1));
    now += secs(2);
    assert!(watch.poll_due(now).is_some());
    assert!(watch.handle_attachment(now, at(2)));
    assert_eq!(watch.poll_due(now + secs(5)), None, "while one runs");
    assert!(!watch.handle_report(now + secs(5), report(Ok(Behaviour::AddressDependent))));
    assert_eq!(watch.last(), None);
    assert_eq!(watch.poll_due(now + secs(5)), Some(Due::NetworkChanged));
    assert!(watch.handle_report(now + secs(9), report(Ok(Behaviour::AddressDependent))));
    assert!(watch.last().is_some());
    assert!(watch.handle_attachment(now + secs(10), None));
    assert_eq!(
        (watch.last(), watch.poll_timeout()),
        (None, None),
        "nothing attached"
    );
    assert!(watch.handle_attachment(now + secs(20), at(2)));
    assert_eq!(watch.poll_due(now + secs(22)), Some(Due::NetworkChanged));
    watch.handle_failure(now + secs(23));
    assert_eq!(watch.poll_due(now + secs(53)), Some(Due::Unknown));
}

/// A survey that saw us there.
fn seen_at(ips: &[[u8; 4]]) -> Report {
    let at = |ip: &[u8; 4]| Endpoint::new(IpAddr::from(*ip), 4000);
    Report {
        external: ips.first().map(at),
        externals: ips.iter().map(at).collect(),
        ..report(Ok(Behaviour::EndpointIndependent))
    }
}

/// A watch whose first survey ended at that time.
fn surveyed(report: Report) -> (Watch, std::time::Instant) {
    let mut watch = Watch::new(WatchRules::default());
    let begun = start();
    let now = begun + secs(2);
    watch.handle_attachment(begun, at(1));
    assert_eq!(watch.poll_due(now), Some(Due::First));
    assert!(watch.handle_report(now, report));
    (watch, now)
}

#[test]
fn an_address_that_changes_behind_the_same_router_is_noticed_within_a_minute() {
    let (mut watch, now) = surveyed(seen_at(&[[203, 0, 113, 1]]));
    assert_eq!(watch.poll_timeout().unwrap().at, now + secs(60));
    assert!(!watch.poll_glance(now + secs(59)));
    let now = now + secs(60);
    assert!(watch.poll_glance(now));
    assert!(!watch.poll_glance(now), "one at a time");
    assert!(!watch.handle_glance(now, Some([203, 0, 113, 1].into())));
    assert!(!watch.handle_glance(now, None), "silence proves nothing");
    assert_eq!(watch.poll_due(now), None);
    let now = now + secs(60);
    assert!(watch.poll_glance(now));
    assert!(watch.handle_glance(now, Some([203, 0, 113, 2].into())));
    assert_eq!(watch.poll_timeout().unwrap().at, now);
    assert!(watch.last().is_some(), "the last counts until the next");
    assert_eq!(watch.poll_due(now), Some(Due::Moved));
    assert!(!watch.poll_glance(now + secs(60)), "while one runs");
}

#[test]
fn a_nat_of_many_addresses_is_not_surveyed_at_every_glance() {
    let (mut watch, mut now) = surveyed(seen_at(&[[203, 0, 113, 1], [203, 0, 113, 2]]));
    let mut surveys = Vec::new();
    for minute in 0..12_u8 {
        now += secs(60);
        assert!(watch.poll_glance(now), "{minute}");
        assert!(
            !watch.handle_glance(now, Some([203, 0, 113, 2].into())),
            "a known one"
        );
        assert!(watch.handle_glance(now, Some([203, 0, 113, 10 + minute].into())));
        if let Some(due) = watch.poll_due(now) {
            assert_eq!(due, Due::Moved);
            assert!(watch.handle_report(now, seen_at(&[[203, 0, 113, 1], [203, 0, 113, 2]])));
            surveys.push(minute);
        }
    }
    assert_eq!(surveys, [0, 5, 10]);
}

#[test]
fn who_was_never_seen_does_not_glance_and_a_new_network_begins_anew() {
    let (mut watch, now) = surveyed(report(Err(Unknown::NoAnswer)));
    assert!(!watch.poll_glance(now + secs(600)));
    let (mut watch, now) = surveyed(seen_at(&[[203, 0, 113, 1]]));
    assert!(watch.handle_attachment(now, at(2)));
    assert!(!watch.poll_glance(now + secs(600)));
    assert!(!watch.handle_glance(now, Some([203, 0, 113, 9].into())));
}
