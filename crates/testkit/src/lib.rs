//! What the tests of several crates share: choices that repeat, and inputs worth keeping.
//!
//! Only ever a development dependency. Everything here panics where a test is to fail.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a panic is how a test fails"
)]

mod corpus;
mod random;

pub use corpus::Corpus;
pub use random::Random;
