//! Bans as they are written.

use core::fmt;
use core::str::FromStr;
use std::time::Duration;

use super::{BAN_REASON_BYTES_MAX, Banned};
use crate::NetworkError;

/// `client=ID`, `user=NAME` or `address=NETWORK`.
impl FromStr for Banned {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some(("client", id)) if !id.is_empty() => Ok(Self::Client(id.into())),
            Some(("user", name)) if !name.is_empty() => Ok(Self::User(name.into())),
            Some(("address", network)) => {
                let network = network.parse();
                network.map(Self::Network).map_err(|error: NetworkError| error.to_string())
            }
            _ => Err("a ban is client=ID, user=NAME or address=NETWORK".to_owned()),
        }
    }
}

impl fmt::Display for Banned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(id) => write!(f, "client={id}"),
            Self::User(name) => write!(f, "user={name}"),
            Self::Network(network) => write!(f, "address={network}"),
        }
    }
}

/// A ban as it stands in a configuration: whom, for how long from when it is read, if not for good, and why:
/// `client=ID`, `user=NAME for 3600s`, `address=192.0.2.0/24 for 1800s because it guesses`.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_ban(text: &str) -> Result<(Banned, Option<Duration>, Box<str>), String> {
    let (ban, reason) = text.split_once(" because ").unwrap_or((text, ""));
    let (whom, seconds) = ban.split_once(" for ").map_or((ban, None), |(whom, rest)| (whom, Some(rest)));
    let time = match seconds.map(|rest| rest.trim().strip_suffix('s').and_then(|count| count.parse().ok())) {
        None => None,
        Some(Some(count)) => Some(Duration::from_secs(count)),
        Some(None) => return Err("a time is written as `for 3600s`".to_owned()),
    };
    let reason = reason.trim();
    if reason.len() > BAN_REASON_BYTES_MAX {
        return Err(format!("a reason has at most {BAN_REASON_BYTES_MAX} bytes"));
    }
    Ok((whom.trim().parse()?, time, reason.into()))
}
