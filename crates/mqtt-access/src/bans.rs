//! Who is shut out, for a time or for good.

use core::fmt;
use core::str::FromStr;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use crate::Network;

/// Whom a ban is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Banned {
    /// A client identifier.
    Client(Box<str>),
    /// A user name.
    User(Box<str>),
    /// An address or a network.
    Network(Network),
}

/// All bans. Holds a stated number at most; bans for good are kept before others.
#[derive(Debug, Default)]
pub struct Bans {
    until: HashMap<Banned, Option<Instant>>,
}

/// Bans at most. Beyond it, only those that have ended make room.
pub const BANS_MAX: usize = 100_000;

impl Bans {
    /// Shuts somebody out until a time, or for good. Whether there was room for it.
    pub fn add(&mut self, whom: Banned, until: Option<Instant>, now: Instant) -> bool {
        if self.until.len() >= BANS_MAX {
            self.until.retain(|_, until| until.is_none_or(|until| now < until));
        }
        let room = self.until.len() < BANS_MAX || self.until.contains_key(&whom);
        if room {
            self.until.insert(whom, until);
        }
        room
    }

    /// Ends a ban; whether there was one.
    pub fn remove(&mut self, whom: &Banned) -> bool {
        self.until.remove(whom).is_some()
    }

    /// Whether nobody may come from this address.
    #[must_use]
    pub fn shuts_out(&self, address: IpAddr, now: Instant) -> bool {
        let counts = |until: &Option<Instant>| until.is_none_or(|until| now < until);
        self.until.iter().any(|(whom, until)| {
            matches!(whom, Banned::Network(network) if network.contains(address)) && counts(until)
        })
    }

    /// Whether this client or user is shut out.
    #[must_use]
    pub fn bans(&self, client_id: &str, username: Option<&str>, now: Instant) -> bool {
        let banned =
            |whom: &Banned| self.until.get(whom).is_some_and(|until| until.is_none_or(|until| now < until));
        !self.until.is_empty()
            && (banned(&Banned::Client(client_id.into()))
                || username.is_some_and(|name| banned(&Banned::User(name.into()))))
    }

    /// All bans with their ends.
    pub fn iter(&self) -> impl Iterator<Item = (&Banned, Option<Instant>)> {
        self.until.iter().map(|(whom, until)| (whom, *until))
    }
}

/// `client=ID`, `user=NAME` or `address=NETWORK`.
impl FromStr for Banned {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some(("client", id)) if !id.is_empty() => Ok(Self::Client(id.into())),
            Some(("user", name)) if !name.is_empty() => Ok(Self::User(name.into())),
            Some(("address", network)) => {
                let network = network.parse();
                network.map(Self::Network).map_err(|error: crate::NetworkError| error.to_string())
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

/// A ban as it stands in a configuration: whom, and for how many seconds from the start, if not for good.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_ban(text: &str) -> Result<(Banned, Option<Duration>), String> {
    let (whom, seconds) = text.split_once(" for ").map_or((text, None), |(whom, rest)| (whom, Some(rest)));
    let time = match seconds.map(|rest| rest.trim().strip_suffix('s').and_then(|count| count.parse().ok())) {
        None => None,
        Some(Some(count)) => Some(Duration::from_secs(count)),
        Some(None) => return Err("a time is written as `for 3600s`".to_owned()),
    };
    Ok((whom.trim().parse()?, time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_holds_until_it_ends() {
        let (mut bans, now) = (Bans::default(), Instant::now());
        let later = now + Duration::from_secs(10);
        for (text, seconds) in
            [("client=c for 10s", 10), ("user=u for 10s", 10), ("address=10.0.0.0/8 for 10s", 10)]
        {
            let (whom, time) = parse_ban(text).expect("a ban");
            assert_eq!(time, Some(Duration::from_secs(seconds)));
            assert!(bans.add(whom, time.map(|time| now + time), now));
        }
        let address = "10.1.1.1".parse().expect("an address");
        for (moment, expected) in [(now, true), (later, false)] {
            assert_eq!(bans.bans("c", None, moment), expected);
            assert_eq!(bans.bans("x", Some("u"), moment), expected);
            assert_eq!(bans.shuts_out(address, moment), expected);
        }
        assert!(!bans.bans("u", Some("c"), now));
        for wrong in ["", "c", "client=", "address=x", "user=u for ever"] {
            assert!(parse_ban(wrong).is_err(), "{wrong}");
        }
    }
}
