//! Bytes into every decoder of discovery: what is accepted is written again and read the same.
//!
//! The decoders and their checks are those of the tests; what is found goes into
//! `crates/discv5/tests/corpus`, without the first byte, in the folder that names the decoder.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the tests' common module is shared")]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/discv5/tests/common/mod.rs"]
mod common;

fuzz_target!(|input: &[u8]| {
    common::decoders::run(input);
});
