//! Ethereum's peer protocol, devp2p: RLPx, Hello and Status as one typed handshake.
//!
//! It deliberately holds no socket, no clock, no entropy source and no async runtime. Time enters
//! as a value, randomness as bytes.

mod auth;
pub mod capability;
pub mod disconnect;
pub mod ecies;
pub mod enode;
pub mod eth;
pub mod fork;
pub mod frame;
pub mod hello;
mod hex;
mod keccak;
pub mod key;
pub mod p2p;
pub mod rlp;
pub mod rlpx;
mod secrets;
pub mod snappy;
pub mod table;
