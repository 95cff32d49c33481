//! One program: the reference model under random operations, each rule by name, known defects of
//! other implementations, adversaries. Virtual time only; no file here sees a private item.

#![cfg(test)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "in a test, whatever is not expected is a failure"
)]
mod admission;
mod adversary;
mod common;
mod config;
mod crossing;
mod defects;
mod evict;
mod inventory;
mod lanes;
mod life;
mod life_signs;
mod lifecycle;
mod limits;
mod lists;
mod model;
mod operations;
mod requests;
mod status;
mod streams;
mod talk;
mod traffic;
