//! Key sets, public keys, answers of a service, rules as JSON, the claims of tokens, and how databases are asked and reached.
#![no_main]

#[path = "../../crates/mqtt-login/tests/fuzz_case/mod.rs"]
mod fuzz_case;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| fuzz_case::run(input));
