//! Greeted peers without a dialogue to read: a link of ours, and the raw other end.

use bytes::BytesMut;
use peerage_core::Direction;
use peerage_net::{Conn, Link, greet};
use peerage_verack::Codec;
use tokio::io::DuplexStream;

use super::{Net, join, never, ours, theirs};

/// Our codec and connection after a handshake, and the other end of the connection.
pub(crate) async fn greeted<D: Net>(capacity: usize) -> (Codec<D>, DuplexStream, DuplexStream) {
    let (near, far) = tokio::io::duplex(capacity);
    let direction = Direction::Outbound;
    let (near, far) = join(
        greet(near, ours::<D>(direction), never()),
        greet(far, theirs::<D>(direction), never()),
    )
    .await;
    let (near, far) = (near.unwrap(), far.unwrap());
    assert!(near.leftover.is_empty() && far.leftover.is_empty());
    let (_, codec) = near.peer.into_parts();
    (codec, near.conn, far.conn)
}

/// A link of ours over a pipe of this capacity, and the other end of the pipe.
pub(crate) async fn linked<D: Net>(
    capacity: usize,
) -> (Link<Codec<D>, DuplexStream>, DuplexStream) {
    linked_over(capacity, |conn| conn).await
}

/// The same, with our end wrapped.
pub(crate) async fn linked_over<D: Net, C: Conn>(
    capacity: usize,
    wrap: impl FnOnce(DuplexStream) -> C,
) -> (Link<Codec<D>, C>, DuplexStream) {
    let (codec, near, far) = greeted::<D>(capacity).await;
    (Link::new(wrap(near), codec, BytesMut::new()), far)
}
