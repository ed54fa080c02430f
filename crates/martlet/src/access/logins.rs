//! Failed logins, the configuration's bans and clients that come and go.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use mqtt_access::backoff::{Backoff, BackoffLimits};
use mqtt_access::bans::{Ban, BanRefused, Banned, Bans, Origin, parse_ban};
use mqtt_access::familiar::Familiar;
use mqtt_access::flapping::Flapping;
use mqtt_codec::ReasonCode;
use parking_lot::Mutex;

use super::settings::AccessSettings;

/// What is remembered of logins. Bounded throughout; user names are kept as keyed hashes.
#[derive(Debug)]
pub(super) struct Logins {
    state: Mutex<State>,
    names: RandomState,
    /// The broker's bans, of which some are set here.
    bans: Bans,
}

#[derive(Debug)]
struct State {
    /// A user's failures from one place: whoever guesses there makes nobody wait elsewhere.
    pairs: Backoff<u64>,
    /// A user's failures from everywhere, which slow down those who are new to it.
    users: Backoff<u64>,
    places: Backoff<IpAddr>,
    /// Pairs that have logged in lately.
    familiar: Familiar<u64>,
    /// The bans of the configuration, as they stand there.
    ban_lines: Vec<String>,
    flapping: Flapping,
    flapping_ban: Duration,
}

/// An address may stand for many clients, and a user for many addresses, so they have so many more free failures.
const FREE_FACTOR: u32 = 4;
/// How long a user is known at a place where it has logged in.
const FAMILIAR_TIME: Duration = Duration::from_secs(24 * 60 * 60);
const FAMILIAR_MAX: usize = 50_000;

impl Logins {
    pub(super) fn new(settings: &AccessSettings, bans: &[String], now: Instant) -> Self {
        let Limits { pairs, users, places } = Limits::of(settings);
        let state = State {
            pairs: Backoff::new(pairs),
            users: Backoff::new(users),
            places: Backoff::new(places),
            familiar: Familiar::new(FAMILIAR_TIME, FAMILIAR_MAX),
            ban_lines: Vec::new(),
            flapping: Flapping::new(settings.flapping),
            flapping_ban: settings.flapping_ban,
        };
        let (state, names) = (Mutex::new(state), RandomState::new());
        let logins = Self { state, names, bans: Bans::new(settings.bans_max) };
        logins.renew(settings, bans, now);
        logins
    }

    /// Those of the configuration, and whatever else is added to them.
    pub(super) fn bans(&self) -> &Bans {
        &self.bans
    }

    /// Takes other settings over and forgets nothing: whoever has to wait still has to, and a ban with a time goes on
    /// as long as its line stands in the configuration. Bans that were set elsewhere stay.
    pub(super) fn renew(&self, settings: &AccessSettings, bans: &[String], now: Instant) {
        let mut state = self.state.lock();
        let Limits { pairs, users, places } = Limits::of(settings);
        state.pairs.set_limits(pairs);
        state.users.set_limits(users);
        state.places.set_limits(places);
        state.flapping.set_limits(settings.flapping);
        state.flapping_ban = settings.flapping_ban;
        self.bans.set_entries_max(settings.bans_max);
        let old = std::mem::replace(&mut state.ban_lines, bans.to_vec());
        drop(state);
        self.renew_bans(&old, bans, now);
    }

    fn renew_bans(&self, old: &[String], new: &[String], now: Instant) {
        let parsed = |line: &&String| parse_ban(line).ok();
        let (old_set, new_set): (HashSet<&String>, HashSet<&String>) =
            (old.iter().collect(), new.iter().collect());
        for (whom, ..) in old_set.difference(&new_set).filter_map(parsed) {
            self.bans.lift_of(&whom, Origin::Configuration);
        }
        for (whom, time, reason) in new_set.difference(&old_set).filter_map(parsed) {
            let until = time.and_then(|time| now.checked_add(time));
            if let Err(error) = self.bans.add(Ban { whom, until, reason, origin: Origin::Configuration }, now)
            {
                tracing::error!(%error, "a ban of the configuration could not be set");
            }
        }
    }

    /// Whether nothing is read from an address: too many of its logins have failed.
    pub(super) fn shuts_out(&self, address: IpAddr, now: Instant) -> bool {
        self.state.lock().places.must_wait(&place_of(address), now)
    }

    /// Whether a client may try to log in: one that comes and goes too often may not for a while.
    pub(super) fn may_try(&self, client_id: &str, now: Instant) -> Result<(), ReasonCode> {
        let mut state = self.state.lock();
        if !state.flapping.connects(client_id, now) {
            return Ok(());
        }
        let until = now + state.flapping_ban;
        drop(state);
        self.ban_flapping(client_id, until, now).ok();
        Err(ReasonCode::Banned)
    }

    /// Where there is no room for the ban, the count of connects refuses the client as long as its window lasts.
    fn ban_flapping(&self, client_id: &str, until: Instant, now: Instant) -> Result<(), BanRefused> {
        let ban = Ban::of(Banned::Client(client_id.into())).until(until).from(Origin::Flapping);
        self.bans.add(ban.because("comes and goes too often"), now)?;
        tracing::warn!(client_id, "client comes and goes too often; shut out for a while");
        Ok(())
    }

    /// Whether no login as this user is looked at from there: too many have failed there, or, unless the user has
    /// logged in from there lately, anywhere.
    pub(super) fn must_wait(&self, username: &str, address: Option<SocketAddr>, now: Instant) -> bool {
        let (user, pair) = self.keys(username, address);
        let state = self.state.lock();
        state.pairs.must_wait(&pair, now)
            || state.users.must_wait(&user, now) && !state.familiar.knows(&pair, now)
    }

    pub(super) fn failed(&self, username: Option<&str>, address: Option<SocketAddr>, now: Instant) {
        let keys = username.map(|name| self.keys(name, address));
        let mut state = self.state.lock();
        if let Some((user, pair)) = keys {
            state.users.failed(&user, now);
            state.pairs.failed(&pair, now);
        }
        if let Some(address) = address {
            state.places.failed(&place_of(address.ip()), now);
        }
    }

    /// What failed there before is forgotten; what failed elsewhere is not, as somebody may be guessing still.
    pub(super) fn succeeded(&self, username: &str, address: Option<SocketAddr>, now: Instant) {
        let (_, pair) = self.keys(username, address);
        let mut state = self.state.lock();
        state.pairs.succeeded(&pair);
        state.familiar.succeeded(pair, now);
    }

    /// What stands for a user, and for a user in one place.
    fn keys(&self, username: &str, address: Option<SocketAddr>) -> (u64, u64) {
        let place = address.map(|address| place_of(address.ip()));
        (self.names.hash_one(username), self.names.hash_one((username, place)))
    }
}

/// The limits of the three counts.
struct Limits {
    pairs: BackoffLimits,
    users: BackoffLimits,
    places: BackoffLimits,
}

impl Limits {
    fn of(settings: &AccessSettings) -> Self {
        let pairs = BackoffLimits { memory: settings.backoff.delay_max, ..settings.backoff };
        let places = BackoffLimits { free: pairs.free.saturating_mul(FREE_FACTOR), ..pairs };
        // One guess in each delay, without end: nobody can shut a user out, and nobody gets far.
        let users = BackoffLimits { delay_max: pairs.delay, ..places };
        Self { pairs, users, places }
    }
}

/// Whoever has an IPv6 address has a whole /64 of them.
fn place_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}
