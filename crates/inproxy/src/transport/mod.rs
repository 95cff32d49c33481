//! How bytes travel between client and volunteer: one small trait, and over UDP QUIC and, with the
//! feature `webrtc`, WebRTC data channels.
//!
//! Each end **prepares**: it opens what it needs and describes it. The descriptions travel through the
//! broker, which takes the transport that both speak, and the client, who is given the volunteer's
//! last, **connects** while the volunteer does.

mod check;
mod choice;
mod copy;
mod path;
mod quic;
mod stun;
mod tls;
mod udp;
#[cfg(feature = "webrtc")]
mod webrtc;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use peerage_core::{Blame, Endpoint, Failure, Kind, Retry, Stage};
use peerage_matcher::Versions;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::description::{Description, TransportKind};

pub use choice::Choice;
pub use copy::{BUFFER_LEN, End, Relayed, Throttle, UsedUp, relay};
pub use udp::{PreparedUdp, Udp, UdpConfig};

/// Which end of a match this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The one who offered. It decides over the path and speaks first.
    Client,
    /// The one who answered.
    Volunteer,
}

/// Carries bytes between two who were introduced.
pub trait Transport: Send + Sync + 'static {
    /// What [`Self::prepare`] gives.
    type Prepared: Prepared;

    /// Which transports it speaks. What is prepared does for any of them.
    fn speaks(&self) -> Versions;

    /// The one of this number, if it speaks that.
    fn kind(&self, number: u8) -> Option<TransportKind> {
        let kind = TransportKind::from_number(number)?;
        (!self.speaks().both(kind.version()).is_empty()).then_some(kind)
    }

    /// Opens what one connection needs, and finds out how it can be reached.
    ///
    /// # Cancellation
    /// Dropping the future closes what it opened.
    fn prepare(&self) -> impl Future<Output = Result<Self::Prepared, TransportError>> + Send;
}

/// One end, before it knows the other.
pub trait Prepared: Send + 'static {
    /// What the other end must be told.
    fn description(&self) -> &Description;

    /// Whether a port of the router leads to it.
    fn is_mapped(&self) -> bool {
        false
    }

    /// Reaches the other end, whose fingerprint must be the described one, over the transport that
    /// was taken.
    ///
    /// # Cancellation
    /// Dropping the future closes what it opened; the other end is told if it was reached.
    fn connect(
        self,
        kind: TransportKind,
        role: Role,
        remote: &Description,
        deadline: Instant,
    ) -> impl Future<Output = Result<Channel, TransportError>> + Send;
}

/// Why the other end is not reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// Our own socket cannot be used.
    #[error("our own UDP socket cannot be used: {kind}")]
    Socket {
        /// What the system says.
        kind: io::ErrorKind,
    },
    /// The transport that was taken is not one that both ends have described.
    #[error("{kind} was taken, and {}", NotSpoken(*by_us))]
    NotSpoken {
        /// Which.
        kind: TransportKind,
        /// Whether it is this end that does not speak it.
        by_us: bool,
    },
    /// The other end described nothing to try.
    #[error("the other end gives no address to try")]
    NoCandidate,
    /// No path was opened in time.
    #[error(
        "no path opened in time: {tried} addresses tried, {heard} packets of the other end heard"
    )]
    NoPath {
        /// Addresses tried.
        tried: usize,
        /// Packets heard from the other end. Some, and no path: its NAT, or ours, lets one
        /// direction through only.
        heard: usize,
    },
    /// The client has gone another way.
    #[error("the client went another way")]
    CalledOff,
    /// The other end is not the one described.
    #[error("another end answers than the one that was introduced")]
    Fingerprint,
    /// The path opened, and then the secure connection failed or was lost.
    #[error("the connection to the other end broke: {why}")]
    Broken {
        /// How.
        why: Box<str>,
    },
    /// It took too long.
    #[error("the other end was found, but did not finish in time")]
    TimedOut,
    /// A library failed at something that depends on nobody else.
    #[error("the transport cannot be set up: {why}")]
    SetUp {
        /// How.
        why: Box<str>,
    },
}

struct NotSpoken(bool);

impl fmt::Display for NotSpoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 {
            "this end does not speak it"
        } else {
            "the other end describes none"
        })
    }
}

