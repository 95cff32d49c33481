//! What several modules need.

pub(crate) mod nat;
pub(crate) mod world;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use peerage_core::Endpoint;

/// Some instant to count from.
#[expect(
    clippy::disallowed_methods,
    reason = "std offers no other way to a first instant; nothing depends on which it is"
)]
pub(crate) fn start() -> Instant {
    Instant::now()
}

pub(crate) fn end(text: &str) -> Endpoint {
    text.parse::<SocketAddr>().unwrap().into()
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
