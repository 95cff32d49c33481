//! A network without sockets or clocks, and a tester that speaks the protocol by hand.

pub(crate) mod decoders;
pub(crate) mod net;
pub(crate) mod operations;
pub(crate) mod promises;
pub(crate) mod rogue;
pub(crate) mod scene;
pub(crate) mod tester;

use std::time::Instant;

/// Some instant to count from.
#[expect(
    clippy::disallowed_methods,
    reason = "std offers no other way to a first instant; nothing depends on which it is"
)]
pub(crate) fn start() -> Instant {
    Instant::now()
}
