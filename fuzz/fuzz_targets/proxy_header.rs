//! PROXY headers of both versions.
#![no_main]

#[allow(dead_code, reason = "each target of the transport runs one of its checks")]
#[path = "../../crates/mqtt-transport/tests/fuzz_case/mod.rs"]
mod fuzz_case;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| fuzz_case::check_proxy_header(input));
