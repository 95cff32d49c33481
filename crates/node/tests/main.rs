//! The loops of a node, with a network of words over loopback and a clock that only moves when
//! nothing else does.
#![cfg(test)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test names the events that it is about"
)]

mod common;
mod dialling;
mod duplicates;
mod finding;
mod gossip;
mod hostile;
mod keeping;
mod pressure;
mod reconfigure;
mod requests;
mod scenarios;
mod serving;
mod showing;
mod stopping;
mod stranger;
