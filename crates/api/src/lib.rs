//! The interface of peerage's daemon: gRPC (`peerage.v1`), HTTP and metrics.
//!
//! - [`hub`] holds subscriptions: byte budgets, what happens when one is full, leases. [`select`]
//!   chooses peers, [`metrics`] counts. All three are pure.
//! - A [`Builder`] takes any number of running nodes and makes a [`Daemon`] of them, which has every
//!   call of the interface as a method. The events of each node go to its [`Feed`].
//! - [`grpc`] and [`http`] serve it; [`socket`] and [`token`] say to whom.
//! - `client`, with the feature of that name, connects to a daemon; [`json`] shows its answers.
//! - [`v1`] is the interface as it is on the wire, compiled from `proto/peerage/v1` without
//!   `protoc`; [`reference`](mod@reference) makes `docs/api.md` of the same description.
//!
//! What it does not do: decide anything about peers, or look into messages, which pass as bytes.
//!
//! ```no_run
//! use peerage::node::Node;
//! use peerage::{Greeter, Zcash};
//! use peerage_api::{ApiLimits, Builder, grpc, v1};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let greeter = Greeter::<Zcash>::new("mainnet")?;
//! let (node, mut events) = Node::new(greeter.clone()).start()?;
//! let mut builder = Builder::new("1.0.0", ApiLimits::default());
//! let realm = v1::Realm { network: "zcash".into(), chain: "mainnet".into() };
//! let info = v1::NodeInfo { realm: Some(realm), ..v1::NodeInfo::default() };
//! let feed = builder.add(node, greeter, info);
//! tokio::spawn(async move {
//!     while let Some(event) = events.next().await {
//!         // Peers of Zcash ask nothing that must be answered.
//!         let _taken = feed.tell(&event);
//!     }
//! });
//! let at = "unix:/run/peerage/api.sock".parse()?;
//! let listener = grpc::Listener::bind(&at, None).await?;
//! listener.serve(builder.build(), std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```

#[cfg(unix)]
mod authority;
mod board;
#[cfg(feature = "client")]
pub mod client;
mod convert;
mod daemon;
pub mod fault;
pub mod grpc;
pub mod http;
pub mod hub;
pub mod json;
pub mod metrics;
mod openapi;
pub mod reference;
mod seat;
pub mod select;
pub mod socket;
#[cfg(feature = "mtls")]
mod tls;
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
