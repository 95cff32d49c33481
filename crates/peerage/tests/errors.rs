//! Every error of this crate answers for itself.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use peerage::core::network::Network;
use peerage::net::{LinkError, ReachError, TargetError};
use peerage::networks::{PeerAddress, SetupError};
use peerage::verack::Reject;
use peerage::verack::table::TableError;
use peerage::verack::{Awaited, HandshakeError, SessionError};
use peerage::{
    AddressError, Blame, DialError, Failure, Greeter, KeyError, Kind, Retry, Stage, TablesError,
    Zcash,
};

/// What must hold for the reason of any error: words for people without a full stop or control
/// characters, names for machines, and every cause in it.
fn assert_sound(error: &(impl Failure + 'static)) {
    let reason = error.reason();
    let message = &*reason.message;
    assert!(!message.is_empty());
    assert!(!message.ends_with(['.', ' ', ':']), "{message}");
    assert!(!message.chars().any(char::is_control), "{message:?}");
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(part) = cause {
        assert!(message.contains(&part.to_string()), "{message} has {part}");
        cause = part.source();
    }
    assert_eq!((reason.stage, reason.kind), (error.stage(), error.kind()));
    assert_eq!((reason.blame, reason.retry), (error.blame(), error.retry()));
    assert!(!matches!(reason.kind, Kind::Bug), "{message}");
    assert!(!reason.advice().is_empty());
    let names: Vec<_> = reason.detail.iter().map(|(name, _)| name).collect();
    let unique: BTreeSet<_> = names.iter().collect();
    assert_eq!(unique.len(), names.len(), "{names:?}");
    let snake = |name: &&str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    assert!(names.iter().all(snake), "{names:?}");
}

/// An error about what the caller gave: its own doing, at the input, and useless to try again.
fn assert_misuse(error: &(impl Failure + 'static)) {
    assert_sound(error);
    let reason = error.reason();
    assert_eq!(reason.stage, Stage::Input, "{reason}");
    assert_eq!(
        (reason.kind, reason.blame),
        (Kind::Usage, Blame::Caller),
        "{reason}"
    );
    assert_eq!(reason.retry, Retry::Never, "{reason}");
}

fn detail(error: &impl Failure) -> Vec<(&'static str, String)> {
    let detail = error.detail();
    detail
        .iter()
        .map(|(name, value)| (name, value.to_string()))
        .collect()
}

fn key_errors() -> Vec<KeyError> {
    let path = PathBuf::from("/tmp/node.key");
    let error = || io::Error::from(io::ErrorKind::PermissionDenied);
    vec![
        KeyError::Read {
            path: path.clone(),
            error: error(),
        },
        KeyError::Write {
            path: path.clone(),
            error: error(),
        },
        KeyError::Exists { path: path.clone() },
        KeyError::NotAKey { path: path.clone() },
        KeyError::Exposed { path, mode: 0o644 },
    ]
}

#[test]
fn every_key_error_names_its_file_and_is_the_callers_doing() {
    for error in key_errors() {
        assert_misuse(&error);
        assert!(error.to_string().contains("/tmp/node.key"), "{error}");
        assert_eq!(detail(&error)[0], ("path", "/tmp/node.key".to_owned()));
    }
    let exposed = key_errors().pop().unwrap();
    assert_eq!(detail(&exposed)[1], ("mode", "644".to_owned()));
}

fn tables_errors() -> Vec<TablesError> {
    let path = PathBuf::from("/tmp/zcash.toml");
    let network = Network("zcash");
    vec![
        TablesError::Read {
            path: path.clone(),
            error: io::ErrorKind::FileTooLarge.into(),
        },
        TablesError::NoFolder { path: path.clone() },
        TablesError::Parse {
            path,
            error: TableError::NoChain { network }.into(),
        },
    ]
}

#[test]
fn every_tables_error_names_its_file_and_so_does_the_setup_that_fails_of_it() {
    for error in tables_errors() {
        assert_misuse(&error);
        assert!(error.to_string().contains("/tmp/zcash.toml"), "{error}");
        let facts = detail(&error);
        assert_eq!(facts, [("path", "/tmp/zcash.toml".to_owned())]);
        let setup = SetupError::from(error);
        assert_misuse(&setup);
        assert_eq!(detail(&setup), facts);
        let message = setup.reason().message;
        assert!(
            message.starts_with("the table folder cannot be used: "),
            "{message}"
        );
        assert!(message.contains("/tmp/zcash.toml"), "{message}");
    }
}

#[test]
fn an_unknown_chain_or_scheme_says_what_there_is() {
    let chain = Greeter::<Zcash>::new("nowhere").unwrap_err();
    assert_misuse(&chain);
    let facts = detail(&chain);
    assert_eq!(facts[0], ("network", "zcash".to_owned()));
    assert_eq!(facts[1], ("got", "nowhere".to_owned()));
    assert_eq!(facts[2], ("known", "mainnet, testnet, regtest".to_owned()));
    let setup = SetupError::from(chain.clone());
    assert_misuse(&setup);
    assert_eq!(setup.to_string(), chain.to_string());
    assert_eq!(detail(&setup), facts);

    let scheme = PeerAddress::parse("ftp://x").unwrap_err();
    assert_misuse(&scheme);
    assert_eq!(detail(&scheme)[0], ("got", "ftp".to_owned()));
    assert_eq!(
        detail(&scheme)[1],
        ("known", "enode://, enr:, zec://, dcr://".to_owned())
    );
}

fn awaited_errors(awaited: Awaited) -> [HandshakeError; 4] {
    let reject = Reject {
        message: "version".into(),
        code: 0x11,
        reason: "go\x1b[2J away.\n".into(),
        hash: None,
    };
    let received = 7;
    [
        HandshakeError::Closed { awaited, received },
        HandshakeError::TimedOut { awaited, received },
        HandshakeError::Cancelled { awaited },
        HandshakeError::RejectedByPeer { awaited, reject },
    ]
}

/// A dial's error is that of the stage where it failed, in every answer.
fn assert_same(dial: &DialError<HandshakeError>, inner: &impl Failure) {
    assert_sound(dial);
    assert_eq!(dial.stage(), inner.stage());
    assert_eq!((dial.kind(), dial.blame()), (inner.kind(), inner.blame()));
    assert_eq!(dial.retry(), inner.retry());
    assert_eq!(dial.detail(), inner.detail());
    assert_eq!(dial.to_string(), inner.to_string());
}

#[test]
fn a_dial_error_is_the_error_of_the_stage_where_it_failed() {
    let address = AddressError::from(TargetError::BadHost);
    assert_same(&address.into(), &TargetError::BadHost);
    let name = "seed.example.org".into();
    let reach = ReachError::NoAddress { name };
    assert_same(&reach.clone().into(), &reach);
    for awaited in [Awaited::Version, Awaited::Verack] {
        for error in awaited_errors(awaited) {
            assert_same(&DialError::Greet(error.clone()), &error);
            assert_eq!(error.stage(), awaited.stage());
        }
    }
    let target: DialError<HandshakeError> = AddressError::from(TargetError::NoHost).into();
    assert_misuse(&target);
}

#[test]
fn what_a_peer_says_is_escaped_wherever_it_is_shown() {
    let [.., refused] = awaited_errors(Awaited::Verack);
    let dial = DialError::Greet(refused);
    let shown = dial.reason();
    assert_eq!(shown.kind, Kind::Refused);
    assert!(shown.message.contains(r"go\x1b[2J away.\n"), "{shown}");
    assert!(detail(&dial).contains(&("said", r"go\x1b[2J away.\n".to_owned())));
}

#[test]
fn the_retry_of_an_inner_error_is_not_lost() {
    let frame = peerage::verack::envelope::FrameError::Checksum {
        command: None,
        declared: [0; 4],
        computed: [1; 4],
    };
    let error: HandshakeError = HandshakeError::Message {
        awaited: Awaited::Version,
        error: frame.into(),
    };
    let own = error.retry();
    assert_ne!(own, error.kind().retry(), "a flipped bit heals by itself");
    assert_eq!(DialError::Greet(error).retry(), own);
    let link: LinkError<SessionError> = LinkError::Session(frame.into());
    assert_eq!(link.kind(), Kind::Malformed);
    assert_sound(&link);
}
