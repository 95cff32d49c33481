//! The same without a runtime: plain threads and plain sockets.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use peerage_core::blocking::{BlockingConn, call_by, write_by};
use peerage_core::{ConnectedAddr, Endpoint, Handshake, Session, Stage};

use crate::direct::interleave;
use crate::link::ended;
use crate::{Host, LinkError, ReachError, Target};

pub use peerage_core::blocking::Greeted;

/// The most bytes asked of the connection at once, in bytes.
const READ_LEN: usize = 4096;

/// A TCP connection for the blocking driver.
#[derive(Debug)]
pub struct BlockingTcp {
    stream: TcpStream,
    cancelled: Arc<AtomicBool>,
}

/// Calls a blocking connection off from another thread.
#[derive(Debug)]
pub struct Canceller {
    stream: TcpStream,
    cancelled: Arc<AtomicBool>,
}

impl Canceller {
    /// Ends every call on the connection at once, as cancelled.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        // Losing the error is right: a connection that cannot be shut down is already down.
        let _already_down = self.stream.shutdown(Shutdown::Both);
    }
}

impl BlockingTcp {
    /// Dials `endpoint`, by `deadline` at the latest.
    ///
    /// # Errors
    /// When it cannot be reached in time.
    pub fn connect(endpoint: Endpoint, deadline: Instant) -> io::Result<(Self, ConnectedAddr)> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let stream = TcpStream::connect_timeout(&endpoint.socket_addr(), left)?;
        let addr = ConnectedAddr::OutboundDirect { addr: endpoint };
        Ok((Self::from_stream(stream)?, addr))
    }

    /// Takes over a stream, an accepted one for instance.
    ///
    /// # Errors
    /// When the stream cannot be set up.
    pub fn from_stream(stream: TcpStream) -> io::Result<Self> {
        // A stream from an asynchronous listener would answer "not yet" instead of waiting.
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            cancelled: Arc::default(),
        })
    }

    /// A handle that calls this connection off.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn canceller(&self) -> io::Result<Canceller> {
        Ok(Canceller {
            stream: self.stream.try_clone()?,
            cancelled: self.cancelled.clone(),
        })
    }
}

impl Read for BlockingTcp {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buf)
    }
}

impl Write for BlockingTcp {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl BlockingConn for BlockingTcp {
    fn bound_next_call(&mut self, limit: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(limit))?;
        self.stream.set_write_timeout(Some(limit))
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
}

/// Connects to `target`, by `deadline` at the latest; the addresses of a name one after the other.
///
/// # Errors
/// When no address can be reached. Resolving a name is the system's business and may take longer.
pub fn connect(
    target: &Target,
    deadline: Instant,
) -> Result<(BlockingTcp, ConnectedAddr), ReachError> {
    let endpoints = match &target.host {
        Host::Ip(ip) => vec![Endpoint::new(*ip, target.port)],
        Host::Name(name) => {
            let found = (&**name, target.port).to_socket_addrs();
            let found = found.map_err(|error| ReachError::Unresolved {
                name: name.clone(),
                resolver: error.to_string().as_str().into(),
            })?;
            let endpoints = interleave(found.map(Endpoint::from));
            if endpoints.is_empty() {
                return Err(ReachError::NoAddress { name: name.clone() });
            }
            endpoints
        }
    };
    let mut attempts = Vec::new();
    let mut still_to_try = u32::try_from(endpoints.len()).unwrap_or(u32::MAX);
    for endpoint in endpoints {
        // Each address gets its share of what is left, so that a dead one leaves time for the next.
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / still_to_try;
        still_to_try -= 1;
        match BlockingTcp::connect(endpoint, now + share) {
            Ok(connected) => return Ok(connected),
            Err(error) => attempts.push((endpoint, error.kind())),
        }
    }
    Err(ReachError::Failed { attempts })
}

/// Runs a handshake to its end on this thread, by `deadline` at the latest.
///
/// # Errors
/// The handshake's own error, whatever the cause. The connection is closed by then.
///
/// # Cancellation
/// By a [`Canceller`] made before the call.
pub fn greet<H: Handshake>(
    conn: BlockingTcp,
    handshake: H,
    deadline: Instant,
) -> Result<Greeted<H::Peer, BlockingTcp>, H::Error> {
    peerage_core::blocking::greet(conn, handshake, deadline, Instant::now)
}

/// A session over a blocking connection, with one owner.
#[derive(Debug)]
pub struct BlockingLink<S> {
    conn: BlockingTcp,
    session: S,
    input: BytesMut,
}

impl<S: Session> BlockingLink<S> {
    /// A link over what a handshake left: the connection, the codec, and bytes already read.
    pub const fn new(conn: BlockingTcp, session: S, leftover: BytesMut) -> Self {
        Self {
            conn,
            session,
            input: leftover,
        }
    }

    /// The next message, early ones first, by `deadline` at the latest.
    ///
    /// # Errors
    /// When none comes in time, the connection ends or is called off, or the peer breaks the
    /// protocol. After a timeout the link is as good as before.
    pub fn recv(&mut self, deadline: Instant) -> Result<S::Message, LinkError<S::Error>> {
        let doing = Stage::Keep("receive");
        let mut chunk = [0; READ_LEN];
        loop {
            if let Some(message) = self.session.decode(&mut self.input)? {
                return Ok(message);
            }
            match call_by(&mut self.conn, deadline, Instant::now, |conn| {
                conn.read(&mut chunk)
            }) {
                Ok(0) => return Err(LinkError::Closed { doing }),
                Ok(len) => self.input.extend_from_slice(&chunk[..len]),
                Err(cause) => return Err(ended(doing, cause)),
            }
        }
    }

    /// Sends a message, by `deadline` at the latest.
    ///
    /// # Errors
    /// When it cannot be encoded for this peer, in which case nothing was sent; else the link is of
    /// no use afterwards.
    pub fn send(
        &mut self,
        message: &S::Message,
        deadline: Instant,
    ) -> Result<(), LinkError<S::Error>> {
        let mut output = BytesMut::new();
        self.session.encode(message, &mut output)?;
        write_by(&mut self.conn, deadline, Instant::now, &output)
            .map_err(|cause| ended(Stage::Keep("send"), cause))
    }
}

#[cfg(test)]
mod tests;
