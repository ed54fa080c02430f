//! Opening a store on segments of arbitrary bytes and records.
#![no_main]

#[path = "../../crates/mqtt-store/tests/fuzz_case/mod.rs"]
mod fuzz_case;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| fuzz_case::check_open(input));
