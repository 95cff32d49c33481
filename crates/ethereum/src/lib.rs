//! Ethereum's peer protocol, devp2p: RLPx, Hello and Status as one typed handshake.
//!
//! Start a handshake with [`Local::greet`]; it ends with a [`Peer`] or a [`HandshakeError`].
//!
//! The way in:
//! - [`rlpx`], [`frame`]: two packets exchange keys, then every message travels in a sealed frame.
//! - [`key`], [`ecies`]: the curve, and what one key alone can open.
//! - [`policy`]: the caller's say, asked twice.
//!
//! The messages:
//! - [`hello`], [`disconnect`], [`p2p`]: what every connection has.
//! - [`capability`]: what both sides can speak, as plug-ins, and the message ids that gives.
//! - [`eth`]: the capability `eth` in versions 68 to 72: Status, questions, answers, announcements.
//! - [`rlp`], [`snappy`]: how they are encoded. One reader decodes and explains.
//!
//! The chains:
//! - [`table`]: ids, genesis, forks and boot nodes as data, replaceable at run time.
//! - [`fork`]: fork ids, and whether a peer follows the same rules.
//! - [`enode`]: node addresses.
//!
//! For people: [`dissect`] takes messages and whole dialogues apart.
//!
//! It deliberately holds no socket, no clock, no entropy source and no async runtime. Time enters
//! as a value, randomness as bytes. It does not understand blocks and transactions.
//!
//! ```
//! use peerage_ethereum::capability::{CapName, negotiate};
//! use peerage_ethereum::eth::EthVersion;
//! use peerage_ethereum::fork::{ForkHash, ForkId, Head};
//! use peerage_ethereum::table::Table;
//!
//! // What two nodes share, and where its message ids begin.
//! let ours = [EthVersion::Eth69.spec(), EthVersion::Eth70.spec()];
//! let theirs = [EthVersion::Eth68.capability(), EthVersion::Eth69.capability()];
//! let layout = negotiate(&ours, &theirs);
//! assert_eq!(layout.version(CapName::ETH), Some(69));
//! assert_eq!(layout.shared()[0].first_id, 0x10);
//!
//! // A peer that stands at Cancun and knows of nothing after it must upgrade.
//! let table = Table::builtin();
//! let head = Head { number: 24_000_000, time: 1_770_000_000 };
//! let filter = table.chain("mainnet").unwrap().fork_filter(head);
//! let old = ForkId { hash: ForkHash([0x9f, 0x3d, 0x22, 0x54]), next: 0 };
//! let error = filter.judge(old).unwrap_err().to_string();
//! assert!(error.starts_with("the peer stands at cancun"));
//! ```

mod auth;
pub mod capability;
mod channel;
pub mod disconnect;
pub mod dissect;
pub mod ecies;
pub mod enode;
pub mod error;
pub mod eth;
pub mod fork;
pub mod frame;
mod handshake;
pub mod hello;
mod hex;
mod keccak;
pub mod key;
mod local;
mod message;
pub mod p2p;
mod packet;
mod peer;
pub mod policy;
pub mod rlp;
pub mod rlpx;
mod secrets;
pub mod snappy;
mod steps;
pub mod table;

pub use capability::{CapName, Capability, CapabilitySpec};
pub use disconnect::DisconnectReason;
pub use enode::Enode;
pub use error::{Awaited, HandshakeError, SessionError, WireError};
pub use eth::EthVersion;
pub use fork::{ForkFilter, ForkId, Head};
pub use handshake::Greeting;
pub use hello::Hello;
pub use key::{PeerId, PublicKey, SecretKey};
pub use local::{Attempt, Best, Local, Tip, Told};
pub use message::{Message, OtherMessage};
pub use peer::{Codec, MAX_ASKED, Peer, PeerChain, PeerInfo};
pub use policy::{AcceptAll, Policy, Remote};
pub use table::{ChainTable, Table};
