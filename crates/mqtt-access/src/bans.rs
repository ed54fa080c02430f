//! Who is shut out, for a time or for good.

mod table;
mod text;

use core::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use crate::Network;
use table::Table;

pub use text::parse_ban;

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

/// One ban.
///
/// ```
/// use std::time::{Duration, Instant};
/// use mqtt_access::bans::{Ban, Banned};
///
/// let now = Instant::now();
/// let ban = Ban::of(Banned::User("mallory".into())).until(now + Duration::from_secs(60)).because("guesses");
/// assert_eq!(ban.time_left(now), Some(Duration::from_secs(60)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Whom it is about.
    pub whom: Banned,
    /// When it ends; `None` for never.
    pub until: Option<Instant>,
    /// Why, for those who look at the list; clients are not told. At most [`BAN_REASON_BYTES_MAX`] bytes, possibly empty.
    pub reason: Box<str>,
    /// Who set it.
    pub origin: Origin,
}

/// Who set a ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The program, on somebody's order.
    Program,
    /// A configuration, which also ends it when it does not hold it any more.
    Configuration,
    /// The detection of clients that come and go too often. Such bans take half of the room at most, so that they keep
    /// nobody else's out.
    Flapping,
}

/// All bans. Clones are handles to the same ones. Nothing of them is stored.
///
/// ```
/// use std::time::Instant;
/// use mqtt_access::bans::{Ban, Banned, Bans};
///
/// let (bans, now) = (Bans::default(), Instant::now());
/// let network = "203.0.113.0/24".parse().expect("a network");
/// bans.add(Ban::of(Banned::Network(network)), now).expect("there is room");
/// assert!(bans.shut_out("203.0.113.7".parse().expect("an address"), now));
/// assert!(bans.lift(&Banned::Network(network)));
/// assert!(bans.is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct Bans(Arc<RwLock<Table>>);

/// There is no room for one more ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BanRefused {
    /// There are as many as there may be.
    TooMany,
    /// The names and reasons in them take as many bytes as they may.
    TooLong,
    /// The reason is longer than [`BAN_REASON_BYTES_MAX`].
    ReasonTooLong,
}

/// Bans at most, where nothing else was said. Those that have ended make room.
pub const BANS_MAX: usize = 100_000;
/// Bytes of the client identifiers, user names and reasons in all bans.
pub const BANS_TEXT_BYTES_MAX: usize = 16 << 20;
/// Bytes of one reason.
pub const BAN_REASON_BYTES_MAX: usize = 256;

impl Ban {
    /// Shuts somebody out for good, on the program's order and without a reason.
    #[must_use]
    pub fn of(whom: Banned) -> Self {
        Self { whom, until: None, reason: Box::default(), origin: Origin::Program }
    }

    /// The same until a time.
    #[must_use]
    pub fn until(self, end: Instant) -> Self {
        Self { until: Some(end), ..self }
    }

    /// The same with a reason.
    #[must_use]
    pub fn because(self, reason: &str) -> Self {
        Self { reason: reason.into(), ..self }
    }

    /// The same, set by somebody else than the program.
    #[must_use]
    pub fn from(self, origin: Origin) -> Self {
        Self { origin, ..self }
    }

    /// How long it still lasts; `None` for ever.
    #[must_use]
    pub fn time_left(&self, now: Instant) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(now))
    }
}

impl Default for Bans {
    fn default() -> Self {
        Self::new(BANS_MAX)
    }
}

impl Bans {
    /// Nobody is shut out, and so many may be.
    #[must_use]
    pub fn new(entries_max: usize) -> Self {
        Self(Arc::new(RwLock::new(Table::new(entries_max))))
    }

    /// So many may be shut out from now on. Nobody is let in for it.
    pub fn set_entries_max(&self, entries_max: usize) {
        self.0.write().set_entries_max(entries_max);
    }

    /// Shuts somebody out. Another ban of the same client, user or network is replaced. Whoever is connected stays: see
    /// `Broker::ban`.
    ///
    /// # Errors
    /// There is no room, also after those that have ended were forgotten.
    pub fn add(&self, ban: Ban, now: Instant) -> Result<(), BanRefused> {
        self.0.write().add(ban, now)
    }

    /// Ends a ban, whoever set it; whether there was one.
    pub fn lift(&self, whom: &Banned) -> bool {
        self.0.write().remove(whom)
    }

    /// Ends a ban if it was set by this one; whether it was.
    pub fn lift_of(&self, whom: &Banned, origin: Origin) -> bool {
        let mut table = self.0.write();
        table.origin(whom) == Some(origin) && table.remove(whom)
    }

    /// Those that hold now, in no order.
    #[must_use]
    pub fn list(&self, now: Instant) -> Vec<Ban> {
        self.0.read().list(now)
    }

    /// How many are kept, some of which may have ended.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.read().len()
    }

    /// Whether nobody is shut out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nobody may come from this address.
    #[must_use]
    pub fn shut_out(&self, address: IpAddr, now: Instant) -> bool {
        self.0.read().shut_out(address, now)
    }

    /// Whether this client or user is shut out.
    #[must_use]
    pub fn forbid(&self, client_id: &str, username: Option<&str>, now: Instant) -> bool {
        self.0.read().forbid(client_id, username, now)
    }
}

impl fmt::Display for BanRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => f.write_str("there are as many bans as there may be"),
            Self::TooLong => {
                write!(f, "the bans hold {BANS_TEXT_BYTES_MAX} bytes of names and reasons already")
            }
            Self::ReasonTooLong => write!(f, "the reason of a ban has at most {BAN_REASON_BYTES_MAX} bytes"),
        }
    }
}

impl core::error::Error for BanRefused {}

#[cfg(test)]
mod tests;
