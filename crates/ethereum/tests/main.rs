//! The crate's tests: one program, a module per file.

#![cfg(test)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "in a test, whatever is not expected is a failure"
)]

mod capabilities;
mod chains;
mod common;
mod dialogues;
mod disconnects;
mod enodes;
mod eth_messages;
mod floods;
mod forks;
mod frames;
mod goodbyes;
mod handshake;
mod hellos;
mod impostors;
mod keys;
mod lists;
mod messages;
mod privacy;
mod rlp;
mod rlpx;
mod sealing;
mod snappy;
mod statuses;
mod tables;
mod unasked;
