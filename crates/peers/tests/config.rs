//! Configurations that make sense, and those that do not.

use std::time::Duration;

use peerage_core::{Failure as _, Kind};
use peerage_peers::{Config, ConfigError, Keepalive, Rotation, Table};

use crate::common::{Toy, secs, start};

#[test]
fn every_network_makes_sense() {
    for config in [Config::ethereum(), Config::zcash(), Config::decred()] {
        assert_eq!(config.check(), Ok(()));
    }
}

#[test]
fn what_would_never_end_or_spin_is_refused_by_name() {
    let mut never = Config::zcash();
    never.keepalive.idle = Duration::MAX;
    let table = Table::<Toy>::new(never, 0, [0; 16], start());
    let error = table.err().unwrap();
    assert!(
        matches!(
            error,
            ConfigError::Span {
                name: "keepalive.idle",
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.kind(), Kind::Usage);
    let mut spinning = Config::zcash();
    spinning.beat = Duration::ZERO;
    let error = spinning.check().unwrap_err();
    assert_eq!(
        error.to_string(),
        "beat is 0ns; it must be between 1ms and 31622400s"
    );
}

#[test]
fn what_contradicts_itself_is_refused_by_name() {
    let order = |change: fn(&mut Config)| {
        let mut config = Config::ethereum();
        change(&mut config);
        match config.check() {
            Err(ConfigError::Order { low, high }) => (low, high),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        order(|config| config.requests.min = secs(30)),
        ("requests.min", "requests.max")
    );
    assert_eq!(
        order(|config| config.theirs.max = config.theirs.pause_above),
        ("theirs.pause_above", "theirs.max")
    );
    assert_eq!(
        order(|config| {
            config.rotation = Some(Rotation {
                min: secs(500),
                ..Rotation::default()
            });
        }),
        ("rotation.min", "rotation.max")
    );
    let lazy = Keepalive {
        interval: secs(1200),
        ..Keepalive::ZCASH
    };
    let mut config = Config::zcash();
    config.keepalive = lazy;
    assert!(config.check().is_err());
}
