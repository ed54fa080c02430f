//! Topic names and filters, and both trees, against the naive oracle.
#![no_main]

#[path = "../../crates/mqtt-topic/tests/fuzz_case/mod.rs"]
mod fuzz_case;
#[path = "../../crates/mqtt-topic/tests/oracle/mod.rs"]
mod oracle;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| fuzz_case::run(input));
