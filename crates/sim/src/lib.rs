//! A network of many nodes in virtual time: no socket, no clock, and the same run again from one
//! seed.
//!
//! - [`machine`]: what can live on a host: anything that takes datagrams, streams and timeouts.
//! - [`network`]: hosts, the queue of what is to come, and planned [`Change`]s.
//! - [`stream`]: connections between hosts.
//! - [`weather`]: latency by distance, jitter, loss, duplication, reordering.
//! - [`nat`]: translators, by the four classic kinds.
//! - [`seed`]: one number from which all randomness comes, and [`seed::each`], which tells the
//!   number of a failed run.
//! - [`trace`]: a digest of everything that happened, to compare two runs.
//! - [`discv5`]: the discovery machine as a host, and a swarm of them that joins and looks up.
//! - [`keep`]: nodes that find, dial, greet and keep peers for months, some of them faulty.
//!
//! The tests keep to swarms of a few dozen and towns of a few hours. Larger ones are run by hand, in
//! release: `peerage sim discv5 --nodes 10000 --loss 0.05 --nat 0.3 --seed 1`,
//! `peerage sim keep --days 60`.
//!
//! It simulates the network, not the machines: these are the ones that run outside.
//!
//! ```
//! use std::time::Duration;
//! use peerage_sim::discv5::{Plan, Swarm};
//!
//! let plan = Plan { nodes: 12, ..Plan::default() };
//! let mut swarm = Swarm::new(&plan)?;
//! swarm.join(|_| {});
//! let round = swarm.round();
//! assert_eq!(round.lookups, 12);
//! assert!(round.recall() > 0.9);
//! # Ok::<(), peerage_sim::discv5::PlanError>(())
//! ```

pub mod chance;
pub mod discv5;
pub mod keep;
pub mod machine;
pub mod nat;
pub mod network;
mod queue;
pub mod seed;
pub mod stream;
pub mod trace;
pub mod traffic;
pub mod weather;

pub use chance::Chance;
pub use machine::{Machine, Now, Output};
pub use nat::{Nat, NatKind};
pub use network::{Change, Condition, HostId, NatId, Network};
pub use seed::Seed;
pub use stream::{Door, StreamId, Streams};
pub use trace::Trace;
pub use traffic::Traffic;
pub use weather::Weather;

use std::time::Instant;

/// Some instant for virtual time to count from.
#[expect(
    clippy::disallowed_methods,
    reason = "std offers no other way to a first instant; nothing depends on which it is"
)]
pub fn epoch() -> Instant {
    Instant::now()
}
