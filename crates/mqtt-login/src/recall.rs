//! Answers that are still known.

use core::fmt;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use hmac::{Hmac, KeyInit, Mac};
use mqtt_access::login::Grant;
use parking_lot::Mutex;
use sha2::Sha256;

/// Remembers who was admitted, under a keyed digest of all that they showed.
pub(crate) struct Recall {
    secret: [u8; 32],
    lasts: Duration,
    entries_max: usize,
    entries: Mutex<HashMap<[u8; 32], (Grant, Instant)>>,
}

impl Recall {
    /// Nothing is remembered yet; with no time, nothing ever is.
    pub(crate) fn new(lasts: Duration, entries_max: usize) -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        Ok(Self { secret, lasts, entries_max, entries: Mutex::default() })
    }

    /// The name of an entry.
    pub(crate) fn digest(&self, shown: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("any key will do");
        mac.update(shown);
        mac.finalize().into_bytes().into()
    }

    pub(crate) fn get(&self, digest: &[u8; 32], now: Instant) -> Option<Grant> {
        let entries = self.entries.lock();
        let (grant, until) = entries.get(digest)?;
        (now < *until).then(|| grant.clone())
    }

    pub(crate) fn put(&self, digest: [u8; 32], grant: &Grant, now: Instant) {
        if self.lasts.is_zero() {
            return;
        }
        let until = grant.expires_at.map_or(now + self.lasts, |end| end.min(now + self.lasts));
        let mut entries = self.entries.lock();
        if entries.len() >= self.entries_max {
            entries.retain(|_, (_, until)| now < *until);
        }
        if entries.len() < self.entries_max {
            entries.insert(digest, (grant.clone(), until));
        }
    }
}

impl fmt::Debug for Recall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recall").field("entries", &self.entries.lock().len()).finish_non_exhaustive()
    }
}
