//! Lists of operations on the peer table: the life of sessions beside a naive model, or the talk of
//! four peers, every promise checked after each.
//!
//! The interpreter is the one the tests use; what is found goes into `crates/peers/tests/corpus`,
//! where plain tests replay it.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the tests' modules are shared")]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/peers/tests/common.rs"]
mod common;
#[path = "../../crates/peers/tests/life.rs"]
mod life;
#[path = "../../crates/peers/tests/model.rs"]
mod model;
#[path = "../../crates/peers/tests/operations.rs"]
mod operations;
#[path = "../../crates/peers/tests/talk.rs"]
mod talk;

fuzz_target!(|program: &[u8]| {
    operations::run(program);
});
