//! The time of day, as far as it outlives the process.

use core::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tells milliseconds since 1970.
pub(crate) struct Calendar(Box<dyn Fn() -> u64 + Send + Sync>);

impl Calendar {
    pub(crate) fn new(unix_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Box::new(unix_ms))
    }

    pub(crate) fn unix_ms(&self) -> u64 {
        (self.0)()
    }

    pub(crate) fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.unix_ms())
    }
}

impl Default for Calendar {
    /// The system's.
    fn default() -> Self {
        Self::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
    }
}

impl fmt::Debug for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Calendar").field(&self.unix_ms()).finish()
    }
}
