//! The tests of the facade as a user of the library sees it.
//!
//! One program instead of one per file, because it links once. Name a file to run it alone:
//! `cargo test -p peerage --test suite acceptance::`.
//!
//! Peers live on the loopback interface. No test looks at a clock; the silent peers are the only
//! ones that anybody waits for.

#![cfg(test)]

mod common;

mod acceptance;
mod blocking;
mod crowd;
mod discovered;
mod errors;
mod ethereum;
mod faulty;
mod isolated;
mod key;
mod names;
mod node;
mod outside;
mod peers;
mod proxy;
mod scenarios;
mod seeds;
mod self_connection;
mod tables;
mod third;
