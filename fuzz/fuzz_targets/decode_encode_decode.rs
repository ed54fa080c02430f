//! One packet there, back and there again.
#![no_main]

#[allow(dead_code, reason = "each target of the codec runs one of its checks")]
#[path = "../../crates/mqtt-codec/tests/fuzz_case/mod.rs"]
mod fuzz_case;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| fuzz_case::check_decode_encode_decode(input));
