//! Key sets, public keys, answers of a service, rules as JSON, and the claims of tokens.
#![no_main]

#[path = "../../crates/mqtt-login/tests/fuzz_case/mod.rs"]
mod fuzz_case;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| fuzz_case::run(input));
