//! Who is refused, counted by cause.

use std::fmt;

use mqtt_codec::ReasonCode;

use crate::metrics::Counter;

/// Why a connection is closed without a word before its first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryRefusal {
    /// Its address is banned.
    Banned,
    /// The [`Access`](crate::Access) reads nothing from its address, after many failed logins for example.
    NotHeard,
    /// The broker has as many connections as it may.
    BrokerFull,
    /// The listener has as many connections as it may.
    ListenerFull,
    /// Its address has as many connections as it may.
    AddressFull,
    /// Connections come too fast.
    TooFast,
    /// Connections come too fast from its address, or from too many addresses to count them.
    AddressTooFast,
    /// Too many connections have not logged in yet.
    HandshakesFull,
    /// Those who have not logged in yet have sent as many bytes as are kept for them.
    HandshakeBytes,
    /// The process takes more memory than it may.
    Memory,
    /// A hook does not want it.
    Hook,
}

impl EntryRefusal {
    /// All, in their order.
    pub const ALL: &'static [Self] = &[
        Self::Banned,
        Self::NotHeard,
        Self::BrokerFull,
        Self::ListenerFull,
        Self::AddressFull,
        Self::TooFast,
        Self::AddressTooFast,
        Self::HandshakesFull,
        Self::HandshakeBytes,
        Self::Memory,
        Self::Hook,
    ];

    /// Its name in `$SYS`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Banned => "banned",
            Self::NotHeard => "not_heard",
            Self::BrokerFull => "broker_full",
            Self::ListenerFull => "listener_full",
            Self::AddressFull => "address_full",
            Self::TooFast => "too_fast",
            Self::AddressTooFast => "address_too_fast",
            Self::HandshakesFull => "handshakes_full",
            Self::HandshakeBytes => "handshake_bytes",
            Self::Memory => "memory",
            Self::Hook => "hook",
        }
    }
}

/// What a client is refused, or told when it is sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// A CONNECT.
    Connect,
    /// One filter of a SUBSCRIBE.
    Subscribe,
    /// The connection: it is ended by the broker with this reason.
    Connection,
}

impl Refused {
    /// All, in their order.
    pub const ALL: &'static [Self] = &[Self::Connect, Self::Subscribe, Self::Connection];

    /// Its name in `$SYS`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Subscribe => "subscribe",
            Self::Connection => "disconnect",
        }
    }
}

/// Reason codes of errors: 0x80 and above.
const ERRORS: usize = 0x80;

/// Counts of refusals by what was refused and by reason.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ReasonCounts<T = u64>([[T; ERRORS]; Refused::ALL.len()]);

impl<T: Default> Default for ReasonCounts<T> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| std::array::from_fn(|_| T::default())))
    }
}

impl fmt::Debug for ReasonCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for ReasonCounts<Counter> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

impl ReasonCounts<Counter> {
    /// Counts one refusal. Reasons that are none are not counted.
    pub(crate) fn add(&self, refused: Refused, reason: ReasonCode) {
        if let Some(index) = index_of(reason) {
            self.0[refused as usize][index].add(1);
        }
    }

    pub(crate) fn snapshot(&self) -> Box<ReasonCounts> {
        Box::new(ReasonCounts(std::array::from_fn(|refused| {
            std::array::from_fn(|reason| self.0[refused][reason].value())
        })))
    }
}

impl ReasonCounts {
    /// How often this was refused for this reason.
    #[must_use]
    pub fn count(&self, refused: Refused, reason: ReasonCode) -> u64 {
        index_of(reason).map_or(0, |index| self.0[refused as usize][index])
    }

    /// All that have happened.
    pub fn iter(&self) -> impl Iterator<Item = (Refused, ReasonCode, u64)> {
        Refused::ALL.iter().flat_map(move |refused| {
            let counted =
                ReasonCode::ALL.iter().map(|reason| (*refused, *reason, self.count(*refused, *reason)));
            counted.filter(|(_, _, count)| *count > 0)
        })
    }
}

fn index_of(reason: ReasonCode) -> Option<usize> {
    (reason as usize).checked_sub(ERRORS)
}

/// The reason as the last level of a topic: its words joined by `_`.
pub(crate) fn topic_level(reason: ReasonCode) -> String {
    reason.name().replace(' ', "_").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use mqtt_topic::TopicName;

    use super::*;

    #[test]
    fn every_reason_is_a_topic_level_of_its_own() {
        let mut levels: Vec<String> = ReasonCode::ALL.iter().map(|reason| topic_level(*reason)).collect();
        assert!(levels.iter().all(|level| !level.contains('/') && TopicName::parse(&**level).is_ok()));
        levels.sort();
        levels.dedup();
        assert_eq!(levels.len(), ReasonCode::ALL.len());
    }
}
