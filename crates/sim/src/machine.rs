//! What can live on a host.

use std::net::SocketAddr;
use std::time::Instant;

use peerage_core::{UnixTime, Wakeup};

use crate::stream::{Door, Heard, Order, StreamId};

/// The time, on both clocks of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The clock that timers go by. It never jumps, and stands still while a host sleeps.
    pub at: Instant,
    /// What the host believes the date to be. It jumps when told to.
    pub wall: UnixTime,
}

/// What a machine wants done, or tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<E> {
    /// Send a datagram.
    Transmit {
        /// To whom.
        to: SocketAddr,
        /// What.
        datagram: Vec<u8>,
    },
    /// Do this with a stream.
    Stream(StreamId, Order),
    /// Something has happened.
    Event(E),
}

/// A protocol over datagrams, streams or both that opens no socket and reads no clock.
///
/// Change it with one call; then drain [`Self::poll`]; then ask [`Self::poll_timeout`]. What it does
/// may depend on nothing but the order of the calls and what it was made of, or runs do not repeat.
pub trait Machine {
    /// What it has to tell.
    type Event;

    /// A datagram has come.
    fn handle_datagram(&mut self, now: Now, from: SocketAddr, datagram: &mut [u8]);

    /// Something has happened to a stream. Who opens none and has no open door hears nothing.
    fn handle_stream(&mut self, _now: Now, _stream: StreamId, _heard: Heard) {}

    /// What happens to whoever dials.
    fn door(&self) -> Door {
        Door::Shut
    }

    /// The time that [`Self::poll_timeout`] named has come.
    fn handle_timeout(&mut self, now: Now);

    /// What to do next, if anything.
    fn poll(&mut self) -> Option<Output<Self::Event>>;

    /// When to call [`Self::handle_timeout`], and why.
    fn poll_timeout(&self) -> Option<Wakeup>;
}
