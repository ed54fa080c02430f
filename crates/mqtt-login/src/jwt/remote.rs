//! Keys that somebody publishes, fetched when they are needed and kept for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt_http::{Client, Request, Response};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::keys::KeySet;
use super::token::Refused;

/// How long a set counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteSettings {
    /// After that long a login has it fetched again, and goes on with the old one meanwhile. A shorter `max-age` of the
    /// answer's `Cache-Control` counts instead.
    pub refresh: Duration,
    /// Between two attempts, whatever asks for them: tokens with unknown keys, or a service that does not answer.
    pub pause: Duration,
    /// A set that is older is not used any more.
    pub age_max: Duration,
}

impl Default for RemoteSettings {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(300),
            pause: Duration::from_secs(10),
            age_max: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// A JSON Web Key Set behind an address. The last good one is kept when a new one cannot be fetched, within bounds.
#[derive(Debug)]
pub struct RemoteKeys {
    client: Client,
    settings: RemoteSettings,
    /// Names of the algorithms that keys may be used with.
    algorithms: Vec<String>,
    known: Mutex<Option<Known>>,
    /// The last attempt; held while one is under way, so that all who wait share it.
    fetching: tokio::sync::Mutex<Option<Instant>>,
    /// Logins that may wait for it.
    waiting: Semaphore,
}

/// Logins that wait for keys; more have to do with those that are known.
const WAITING_MAX: usize = 1000;

#[derive(Clone, Debug)]
struct Known {
    keys: Arc<KeySet>,
    fetched_at: Instant,
    refresh: Duration,
    tag: Option<String>,
}

impl RemoteKeys {
    /// Fetches nothing yet.
    #[must_use]
    pub fn new(client: Client, settings: RemoteSettings, algorithms: Vec<String>) -> Arc<Self> {
        let (known, fetching) = (Mutex::default(), tokio::sync::Mutex::default());
        let waiting = Semaphore::new(WAITING_MAX);
        Arc::new(Self { client, settings, algorithms, known, fetching, waiting })
    }

    /// The keys as far as they are known, fetched first if there are none that may be used.
    ///
    /// # Errors
    /// There are none, and none can be had.
    pub(super) async fn keys(self: &Arc<Self>, now: Instant) -> Result<Arc<KeySet>, Refused> {
        match self.usable(now) {
            Some(known) => {
                if now.saturating_duration_since(known.fetched_at) >= known.refresh {
                    let this = self.clone();
                    tokio::spawn(async move { this.fetch(now).await });
                }
                Ok(known.keys)
            }
            None => {
                self.fetch(now).await;
                self.usable(now).map(|known| known.keys).ok_or(Refused::Unavailable)
            }
        }
    }

    /// Keys that are newer than those at `now`, for a token that none of those has signed; `None` if it is too early to
    /// ask again.
    pub(super) async fn newer_keys(&self, now: Instant) -> Option<Arc<KeySet>> {
        let before = self.usable(now)?.keys;
        self.fetch(now).await;
        self.usable(now).map(|known| known.keys).filter(|keys| !Arc::ptr_eq(keys, &before))
    }

    fn usable(&self, now: Instant) -> Option<Known> {
        let known = self.known.lock();
        known.clone().filter(|known| now.saturating_duration_since(known.fetched_at) <= self.settings.age_max)
    }

    /// One attempt at a time, and not too soon after the last one.
    async fn fetch(&self, now: Instant) {
        let Ok(_place) = self.waiting.try_acquire() else { return };
        let mut last = self.fetching.lock().await;
        if last.is_some_and(|last| now.saturating_duration_since(last) < self.settings.pause) {
            return;
        }
        *last = Some(now);
        let tag = self.usable(now).and_then(|known| known.tag);
        let request = tag.iter().fold(Request::get(), |request, tag| request.header("if-none-match", tag));
        let request = request.header("accept", "application/jwk-set+json, application/json");
        let url = self.client.url();
        match self.client.send(request).await {
            Ok(response) if response.status == 304 && tag.is_some() => self.confirm(&response, now),
            Ok(response) if response.status == 200 => self.take_over(&response, now),
            Ok(response) => tracing::warn!(%url, status = response.status, "no new keys for tokens"),
            Err(error) => tracing::warn!(%url, %error, "no new keys for tokens"),
        }
    }

    fn confirm(&self, response: &Response, now: Instant) {
        if let Some(known) = &mut *self.known.lock() {
            known.fetched_at = now;
            known.refresh = self.refresh_of(response);
        }
    }

    fn take_over(&self, response: &Response, now: Instant) {
        let url = self.client.url();
        match KeySet::jwks(&response.body) {
            Ok(keys) => {
                tracing::debug!(%url, keys = keys.len(), "new keys for tokens");
                let keys = Arc::new(keys.only(&self.algorithms));
                let tag = response.header("etag").map(str::to_owned);
                let refresh = self.refresh_of(response);
                *self.known.lock() = Some(Known { keys, fetched_at: now, refresh, tag });
            }
            Err(error) => tracing::warn!(%url, %error, "no new keys for tokens"),
        }
    }

    fn refresh_of(&self, response: &Response) -> Duration {
        let asked = response.header("cache-control").and_then(max_age);
        asked.map_or(self.settings.refresh, |asked| {
            asked.clamp(self.settings.pause, self.settings.refresh.max(self.settings.pause))
        })
    }
}

/// `max-age` of a Cache-Control (RFC 9111, section 5.2.2.1).
fn max_age(text: &str) -> Option<Duration> {
    let seconds = text.split(',').find_map(|directive| directive.trim().strip_prefix("max-age="))?;
    seconds.trim_matches('"').parse().ok().map(Duration::from_secs)
}
