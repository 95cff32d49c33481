//! What the unit tests of several files need.

use std::time::Instant;

/// Some instant to count from.
#[expect(
    clippy::disallowed_methods,
    reason = "std offers no other way to a first instant; nothing depends on which it is"
)]
pub(crate) fn start() -> Instant {
    Instant::now()
}
