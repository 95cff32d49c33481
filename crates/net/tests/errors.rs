//! Every error of this crate answers for itself.

use std::collections::BTreeSet;
use std::io;

use peerage_core::{Blame, Failure, Kind, Retry, Stage};
use peerage_net::{LinkError, ReachError, TargetError};
use peerage_verack::{MessageError, SessionError};

use crate::common::endpoint;

/// What must hold for the reason of any error: words for people without control characters and
/// without a full stop, names for machines.
fn assert_sound(error: &(impl Failure + 'static)) {
    let reason = error.reason();
    let message = &*reason.message;
    assert!(!message.is_empty());
    assert!(!message.ends_with(['.', ' ', ':']), "{message}");
    assert!(!message.chars().any(char::is_control), "{message:?}");
    assert!(
        message.starts_with(|c: char| !c.is_uppercase()),
        "{message}"
    );
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(part) = cause {
        assert!(message.contains(&part.to_string()), "{message} has {part}");
        cause = part.source();
    }
    assert_eq!(reason.stage, error.stage());
    assert_eq!((reason.kind, reason.blame), (error.kind(), error.blame()));
    assert_eq!(reason.retry, error.retry());
    assert_eq!(reason.detail, error.detail());
    assert!(!matches!(reason.kind, Kind::Bug), "{message}");
    assert!(!reason.advice().is_empty());
    let names: Vec<_> = reason.detail.iter().map(|(name, _)| name).collect();
    let unique: BTreeSet<_> = names.iter().collect();
    assert_eq!(unique.len(), names.len(), "{names:?}");
    let snake = |name: &&str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    assert!(names.iter().all(snake), "{names:?}");
}

fn reach_errors() -> Vec<(ReachError, Stage, Kind, Blame)> {
    let name: Box<str> = "seed.example.org".into();
    let at = |port| endpoint(&format!("192.0.2.1:{port}"));
    let failed = |kinds: &[io::ErrorKind]| ReachError::Failed {
        attempts: kinds.iter().map(|kind| (at(1), *kind)).collect(),
    };
    use io::ErrorKind as E;
    let unresolved = ReachError::Unresolved {
        name: name.clone(),
        resolver: "no such host".into(),
    };
    let timed_out = ReachError::TimedOut {
        tried: 2,
        failed: vec![(at(1), E::ConnectionRefused)],
    };
    let no_address = ReachError::NoAddress { name: name.clone() };
    let slow_name = ReachError::ResolveTimedOut { name };
    let (resolve, reach) = (Stage::Resolve, Stage::Reach);
    let mixed = [E::HostUnreachable, E::TimedOut, E::ConnectionRefused];
    let reset = [E::ConnectionRefused, E::ConnectionReset];
    vec![
        (unresolved, resolve, Kind::Unresolved, Blame::Network),
        (no_address, resolve, Kind::Unresolved, Blame::Network),
        (slow_name, resolve, Kind::Unresolved, Blame::Network),
        (timed_out, reach, Kind::Timeout, Blame::Them),
        // The most telling answer counts: accepted and reset, refused, silence, no route.
        (failed(&reset), reach, Kind::Closed, Blame::Them),
        (failed(&mixed), reach, Kind::ConnectionRefused, Blame::Them),
        (failed(&mixed[..2]), reach, Kind::Timeout, Blame::Them),
        (
            failed(&mixed[..1]),
            reach,
            Kind::Unreachable,
            Blame::Network,
        ),
    ]
}

#[test]
fn every_reach_error_says_where_what_and_whose_doing() {
    for (error, stage, kind, blame) in reach_errors() {
        assert_sound(&error);
        let reason = error.reason();
        let found = (reason.stage, reason.kind, reason.blame);
        assert_eq!(found, (stage, kind, blame), "{error}");
        assert!(matches!(reason.retry, Retry::After(_)), "{error}");
        assert!(reason.detail.iter().next().is_some(), "{error} has facts");
    }
}

#[test]
fn a_failed_reach_names_every_address_with_its_failure() {
    let attempts = vec![
        (
            endpoint("[2001:db8::1]:1"),
            io::ErrorKind::NetworkUnreachable,
        ),
        (endpoint("192.0.2.1:1"), io::ErrorKind::ConnectionRefused),
    ];
    let error = ReachError::Failed { attempts };
    assert_eq!(
        error.to_string(),
        "[2001:db8::1]:1: network unreachable, 192.0.2.1:1: connection refused"
    );
}

#[test]
fn a_hostile_name_is_shown_escaped_and_bounded() {
    let name: Box<str> = format!("evil\x1b[2J\n{}", "a".repeat(10_000)).into();
    let resolver = "no\nsuch\thost".into();
    for error in [
        ReachError::Unresolved {
            name: name.clone(),
            resolver,
        },
        ReachError::NoAddress { name: name.clone() },
        ReachError::ResolveTimedOut { name: name.clone() },
    ] {
        assert_sound(&error);
        assert!(error.to_string().contains(r"evil\x1b[2J\n"), "{error}");
        assert!(error.to_string().len() < 400);
    }
}

fn link_errors(doing: Stage) -> Vec<(LinkError<SessionError>, Kind, Blame)> {
    let broken = LinkError::Transport {
        doing,
        kind: io::ErrorKind::HostUnreachable,
    };
    let session = SessionError::Message(MessageError::BadCommand);
    let flood = LinkError::Flood { doing, limit: 256 };
    vec![
        (LinkError::Closed { doing }, Kind::Closed, Blame::Them),
        (broken, Kind::Transport, Blame::Network),
        (LinkError::TimedOut { doing }, Kind::Timeout, Blame::Them),
        (
            LinkError::Cancelled { doing },
            Kind::Cancelled,
            Blame::Caller,
        ),
        (flood, Kind::Flood, Blame::Them),
        (LinkError::Session(session), Kind::Malformed, Blame::Them),
    ]
}

#[test]
fn every_link_error_says_what_was_being_done_and_whose_doing_its_end_is() {
    for doing in ["receive", "send", "ping"].map(Stage::Keep) {
        for (error, kind, blame) in link_errors(doing) {
            assert_sound(&error);
            assert_eq!((error.kind(), error.blame()), (kind, blame), "{error}");
            let own = matches!(error, LinkError::Session(_));
            let expected = if own { Stage::Keep("receive") } else { doing };
            assert_eq!(error.stage(), expected, "{error}");
        }
    }
}

#[test]
fn a_peer_that_left_is_tried_again_sooner_than_one_that_broke_the_protocol() {
    let doing = Stage::Keep("receive");
    let wait = |error: LinkError<SessionError>| match error.retry() {
        Retry::After(wait) => wait,
        Retry::Now | Retry::Never => panic!("{error}"),
    };
    let left = wait(LinkError::Closed { doing });
    let broke = SessionError::Message(MessageError::BadCommand);
    assert!(left < wait(LinkError::Session(broke)));
}

#[test]
fn a_link_error_is_as_transparent_as_its_cause() {
    let cause = SessionError::Message(MessageError::BadCommand);
    let error = LinkError::Session(cause.clone());
    assert_eq!(error.to_string(), cause.to_string());
    assert_eq!(error.reason().message, cause.reason().message);
    assert_eq!(error.detail(), cause.detail());
}

#[test]
fn a_target_that_makes_no_sense_is_the_callers_doing() {
    for error in [
        TargetError::NoHost,
        TargetError::BadPort,
        TargetError::BadHost,
    ] {
        assert_sound(&error);
        let reason = error.reason();
        assert_eq!(reason.stage, Stage::Input);
        assert_eq!((reason.kind, reason.blame), (Kind::Usage, Blame::Caller));
        assert_eq!(reason.retry, Retry::Never);
    }
}
