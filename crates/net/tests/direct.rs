//! Reaching and being reached, over the loopback interface of this machine and nothing else.

use std::io;
use std::net::SocketAddr;

use peerage_core::{ConnectedAddr, Endpoint, Failure, Kind, Stage};
use peerage_net::{Connection, Connector, Direct, Host, Listener, ReachError, Target};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant};

use crate::common::{endpoint, never, tasks};

const V4: &str = "127.0.0.1:0";
const V6: &str = "[::1]:0";

fn bind(addr: &str) -> io::Result<Listener> {
    Listener::bind(addr.parse().unwrap())
}

/// A listener on the IPv6 side; `None`, loudly, where the machine has no such side.
fn bind_v6(addr: &str) -> Option<Listener> {
    match bind(addr) {
        Ok(listener) => Some(listener),
        Err(error) => {
            eprintln!("SKIPPED: this machine has no IPv6 loopback: {error}");
            None
        }
    }
}

/// Both ends of a connection to `target`.
async fn connected(
    listener: &Listener,
    target: &Target,
) -> (Connection<TcpStream>, Connection<TcpStream>) {
    // One after the other: the system holds the connection until it is accepted.
    let dialled = Direct.connect(target, never()).await.unwrap();
    (dialled, listener.accept().await.unwrap())
}

#[tokio::test]
async fn both_families_are_reached_and_each_end_knows_the_other() {
    let v4 = bind(V4).unwrap();
    for listener in [Some(v4), bind_v6(V6)].into_iter().flatten() {
        let here = listener.local_endpoint().unwrap();
        assert_ne!(here.port(), 0, "the real port");
        let (mut dialled, mut accepted) = connected(&listener, &here.into()).await;
        assert_eq!(dialled.addr, ConnectedAddr::OutboundDirect { addr: here });
        let addr = Endpoint::from(dialled.io.local_addr().unwrap());
        assert_eq!(accepted.addr, ConnectedAddr::InboundDirect { addr });
        assert_eq!(accepted.addr.book_addr(), None, "its port is ephemeral");
        assert_eq!(dialled.resolved_in, None, "nothing was to be resolved");
        for end in [&dialled.io, &accepted.io] {
            assert!(end.nodelay().unwrap(), "small messages go out at once");
        }
        dialled.io.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        accepted.io.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
    }
    assert_eq!(tasks(), 0, "no attempt is left");
}

#[tokio::test]
async fn a_listener_on_all_of_ipv6_takes_ipv4_and_shows_it_as_such() {
    let Some(listener) = bind_v6("[::]:0") else {
        return;
    };
    let port = listener.local_endpoint().unwrap().port();
    for ip in ["127.0.0.1", "::1"] {
        let target = Target::parse(ip, port).unwrap();
        let (dialled, accepted) = connected(&listener, &target).await;
        let seen = accepted.addr.transient_addr().unwrap();
        assert_eq!(seen.ip().to_string(), ip);
        assert_eq!(seen.socket_addr(), dialled.io.local_addr().unwrap());
    }
}

#[tokio::test]
async fn a_mapped_address_is_dialled_as_the_ipv4_address_it_is() {
    let listener = bind(V4).unwrap();
    let here = listener.local_endpoint().unwrap();
    let target: Target = format!("[::ffff:127.0.0.1]:{}", here.port())
        .parse()
        .unwrap();
    let (dialled, _accepted) = connected(&listener, &target).await;
    assert_eq!(dialled.addr.book_addr(), Some(here));
}

#[tokio::test]
async fn an_address_in_use_cannot_be_bound_twice_but_a_port_is_reused_at_once() {
    let listener = bind(V4).unwrap();
    let here = listener.local_endpoint().unwrap();
    let again = Listener::bind(here.socket_addr()).unwrap_err();
    assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
    // A connection that we close first keeps the port busy for a minute on most systems.
    let (dialled, accepted) = connected(&listener, &here.into()).await;
    drop(accepted);
    drop(listener);
    drop(dialled);
    Listener::bind(here.socket_addr()).unwrap();
}

#[tokio::test]
async fn a_dropped_accept_loses_no_connection() {
    let listener = bind(V4).unwrap();
    let here = listener.local_endpoint().unwrap();
    assert!(
        crate::common::poll_once(listener.accept())
            .await
            .is_pending()
    );
    let (_dialled, accepted) = connected(&listener, &here.into()).await;
    assert_eq!(accepted.reached_in, Duration::ZERO);
}

