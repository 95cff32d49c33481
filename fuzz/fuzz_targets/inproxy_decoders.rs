//! Bytes into every decoder of the in-proxy: what is accepted is written again and read the same.
//!
//! The decoders and their checks are those of the tests; what is found goes into
//! `crates/inproxy/tests/corpus`, without the first byte, in the folder that names the decoder.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/inproxy/tests/common/decoders.rs"]
mod decoders;

fuzz_target!(|input: &[u8]| {
    decoders::run(input);
});
