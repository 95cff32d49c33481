//! From a target to a connection: the contract, and why it fails.

use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

use peerage_core::{Blame, ConnectedAddr, Detail, Endpoint, Failure, Kind, PeerText, Retry, Stage};
use tokio::time::Instant;

use crate::{Conn, Target};

/// Turns a target into a connection.
pub trait Connector: Send + Sync {
    /// What it connects with.
    type Io: Conn;

    /// Connects, by `deadline` at the latest.
    ///
    /// # Cancellation
    /// Dropping the future closes every socket it opened.
    fn connect(
        &self,
        target: &Target,
        deadline: Instant,
    ) -> impl Future<Output = Result<Connection<Self::Io>, ReachError>> + Send;
}

/// A fresh connection and what is honestly known about it.
#[derive(Debug)]
pub struct Connection<C> {
    /// The bytes.
    pub io: C,
    /// What was connected.
    pub addr: ConnectedAddr,
    /// How long the name took; `None` when nothing was resolved here.
    pub resolved_in: Option<Duration>,
    /// How long connecting took, without the name.
    pub reached_in: Duration,
}

impl<C> Connection<C> {
    /// The same connection inside another type, a [`crate::Tapped`] for one.
    pub fn map<T>(self, wrap: impl FnOnce(C) -> T) -> Connection<T> {
        Connection {
            io: wrap(self.io),
            addr: self.addr,
            resolved_in: self.resolved_in,
            reached_in: self.reached_in,
        }
    }
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReachError {
    /// The name could not be resolved.
    #[error("{} could not be resolved: {resolver}", shown(name))]
    Unresolved {
        /// The name.
        name: Box<str>,
        /// What the resolver says.
        resolver: PeerText,
    },
    /// The name has no address.
    #[error("{} has no address", shown(name))]
    NoAddress {
        /// The name.
        name: Box<str>,
    },
    /// Every address failed.
    #[error("{}", Attempts(attempts))]
    Failed {
        /// Each address with its failure.
        attempts: Vec<(Endpoint, io::ErrorKind)>,
    },
    /// The deadline passed while the name was being resolved.
    #[error("{} was not resolved in time", shown(name))]
    ResolveTimedOut {
        /// The name.
        name: Box<str>,
    },
    /// The proxy itself cannot be used.
    #[error("the proxy {proxy} cannot be used: {problem}")]
    Proxy {
        /// The proxy.
        proxy: Target,
        /// Why.
        problem: ProxyProblem,
    },
    /// The proxy works, but says that it cannot reach the target.
    #[error("the proxy {proxy} says: {answer}")]
    ByProxy {
        /// The proxy.
        proxy: Target,
        /// What it says.
        answer: ProxyAnswer,
    },
    /// No volunteer of an in-proxy could be used.
    #[error("through volunteers: {words}")]
    ByVolunteer {
        /// What went wrong.
        kind: Kind,
        /// Whose doing it is.
        blame: Blame,
        /// Whether to try again.
        retry: Retry,
        /// In words.
        words: PeerText,
    },
    /// The call was a blocking one, and the way is not.
    #[error("connections this way are asynchronous only")]
    AsynchronousOnly,
    /// The deadline passed while connecting.
    #[error("no connection in time: {tried} addresses tried, {} failed", failed.len())]
    TimedOut {
        /// How many addresses were tried.
        tried: usize,
        /// Those that failed before, each with its failure.
        failed: Vec<(Endpoint, io::ErrorKind)>,
    },
}

/// Why a proxy cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyProblem {
    /// It cannot be reached.
    #[error("it cannot be reached ({kind})")]
    Unreachable {
        /// How that shows.
        kind: Kind,
    },
    /// It does not speak SOCKS5.
    #[error("it does not speak SOCKS5")]
    NotSocks5,
    /// It wants another way of authentication.
    #[error("it accepts no way of authentication that we have")]
    Authentication,
    /// It refused our credentials.
    #[error("it refused the credentials")]
    Credentials,
    /// It hung up.
    #[error("it closed the connection")]
    Closed,
    /// The call was a blocking one.
    #[error("connections through a proxy are asynchronous only")]
    AsynchronousOnly,
    /// It took too long.
    #[error("it did not answer in time")]
    TimedOut,
    /// The connection to it broke.
    #[error("the connection to it broke ({kind})")]
    Transport {
        /// How.
        kind: io::ErrorKind,
    },
}

