//! What happens at a later time to sessions whose clients are away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Ends of sessions and delayed wills, ordered by time. Exact: nothing is polled.
#[derive(Debug, Default)]
pub(crate) struct Timetable {
    entries: Mutex<BTreeMap<(Instant, u64, Due), Arc<str>>>,
    earlier: Notify,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// The Will Delay Interval has passed.
    Will,
    /// The Session Expiry Interval has passed.
    SessionEnd,
}

impl Timetable {
    pub(crate) fn add(&self, at: Instant, epoch: u64, due: Due, client_id: &Arc<str>) {
        let mut entries = self.entries.lock();
        let is_first = entries.first_key_value().is_none_or(|((first, ..), _)| at < *first);
        entries.insert((at, epoch, due), client_id.clone());
        drop(entries);
        if is_first {
            self.earlier.notify_one();
        }
    }

    pub(crate) fn remove(&self, at: Instant, epoch: u64, due: Due) {
        self.entries.lock().remove(&(at, epoch, due));
    }

    /// Takes the next entry whose time has come.
    pub(crate) fn take_due(&self, now: Instant) -> Option<(u64, Due, Arc<str>)> {
        let mut entries = self.entries.lock();
        let first = entries.first_entry()?;
        let (at, epoch, due) = *first.key();
        (at <= now).then(|| (epoch, due, first.remove()))
    }

    fn next_at(&self) -> Option<Instant> {
        self.entries.lock().first_key_value().map(|((at, ..), _)| *at)
    }

    /// Waits for the next entry that is due.
    pub(crate) async fn next(&self) -> (u64, Due, Arc<str>) {
        loop {
            let now = tokio::time::Instant::now().into_std();
            if let Some(entry) = self.take_due(now) {
                return entry;
            }
            let earlier = self.earlier.notified();
            match self.next_at() {
                None => earlier.await,
                Some(at) => tokio::select! {
                    biased;
                    () = earlier => {}
                    () = tokio::time::sleep_until(at.into()) => {}
                },
            }
        }
    }
}
