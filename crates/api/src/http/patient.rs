//! A connection whose other end may read slowly, but not never.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Ends with a timeout when nothing of what waits has been taken for so long.
pub(super) struct Patient<C> {
    io: C,
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<C> Patient<C> {
    pub(super) const fn new(io: C, patience: Duration) -> Self {
        Self {
            io,
            patience,
            stalled: None,
        }
    }

    fn judge<T>(
        &mut self,
        cx: &mut Context<'_>,
        taken: Poll<std::io::Result<T>>,
    ) -> Poll<std::io::Result<T>> {
        if taken.is_ready() {
            self.stalled = None;
            return taken;
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(std::io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Patient<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Patient<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let taken = Pin::new(&mut self.io).poll_write(cx, buf);
        self.judge(cx, taken)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let taken = Pin::new(&mut self.io).poll_flush(cx);
        self.judge(cx, taken)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let taken = Pin::new(&mut self.io).poll_shutdown(cx);
        self.judge(cx, taken)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let taken = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.judge(cx, taken)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
