//! A token bucket.

use std::time::{Duration, Instant};

/// Lets a number of things through in a second on average, and a burst of them at once. Time comes in from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// Seconds' worth of what has been taken beyond now: empty at 0.
    debt: Duration,
    since: Instant,
}

impl Bucket {
    /// A full one.
    pub(crate) fn new(now: Instant) -> Self {
        Self { debt: Duration::ZERO, since: now }
    }

    /// Takes one, if there is one: `per_second` (above 0) come in a second, and `burst` may come at once.
    pub(crate) fn take(&mut self, per_second: u32, burst: u32, now: Instant) -> bool {
        self.debt = self.debt.saturating_sub(now.saturating_duration_since(self.since));
        self.since = now;
        let one = Duration::from_secs(1) / per_second.max(1);
        let taken = self.debt + one <= one * burst.max(1);
        if taken {
            self.debt += one;
        }
        taken
    }

    /// Whether nothing was taken for so long that it is full again.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= self.debt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        let taken = (0..10).filter(|_| bucket.take(2, 3, start)).count();
        assert_eq!(taken, 3);
        let later = start + Duration::from_millis(500);
        assert!(bucket.take(2, 3, later) && !bucket.take(2, 3, later));
        assert!(!bucket.is_full(later) && bucket.is_full(later + Duration::from_millis(1500)));
    }
}
