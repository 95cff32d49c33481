//! Sockets for peerage: how a target becomes a connection, and how a handshake's bytes move.
//!
//! - [`Connector`] turns a [`Target`] into a [`Connection`]; [`Direct`] does so over TCP, racing
//!   IPv6 and IPv4; [`Socks5`] does so through a proxy that also resolves the names; a [`Route`] is
//!   either, or a connector from elsewhere, chosen at run time.
//! - [`resolve`](fn@resolve) asks the operating system for the addresses of a name.
//! - [`Listener`] takes inbound connections.
//! - [`greet`](fn@greet) drives any [`peerage_core::Handshake`] to its end, asynchronously;
//!   [`blocking`] holds the same for plain threads.
//! - [`Link`] carries the messages of an established peer.
//! - [`Tapped`] remembers what went over a connection, for transcripts.
//!
//! It knows no protocol and makes no decision about peers. Whatever waits for a stranger takes a
//! deadline; the calls that may wait for ever, [`Link::recv`], [`Link::send`], [`Link::serve_pings`]
//! and [`Listener::accept`], can be dropped at any time.

pub mod blocking;
mod direct;
mod greet;
mod link;
mod listen;
mod reach;
mod read;
mod resolve;
mod route;
mod socks;
mod stream;
mod tap;
mod target;

pub use direct::Direct;
pub use greet::{Greeted, greet, greet_until};
pub use link::{Link, LinkError};
pub use listen::Listener;
pub use reach::{Connection, Connector, ProxyAnswer, ProxyProblem, ReachError};
pub use resolve::resolve;
pub use route::{By, Route};
pub use socks::{ProxyUrlError, Socks5};
pub use stream::Stream;
pub use tap::{Chunk, Tape, Tapped};
pub use target::{Host, Target, TargetError};

use tokio::io::{AsyncRead, AsyncWrite};

/// A connection: raw bytes both ways, nothing known about the other end.
pub trait Conn: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<C: AsyncRead + AsyncWrite + Unpin + Send + 'static> Conn for C {}
