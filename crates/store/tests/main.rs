//! The tests of the store against its own surface, on real files below the system's temporary
//! folder.
//!
//! One program instead of one per file, because it links once. Name a file to run it alone:
//! `cargo test -p peerage-store --test suite kill::`.

#![cfg(test)]
mod common;

mod full;
mod kill;
mod lines;
mod open;
mod round;
mod story;
