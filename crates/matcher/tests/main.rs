//! The tests of the matcher against its own surface: no file here sees a private item.
//!
//! One program instead of one per file, because it links once. Name a file to run it alone:
//! `cargo test -p peerage-matcher --test suite streams::`.

#![cfg(test)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "in a test, whatever is not expected is a failure"
)]
mod common;
mod model;
#[path = "scan.rs"]
pub mod scan;

mod answers;
mod config;
mod defects;
mod explain;
mod extras;
mod geography;
mod hold;
mod limits;
mod nat;
mod order;
mod removal;
mod streams;
mod time;
