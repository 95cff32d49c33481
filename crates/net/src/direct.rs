//! Straight over TCP.

use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

use peerage_core::{ConnectedAddr, Detail, Endpoint, Failure, Kind, PeerText, Stage};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::{Conn, Host, Target};

/// How long an attempt is given before the next address is tried beside it, in milliseconds.
/// RFC 8305, section 5, "Connection Attempt Delay".
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The most addresses of one name that are tried. Names of seeds have dozens.
const MAX_ATTEMPTS: usize = 8;

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
    #[error("{name} could not be resolved: {resolver}")]
    Unresolved {
        /// The name.
        name: Box<str>,
        /// What the resolver says.
        resolver: PeerText,
    },
    /// The name has no address.
    #[error("{name} has no address")]
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
    #[error("{name} was not resolved in time")]
    ResolveTimedOut {
        /// The name.
        name: Box<str>,
    },
    /// The deadline passed while connecting.
    #[error("no connection in time: {tried} addresses tried, {} failed", failed.len())]
    TimedOut {
        /// How many addresses were tried.
        tried: usize,
        /// Those that failed before, each with its failure.
        failed: Vec<(Endpoint, io::ErrorKind)>,
    },
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

impl Failure for ReachError {
    fn stage(&self) -> Stage {
        match self {
            Self::Unresolved { .. } | Self::NoAddress { .. } | Self::ResolveTimedOut { .. } => {
                Stage::Resolve
            }
            Self::Failed { .. } | Self::TimedOut { .. } => Stage::Reach,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Unresolved { .. } | Self::NoAddress { .. } | Self::ResolveTimedOut { .. } => {
                Kind::Unresolved
            }
            Self::TimedOut { .. } => Kind::Timeout,
            // A host that answers tells more than a route that is missing.
            Self::Failed { attempts } => {
                let has = |wanted| attempts.iter().any(|(_, kind)| *kind == wanted);
                if has(io::ErrorKind::ConnectionRefused) {
                    Kind::ConnectionRefused
                } else if has(io::ErrorKind::TimedOut) {
                    Kind::Timeout
                } else {
                    Kind::Unreachable
                }
            }
        }
    }

    fn detail(&self) -> Detail {
        match self {
            Self::Unresolved { name, .. }
            | Self::NoAddress { name }
            | Self::ResolveTimedOut { name } => {
                Detail::none().with("name", PeerText::from(&**name))
            }
            Self::Failed { attempts } => Detail::none().with("tried", attempts.len()),
            Self::TimedOut { tried, failed } => Detail::none()
                .with("tried", *tried)
                .with("failed", failed.len()),
        }
    }
}

/// Connects straight over TCP; names are resolved by the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Direct;

impl Connector for Direct {
    type Io = TcpStream;

    async fn connect(
        &self,
        target: &Target,
        deadline: Instant,
    ) -> Result<Connection<TcpStream>, ReachError> {
        let start = Instant::now();
        let (endpoints, resolved_in) = match &target.host {
            Host::Ip(ip) => (vec![Endpoint::new(*ip, target.port)], None),
            Host::Name(name) => (
                resolve(name, target.port, deadline).await?,
                Some(start.elapsed()),
            ),
        };
        let start = Instant::now();
        let (io, addr) = race(endpoints, deadline).await?;
        let addr = ConnectedAddr::OutboundDirect { addr };
        Ok(Connection {
            io,
            addr,
            resolved_in,
            reached_in: start.elapsed(),
        })
    }
}

async fn resolve(name: &str, port: u16, deadline: Instant) -> Result<Vec<Endpoint>, ReachError> {
    let found = timeout_at(deadline, lookup_host((name, port)))
        .await
        .map_err(|_| ReachError::ResolveTimedOut { name: name.into() })?
        .map_err(|error| ReachError::Unresolved {
            name: name.into(),
            resolver: error.to_string().as_str().into(),
        })?;
    let endpoints = interleave(found.map(Endpoint::from));
    if endpoints.is_empty() {
        return Err(ReachError::NoAddress { name: name.into() });
    }
    Ok(endpoints)
}

