//! Clients that come and go too often.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use hashbrown::HashMap;

/// How often is too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlappingLimits {
    /// Connects of one client identifier within the window; one more is flapping. 0 switches it off.
    pub connects_max: u32,
    /// The window.
    pub window: Duration,
}

/// Counts connects by client identifier, for a stated number of them. Keeps keyed hashes of the identifiers, so that long ones
/// take no more than short ones.
///
/// ```
/// use std::time::{Duration, Instant};
/// use mqtt_access::flapping::{Flapping, FlappingLimits};
///
/// let limits = FlappingLimits { connects_max: 2, window: Duration::from_secs(10) };
/// let (mut flapping, now) = (Flapping::new(limits), Instant::now());
/// assert!(![0, 1].iter().any(|second| flapping.connects("c", now + Duration::from_secs(*second))));
/// assert!(flapping.connects("c", now + Duration::from_secs(2)), "the third within ten seconds");
/// ```
#[derive(Debug)]
pub struct Flapping {
    limits: FlappingLimits,
    seen: HashMap<u64, (u32, Instant)>,
    names: RandomState,
}

const CLIENTS_MAX: usize = 50_000;

impl Flapping {
    /// Nobody has come yet.
    #[must_use]
    pub fn new(limits: FlappingLimits) -> Self {
        Self { limits, seen: HashMap::new(), names: RandomState::new() }
    }

    /// Goes by these limits from now on, and forgets nothing.
    pub fn set_limits(&mut self, limits: FlappingLimits) {
        self.limits = limits;
    }

    /// A client connects; whether it does so too often.
    pub fn connects(&mut self, client_id: &str, now: Instant) -> bool {
        let FlappingLimits { connects_max, window } = self.limits;
        if connects_max == 0 {
            return false;
        }
        let key = self.names.hash_one(client_id);
        if self.seen.len() >= CLIENTS_MAX && !self.seen.contains_key(&key) {
            self.seen.retain(|_, (_, since)| now.saturating_duration_since(*since) < window);
            if self.seen.len() >= CLIENTS_MAX {
                self.seen.clear();
            }
        }
        let (count, since) = self.seen.entry(key).or_insert((0, now));
        if now.saturating_duration_since(*since) >= window {
            (*count, *since) = (0, now);
        }
        *count += 1;
        *count > connects_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connect_too_many_within_the_window_is_flapping() {
        let limits = FlappingLimits { connects_max: 3, window: Duration::from_secs(10) };
        let (mut flapping, now) = (Flapping::new(limits), Instant::now());
        let found: Vec<bool> = (0..4).map(|_| flapping.connects("c", now)).collect();
        assert_eq!(found, [false, false, false, true]);
        assert!(!flapping.connects("d", now));
        assert!(!flapping.connects("c", now + Duration::from_secs(10)));
    }

    #[test]
    fn a_flood_of_identifiers_takes_no_more_than_its_room() {
        let limits = FlappingLimits { connects_max: 3, window: Duration::from_secs(10) };
        let (mut flapping, now) = (Flapping::new(limits), Instant::now());
        for number in 0..2 * CLIENTS_MAX + 10 {
            assert!(!flapping.connects(&number.to_string(), now));
            assert!(flapping.seen.len() <= CLIENTS_MAX);
        }
    }
}
