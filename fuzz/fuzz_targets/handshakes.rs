//! Lists of operations against both sides of both networks, every invariant checked after each.
//!
//! The interpreter is the one the tests use; what is found goes into `crates/verack/tests/corpus`,
//! where plain tests replay it.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the tests' common module is shared")]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/verack/tests/common/mod.rs"]
mod common;

fuzz_target!(|program: &[u8]| {
    common::operations::run(program);
});