#[tokio::test]
async fn a_name_is_resolved_and_its_living_address_wins() {
    // The name of this machine for itself: one address of each family, or one alone.
    let listener = bind(V4).unwrap();
    let here = listener.local_endpoint().unwrap();
    let target = Target::parse("localhost", here.port()).unwrap();
    let (dialled, _accepted) = connected(&listener, &target).await;
    assert!(dialled.resolved_in.is_some());
    assert_eq!(dialled.addr.book_addr(), Some(here));
}

#[tokio::test]
async fn a_closed_port_is_refused_in_both_families() {
    for addr in [V4, V6] {
        // Taken, so that nobody else listens there meanwhile.
        let addr: SocketAddr = addr.parse().unwrap();
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None).unwrap();
        if let Err(error) = socket.bind(&addr.into()) {
            assert!(addr.is_ipv6(), "{error}");
            eprintln!("SKIPPED: this machine has no IPv6 loopback: {error}");
            continue;
        }
        let here = socket.local_addr().unwrap().as_socket().unwrap().into();
        let error = Direct
            .connect(&Target::from(here), never())
            .await
            .unwrap_err();
        let attempts = vec![(here, io::ErrorKind::ConnectionRefused)];
        assert_eq!(error, ReachError::Failed { attempts });
        assert_eq!(error.kind(), Kind::ConnectionRefused);
        assert_eq!(error.stage(), Stage::Reach);
    }
    assert_eq!(tasks(), 0);
}

#[tokio::test]
async fn an_address_the_system_refuses_to_dial_is_unreachable() {
    // Port 0 and the limited broadcast address fail in the system call itself; nothing is sent.
    let target = Target::from(endpoint("255.255.255.255:9"));
    let error = Direct.connect(&target, never()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.stage()),
        (Kind::Unreachable, Stage::Reach)
    );
}

#[tokio::test]
async fn a_name_that_cannot_exist_is_unresolved() {
    // The first is no C string; the second has a label of 64 bytes, which no query can hold. Both
    // are refused on this machine, and nobody else is asked.
    for name in ["no\0name".to_owned(), format!("{}.invalid", "a".repeat(64))] {
        let target = Target {
            host: Host::Name(name.as_str().into()),
            port: 1,
        };
        let error = Direct.connect(&target, never()).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.stage()),
            (Kind::Unresolved, Stage::Resolve)
        );
        assert!(matches!(error, ReachError::Unresolved { .. }));
        let message = error.reason().message;
        assert!(message.is_ascii() && !message.contains('\0'), "{message}");
    }
}

/// A loopback port that answers no more: its queue is full, so the system drops what comes.
#[cfg(target_os = "linux")]
fn full_listener() -> (Socket, Vec<std::net::TcpStream>, Endpoint) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let addr: SocketAddr = V4.parse().unwrap();
    socket.bind(&addr.into()).unwrap();
    socket.listen(0).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    let wait = Duration::from_millis(100);
    let fill = || std::net::TcpStream::connect_timeout(&addr, wait);
    let waiting: Vec<_> = std::iter::from_fn(|| fill().ok()).take(64).collect();
    assert!(waiting.len() < 64, "the queue fills");
    (socket, waiting, addr.into())
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_port_that_never_answers_costs_the_deadline() {
    let (_socket, _waiting, stuck) = full_listener();
    let start = Instant::now();
    let deadline = start + Duration::from_secs(10);
    let error = Direct.connect(&stuck.into(), deadline).await.unwrap_err();
    let (tried, failed) = (1, vec![]);
    assert_eq!(error, ReachError::TimedOut { tried, failed });
    assert_eq!((error.kind(), error.stage()), (Kind::Timeout, Stage::Reach));
    assert_eq!(start.elapsed().as_secs(), 10);
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_dropped_dial_leaves_no_attempt_behind() {
    let (_socket, _waiting, stuck) = full_listener();
    let target = stuck.into();
    {
        let mut dial = std::pin::pin!(Direct.connect(&target, never()));
        assert!(crate::common::poll_once(dial.as_mut()).await.is_pending());
        assert_eq!(tasks(), 1, "the attempt");
    }
    tokio::task::yield_now().await;
    assert_eq!(tasks(), 0);
}
