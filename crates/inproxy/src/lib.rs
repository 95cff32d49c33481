//! The in-proxy: a broker introduces clients to volunteers, who carry their connections.
//!
//! ```text
//!  client ── offer ──► broker ◄── announce ── volunteer        both over Noise XK, in HTTP
//!  client ◄─ answer ── broker ─── client ───► volunteer
//!  client ══════ QUIC, over a UDP path that checks opened ══════ volunteer ── TCP ──► destination
//! ```
//!
//! `docs/inproxy.md` has the threat model, every message and every limit.
//!
//! - [`message`], [`refusal`], [`description`], [`destination`], [`invitation`]: what is said, in
//!   bytes. [`noise`]: how it is sealed.
//! - [`compartments`], [`policy`], [`geography`], [`filter`], [`address`]: what is decided by.
//!
//! It deliberately does not hide that it is used: no domain fronting, no obfuscation, no mimicry.

pub mod address;
pub mod broker;
pub mod call;
pub mod client;
pub mod compartments;
pub mod description;
pub mod destination;
pub mod envelope;
pub mod filter;
pub mod geography;
pub mod invitation;
pub mod keys;
pub mod message;
pub mod network;
pub mod noise;
pub mod opening;
pub mod outside;
pub mod policy;
pub mod proof;
pub mod refusal;
pub mod transport;
pub mod volunteer;
mod wire;

pub use compartments::CompartmentList;
pub use description::{Candidate, Description, TransportKind};
pub use destination::{ActiveList, EncodedEntry, Entry, SignedEntry};
pub use geography::{Locate, Nowhere, StaticTable};
pub use invitation::{BrokerAddress, Invitation, Pairing};
pub use keys::{PartyKey, PartySecret, SignerKey, SignerSecret};
pub use network::{MappedPort, MappedPorts, NetworkNow, OwnNetwork};
pub use outside::Outside;
pub use policy::AllowList;
pub use refusal::{Code, Refusal};
