//! The tests of the book against its own surface: no file here sees a private item.
//!
//! One program instead of one per file, because it links once. Name a file to run it alone:
//! `cargo test -p peerage-book --test suite streams::`.

#![cfg(test)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "in a test, whatever is not expected is a failure"
)]
mod common;

mod bans;
mod change;
mod choice;
mod flood;
mod gossip;
mod inbound;
mod lists;
mod months;
mod operations;
mod outage;
mod page;
mod pins;
mod snapshot;
mod streams;
mod waits;
mod wishes;
