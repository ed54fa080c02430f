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
#[cfg(any(feature = "redis", feature = "postgres"))]
pub mod lookup;
mod password;
#[cfg(any(feature = "jwt", feature = "http", feature = "redis", feature = "postgres"))]
mod permissions;
#[cfg(any(feature = "http", feature = "redis", feature = "postgres"))]
mod recall;
mod scram;
mod turns;

pub use anonymous::Anonymous;
pub use bounded::{Bounded, Bounds};
pub use certificate::Certificate;
pub use checker::{Checker, CheckerBounds};
pub use password::Passwords;
#[cfg(any(feature = "jwt", feature = "http", feature = "redis", feature = "postgres"))]
pub use permissions::{PERMISSIONS_MAX, read_permissions};
pub use scram::Scram;
