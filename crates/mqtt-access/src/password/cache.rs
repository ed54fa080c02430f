//! Passwords that were right a moment ago, so that clients which come back cost no argon2 each time.

use core::fmt;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

use super::PasswordHash;
use crate::scram::Mechanism;

/// Remembers for a short time that a password was right. Keeps a keyed digest, never the password.
///
/// ```
/// use std::time::Instant;
/// use mqtt_access::password::{CACHE_TIME, Cache, PasswordHash};
///
/// let hash = PasswordHash::new(b"a secret").expect("random numbers");
/// let (mut cache, now) = (Cache::new().expect("random numbers"), Instant::now());
/// let digest = cache.digest("anna", &hash, b"a secret");
/// assert!(!cache.knows(&digest, now), "it has to be checked, which is slow");
/// cache.remember(digest.clone(), now);
/// assert!(cache.knows(&digest, now) && !cache.knows(&digest, now + 2 * CACHE_TIME));
/// ```
pub struct Cache {
    secret: [u8; 32],
    right_until: HashMap<Box<[u8]>, Instant>,
}

/// How long an entry counts.
pub const CACHE_TIME: Duration = Duration::from_secs(60);
const ENTRIES_MAX: usize = 10_000;

impl Cache {
    /// An empty one with a key of its own.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        Ok(Self { secret, right_until: HashMap::new() })
    }

    /// The name of an entry: whoever changes the hash changes it, too.
    #[must_use]
    pub fn digest(&self, username: &str, hash: &PasswordHash, password: &[u8]) -> Box<[u8]> {
        let head = format!("{}:{username}:{}:", username.len(), hash.to_text());
        Mechanism::Sha256.hmac(&self.secret, &[head.as_bytes(), password].concat())
    }

    /// Whether the password was right lately.
    #[must_use]
    pub fn knows(&self, digest: &[u8], now: Instant) -> bool {
        self.right_until.get(digest).is_some_and(|until| now < *until)
    }

    /// The password is right.
    pub fn remember(&mut self, digest: Box<[u8]>, now: Instant) {
        if self.right_until.len() >= ENTRIES_MAX {
            self.right_until.retain(|_, until| now < *until);
        }
        if self.right_until.len() < ENTRIES_MAX {
            self.right_until.insert(digest, now + CACHE_TIME);
        }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("entries", &self.right_until.len()).finish_non_exhaustive()
    }
}
