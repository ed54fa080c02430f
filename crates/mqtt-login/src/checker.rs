//! Password checks, which cost memory and time on purpose, so many at a time as there are processors.

use std::sync::Arc;
use std::time::Instant;

use mqtt_access::password::{Cache, PasswordHash};
use mqtt_codec::ReasonCode;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// Checks passwords for all members that have hashes, and remembers for a short time which ones were right.
///
/// ```
/// use mqtt_access::password::PasswordHash;
/// use mqtt_login::{Checker, CheckerBounds};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let checker = Checker::new(CheckerBounds::default()).expect("random numbers");
/// let hash = PasswordHash::new(b"a secret").expect("random numbers");
/// assert_eq!(checker.verify(&hash, b"a secret").await, Ok(true));
/// assert_eq!(checker.verify(&hash, b"guessed").await, Ok(false));
/// # }
/// ```
#[derive(Debug)]
pub struct Checker {
    cache: Mutex<Cache>,
    /// Checks at a time; each takes 19 MiB and some 30 ms of a processor.
    checks: Arc<Semaphore>,
    /// Logins that have one or wait for one.
    admitted: Semaphore,
}

/// How many passwords are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckerBounds {
    /// Checks at a time; 0 for as many as there are processors.
    pub checks_max: usize,
    /// Logins that have a check under way or wait for one; more are refused with [`ReasonCode::ServerBusy`].
    pub waiting_max: usize,
}

impl Default for CheckerBounds {
    fn default() -> Self {
        Self { checks_max: 0, waiting_max: 1000 }
    }
}

impl Checker {
    /// One for the whole process.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new(bounds: CheckerBounds) -> Result<Self, getrandom::Error> {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        let checks_max = if bounds.checks_max == 0 { processors() } else { bounds.checks_max };
        Ok(Self {
            cache: Mutex::new(Cache::new()?),
            checks: Arc::new(Semaphore::new(checks_max.min(Semaphore::MAX_PERMITS))),
            admitted: Semaphore::new(bounds.waiting_max.min(Semaphore::MAX_PERMITS)),
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
        let Ok(_place) = self.admitted.try_acquire() else { return Err(ReasonCode::ServerBusy) };
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

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    /// argon2id, as cheap as it may be.
    fn slow_hash() -> PasswordHash {
        let hash = PasswordHash::new(b"secret").expect("random numbers");
        assert!(hash.is_slow());
        hash
    }

    fn narrow() -> Checker {
        Checker::new(CheckerBounds { checks_max: 1, waiting_max: 2 }).expect("random numbers")
    }

    #[tokio::test]
    async fn so_many_passwords_are_checked_at_a_time_and_so_many_logins_wait() {
        let (checker, hash) = (narrow(), slow_hash());
        let verify = |password: &'static [u8]| checker.verify(&hash, password);
        let (first, second, third) = tokio::join!(verify(b"secret"), verify(b"guess"), verify(b"secret"));
        assert_eq!((first, second, third), (Ok(true), Ok(false), Err(ReasonCode::ServerBusy)));
        assert_eq!(verify(b"secret").await, Ok(true), "there is room again");
    }

    #[tokio::test]
    async fn a_check_counts_until_it_is_over_also_when_its_client_is_gone() {
        let (checker, hash) = (narrow(), slow_hash());
        {
            let gone = pin!(checker.verify(&hash, b"secret"));
            assert!(gone.poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        assert_eq!(checker.checks.available_permits(), 0);
        assert_eq!(checker.verify(&hash, b"secret").await, Ok(true));
        assert_eq!(checker.checks.available_permits(), 1);
    }
}
