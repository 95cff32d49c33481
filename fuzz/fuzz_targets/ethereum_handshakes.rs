//! Lists of operations on two Ethereum parties and the wire between them, every invariant checked
//! after each.
//!
//! The interpreter is the one the tests use; what is found goes into `crates/ethereum/tests/corpus`,
//! where plain tests replay it.
#![no_main]
#![allow(
    dead_code,
    unused_imports,
    reason = "the tests' common modules are shared"
)]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/ethereum/tests/common"]
mod common {
    pub(crate) mod operations;
    pub(crate) mod pair;
    pub(crate) mod rogue;
}

fuzz_target!(|program: &[u8]| {
    common::operations::run(program);
});
