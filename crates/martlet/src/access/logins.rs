//! Failed logins, bans and clients that come and go.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mqtt_access::backoff::{Backoff, BackoffLimits};
use mqtt_access::bans::{Banned, Bans, parse_ban};
use mqtt_access::flapping::Flapping;
use mqtt_codec::ReasonCode;
use parking_lot::Mutex;

use super::settings::AccessSettings;

/// What is remembered of logins. Bounded throughout.
#[derive(Debug)]
pub(super) struct Logins(Mutex<State>);

#[derive(Debug)]
struct State {
    users: Backoff<Box<str>>,
    addresses: Backoff<IpAddr>,
    bans: Bans,
    flapping: Flapping,
    flapping_ban: Duration,
}

/// An address may stand for many clients, so it has so many more free failures.
const ADDRESS_FREE_FACTOR: u32 = 4;

impl Logins {
    pub(super) fn new(settings: &AccessSettings, now: Instant) -> Self {
        let limits = settings.backoff;
        let of_addresses = BackoffLimits { free: limits.free.saturating_mul(ADDRESS_FREE_FACTOR), ..limits };
        let mut bans = Bans::default();
        for line in &settings.bans.0 {
            if let Ok((whom, time)) = parse_ban(line) {
                bans.add(whom, time.map(|time| now + time), now);
            }
        }
        Self(Mutex::new(State {
            users: Backoff::new(limits),
            addresses: Backoff::new(of_addresses),
            bans,
            flapping: Flapping::new(settings.flapping),
            flapping_ban: settings.flapping_ban,
        }))
    }

    /// Whether nothing is read from an address: it is banned, or too many of its logins have failed.
    pub(super) fn shuts_out(&self, address: IpAddr, now: Instant) -> bool {
        let state = self.0.lock();
        state.bans.shuts_out(address, now) || state.addresses.must_wait(&address, now)
    }

    /// Whether a client may try to log in.
    pub(super) fn may_try(
        &self,
        client_id: &str,
        username: Option<&str>,
        now: Instant,
    ) -> Result<(), ReasonCode> {
        let mut state = self.0.lock();
        if state.bans.bans(client_id, username, now) {
            return Err(ReasonCode::Banned);
        }
        if state.flapping.connects(client_id, now) {
            let until = now + state.flapping_ban;
            state.bans.add(Banned::Client(client_id.into()), Some(until), now);
            tracing::warn!(client_id, "client comes and goes too often; shut out for a while");
            return Err(ReasonCode::Banned);
        }
        Ok(())
    }

    pub(super) fn is_banned(&self, client_id: &str, username: Option<&str>, now: Instant) -> bool {
        self.0.lock().bans.bans(client_id, username, now)
    }

    pub(super) fn must_wait(&self, username: &str, now: Instant) -> bool {
        self.0.lock().users.must_wait(&username.into(), now)
    }

    pub(super) fn failed(&self, username: Option<&str>, address: Option<SocketAddr>, now: Instant) {
        let mut state = self.0.lock();
        if let Some(name) = username {
            state.users.failed(&name.into(), now);
        }
        if let Some(address) = address {
            state.addresses.failed(&address.ip().to_canonical(), now);
        }
    }

    pub(super) fn succeeded(&self, username: &str) {
        self.0.lock().users.succeeded(&username.into());
    }
}
