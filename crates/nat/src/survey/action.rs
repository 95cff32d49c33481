//! What a survey wants done.

use bytes::Bytes;
use peerage_core::Endpoint;

use super::report::Report;

/// One of the survey's sockets. Each is fresh: a NAT remembers what a port has sent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u8);

/// What is to be done, in this order.
#[derive(Clone, Debug)]
pub enum Action {
    /// Open a UDP socket of the survey's family at any free port, and say with
    /// [`super::Survey::handle_opened`] where it is or with
    /// [`super::Survey::handle_open_failed`] that there is none. It must take datagrams from
    /// everybody, so it is not connected.
    Open(SocketId),
    /// Send a datagram.
    Transmit {
        /// From this socket.
        socket: SocketId,
        /// To this endpoint.
        to: Endpoint,
        /// The bytes.
        datagram: Bytes,
    },
    /// Close the socket.
    Close(SocketId),
    /// The survey is over.
    Done(Box<Report>),
}
