//! Password files and hashes, access rules in both formats, bans and SCRAM messages.
#![no_main]

#[path = "../../crates/mqtt-access/tests/fuzz_case/mod.rs"]
mod fuzz_case;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| fuzz_case::run(input));
