//! The same without a runtime: plain threads and plain sockets.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use peerage_core::blocking::BlockingConn;
use peerage_core::{ConnectedAddr, Endpoint, Handshake};

pub use peerage_core::blocking::Greeted;

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
