//! A stream of MQTT 5.0 packets.
#![no_main]

#[allow(dead_code, reason = "each target of the codec runs one of its checks")]
#[path = "../../crates/mqtt-codec/tests/fuzz_case/mod.rs"]
mod fuzz_case;

use libfuzzer_sys::fuzz_target;
use mqtt_codec::Version;

fuzz_target!(|input: &[u8]| fuzz_case::check_packets(input, Version::V5));
