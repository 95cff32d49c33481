//! What outsiders see of us, with sockets.
//!
//! - [`survey()`]: one survey of one family, over fresh UDP sockets.
//! - [`Observer`]: surveys both families again and again: on a timer, when the network changes, and
//!   when a glance sees us at another address.
//! - [`StunServer`]: the server of a survey, on its one or four sockets.
//! - [`local`]: where this machine is attached, and to what kind of network, as far as the system
//!   tells.
//! - [`mapping`]: ports of the router, asked for, renewed and given back.
//!
//! What is measured and decided is decided in [`peerage_nat`]; here are only the sockets. It draws
//! no randomness: seeds come from the caller.

mod glance;
pub mod local;
pub mod mapping;
mod observer;
mod server;
mod survey;

pub use observer::{Observed, Observer, Plan, Seeds, Seen};
pub use server::{ServeError, StunServer};
pub use survey::{STUN_PORT, resolve, survey};
