//! The API of the daemon.

mod board;
mod convert;
mod daemon;
pub mod fault;
pub mod grpc;
pub mod http;
pub mod hub;
mod json;
pub mod metrics;
mod openapi;
pub mod reference;
mod seat;
pub mod select;
pub mod socket;
pub mod token;

use std::time::{SystemTime, UNIX_EPOCH};

pub use board::Subscription;
pub use daemon::{ApiLimits, Builder, Daemon, Feed};

/// The interface as it is on the wire, compiled from `proto/peerage/v1`.
#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::wildcard_enum_match_arm,
    reason = "generated"
)]
pub mod v1 {
    tonic::include_proto!("peerage.v1");
}

/// The description of the interface, with its comments: a `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTION: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/peerage.v1.bin"));

/// The wall clock, in milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, convert::millis)
}