impl Failure for TransportError {
    fn stage(&self) -> Stage {
        Stage::Reach
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Socket { .. } | Self::Broken { .. } | Self::SetUp { .. } => Kind::Transport,
            Self::NoCandidate | Self::NotSpoken { .. } => Kind::Incompatible,
            Self::NoPath { .. } => Kind::Unreachable,
            Self::Fingerprint => Kind::WrongIdentity,
            Self::TimedOut => Kind::Timeout,
            Self::CalledOff => Kind::Left,
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::Socket { .. } | Self::SetUp { .. } => Blame::Us,
            Self::NoCandidate
            | Self::NotSpoken { .. }
            | Self::NoPath { .. }
            | Self::Fingerprint
            | Self::Broken { .. }
            | Self::CalledOff
            | Self::TimedOut => self.kind().blame(),
        }
    }

    /// Another volunteer may be better.
    fn retry(&self) -> Retry {
        match self {
            Self::SetUp { .. } => Retry::Never,
            Self::Socket { .. } => Retry::After(Duration::from_secs(5)),
            Self::NoCandidate
            | Self::NotSpoken { .. }
            | Self::NoPath { .. }
            | Self::Fingerprint
            | Self::Broken { .. }
            | Self::CalledOff
            | Self::TimedOut => Retry::Now,
        }
    }
}

fn socket_error(error: io::Error) -> TransportError {
    TransportError::Socket { kind: error.kind() }
}

fn set_up(error: impl fmt::Display) -> TransportError {
    TransportError::SetUp {
        why: error.to_string().into(),
    }
}

/// What lies under a channel.
trait Life: Send + Sync {
    /// When the connection is over, for whatever cause.
    fn closed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    /// Ends it at once; the other end sees a break, not an end.
    fn abort(&self);
    /// How long a packet takes there and back.
    fn round_trip(&self) -> Duration;
}

type BoxedFuture = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// A stream of bytes both ways to the other end, ordered, reliable, with back-pressure.
///
/// Shutting down writes ends that direction only. Dropping it ends both, after what was written has
/// arrived or 5 s have passed; outside a runtime it breaks it off.
pub struct Channel {
    read: Box<dyn AsyncRead + Send + Sync + Unpin>,
    write: Option<Box<dyn AsyncWrite + Send + Sync + Unpin>>,
    life: Arc<dyn Life>,
    /// Ends when everything written has arrived.
    linger: Option<BoxedFuture>,
    path: Path,
}

/// Where a channel runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Our end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
    /// By what.
    pub transport: TransportKind,
    /// Why by that.
    pub choice: Choice,
}

impl Channel {
    /// Where it runs.
    pub const fn path(&self) -> Path {
        self.path
    }

    /// How long a packet takes there and back.
    pub fn round_trip(&self) -> Duration {
        self.life.round_trip()
    }

    /// Waits until the connection is over, for whatever cause.
    pub async fn closed(&self) {
        self.life.closed().await;
    }

    /// Breaks it off: the other end does not take it for the end of the stream.
    pub fn abort(mut self) {
        self.life.abort();
        self.linger = None;
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Channel").field(&self.path).finish()
    }
}

impl AsyncRead for Channel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(cx, buffer)
    }
}

impl Channel {
    fn poll_with(
        &mut self,
        poll: impl FnOnce(Pin<&mut (dyn AsyncWrite + Send + Sync + Unpin)>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match &mut self.write {
            Some(write) => poll(Pin::new(write.as_mut())),
            // Only while it is dropped.
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }
}

impl AsyncWrite for Channel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(|write| write.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_with(|write| write.poll_flush(cx).map_ok(|()| 0))
            .map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_with(|write| write.poll_shutdown(cx).map_ok(|()| 0))
            .map_ok(|_| ())
    }
}

/// How long what was written may still take to arrive once a channel is dropped.
const LINGER: Duration = Duration::from_secs(5);

impl Drop for Channel {
    fn drop(&mut self) {
        // Ends the stream, if it has not ended.
        self.write = None;
        let life = Arc::clone(&self.life);
        match (self.linger.take(), tokio::runtime::Handle::try_current()) {
            (Some(linger), Ok(runtime)) => {
                runtime.spawn(async move {
                    // Late or not, it is over then.
                    let _ = tokio::time::timeout(LINGER, linger).await;
                    drop(life);
                });
            }
            (_, _) => life.abort(),
        }
    }
}
