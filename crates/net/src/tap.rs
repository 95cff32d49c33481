//! Remembering what went over a connection.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use peerage_core::Direction;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Bytes that went one way in one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Outbound: we wrote them. Inbound: we read them.
    pub direction: Direction,
    /// When, since the tape began.
    pub at: Duration,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What went over a connection, up to a bound. Clones share one tape; it outlives the connection.
#[derive(Clone, Debug)]
pub struct Tape(Arc<Mutex<Recording>>);

#[derive(Debug)]
struct Recording {
    since: Instant,
    left: usize,
    chunks: Vec<Chunk>,
    cut: bool,
}

impl Tape {
    /// A tape for at most `limit` bytes, both ways together.
    pub fn new(limit: usize) -> Self {
        let (since, chunks) = (Instant::now(), Vec::new());
        Self(Arc::new(Mutex::new(Recording {
            since,
            left: limit,
            chunks,
            cut: false,
        })))
    }

    /// What was recorded so far, and whether something was cut off at the bound.
    pub fn recorded(&self) -> (Vec<Chunk>, bool) {
        let recording = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (recording.chunks.clone(), recording.cut)
    }

    fn record(&self, direction: Direction, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut recording = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = &bytes[..bytes.len().min(recording.left)];
        recording.cut |= kept.len() < bytes.len();
        recording.left -= kept.len();
        let at = recording.since.elapsed();
        if !kept.is_empty() {
            recording.chunks.push(Chunk {
                direction,
                at,
                bytes: kept.to_vec(),
            });
        }
    }
}

/// A connection whose bytes are recorded on a [`Tape`].
#[derive(Debug)]
pub struct Tapped<C> {
    conn: C,
    tape: Tape,
}

impl<C> Tapped<C> {
    /// Records `conn` on `tape`.
    pub const fn new(conn: C, tape: Tape) -> Self {
        Self { conn, tape }
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Tapped<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.conn).poll_read(cx, buf))?;
        self.tape
            .record(Direction::Inbound, &buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Tapped<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.conn).poll_write(cx, bytes))?;
        self.tape.record(Direction::Outbound, &bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.conn).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.conn).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn both_ways_are_recorded_in_order_and_within_the_bound() {
        let (near, mut far) = tokio::io::duplex(64);
        let tape = Tape::new(6);
        let mut near = Tapped::new(near, tape.clone());
        near.write_all(b"abc").await.unwrap();
        far.write_all(b"defgh").await.unwrap();
        let mut read = [0; 5];
        near.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"defgh", "the bytes themselves are not cut");
        let (chunks, cut) = tape.recorded();
        let seen: Vec<_> = chunks
            .iter()
            .map(|c| (c.direction, c.bytes.as_slice()))
            .collect();
        assert_eq!(
            seen,
            [
                (Direction::Outbound, &b"abc"[..]),
                (Direction::Inbound, &b"def"[..])
            ]
        );
        assert!(cut);
    }
}
