//! A node: the loops that join finding, remembering, reaching, greeting and keeping peers.
//!
//! ```text
//!  finders ── candidates ─► ┌───────────────────────────┐ ◄── commands ── Handle (clones)
//!  listener ─ connections ► │ owner task                │ ─── events ───► Events
//!  sessions ─ what came ──► │ Book · Table · Admission  │ ─── changes ──► Store
//!           ◄─── orders ─── └───────────────────────────┘
//! ```
//!
//! - [`start`] runs one owner task, which holds the three machines and decides nothing itself: the
//!   [`Book`](peerage_book::Book) chooses whom to dial, the [`Table`](peerage_peers::Table) who stays,
//!   [`Admission`](peerage_peers::Admission) who may knock.
//! - Every attempt is a task of its own that becomes the session's. It waits for its peer and for
//!   orders, and nobody waits for it.
//! - [`Network`] is what a network brings; [`Handle`] talks to the node; [`Events`] is what happens.
//!
//! It runs on the caller's runtime. It knows no protocol, reads no wall clock and draws no
//! randomness: both are handed in by [`Setup`].

mod acting;
mod command;
mod crossing;
mod dialling;
mod events;
mod figures;
mod finding;
mod gossip;
mod handle;
mod network;
mod obey;
mod ourselves;
mod owner;
mod post;
mod reconfigure;
mod serving;
mod session;
mod sessions;
mod setup;
mod stopping;
mod subscribe;

pub use events::{Event, Events};
pub use figures::{Counters, Ended, Overview, Peer};
pub use finding::FinderReport;
pub use handle::{Asked, Audience, Handle, Removed, RequestError, Stopped};
pub use network::{Heard, Link, Live, Network, Whom};
pub use reconfigure::{Change, Changed};
pub use setup::{Setup, StartError, start};
pub use subscribe::{Notice, Subscription, Wants};
