//! What the machine refuses, in words that say what to do about it.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;

use peerage::KeyError;

use crate::output::{Failed, environment, misused, usage};

/// What the system says, and what to do about it.
#[derive(Debug)]
struct Advised {
    error: io::Error,
    advice: String,
}

impl fmt::Display for Advised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { error, advice } = self;
        match &**advice {
            "" => error.fmt(f),
            advice => write!(f, "{error}; {advice}"),
        }
    }
}

impl std::error::Error for Advised {}

fn advised(error: io::Error, doing: String, advice: impl Into<String>) -> Failed {
    let advice = advice.into();
    environment(Advised { error, advice }, doing)
}

/// A listener that could not be bound.
pub(crate) fn listening(at: SocketAddr, error: io::Error) -> Failed {
    let (ip, port) = (at.ip(), at.port());
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the system's errors are an open set"
    )]
    let advice = match error.kind() {
        ErrorKind::AddrInUse => format!(
            "another program has TCP port {port}, perhaps another peerage (`ss -ltnp 'sport = \
             :{port}'` names it): stop that one, or choose another port"
        ),
        ErrorKind::PermissionDenied if port < 1024 => {
            "ports below 1024 need a right: choose one above, or give CAP_NET_BIND_SERVICE (under \
             systemd AmbientCapabilities=CAP_NET_BIND_SERVICE)"
                .to_owned()
        }
        ErrorKind::AddrNotAvailable => format!(
            "no interface of this machine has {ip} (`ip addr` shows what there is): choose an \
             address that one has, or the unspecified one"
        ),
        _ => String::new(),
    };
    advised(error, format!("cannot listen at {at}"), advice)
}

/// A directory that could not be made, or not be written to.
pub(crate) fn folder(folder: &Path, error: io::Error) -> Failed {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the system's errors are an open set"
    )]
    let advice = match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "this user may not write there: give --data a directory that it owns, or change the \
             owner (chown)"
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "something on its path is a file: give --data a directory"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some space",
        _ => "",
    };
    let doing = format!("cannot use the data directory {}", folder.display());
    advised(error, doing, advice)
}

/// A key file that cannot be used. What the file is, is the caller's doing; that it may not be read,
/// the machine's.
pub(crate) fn key(error: KeyError) -> Failed {
    let KeyError::Read { path, error: why } = error else {
        return usage(error);
    };
    let shown = path.display();
    let doing = format!("cannot read the key file {shown}");
    if why.kind() == ErrorKind::NotFound {
        return misused(format!(
            "{doing}: there is none; `peerage key new {shown}` makes one"
        ));
    }
    if why.kind() == ErrorKind::PermissionDenied {
        let advice = "this user may not: run as its owner, or change the owner (chown)";
        return advised(why, doing, advice);
    }
    usage(KeyError::Read { path, error: why })
}
