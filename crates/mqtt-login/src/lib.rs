#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod anonymous;
mod bounded;
mod certificate;
mod checker;
mod password;
mod scram;

pub use anonymous::Anonymous;
pub use bounded::{Bounded, Bounds};
pub use certificate::Certificate;
pub use checker::Checker;
pub use password::Passwords;
pub use scram::Scram;
