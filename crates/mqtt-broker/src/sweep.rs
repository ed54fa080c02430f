//! Removes retained messages that have expired, when they have: nothing is polled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::core::Core;

/// When the next sweep is planned.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    planned_at: Mutex<Option<Instant>>,
    earlier: Notify,
}

/// Time between two sweeps, so that many messages that expire one after the other are removed together.
const PAUSE: Duration = Duration::from_secs(1);
/// Time that belongs to others after each part.
const PART_PAUSE: Duration = Duration::from_millis(1);

impl Sweep {
    /// A message is retained that expires at this time.
    pub(crate) fn expect(&self, expires_at: Instant) {
        let mut planned_at = self.planned_at.lock();
        if planned_at.is_some_and(|planned_at| planned_at <= expires_at) {
            return;
        }
        *planned_at = Some(expires_at);
        drop(planned_at);
        self.earlier.notify_one();
    }

    /// Forgets the plan: whatever is retained from now on makes itself known.
    fn forget(&self) {
        *self.planned_at.lock() = None;
    }

    /// Plans a sweep at this time, unless an earlier one is expected by now.
    fn plan(&self, at: Instant) {
        let mut planned_at = self.planned_at.lock();
        *planned_at = Some(planned_at.map_or(at, |expected| expected.min(at)));
    }
}

/// Sweeps for as long as the broker runs.
pub(crate) async fn sweep_retained(core: Arc<Core>) {
    let sweep = &core.sweep;
    loop {
        let earlier = sweep.earlier.notified();
        sweep.forget();
        let Some(at) = core.store.next_retained_expiry() else {
            earlier.await;
            continue;
        };
        sweep.plan(at);
        tokio::select! {
            biased;
            () = earlier => {}
            () = tokio::time::sleep_until(at.into()) => {
                remove_expired(&core).await;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Removes all that has expired by now, a part at a time, between which the time belongs to others.
async fn remove_expired(core: &Core) {
    let now = core.now();
    while core.expire_retained(now) > 0 {
        tokio::time::sleep(PART_PAUSE).await;
    }
}