/// IPv6 and IPv4 in turn, IPv6 first, each family in the resolver's order. RFC 8305, section 4.
pub(crate) fn interleave(endpoints: impl Iterator<Item = Endpoint>) -> Vec<Endpoint> {
    let (v6, v4): (Vec<_>, Vec<_>) = endpoints.partition(|endpoint| endpoint.ip().is_ipv6());
    let longest = v6.len().max(v4.len());
    let turns = (0..longest).flat_map(|turn| [v6.get(turn).copied(), v4.get(turn).copied()]);
    let mut mixed: Vec<Endpoint> = Vec::new();
    for endpoint in turns.flatten() {
        if mixed.len() < MAX_ATTEMPTS && !mixed.contains(&endpoint) {
            mixed.push(endpoint);
        }
    }
    mixed
}

/// Starts attempts one after the other, the next when one fails or takes long; the first that
/// connects wins and the others are closed.
async fn race(
    endpoints: Vec<Endpoint>,
    deadline: Instant,
) -> Result<(TcpStream, Endpoint), ReachError> {
    let mut waiting = endpoints.into_iter();
    let mut running = JoinSet::new();
    let mut failed = Vec::new();
    let mut tried = 0;
    loop {
        if let Some(endpoint) = waiting.next() {
            tried += 1;
            running.spawn(async move { (endpoint, connect_one(endpoint).await) });
        }
        let next_start = if waiting.len() > 0 {
            deadline.min(Instant::now() + ATTEMPT_DELAY)
        } else {
            deadline
        };
        match timeout_at(next_start, running.join_next()).await {
            Ok(Some(Ok((endpoint, Ok(stream))))) => return Ok((stream, endpoint)),
            Ok(Some(Ok((endpoint, Err(error))))) => failed.push((endpoint, error.kind())),
            // An attempt is never aborted while the set lives and does not panic; were it gone
            // all the same, the others decide.
            Ok(Some(Err(_))) => {}
            Ok(None) => return Err(ReachError::Failed { attempts: failed }),
            Err(_) if Instant::now() >= deadline => {
                return Err(ReachError::TimedOut { tried, failed });
            }
            Err(_) => {}
        }
    }
}

async fn connect_one(endpoint: Endpoint) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(endpoint.socket_addr()).await?;
    // Handshake messages are small and each waits for an answer.
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn v4(last: u8) -> Endpoint {
        Endpoint::new(Ipv4Addr::new(192, 0, 2, last).into(), 1)
    }

    fn v6(last: u16) -> Endpoint {
        Endpoint::new(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into(), 1)
    }

    #[test]
    fn families_take_turns_and_the_list_is_bounded() {
        let mixed = interleave([v4(1), v4(2), v4(2), v6(1), v4(3)].into_iter());
        assert_eq!(mixed, [v6(1), v4(1), v4(2), v4(3)]);
        assert_eq!(interleave((0..100).map(v4)).len(), MAX_ATTEMPTS);
    }

    #[tokio::test]
    async fn a_closed_port_fails_at_once_and_says_so() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::from(Endpoint::from(listener.local_addr().unwrap()));
        drop(listener);
        let deadline = Instant::now() + Duration::from_secs(30);
        let error = Direct.connect(&target, deadline).await.unwrap_err();
        assert_eq!(error.kind(), Kind::ConnectionRefused);
        assert_eq!(error.stage(), Stage::Reach);
    }

    #[tokio::test]
    async fn a_living_address_wins_over_dead_ones() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let alive = Endpoint::from(listener.local_addr().unwrap());
        let dead = Endpoint::new(Ipv4Addr::LOCALHOST.into(), 1);
        let deadline = Instant::now() + Duration::from_secs(30);
        let (_, winner) = race(vec![dead, alive], deadline).await.unwrap();
        assert_eq!(winner, alive);
    }

    #[tokio::test]
    async fn a_deadline_in_the_past_is_a_timeout() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::from(Endpoint::from(listener.local_addr().unwrap()));
        let past = Instant::now();
        // Either the attempt was quicker than the clock or the deadline is named.
        if let Err(error) = Direct.connect(&target, past).await {
            assert_eq!(error.kind(), Kind::Timeout);
        }
    }
}
