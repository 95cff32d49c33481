//! Carrying bytes between a channel and a TCP connection: half-close both ways, back-pressure, a
//! limit of speed.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use super::Channel;

/// What is read and not yet written in one direction, in bytes, at most.
pub const BUFFER_LEN: usize = 64 << 10;

/// How a relayed connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both sides had said all they wanted to.
    Done,
    /// The client's side broke.
    Client(io::ErrorKind),
    /// The destination's side broke.
    Destination(io::ErrorKind),
    /// Nothing was said for too long.
    Idle,
    /// All the bytes that may be relayed have been.
    UsedUp,
}

impl End {
    /// Stable snake-case name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Client(_) => "client_broke",
            Self::Destination(_) => "destination_broke",
            Self::Idle => "idle",
            Self::UsedUp => "used_up",
        }
    }
}

/// What a relayed connection carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// Bytes to the destination.
    pub up: u64,
    /// Bytes to the client.
    pub down: u64,
    /// How it ended.
    pub end: End,
}

/// A limit of bytes per second and of bytes in all, shared by everything that is given it.
#[derive(Debug)]
pub struct Throttle {
    per_second: Option<u64>,
    /// When what was let through so far would have passed at that speed.
    free_at: Mutex<Option<Instant>>,
    /// What may still pass.
    left: AtomicU64,
}

/// No more bytes may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedUp;

impl Throttle {
    /// So many bytes a second and so many in all; `None` is any number.
    pub const fn new(per_second: Option<u64>, total: Option<u64>) -> Self {
        let left = match total {
            Some(total) => total,
            None => u64::MAX,
        };
        Self {
            per_second,
            free_at: Mutex::new(None),
            left: AtomicU64::new(left),
        }
    }

    /// Whether bytes may still pass.
    pub fn is_used_up(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    /// Waits until `len` bytes may pass.
    ///
    /// # Errors
    /// When fewer are left in all; then nothing passes any more.
    pub async fn pass(&self, len: usize) -> Result<(), UsedUp> {
        let take = |left: u64| match left {
            u64::MAX => Some(left),
            left => Some(left.saturating_sub(len as u64)),
        };
        let before = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        if before.is_ok_and(|before| before < len as u64) {
            return Err(UsedUp);
        }
        let Some(per_second) = self.per_second else {
            return Ok(());
        };
        let takes = Duration::from_secs_f64(len as f64 / per_second.max(1) as f64);
        let until = {
            let now = Instant::now();
            let free_at = self.free_at.lock();
            let mut free_at = free_at.unwrap_or_else(std::sync::PoisonError::into_inner);
            let from = free_at.unwrap_or(now).max(now);
            *free_at = Some(from + takes);
            from
        };
        sleep_until(until).await;
        Ok(())
    }
}

/// What one direction counts.
#[derive(Default)]
struct Direction {
    bytes: AtomicU64,
}

enum Side {
    Reading(io::Error),
    Writing(io::Error),
    UsedUp,
}

async fn carry(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    throttle: &Throttle,
    counted: &Direction,
) -> Result<(), Side> {
    let mut buffer = vec![0; BUFFER_LEN];
    loop {
        let len = from.read(&mut buffer).await.map_err(Side::Reading)?;
        if len == 0 {
            return to.shutdown().await.map_err(Side::Writing);
        }
        throttle.pass(len).await.map_err(|UsedUp| Side::UsedUp)?;
        to.write_all(&buffer[..len]).await.map_err(Side::Writing)?;
        counted.bytes.fetch_add(len as u64, Ordering::Relaxed);
    }
}

/// Carries bytes both ways until both sides have ended theirs, either breaks, or nothing moves for
/// `idle`.
///
/// # Cancellation
/// Dropping the future ends both connections.
pub async fn relay(
    mut channel: Channel,
    mut tcp: TcpStream,
    throttle: &Throttle,
    idle: Duration,
) -> Relayed {
    let (up, down) = (Direction::default(), Direction::default());
    let end = {
        let (mut tcp_read, mut tcp_write) = tcp.split();
        let (mut from_client, mut to_client) = tokio::io::split(&mut channel);
        let both = async {
            let up = async {
                let carried = carry(&mut from_client, &mut tcp_write, throttle, &up).await;
                carried.map_err(|side| match side {
                    Side::Reading(error) => End::Client(error.kind()),
                    Side::Writing(error) => End::Destination(error.kind()),
                    Side::UsedUp => End::UsedUp,
                })
            };
            let down = async {
                let carried = carry(&mut tcp_read, &mut to_client, throttle, &down).await;
                carried.map_err(|side| match side {
                    Side::Reading(error) => End::Destination(error.kind()),
                    Side::Writing(error) => End::Client(error.kind()),
                    Side::UsedUp => End::UsedUp,
                })
            };
            tokio::try_join!(up, down).map_or_else(|end| end, |_| End::Done)
        };
        tokio::select! {
            end = both => end,
            () = silent(&up, &down, idle) => End::Idle,
        }
    };
    if end == End::Done {
        drop(channel);
    } else {
        channel.abort();
        // Likewise towards the destination: a break is no end. Linger 0 would need another
        // interface; a socket dropped with unread bytes resets, the rest ends.
    }
    Relayed {
        up: up.bytes.load(Ordering::Relaxed),
        down: down.bytes.load(Ordering::Relaxed),
        end,
    }
}

/// Waits until neither direction has moved for so long.
async fn silent(up: &Direction, down: &Direction, idle: Duration) {
    let count = || {
        let (up, down) = (&up.bytes, &down.bytes);
        up.load(Ordering::Relaxed)
            .wrapping_add(down.load(Ordering::Relaxed))
    };
    let mut before = count();
    loop {
        sleep(idle).await;
        let after = count();
        if after == before {
            return;
        }
        before = after;
    }
}
