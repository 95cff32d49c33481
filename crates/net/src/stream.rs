//! What a connection's bytes run over.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::Conn;

/// Bytes both ways: TCP, or whatever else a connector makes.
pub struct Stream(Kind);

enum Kind {
    Tcp(TcpStream),
    Other(Box<dyn Conn>),
}

impl Stream {
    /// Bytes both ways of another kind.
    pub fn other(conn: impl Conn) -> Self {
        Self(Kind::Other(Box::new(conn)))
    }

    /// The connection, if it is TCP.
    pub const fn tcp(&self) -> Option<&TcpStream> {
        match &self.0 {
            Kind::Tcp(tcp) => Some(tcp),
            Kind::Other(_) => None,
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(tcp: TcpStream) -> Self {
        Self(Kind::Tcp(tcp))
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Tcp(tcp) => tcp.fmt(f),
            Kind::Other(_) => f.write_str("Stream(other)"),
        }
    }
}

macro_rules! with {
    ($stream:expr, $conn:ident => $do:expr) => {
        match &mut $stream.0 {
            Kind::Tcp(tcp) => {
                let $conn = Pin::new(tcp);
                $do
            }
            Kind::Other(other) => {
                let $conn = Pin::new(other.as_mut());
                $do
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        with!(self, conn => conn.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        with!(self, conn => conn.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, conn => conn.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with!(self, conn => conn.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        with!(self, conn => conn.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Kind::Tcp(tcp) => tcp.is_write_vectored(),
            Kind::Other(other) => other.is_write_vectored(),
        }
    }
}
