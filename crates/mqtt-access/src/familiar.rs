//! Who has logged in from where lately.

use std::hash::Hash;
use std::time::{Duration, Instant};

use hashbrown::HashMap;

/// Remembers successes for a time. Holds a stated number of entries at most; the oldest make room.
///
/// ```
/// use std::time::{Duration, Instant};
/// use mqtt_access::familiar::Familiar;
///
/// let (mut familiar, now) = (Familiar::new(Duration::from_secs(60), 1_000), Instant::now());
/// familiar.succeeded("anna at home", now);
/// assert!(familiar.knows(&"anna at home", now));
/// assert!(!familiar.knows(&"anna at home", now + Duration::from_secs(61)));
/// ```
#[derive(Debug)]
pub struct Familiar<K> {
    memory: Duration,
    entries_max: usize,
    since: HashMap<K, Instant>,
}

impl<K: Eq + Hash> Familiar<K> {
    /// Nobody is known yet.
    #[must_use]
    pub fn new(memory: Duration, entries_max: usize) -> Self {
        Self { memory, entries_max, since: HashMap::new() }
    }

    /// A login succeeded.
    pub fn succeeded(&mut self, key: K, now: Instant) {
        if self.since.len() >= self.entries_max && !self.since.contains_key(&key) {
            self.make_room(now);
        }
        self.since.insert(key, now);
    }

    /// Whether a login has succeeded lately.
    #[must_use]
    pub fn knows(&self, key: &K, now: Instant) -> bool {
        self.since.get(key).is_some_and(|since| now.saturating_duration_since(*since) < self.memory)
    }

    /// The older half goes, so that the next successes find room at once.
    fn make_room(&mut self, now: Instant) {
        let mut times: Vec<Instant> = self.since.values().copied().collect();
        let middle = times.len() / 2;
        let (_, middle, _) = times.select_nth_unstable(middle);
        let middle = *middle;
        let (memory, mut kept, spare) = (self.memory, 0, self.entries_max / 2);
        self.since.retain(|_, since| {
            let keep = *since >= middle && kept < spare && now.saturating_duration_since(*since) < memory;
            kept += usize::from(keep);
            keep
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_counts_for_its_time_and_the_newest_are_kept() {
        let start = Instant::now();
        let mut familiar = Familiar::new(Duration::from_secs(100), 10);
        for number in 0..30 {
            familiar.succeeded(number, start + Duration::from_secs(number));
            assert!(familiar.since.len() <= 10);
        }
        let now = start + Duration::from_secs(29);
        assert!(familiar.knows(&29, now) && !familiar.knows(&0, now));
        assert!(!familiar.knows(&29, now + Duration::from_secs(100)));
    }
}
