//! Fills an empty directory with one of everything that a store can hold, and with records of every kind: for tests
//! of later versions, which must read what this one writes.
//!
//! `cargo run -p mqtt-store --example fill -- DIRECTORY`

#[path = "../tests/contents/mod.rs"]
#[allow(dead_code, reason = "the tests look at what is written, too")]
mod contents;

fn main() {
    let directory = std::env::args_os().nth(1).expect("the directory to fill is the only argument");
    contents::fill(directory.as_ref());
}
