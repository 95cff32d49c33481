//! Lists of operations on machines of discovery, a rogue and the wires between them, every promise
//! checked after each.
//!
//! The interpreter is the one the tests use; what is found goes into
//! `crates/discv5/tests/corpus/lists`, where plain tests replay it.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the tests' common module is shared")]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/discv5/tests/common/mod.rs"]
mod common;

fuzz_target!(|program: &[u8]| {
    common::operations::run(program);
});
