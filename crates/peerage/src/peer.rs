//! A greeted peer: what is known of it, and its messages.

use std::time::{Duration, Instant as StdInstant};

use peerage_core::Session;
use peerage_net::blocking::BlockingLink;
use peerage_net::{Conn, Link, LinkError, Stream};

use crate::greeter::deadline_in;
use crate::os;
use crate::protocol::Protocol;

/// A message of an established peer of `N`.
pub type MessageOf<N> = <<N as Protocol>::Session as Session>::Message;

/// Why a message of a peer of `N` could not be received or sent.
pub type LinkErrorOf<N> = LinkError<<<N as Protocol>::Session as Session>::Error>;

/// A peer that was greeted, over its connection.
#[derive(Debug)]
pub struct Peer<N: Protocol, C = Stream> {
    info: N::Info,
    early: usize,
    link: Link<N::Session, C>,
}

/// A peer that was greeted, over a blocking connection.
#[derive(Debug)]
pub struct BlockingPeer<N: Protocol> {
    info: N::Info,
    link: BlockingLink<N::Session>,
}

impl<N: Protocol, C: Conn> Peer<N, C> {
    pub(crate) const fn new(info: N::Info, early: usize, link: Link<N::Session, C>) -> Self {
        Self { info, early, link }
    }

    /// What is known of it since the handshake.
    pub const fn info(&self) -> &N::Info {
        &self.info
    }

    /// The next message; those that came early come first.
    ///
    /// # Errors
    /// When the connection ends or the peer breaks the protocol.
    ///
    /// # Cancellation
    /// Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Result<MessageOf<N>, LinkErrorOf<N>> {
        self.link.recv().await
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When it cannot be encoded for this peer, or the connection ends.
    ///
    /// # Cancellation
    /// See [`Link::send`].
    pub async fn send(&mut self, message: &MessageOf<N>) -> Result<(), LinkErrorOf<N>> {
        self.link.send(message).await
    }

    /// Measures the round trip, within `limit`.
    ///
    /// # Errors
    /// See [`Link::ping`].
    pub async fn ping(&mut self, limit: Duration) -> Result<Duration, LinkErrorOf<N>> {
        let nonce = u64::from_be_bytes(os::random());
        self.link.ping(nonce, deadline_in(limit)).await
    }

    /// How many messages came before the end of the handshake and wait to be received.
    pub(crate) const fn early(&self) -> usize {
        self.early
    }

    /// Taken apart: the facts, and the link.
    pub(crate) fn into_link(self) -> (N::Info, Link<N::Session, C>) {
        (self.info, self.link)
    }

    /// The link itself.
    pub const fn link_mut(&mut self) -> &mut Link<N::Session, C> {
        &mut self.link
    }
}

impl<N: Protocol> BlockingPeer<N> {
    pub(crate) const fn new(info: N::Info, link: BlockingLink<N::Session>) -> Self {
        Self { info, link }
    }

    /// What is known of it since the handshake.
    pub const fn info(&self) -> &N::Info {
        &self.info
    }

    /// The next message, within `limit`; those that came early come first.
    ///
    /// # Errors
    /// See [`BlockingLink::recv`].
    pub fn recv(&mut self, limit: Duration) -> Result<MessageOf<N>, LinkErrorOf<N>> {
        self.link.recv(os::deadline(StdInstant::now(), limit))
    }

    /// Sends a message, within `limit`.
    ///
    /// # Errors
    /// See [`BlockingLink::send`].
    pub fn send(&mut self, message: &MessageOf<N>, limit: Duration) -> Result<(), LinkErrorOf<N>> {
        let deadline = os::deadline(StdInstant::now(), limit);
        self.link.send(message, deadline)
    }
}
