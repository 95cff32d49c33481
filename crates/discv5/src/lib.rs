//! Node Discovery v5, pure: who is out there, what they are, and how they are asked.
//!
//! - [`discovery`]: the machine that joins all the parts: start here.
//! - [`record`]: a node's signed description (ENR, EIP-778): decoded without curve work, verified
//!   in a step of its own.
//! - [`packet`] and [`message`]: what travels, read in the buffer it came in.
//! - [`cipher`] and [`keys`]: masks, seals, and how two nodes agree on session keys.
//! - [`session`] and [`challenge`]: the keys we share, and the handshakes we have asked for.
//! - [`table`] and [`votes`]: whom we know, and what others say our address is.
//! - [`address`] and [`limit`]: kinds and groups of addresses, rates, bans, permitted networks.
//! - [`rng`]: the seeded generator, so that a run replays.
//! - [`curve`]: every curve operation and hash of the crate, in one small file.
//!
//! It deliberately holds no socket, no clock, no entropy source and no async runtime.
//!
//! ```
//! use peerage_discv5::record::{Builder, Record, Unverified};
//! use peerage_discv5::curve::SecretKey;
//!
//! let key = SecretKey::from_bytes([7; 32])?;
//! let record = Builder::new(1).ip([192, 0, 2, 1].into()).udp4(9000).sign(&key)?;
//! let text = record.to_string();
//! let read: Unverified = text.parse()?;
//! let read: Record = read.verify()?;
//! assert_eq!(read.node_id(), record.node_id());
//! assert_eq!(read.udp4_endpoint().unwrap().to_string(), "192.0.2.1:9000");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod address;
mod bucket;
pub mod challenge;
pub mod cipher;
pub mod curve;
pub mod discovery;
pub mod keys;
pub mod limit;
pub mod message;
mod node_id;
pub mod packet;
pub mod record;
pub mod rlp;
pub mod rng;
pub mod session;
pub mod table;
#[cfg(test)]
mod testing;
pub mod votes;

pub use discovery::{Config, Discovery};
pub use node_id::NodeId;
pub use record::Record;
