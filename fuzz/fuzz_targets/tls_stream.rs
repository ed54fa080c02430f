//! The server's end of TLS, with records cut, joined, split into tiny reads and writes, and forged.
#![no_main]

#[path = "../../crates/mqtt-transport/tests/fuzz_case_tls/mod.rs"]
mod fuzz_case_tls;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| fuzz_case_tls::check_tls(input));
