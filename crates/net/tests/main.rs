//! The tests of drivers, links and connectors against their own surface.
//!
//! One program instead of one per file, because it links once. Name a file to run it alone:
//! `cargo test -p peerage-net --test suite driver::`.
//!
//! Connections are in-memory pipes and time stands still unless nothing else can happen; a real
//! socket appears only where it is the point, and then no test looks at a clock.

#![cfg(test)]

mod common;

mod blocking;
mod cancellation;
mod direct;
mod driver;
mod errors;
mod link;
mod link_cancellation;
mod ping;
