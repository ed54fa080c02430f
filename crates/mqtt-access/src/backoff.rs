//! Waiting times after failed logins.

use std::time::{Duration, Instant};

use hashbrown::HashMap;
use std::hash::Hash;

/// Failed logins by user, or by address. Holds a stated number of entries at most.
///
/// ```
/// use std::time::Instant;
/// use mqtt_access::backoff::{Backoff, BackoffLimits};
///
/// let (mut backoff, now) = (Backoff::new(BackoffLimits { free: 2, ..BackoffLimits::default() }), Instant::now());
/// for _ in 0..2 {
///     backoff.failed(&"anna", now);
/// }
/// assert!(!backoff.must_wait(&"anna", now), "these were free");
/// backoff.failed(&"anna", now);
/// assert!(backoff.must_wait(&"anna", now) && !backoff.must_wait(&"bert", now));
/// backoff.succeeded(&"anna");
/// assert!(!backoff.must_wait(&"anna", now));
/// ```
#[derive(Debug)]
pub struct Backoff<K> {
    limits: BackoffLimits,
    failures: HashMap<K, Failures>,
}

/// How failures lead to waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffLimits {
    /// Failures that cost nothing.
    pub free: u32,
    /// Wait after the first one that does; each further one doubles it.
    pub delay: Duration,
    /// The longest wait.
    pub delay_max: Duration,
    /// Time after a wait, or after a failure that was free, in which everything is forgotten.
    pub memory: Duration,
    /// Entries at most; the one that ends first makes room.
    pub entries_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    until: Instant,
    forgotten_at: Instant,
}

impl Default for BackoffLimits {
    fn default() -> Self {
        Self {
            free: 5,
            delay: Duration::from_secs(1),
            delay_max: Duration::from_secs(300),
            memory: Duration::from_secs(300),
            entries_max: 10_000,
        }
    }
}

impl<K: Eq + Hash + Clone> Backoff<K> {
    /// Nobody has failed yet.
    #[must_use]
    pub fn new(limits: BackoffLimits) -> Self {
        Self { limits, failures: HashMap::new() }
    }

    /// Goes by these limits from the next failure on, and forgets nothing.
    pub fn set_limits(&mut self, limits: BackoffLimits) {
        self.limits = limits;
    }

    /// Whether a login is not even looked at now.
    #[must_use]
    pub fn must_wait(&self, key: &K, now: Instant) -> bool {
        self.failures.get(key).is_some_and(|failures| now < failures.until)
    }

    /// A login failed.
    pub fn failed(&mut self, key: &K, now: Instant) {
        self.make_room(key, now);
        let limits = self.limits;
        let entry = self.failures.entry(key.clone());
        let failures = entry.or_insert(Failures { count: 0, until: now, forgotten_at: now });
        failures.count = if failures.forgotten_at < now { 1 } else { failures.count + 1 };
        if let Some(over) = failures.count.checked_sub(limits.free + 1) {
            let delay = limits.delay.saturating_mul(1 << over.min(30));
            failures.until = now + delay.min(limits.delay_max);
        }
        failures.forgotten_at = failures.until.max(now) + limits.memory;
    }

    /// A login succeeded: what was before is forgotten.
    pub fn succeeded(&mut self, key: &K) {
        self.failures.remove(key);
    }

    /// Entries that are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.failures.len()
    }

    /// Whether nobody has failed lately.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.failures.is_empty()
    }

    fn make_room(&mut self, key: &K, now: Instant) {
        if self.failures.len() < self.limits.entries_max || self.failures.contains_key(key) {
            return;
        }
        self.failures.retain(|_, failures| now < failures.forgotten_at);
        if self.failures.len() >= self.limits.entries_max {
            // Half of them at once, so that a flood does not search the table for every entry.
            let mut ends: Vec<Instant> =
                self.failures.values().map(|failures| failures.forgotten_at).collect();
            let middle = ends.len() / 2;
            let (_, middle, _) = ends.select_nth_unstable(middle);
            let middle = *middle;
            let spare = self.limits.entries_max / 2;
            let mut kept = 0;
            self.failures.retain(|_, failures| {
                let keep = failures.forgotten_at >= middle && kept < spare;
                kept += usize::from(keep);
                keep
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_the_first_failure_that_is_not_free() {
        let limits = BackoffLimits { free: 2, ..BackoffLimits::default() };
        let (mut backoff, now) = (Backoff::new(limits), Instant::now());
        for (wait_s, failure) in [(0, 1), (0, 2), (1, 3), (2, 4), (4, 5)] {
            backoff.failed(&"a", now);
            let wait = Duration::from_secs(wait_s);
            assert!(!backoff.must_wait(&"a", now + wait), "after failure {failure}");
            assert_eq!(backoff.must_wait(&"a", now), wait_s > 0, "after failure {failure}");
        }
        assert!(!backoff.must_wait(&"b", now));
        backoff.succeeded(&"a");
        assert!(!backoff.must_wait(&"a", now) && backoff.is_empty());
    }

    #[test]
    fn a_flood_of_names_takes_no_more_than_its_room() {
        let limits = BackoffLimits { entries_max: 100, ..BackoffLimits::default() };
        let (mut backoff, now) = (Backoff::new(limits), Instant::now());
        for number in 0..10_000 {
            backoff.failed(&number, now);
            assert!(backoff.len() <= 100);
        }
    }

    #[test]
    fn changed_limits_forget_nothing() {
        let limits = BackoffLimits { free: 0, ..BackoffLimits::default() };
        let (mut backoff, now) = (Backoff::new(limits), Instant::now());
        backoff.failed(&"a", now);
        backoff.set_limits(BackoffLimits { delay: Duration::from_secs(100), ..limits });
        assert!(backoff.must_wait(&"a", now));
        backoff.failed(&"a", now);
        assert!(backoff.must_wait(&"a", now + Duration::from_secs(199)));
    }

    #[test]
    fn failures_of_long_ago_are_forgotten() {
        let limits = BackoffLimits { free: 0, ..BackoffLimits::default() };
        let (mut backoff, now) = (Backoff::new(limits), Instant::now());
        (0..5).for_each(|_| backoff.failed(&"a", now));
        let later = now + Duration::from_secs(1000);
        backoff.failed(&"a", later);
        assert!(!backoff.must_wait(&"a", later + Duration::from_secs(1)));
    }
}
