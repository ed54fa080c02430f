//! Password checks, which cost memory and time on purpose, so many at a time as there are processors.

use std::sync::Arc;
use std::time::Instant;

use mqtt_access::password::{Cache, PasswordHash};
use mqtt_codec::ReasonCode;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// Checks passwords for all members that have hashes, and remembers for a short time which ones were right.
#[derive(Debug)]
pub struct Checker {
    cache: Mutex<Cache>,
    /// Checks at a time; each takes 19 MiB and some 30 ms of a processor.
    checks: Arc<Semaphore>,
    /// Logins that may wait for one.
    waiting: Semaphore,
}

/// Logins that wait for a password check; more are turned away.
const WAITING_MAX: usize = 1000;

impl Checker {
    /// One for the whole process.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new() -> Result<Self, getrandom::Error> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            cache: Mutex::new(Cache::new()?),
            checks: Arc::new(Semaphore::new(threads)),
            waiting: Semaphore::new(WAITING_MAX),
        })
    }

    /// Whether the password was right for this user and hash a moment ago.
    pub fn knows(&self, username: &str, hash: &PasswordHash, password: &[u8], now: Instant) -> bool {
        let cache = self.cache.lock();
        cache.knows(&cache.digest(username, hash, password), now)
    }

    /// The password was right.
    pub fn remember(&self, username: &str, hash: &PasswordHash, password: &[u8], now: Instant) {
        let mut cache = self.cache.lock();
        let digest = cache.digest(username, hash, password);
        cache.remember(digest, now);
    }

    /// Whether the password is right.
    ///
    /// # Errors
    /// Too many logins wait for their check.
    pub async fn verify(&self, hash: &PasswordHash, password: &[u8]) -> Result<bool, ReasonCode> {
        if !hash.is_slow() {
            return Ok(hash.verify(password));
        }
        let Ok(_waiting) = self.waiting.try_acquire() else { return Err(ReasonCode::ServerBusy) };
        let check = self.checks.clone().acquire_owned().await.map_err(|_| ReasonCode::ServerUnavailable)?;
        let (hash, password) = (hash.clone(), Box::<[u8]>::from(password));
        // A client that goes away meanwhile does not make room before its check is over.
        let verify = move || {
            let _check = check;
            hash.verify(&password)
        };
        let checked = tokio::task::spawn_blocking(verify).await;
        checked.map_err(|_| ReasonCode::ServerUnavailable)
    }
}
