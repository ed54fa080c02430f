//! Answers that are still known.

use core::fmt;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use sha2::Sha256;

/// Remembers answers, under a keyed digest of all that was asked.
pub(crate) struct Recall<T> {
    secret: [u8; 32],
    lasts: Duration,
    entries_max: usize,
    entries: Mutex<HashMap<[u8; 32], (T, Instant)>>,
}

impl<T: Clone> Recall<T> {
    /// Nothing is remembered yet; with no time, nothing ever is.
    pub(crate) fn new(lasts: Duration, entries_max: usize) -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        Ok(Self { secret, lasts, entries_max, entries: Mutex::default() })
    }

    /// The name of an entry.
    pub(crate) fn digest(&self, asked: &[u8]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("any key will do");
        mac.update(asked);
        mac.finalize().into_bytes().into()
    }

    /// The answer, and until when it holds.
    pub(crate) fn get(&self, digest: &[u8; 32], now: Instant) -> Option<(T, Instant)> {
        let entries = self.entries.lock();
        entries.get(digest).filter(|(_, until)| now < *until).cloned()
    }

    /// Remembers an answer until its end at the latest. Until when it holds: not at all without a time. Where there is no
    /// room, those that end soonest make it.
    pub(crate) fn put(&self, digest: [u8; 32], answer: &T, end: Option<Instant>, now: Instant) -> Instant {
        let until = end.map_or(now + self.lasts, |end| end.min(now + self.lasts));
        if until > now && self.entries_max > 0 {
            let mut entries = self.entries.lock();
            if entries.len() >= self.entries_max && !entries.contains_key(&digest) {
                make_room(&mut entries, self.entries_max / 2, now);
            }
            entries.insert(digest, (answer.clone(), until));
        }
        until
    }
}

/// Forgets what holds no more, and then those that end soonest, many at once, so that a flood does not search for every entry.
fn make_room<T>(entries: &mut HashMap<[u8; 32], (T, Instant)>, kept_max: usize, now: Instant) {
    entries.retain(|_, (_, until)| now < *until);
    let Some(surplus) = entries.len().checked_sub(kept_max).filter(|surplus| *surplus > 0) else { return };
    let mut ends: Vec<Instant> = entries.values().map(|(_, until)| *until).collect();
    let (_, last, _) = ends.select_nth_unstable(surplus - 1);
    let (last, mut left) = (*last, surplus);
    entries.retain(|_, (_, until)| {
        let goes = *until <= last && left > 0;
        left -= usize::from(goes);
        !goes
    });
}

impl<T> fmt::Debug for Recall<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recall").field("entries", &self.entries.lock().len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_hold_for_their_time_and_have_a_bounded_number() {
        let recall = Recall::new(Duration::from_secs(10), 100).expect("random numbers");
        let now = Instant::now();
        for number in 0..10_000_u64 {
            let at = now + Duration::from_micros(number);
            let digest = recall.digest(&number.to_le_bytes());
            assert_eq!(recall.put(digest, &number, None, at), at + Duration::from_secs(10));
            assert_eq!(recall.get(&digest, at).map(|(answer, _)| answer), Some(number));
            assert!(recall.entries.lock().len() <= 100);
        }
        let last = recall.digest(&9_999_u64.to_le_bytes());
        assert_eq!(recall.get(&last, now + Duration::from_secs(11)), None);
        let end = now + Duration::from_secs(1);
        assert_eq!(recall.put(last, &0, Some(end), now), end, "nothing outlives its own end");
    }

    #[test]
    fn without_a_time_nothing_is_remembered() {
        let (recall, now) = (Recall::new(Duration::ZERO, 100).expect("random numbers"), Instant::now());
        let digest = recall.digest(b"x");
        assert_eq!(recall.put(digest, &1, None, now), now);
        assert_eq!(recall.get(&digest, now), None);
    }
}
