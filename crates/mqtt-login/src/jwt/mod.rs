//! JSON Web Tokens: signed by somebody else, checked here without asking anybody.

mod claims;
mod keys;
mod member;
#[cfg(feature = "http")]
mod remote;
mod token;

pub use claims::{Checks, Claims};
pub use keys::{KeyError, KeySet};
pub use member::{Jwt, TokenField, TokenSettings};
#[cfg(feature = "http")]
pub use remote::{RemoteKeys, RemoteSettings};
pub use token::{ALGORITHMS, Refused};
