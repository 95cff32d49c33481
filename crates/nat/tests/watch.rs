//! When to survey again.

use std::net::IpAddr;
use std::time::Duration;

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
