//! The in-proxy against its own surface, over loopback.
//!
//! No test waits on the real clock: what a test waits for is an answer or an event.

#![cfg(test)]

mod common;

mod abuse;
mod broker;
#[cfg(feature = "webrtc")]
mod choice;
mod relay;
mod transport;
mod vanish;
mod whole;
