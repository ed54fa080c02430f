//! How the durable store is: logged when it changes, and in figures.

use std::sync::atomic::Ordering;

use mqtt_store::{Condition, Journal, StoreEvent};

use crate::MetricsSnapshot;
use crate::core::Core;
use crate::sys::Figures;

/// How a durable store is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StorageSnapshot {
    /// How its medium is.
    pub condition: Condition,
    /// Messages that wait for a session or are under way to its client, once for each session.
    pub messages: u64,
    /// Messages that were stored: once for each session that they were for, and once if they are retained.
    pub messages_stored: u64,
    /// Bytes of bodies in memory, for queues of kept sessions and retained messages.
    pub bytes_in_memory: u64,
    /// Bytes of its files.
    pub bytes_held: u64,
    /// Bytes of what is still needed in them.
    pub bytes_needed: u64,
    /// Bytes that are still to be written.
    pub bytes_waiting: u64,
    /// Bytes written since the start.
    pub bytes_written: u64,
    /// Syncs since the start.
    pub syncs: u64,
    /// Messages whose bytes are damaged: they were wanted, and could not be read.
    pub unreadable: u64,
}

impl StorageSnapshot {
    fn of(journal: &dyn Journal) -> Self {
        let health = journal.health();
        Self {
            condition: journal.condition(),
            messages: health.messages.load(Ordering::Relaxed),
            messages_stored: health.messages_stored.load(Ordering::Relaxed),
            bytes_in_memory: health.bytes_in_memory.load(Ordering::Relaxed),
            bytes_held: health.bytes_held.load(Ordering::Relaxed),
            bytes_needed: health.bytes_live.load(Ordering::Relaxed),
            bytes_waiting: health.bytes_waiting.load(Ordering::Relaxed),
            bytes_written: health.bytes_written.load(Ordering::Relaxed),
            syncs: health.syncs.load(Ordering::Relaxed),
            unreadable: health.unreadable.load(Ordering::Relaxed),
        }
    }
}

impl Core {
    /// All counters and gauges at this moment.
    pub(crate) fn snapshot(&self) -> MetricsSnapshot {
        MetricsSnapshot {
            storage: self.store.journal().map(StorageSnapshot::of),
            bans: self.bans.len() as u64,
            ..self.metrics.snapshot()
        }
    }

    /// Logs every change of the store's condition, once, and what is damaged in it.
    pub(crate) fn log_storage(&self) {
        if let Some(journal) = self.store.journal() {
            journal.health().on_event(|event| match event {
                StoreEvent::Changed(condition, error) => log(condition, error.unwrap_or_default()),
                StoreEvent::Damaged(what) => tracing::error!(what, "stored data is damaged"),
            });
        }
    }
}

fn log(condition: Condition, error: &str) {
    match condition {
        Condition::Good => tracing::info!("the durable store has room again: messages are kept"),
        Condition::Full => {
            tracing::error!(
                error,
                "the durable store is full: nothing new is kept or acknowledged until there is room"
            );
        }
        Condition::Failed => {
            tracing::error!(
                error,
                "the durable store has failed: nothing is kept until the broker is started again"
            );
        }
    }
}

impl Figures {
    /// Nothing without a durable store.
    pub(crate) fn storage(&mut self, core: &Core) {
        let Some(storage) = core.snapshot().storage else { return };
        self.add("storage/condition", storage.condition.name());
        self.add("storage/messages/count", storage.messages);
        self.add("storage/messages/stored", storage.messages_stored);
        self.add("storage/bytes/memory", storage.bytes_in_memory);
        self.add("storage/bytes/held", storage.bytes_held);
        self.add("storage/bytes/needed", storage.bytes_needed);
        self.add("storage/bytes/waiting", storage.bytes_waiting);
        self.add("storage/bytes/written", storage.bytes_written);
        self.add("storage/syncs", storage.syncs);
        self.add("storage/messages/unreadable", storage.unreadable);
        self.add("storage/messages/per_sync", storage.messages_stored / storage.syncs.max(1));
    }
}
