//! Points in time that outlive the process.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Joins the clock of the process with the one of the calendar, at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Wall {
    /// The moment.
    pub instant: Instant,
    /// The same in milliseconds since 1970.
    pub unix_ms: u64,
}

impl Default for Wall {
    /// This moment.
    fn default() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { instant: Instant::now(), unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
    }
}

impl Wall {
    /// Milliseconds since 1970.
    #[must_use]
    pub fn to_ms(&self, at: Instant) -> u64 {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        match at.checked_duration_since(self.instant) {
            Some(later) => self.unix_ms.saturating_add(ms(later)),
            None => self.unix_ms.saturating_sub(ms(self.instant - at)),
        }
    }

    /// The moment; for one that this process cannot name, the earliest or none.
    #[must_use]
    pub fn to_instant(&self, unix_ms: u64) -> Option<Instant> {
        match unix_ms.checked_sub(self.unix_ms) {
            Some(later) => self.instant.checked_add(Duration::from_millis(later)),
            None => {
                let ago = Duration::from_millis(self.unix_ms - unix_ms);
                Some(self.instant.checked_sub(ago).unwrap_or(self.instant))
            }
        }
    }
}
