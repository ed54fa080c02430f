//! The bans themselves.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use hashbrown::HashMap;

use super::{BAN_REASON_BYTES_MAX, BANS_TEXT_BYTES_MAX, Ban, BanRefused, Banned, Origin};
use crate::Network;

#[derive(Debug, Default)]
pub(super) struct Table {
    entries_max: usize,
    entries: HashMap<Banned, Entry>,
    /// How many bans there are for each kind of address and length of a prefix: an address is looked up once for each.
    prefixes: BTreeMap<(bool, u8), usize>,
    /// Bans of names, so that nothing is looked up where there is none.
    names: usize,
    flapping: usize,
    text_bytes: usize,
}

#[derive(Debug)]
struct Entry {
    until: Option<Instant>,
    reason: Box<str>,
    origin: Origin,
}

impl Entry {
    fn holds(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl Table {
    pub(super) fn new(entries_max: usize) -> Self {
        Self { entries_max, ..Self::default() }
    }

    pub(super) fn set_entries_max(&mut self, entries_max: usize) {
        self.entries_max = entries_max;
    }

    pub(super) fn add(&mut self, ban: Ban, now: Instant) -> Result<(), BanRefused> {
        if ban.reason.len() > BAN_REASON_BYTES_MAX {
            return Err(BanRefused::ReasonTooLong);
        }
        if self.room(&ban).is_err() {
            self.forget_ended(now);
        }
        self.room(&ban)?;
        let Ban { whom, until, reason, origin } = ban;
        self.remove(&whom);
        self.count(&whom, origin, &reason, true);
        self.entries.insert(whom, Entry { until, reason, origin });
        Ok(())
    }

    pub(super) fn remove(&mut self, whom: &Banned) -> bool {
        let Some(entry) = self.entries.remove(whom) else { return false };
        self.count(whom, entry.origin, &entry.reason, false);
        true
    }

    pub(super) fn origin(&self, whom: &Banned) -> Option<Origin> {
        self.entries.get(whom).map(|entry| entry.origin)
    }

    pub(super) fn list(&self, now: Instant) -> Vec<Ban> {
        let holding = self.entries.iter().filter(|(_, entry)| entry.holds(now));
        let ban = |(whom, entry): (&Banned, &Entry)| Ban {
            whom: whom.clone(),
            until: entry.until,
            reason: entry.reason.clone(),
            origin: entry.origin,
        };
        holding.map(ban).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn shut_out(&self, address: IpAddr, now: Instant) -> bool {
        let is_v4 = address.to_canonical().is_ipv4();
        let lengths = self.prefixes.range((is_v4, 0)..=(is_v4, 128));
        let networks = lengths.filter_map(|((_, bits), _)| Network::around(address, *bits));
        networks.into_iter().any(|network| self.holds(&Banned::Network(network), now))
    }

    pub(super) fn forbid(&self, client_id: &str, username: Option<&str>, now: Instant) -> bool {
        self.names > 0
            && (self.holds(&Banned::Client(client_id.into()), now)
                || username.is_some_and(|name| self.holds(&Banned::User(name.into()), now)))
    }

    fn holds(&self, whom: &Banned, now: Instant) -> bool {
        self.entries.get(whom).is_some_and(|entry| entry.holds(now))
    }

    fn room(&self, ban: &Ban) -> Result<(), BanRefused> {
        let is_new = !self.entries.contains_key(&ban.whom);
        let crowded = ban.origin == Origin::Flapping && self.flapping >= self.entries_max / 2;
        if is_new && (self.entries.len() >= self.entries_max || crowded) {
            return Err(BanRefused::TooMany);
        }
        let bytes_max =
            if ban.origin == Origin::Flapping { BANS_TEXT_BYTES_MAX / 2 } else { BANS_TEXT_BYTES_MAX };
        let more = ban.whom.text_bytes() + ban.reason.len();
        if self.text_bytes + more > bytes_max { Err(BanRefused::TooLong) } else { Ok(()) }
    }

    /// Counts an entry that comes or goes.
    fn count(&mut self, whom: &Banned, origin: Origin, reason: &str, comes: bool) {
        let step = |count: &mut usize, by: usize| if comes { *count += by } else { *count -= by };
        step(&mut self.text_bytes, whom.text_bytes() + reason.len());
        step(&mut self.flapping, usize::from(origin == Origin::Flapping));
        let Banned::Network(network) = whom else { return step(&mut self.names, 1) };
        let prefix = network.prefix();
        let count = self.prefixes.entry(prefix).or_default();
        step(count, 1);
        if *count == 0 {
            self.prefixes.remove(&prefix);
        }
    }

    fn forget_ended(&mut self, now: Instant) {
        let ended = self.entries.iter().filter(|(_, entry)| !entry.holds(now));
        let ended: Vec<Banned> = ended.map(|(whom, _)| whom.clone()).collect();
        for whom in ended {
            self.remove(&whom);
        }
    }
}

impl Banned {
    fn text_bytes(&self) -> usize {
        match self {
            Self::Client(text) | Self::User(text) => text.len(),
            Self::Network(_) => 0,
        }
    }
}
