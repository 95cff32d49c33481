//! What the peers of each network mean to a peer table and a book: who is of use, what a message is
//! for, how we leave, what is told of others.
//!
//! Plain functions of values, so that a node over sockets and a simulated one keep peers by the same
//! rules. What a network needs beyond them (keys, connections, finders) is with whoever runs it.
//!
//! - [`family`]: Zcash, Decred, and what else greets by `version` and `verack`.
//! - [`ethereum`]: Ethereum's execution layer.

pub mod ethereum;
pub mod family;

/// What a message without a long body weighs, in bytes, for the budgets.
pub const USUAL_LEN: usize = 256;
