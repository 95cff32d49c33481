//! Inbound connections.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use peerage_core::{ConnectedAddr, Endpoint};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::Connection;

/// Connections the system may hold until they are accepted; Linux allows 4,096 at the most, unless
/// told otherwise. Whoever finds no room there comes again after a second, so a crowd at the door
/// must not fill it.
const BACKLOG: i32 = 4096;

/// Whether accepted connections have the listening socket's `TCP_NODELAY`, which saves a call for
/// each of them. Linux clones the socket's state; elsewhere nothing is promised.
const INHERITS_NODELAY: bool = cfg!(target_os = "linux");

/// Takes inbound TCP connections.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// Listens at `addr`; `[::]` takes IPv4 as well.
    ///
    /// # Errors
    /// When the address cannot be bound: in use, not ours, or not permitted.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        if addr.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        // A restarted node gets its port back while old connections linger.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        // Small messages go out at once, here and on every connection that inherits it.
        socket.set_tcp_nodelay(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        Ok(Self(TcpListener::from_std(socket.into())?))
    }

    /// Where it listens; the port is the real one even when 0 was asked for.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn local_endpoint(&self) -> io::Result<Endpoint> {
        self.0.local_addr().map(Endpoint::from)
    }

    /// The next connection.
    ///
    /// # Errors
    /// When the system refuses one: out of descriptors, for instance. Wait a little and go on.
    ///
    /// # Cancellation
    /// Dropping the future loses no connection.
    pub async fn accept(&self) -> io::Result<Connection<TcpStream>> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// As [`Listener::accept`], for whoever waits for other things as well.
    ///
    /// # Errors
    /// As [`Listener::accept`].
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Connection<TcpStream>>> {
        let accepted = ready!(self.0.poll_accept(cx));
        Poll::Ready(accepted.and_then(|(io, from)| Self::connection(io, from)))
    }

    fn connection(io: TcpStream, from: SocketAddr) -> io::Result<Connection<TcpStream>> {
        if !INHERITS_NODELAY {
            io.set_nodelay(true)?;
        }
        let addr = ConnectedAddr::InboundDirect { addr: from.into() };
        Ok(Connection {
            io,
            addr,
            resolved_in: None,
            reached_in: Duration::ZERO,
        })
    }
}
