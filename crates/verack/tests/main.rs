//! The tests of the handshake against its own surface: no file here sees a private item.
//!
//! One program instead of one per file, because it links once. Name a file to run it alone:
//! `cargo test -p peerage-verack --test suite early::`.

#![cfg(test)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "in a test, whatever is not expected is a failure"
)]

mod common;

mod blocking;
mod chunking;
mod dissection;
mod early;
mod frames;
mod interruptions;
mod limits;
mod messages;
mod minimum;
mod operations;
mod oracle;
mod order;
mod policy;
mod privacy;
mod reasons;
mod roundtrip;
mod scenarios;
mod self_connection;
mod transitions;
mod vectors;
