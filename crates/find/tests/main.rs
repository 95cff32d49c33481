//! The service, its handle and its finder against their own surface, over loopback.
//!
//! No test waits on the real clock: what a test waits for is an answer or an event. Where no socket
//! is involved, time is paused.

#![cfg(test)]

mod common;

mod closing;
mod conversation;
mod finder;
mod fresh;
mod lanes;
mod seeders;
mod seeds;
mod sockets;