/// A proxy's answer when it cannot reach the target. Source: RFC 1928, section 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyAnswer {
    /// 0x01; Tor says so for names that do not exist, too.
    #[error("general failure")]
    GeneralFailure,
    /// 0x02
    #[error("not allowed by its rules")]
    NotAllowed,
    /// 0x03
    #[error("network unreachable")]
    NetworkUnreachable,
    /// 0x04
    #[error("host unreachable")]
    HostUnreachable,
    /// 0x05
    #[error("connection refused")]
    ConnectionRefused,
    /// 0x06
    #[error("time to live expired")]
    TtlExpired,
    /// 0x08 and everything else.
    #[error("not supported")]
    NotSupported,
}

struct Attempts<'a>(&'a [(Endpoint, io::ErrorKind)]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (endpoint, kind)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{endpoint}: {kind}")?;
        }
        Ok(())
    }
}

/// Names come from people, tables and other peers: shown bounded and escaped.
fn shown(name: &str) -> PeerText {
    name.into()
}

impl Failure for ReachError {
    fn stage(&self) -> Stage {
        match self {
            Self::Unresolved { .. } | Self::NoAddress { .. } | Self::ResolveTimedOut { .. } => {
                Stage::Resolve
            }
            Self::Failed { .. }
            | Self::TimedOut { .. }
            | Self::Proxy { .. }
            | Self::ByProxy { .. }
            | Self::ByVolunteer { .. }
            | Self::AsynchronousOnly => Stage::Reach,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Unresolved { .. } | Self::NoAddress { .. } | Self::ResolveTimedOut { .. } => {
                Kind::Unresolved
            }
            Self::TimedOut { .. } => Kind::Timeout,
            Self::Proxy { .. } => Kind::Proxy,
            Self::AsynchronousOnly => Kind::Usage,
            Self::ByVolunteer { kind, .. } => *kind,
            Self::ByProxy { answer, .. } => match answer {
                ProxyAnswer::ConnectionRefused => Kind::ConnectionRefused,
                ProxyAnswer::TtlExpired => Kind::Timeout,
                ProxyAnswer::NotAllowed | ProxyAnswer::NotSupported => Kind::Proxy,
                ProxyAnswer::GeneralFailure
                | ProxyAnswer::NetworkUnreachable
                | ProxyAnswer::HostUnreachable => Kind::Unreachable,
            },
            // A host that answers tells more than a route that is missing.
            Self::Failed { attempts } => {
                let has = |wanted| attempts.iter().any(|(_, kind)| *kind == wanted);
                // Accepted, and reset before we noticed.
                if has(io::ErrorKind::ConnectionReset) || has(io::ErrorKind::ConnectionAborted) {
                    Kind::Closed
                } else if has(io::ErrorKind::ConnectionRefused) {
                    Kind::ConnectionRefused
                } else if has(io::ErrorKind::TimedOut) {
                    Kind::Timeout
                } else {
                    Kind::Unreachable
                }
            }
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::ByVolunteer { blame, .. } => *blame,
            Self::Unresolved { .. }
            | Self::NoAddress { .. }
            | Self::Failed { .. }
            | Self::ResolveTimedOut { .. }
            | Self::Proxy { .. }
            | Self::ByProxy { .. }
            | Self::AsynchronousOnly
            | Self::TimedOut { .. } => self.kind().blame(),
        }
    }

    fn retry(&self) -> Retry {
        match self {
            Self::ByVolunteer { retry, .. } => *retry,
            Self::Unresolved { .. }
            | Self::NoAddress { .. }
            | Self::Failed { .. }
            | Self::ResolveTimedOut { .. }
            | Self::Proxy { .. }
            | Self::ByProxy { .. }
            | Self::AsynchronousOnly
            | Self::TimedOut { .. } => self.kind().retry(),
        }
    }

    fn detail(&self) -> Detail {
        match self {
            Self::ByVolunteer { .. } | Self::AsynchronousOnly => Detail::none(),
            Self::Unresolved { name, .. }
            | Self::NoAddress { name }
            | Self::ResolveTimedOut { name } => Detail::none().with("name", shown(name)),
            Self::Failed { attempts } => Detail::none().with("tried", attempts.len()),
            Self::Proxy { proxy, .. } | Self::ByProxy { proxy, .. } => {
                Detail::none().with("proxy", PeerText::from(proxy.to_string().as_str()))
            }
            Self::TimedOut { tried, failed } => Detail::none()
                .with("tried", *tried)
                .with("failed", failed.len()),
        }
    }
}
