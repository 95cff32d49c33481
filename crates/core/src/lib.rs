//! The vocabulary every other room of peerage speaks.
//!
//! - [`addr`]: endpoints, directions, and [`ConnectedAddr`]: what was honestly connected.
//! - [`reason`]: a [`Reason`] says why something failed, who is to blame and whether to retry.
//! - [`handshake`]: the pure [`Handshake`] contract; [`blocking`] drives it over `std::io`.
//! - [`policy`]: the caller's say in a handshake.
//! - [`session`]: what a finished handshake leaves behind: a typed message codec.
//! - [`wire`]: a bounded reader and writer that name every field they touch.
//! - [`nat`]: what NATs do, and which pairs of them get along.
//! - [`limit`]: rates by address group.
//! - [`budget`], [`text`], [`time`]: small values with their bounds stated.
//!
//! It deliberately holds no socket, no clock, no entropy source and no async runtime. Time enters
//! as a value, randomness as bytes. The one exception to "no IO" is [`blocking`], which is generic
//! over [`std::io::Read`] and [`std::io::Write`] and is handed its clock.
//!
//! ```
//! use peerage_core::wire::Reader;
//!
//! let mut reader = Reader::new(&[0x08, 0, 0, 0, 0, 0, 0, 0]);
//! assert_eq!(reader.u64_le("nonce")?, 8);
//! reader.finish()?;
//! # Ok::<(), peerage_core::wire::ReadError>(())
//! ```

pub mod addr;
pub mod blocking;
pub mod budget;
pub mod handshake;
pub mod limit;
pub mod nat;
pub mod network;
pub mod policy;
pub mod reason;
pub mod session;
#[cfg(test)]
mod testing;
pub mod text;
pub mod time;
pub mod wire;

pub use addr::{ConnectedAddr, Direction, Domain, Endpoint, Exposure, Group, Reach};
pub use budget::{Budget, Spent};
pub use handshake::{Failed, Handshake, Interruption, Step, Wakeup};
pub use limit::{Limiter, Rate};
pub use network::{Chain, Network};
pub use policy::{AcceptAll, Policy, Refusal};
pub use reason::{Blame, Detail, Failure, Kind, Reason, Retry, Stage};
pub use session::Session;
pub use text::{PeerText, Place};
pub use time::UnixTime;
