#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod acl;
pub mod backoff;
pub mod bans;
pub mod consult;
pub mod familiar;
pub mod flapping;
pub mod login;
mod network;
#[cfg(feature = "passwords")]
pub mod password;
#[cfg(feature = "passwords")]
pub mod scram;

pub use network::{Network, NetworkError};
