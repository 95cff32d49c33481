//! The tests of the crate, a module for each part.

#![cfg(test)]

mod common;
mod external;
mod responder;
mod stun;
mod survey;
mod watch;
