//! The crate's tests: one program, a module per file. No file here sees a private item.

#![cfg(test)]
mod common;

mod keep;
mod nats;
mod partitions;
mod seeds;
mod streams;
mod swarm;
mod weather;
