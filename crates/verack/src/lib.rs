//! The version/verack handshake of Zcash and Decred: pure, both sides, one call.
//!
//! Two nodes say `version`, say `verack`, and are peers. The two networks agree on the envelope and
//! on the layout of `version`; they differ in checksum, order, tolerance and limits, which stand in
//! one table each ([`dialect::Rules`]).
//!
//! - [`Local`] is a node on one chain: its table, its keys, what it tells to whom.
//! - [`Local::greet`] starts a handshake over a fresh connection: a [`Greeting`], driven through
//!   [`peerage_core::Handshake`] by any driver.
//! - A finished one yields a [`Peer`]: facts, and a [`Codec`] whose message type has no handshake
//!   messages.
//! - [`zcash`] and [`decred`] hold messages, tables and rules.
//! - [`dissect`](mod@dissect) explains bytes field by field, through the same readers.
//!
//! What it does not do: open sockets, read clocks, draw randomness, keep addresses, or understand
//! blocks and transactions.
//!
//! ```
//! use std::time::Instant;
//! use peerage_core::{ConnectedAddr, Direction, Handshake, Step, UnixTime};
//! use peerage_verack::nonce::{Domain, NonceKeys};
//! use peerage_verack::{Attempt, Local, zcash};
//!
//! let table = zcash::builtin_table();
//! let chain = table.chain("testnet").unwrap().clone();
//! let node = |secret| {
//!     Local::<zcash::Zcash>::new(
//!         chain.clone(), table.protocol_version, "/doc:1/".into(), NonceKeys::new([secret; 16]))
//! };
//! let attempt = |direction| Attempt {
//!     addr: ConnectedAddr::Isolated { direction },
//!     domain: Domain::default(),
//!     time: UnixTime(1_800_000_000),
//!     random: [direction as u8; 8],
//! };
//!
//! // Two nodes, no socket: bytes are carried by hand.
//! let mut dialler = node(1).greet(attempt(Direction::Outbound));
//! let mut listener = node(2).greet(attempt(Direction::Inbound));
//! let (mut to_listener, mut to_dialler) = Default::default();
//! # let now = Instant::now();
//! # fn push(to: &mut bytes::BytesMut, h: &mut impl Handshake) {
//! #     while let Some(bytes) = h.poll_transmit() { to.extend_from_slice(&bytes) }
//! # }
//! push(&mut to_listener, &mut dialler);
//! let Step::More(mut listener, _) = listener.advance(now, &mut to_listener) else { panic!() };
//! push(&mut to_dialler, &mut listener);
//! let Step::More(mut dialler, _) = dialler.advance(now, &mut to_dialler) else { panic!() };
//! push(&mut to_listener, &mut dialler);
//! let Step::Done(peer) = dialler.advance(now, &mut to_dialler) else { panic!() };
//! assert_eq!(peer.info().negotiated, table.protocol_version);
//! # let Step::Done(_) = listener.advance(now, &mut to_listener) else { panic!() };
//! ```

mod command;
pub mod decred;
pub mod dialect;
pub mod dissect;
pub mod envelope;
pub mod error;
mod handshake;
mod local;
pub mod magic;
pub mod message;
pub mod nonce;
mod peer;
pub mod policy;
mod reading;
mod steps;
pub mod table;
pub mod version;
pub mod zcash;

pub use command::Command;
pub use dialect::Dialect;
pub use error::{Awaited, HandshakeError, MessageError, SessionError};
pub use handshake::Greeting;
pub use local::{Attempt, Local, Tip};
pub use message::Reject;
pub use peer::{Codec, Peer, PeerInfo};
pub use policy::{Policy, RemoteVersion};
pub use table::{ChainTable, Table};
pub use version::{Height, Nonce, ProtocolVersion, Services, Version};
