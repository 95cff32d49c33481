//! Connections with a will of their own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a [`Watched`] connection went through. Whoever holds a connection holds a clone of this, so
/// the count of clones tells whether it is still held anywhere.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    polls: AtomicUsize,
    drops: AtomicUsize,
    shutdowns: AtomicUsize,
    stuck: AtomicBool,
}

impl Ledger {
    /// How often it was asked to read, write, flush or shut down.
    pub(crate) fn polls(&self) -> usize {
        self.polls.load(Ordering::SeqCst)
    }

    pub(crate) fn drops(&self) -> usize {
        self.drops.load(Ordering::SeqCst)
    }

    pub(crate) fn shutdowns(&self) -> usize {
        self.shutdowns.load(Ordering::SeqCst)
    }

    /// Whether the poll it was to get stuck at has come.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::SeqCst)
    }
}

/// A connection that counts polls and drops, and waits for ever from the `stick_at`th poll on.
#[derive(Debug)]
pub(crate) struct Watched<C> {
    conn: C,
    ledger: Arc<Ledger>,
    stick_at: usize,
}

impl<C> Watched<C> {
    pub(crate) fn new(conn: C, stick_at: usize) -> (Self, Arc<Ledger>) {
        let ledger = Arc::new(Ledger::default());
        let watched = Self {
            conn,
            ledger: Arc::clone(&ledger),
            stick_at,
        };
        (watched, ledger)
    }

    fn is_stuck(&self) -> bool {
        let stuck = self.ledger.polls.fetch_add(1, Ordering::SeqCst) >= self.stick_at;
        self.ledger.stuck.fetch_or(stuck, Ordering::SeqCst);
        stuck
    }
}

impl<C> Drop for Watched<C> {
    fn drop(&mut self) {
        self.ledger.drops.fetch_add(1, Ordering::SeqCst);
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Watched<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_stuck() {
            return Poll::Pending;
        }
        Pin::new(&mut self.conn).poll_read(cx, buf)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Watched<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_stuck() {
            return Poll::Pending;
        }
        Pin::new(&mut self.conn).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_stuck() {
            return Poll::Pending;
        }
        Pin::new(&mut self.conn).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_stuck() {
            return Poll::Pending;
        }
        self.ledger.shutdowns.fetch_add(1, Ordering::SeqCst);
        Pin::new(&mut self.conn).poll_shutdown(cx)
    }
}

/// Moves a few bytes a call, and answers every other call with "not yet".
#[derive(Debug)]
pub(crate) struct Stutter<C> {
    conn: C,
    step: usize,
    reads: bool,
    writes: bool,
}

impl<C> Stutter<C> {
    /// A byte at a time.
    pub(crate) const fn new(conn: C) -> Self {
        Self::by(conn, 1)
    }

    pub(crate) const fn by(conn: C, step: usize) -> Self {
        let (reads, writes) = (true, true);
        Self {
            conn,
            step,
            reads,
            writes,
        }
    }

    /// Each way hesitates by itself, so that a caller who tries both gets on with both.
    fn hesitates(ready: &mut bool, cx: &Context<'_>) -> bool {
        *ready = !*ready;
        if !*ready {
            cx.waker().wake_by_ref();
        }
        !*ready
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Stutter<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if Self::hesitates(&mut self.reads, cx) {
            return Poll::Pending;
        }
        let mut few = vec![0; self.step.min(buf.remaining())];
        let mut small = ReadBuf::new(&mut few);
        let polled = Pin::new(&mut self.conn).poll_read(cx, &mut small);
        buf.put_slice(small.filled());
        polled
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Stutter<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if Self::hesitates(&mut self.writes, cx) {
            return Poll::Pending;
        }
        let few = &bytes[..bytes.len().min(self.step)];
        Pin::new(&mut self.conn).poll_write(cx, few)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.conn).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.conn).poll_shutdown(cx)
    }
}

/// Never waits: takes every byte, and repeats the same ones for ever. With nothing to repeat, every
/// call fails as `fails_as` says.
#[derive(Debug)]
pub(crate) struct Tireless {
    repeats: Vec<u8>,
    at: usize,
    fails_as: io::ErrorKind,
    /// Reads left before the test fails instead of running for ever.
    patience: u32,
}

impl Tireless {
    /// Says `repeats` for ever.
    pub(crate) fn saying(repeats: &[u8]) -> Self {
        Self {
            repeats: repeats.to_vec(),
            at: 0,
            fails_as: io::ErrorKind::Other,
            patience: 10_000,
        }
    }

    /// Fails every read and write.
    pub(crate) fn failing(fails_as: io::ErrorKind) -> Self {
        Self {
            fails_as,
            ..Self::saying(&[])
        }
    }
}

impl AsyncRead for Tireless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.patience = self.patience.checked_sub(1).expect("this never ends");
        if self.repeats.is_empty() {
            return Poll::Ready(Err(self.fails_as.into()));
        }
        let len = buf.remaining().min(self.repeats.len() - self.at);
        buf.put_slice(&self.repeats[self.at..self.at + len]);
        self.at = (self.at + len) % self.repeats.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Tireless {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.repeats.is_empty() {
            return Poll::Ready(Err(self.fails_as.into()));
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
