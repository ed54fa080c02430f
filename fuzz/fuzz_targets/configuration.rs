//! Configurations of the broker: files, `--set` arguments, the environment, and addresses to listen on.
//!
//! The program has no library, so those of its modules are compiled here that read a configuration, and what they need.
#![no_main]
#![allow(dead_code, unused_imports, reason = "most of the modules is not about the configuration")]
#![allow(unexpected_cfgs, reason = "the features of the program are not those of this crate")]

#[path = "../../crates/martlet/src/access/mod.rs"]
mod access;
#[path = "../../crates/martlet/src/bench/mod.rs"]
mod bench;
#[path = "../../crates/martlet/src/cli.rs"]
mod cli;
#[path = "../../crates/martlet/src/config/mod.rs"]
mod config;
#[path = "../../crates/martlet/src/exit.rs"]
mod exit;
#[path = "../../crates/martlet/src/logging.rs"]
mod logging;
#[path = "../../crates/martlet/src/output.rs"]
mod output;
#[path = "../../crates/martlet/src/pubsub/mod.rs"]
mod pubsub;
#[path = "../../crates/martlet/src/storage.rs"]
mod storage;
#[path = "../../crates/martlet/src/store/mod.rs"]
mod store;
#[path = "../../crates/martlet/src/tls_arguments.rs"]
mod tls_arguments;
#[path = "../../crates/martlet/src/config/fuzz_case.rs"]
mod fuzz_case;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| fuzz_case::run(input));
