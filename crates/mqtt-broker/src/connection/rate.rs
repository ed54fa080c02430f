//! How fast a client may publish: faster ones are not read from for a while, and nothing is dropped.

use std::time::{Duration, Instant};

/// Messages and bytes in a second; 0 for no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    pub(crate) messages_per_second: u32,
    pub(crate) bytes_per_second: u32,
}

/// What one client has used of its rates. A second's worth may come at once.
#[derive(Debug)]
pub(super) struct Meter {
    rates: Rates,
    /// Until when what came so far lasts, in messages and in bytes.
    used_until: [Instant; 2],
}

const BURST: Duration = Duration::from_secs(1);

impl Meter {
    /// `None` without limits.
    pub(super) fn new(rates: Rates, now: Instant) -> Option<Self> {
        let limited = rates.messages_per_second > 0 || rates.bytes_per_second > 0;
        limited.then_some(Self { rates, used_until: [now; 2] })
    }

    /// Counts one message with the bytes of its packet.
    pub(super) fn count(&mut self, bytes: usize, now: Instant) {
        let amounts = [(1, self.rates.messages_per_second), (bytes as u64, self.rates.bytes_per_second)];
        for (used_until, (amount, per_second)) in self.used_until.iter_mut().zip(amounts) {
            if per_second > 0 {
                let nanos = amount.saturating_mul(1_000_000_000) / u64::from(per_second);
                *used_until = (*used_until).max(now) + Duration::from_nanos(nanos);
            }
        }
    }

    /// When reading may go on, if it may not now.
    pub(super) fn pause(&self, now: Instant) -> Option<Instant> {
        let resumes_at = self.used_until.into_iter().max()?.checked_sub(BURST)?;
        (resumes_at > now).then_some(resumes_at)
    }
}
