#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod anonymous;
mod bounded;
mod certificate;
mod checker;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "jwt")]
pub mod jwt;
mod password;
#[cfg(any(feature = "jwt", feature = "http"))]
mod permissions;
#[cfg(feature = "http")]
mod recall;
mod scram;

pub use anonymous::Anonymous;
pub use bounded::{Bounded, Bounds};
pub use certificate::Certificate;
pub use checker::Checker;
pub use password::Passwords;
#[cfg(any(feature = "jwt", feature = "http"))]
pub use permissions::{PERMISSIONS_MAX, read_permissions};
pub use scram::Scram;
