//! Ethereum's peer protocol, devp2p: RLPx, Hello and Status as one typed handshake.
//!
//! It deliberately holds no socket, no clock, no entropy source and no async runtime. Time enters
//! as a value, randomness as bytes.

mod auth;
pub mod capability;
mod channel;
pub mod disconnect;
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
pub use local::{Attempt, Best, Local, Tip};
pub use message::{Message, OtherMessage};
pub use peer::{Codec, MAX_ASKED, Peer, PeerChain, PeerInfo};
pub use policy::{AcceptAll, Policy, Remote};
pub use table::{ChainTable, Table};
