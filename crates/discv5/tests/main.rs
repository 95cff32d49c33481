//! The crate's tests: one program, a module per file. No file here sees a private item.

#![cfg(test)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "in a test, whatever is not expected is a failure"
)]
mod common;

mod adversary;
mod answers;
mod bans;
mod codec;
mod conformance;
mod dialogue;
mod handshakes;
mod lists;
mod records;
mod searches;
mod sessions;
mod table;
mod table_model;
mod table_places;
mod upkeep;
mod vectors;
mod votes;
mod vouching;
