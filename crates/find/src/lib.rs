//! Finding peers: discovery v5 as a running service, and the interface through which candidates
//! flow.
//!
//! ```text
//!  Sockets ◄─ datagrams ─► owner task ◄─ commands ─ Handle (clones)
//!                          Discovery   ── answers ─►
//!                              ├─ control: bounded, never loses ─► Control
//!                              ├─ gossip: bounded, counts losses ─► Gossip
//!                              └─ new records ─► Discv5Finder ─► Candidate
//! ```
//!
//! - [`Sockets`]: one UDP socket for each family.
//! - [`start`]: one task owns the [`peerage_discv5::Discovery`] machine and the sockets; a
//!   [`Handle`] talks to it.
//! - [`Finder`]: whatever finds candidates, by which way ever: [`Discv5Finder`], a [`List`], and
//!   [`Seeds`], which asks DNS seeds ([`dns`]), HTTPS seeders ([`https`]) or peers ([`gossip`]). Each
//!   says in a [`Report`] whom it asked and what came of it.
//! - [`Control`], [`Gossip`]: what happens, in two lanes that never share a queue.
//!
//! It dials nobody and keeps no book: a [`Candidate`] is an address not yet tried. It reads no wall
//! clock and draws no randomness: the key, the record and a seed come from the caller.
//!
//! Datagrams are received and sent up to 32 a system call where the system can do that (Linux,
//! Android, FreeBSD), else one a call. Buffers for it belong to the thread, not to a node.

mod batch;
mod candidate;
mod command;
pub mod dns;
mod fresh;
pub mod gossip;
mod handle;
mod http;
pub mod https;
mod lanes;
mod list;
mod owner;
mod ports;
mod report;
mod searcher;
mod seeds;
mod service;
mod socket;
mod talk;

pub use candidate::{Candidate, Claims, Finder, Hearsay, Next, Source};
pub use fresh::Fresh;
pub use handle::{CallError, Handle, Pong};
pub use lanes::{Control, Foreign, Gossip};
pub use list::{LIST, List};
pub use owner::Metrics;
pub use report::{Report, SeedReport};
pub use searcher::{Discv5Finder, SOURCE, Search};
pub use seeds::{ASK_LIMIT, MAX_ANSWER, Seed, Seeds, Told};
pub use service::{Running, Setup, start};
pub use socket::{Bind, BindError, Sockets};
pub use talk::{TalkAnswerError, TalkRequest, TalkRequests};
