//! Lists of operations on the book: beside a naive model, or with small bounds and its own audit.
//!
//! The interpreter is the one the tests use; what is found goes into `crates/book/tests/corpus`,
//! where plain tests replay it.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the tests' modules are shared")]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/book/tests/common.rs"]
mod common;
#[path = "../../crates/book/tests/operations.rs"]
mod operations;

fuzz_target!(|program: &[u8]| {
    operations::run(program);
});
