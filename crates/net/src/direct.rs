//! Straight over TCP.

use std::io;
use std::time::Duration;

use peerage_core::{ConnectedAddr, Endpoint};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::{Connection, Connector, Host, ReachError, Target, resolve};

/// How long an attempt is given before the next address is tried beside it, in milliseconds.
/// RFC 8305, section 5, "Connection Attempt Delay".
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The most addresses of one name that are tried. Names of seeds have dozens.
const MAX_ATTEMPTS: usize = 8;

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
                interleave(resolve(name, target.port, deadline).await?.into_iter()),
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

    use socket2::{Domain, Socket, Type};

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

    async fn living() -> (tokio::net::TcpListener, Endpoint) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.local_addr().unwrap().into();
        (listener, endpoint)
    }

    /// Ports of this machine that are taken but where nothing listens.
    fn dead<const N: usize>() -> ([Socket; N], [Endpoint; N]) {
        let sockets = [(); N].map(|()| {
            let addr: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.bind(&addr.into()).unwrap();
            socket
        });
        let bound = |socket: &Socket| socket.local_addr().unwrap().as_socket().unwrap().into();
        let endpoints = sockets.each_ref().map(bound);
        (sockets, endpoints)
    }

    fn in_an_hour() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    #[tokio::test]
    async fn a_living_address_wins_over_dead_ones_wherever_it_stands() {
        let (_listener, alive) = living().await;
        let (_sockets, [a, b]) = dead();
        for order in [[alive, a, b], [a, alive, b], [a, b, alive]] {
            let (stream, winner) = race(order.into(), in_an_hour()).await.unwrap();
            assert_eq!(winner, alive);
            assert_eq!(Endpoint::from(stream.peer_addr().unwrap()), alive);
        }
    }

    #[tokio::test]
    async fn when_all_are_dead_each_is_named_in_the_order_of_trying() {
        let (_sockets, dead) = dead::<3>();
        let error = race(dead.into(), in_an_hour()).await.unwrap_err();
        let attempts = dead.map(|endpoint| (endpoint, io::ErrorKind::ConnectionRefused));
        let attempts = attempts.into();
        assert_eq!(error, ReachError::Failed { attempts });
    }

    /// A loopback port that answers no more: its queue is full, so the system drops what comes.
    #[cfg(target_os = "linux")]
    fn stuck() -> (Socket, Vec<std::net::TcpStream>, Endpoint) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let addr: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
        socket.bind(&addr.into()).unwrap();
        socket.listen(0).unwrap();
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        let wait = Duration::from_millis(100);
        let fill = || std::net::TcpStream::connect_timeout(&addr, wait).ok();
        let waiting: Vec<_> = std::iter::from_fn(fill).take(64).collect();
        assert!(waiting.len() < 64, "the queue fills");
        (socket, waiting, addr.into())
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_address_that_never_answers_does_not_hold_up_the_next() {
        let (_socket, _waiting, stuck) = stuck();
        let (_listener, alive) = living().await;
        let (_, winner) = race(vec![stuck, alive], in_an_hour()).await.unwrap();
        assert_eq!(winner, alive);
        tokio::task::yield_now().await;
        let runtime = tokio::runtime::Handle::current();
        let left = runtime.metrics().num_alive_tasks();
        assert_eq!(left, 0, "the attempt that lost is gone");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_deadline_names_what_was_tried_and_what_failed_before_it() {
        let (_socket, _waiting, stuck) = stuck();
        let (_sockets, [dead]) = dead();
        let soon = Instant::now() + Duration::from_millis(500);
        let error = race(vec![dead, stuck], soon).await.unwrap_err();
        let failed = vec![(dead, io::ErrorKind::ConnectionRefused)];
        assert_eq!(error, ReachError::TimedOut { tried: 2, failed });
    }
}
