//! What a store has done and how it is.

use core::fmt;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How the medium is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Condition {
    /// Everything is stored as promised.
    Good = 0,
    /// The medium is full: nothing new is kept until there is room.
    Full = 1,
    /// The medium failed: nothing is kept until the store is opened again.
    Failed = 2,
}

impl Condition {
    /// In one word, for figures.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Full => "full",
            Self::Failed => "failed",
        }
    }
}

/// What a store has done and how it is.
#[derive(Debug, Default)]
pub struct Health {
    condition: AtomicU8,
    /// Messages that were stored: once for each session that they were for, and once if they are retained.
    pub messages_stored: AtomicU64,
    /// Transactions that were stored.
    pub transactions: AtomicU64,
    /// Writes that stored them.
    pub writes: AtomicU64,
    /// Syncs.
    pub syncs: AtomicU64,
    /// Bytes written.
    pub bytes_written: AtomicU64,
    /// Bytes of all segments.
    pub bytes_held: AtomicU64,
    /// Bytes of what is still needed.
    pub bytes_live: AtomicU64,
    /// Bytes of bodies that are in memory, for queues of kept sessions and retained messages.
    pub bytes_in_memory: AtomicU64,
    /// Bytes in the channel.
    pub bytes_waiting: AtomicU64,
    /// Messages that wait for a session or are under way to its client, once for each session.
    pub messages: AtomicU64,
    /// Messages that could not be read back, once for each attempt.
    pub unreadable: AtomicU64,
    /// The latest error of the medium.
    pub last_error: Mutex<Option<String>>,
    listener: Mutex<Listener>,
    unreadable_told_at: Mutex<Option<Instant>>,
}

/// Time between two events about messages that cannot be read.
const UNREADABLE_INTERVAL: Duration = Duration::from_secs(10);

/// What an operator has to know of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreEvent<'a> {
    /// The medium is in another condition than before, because of this error if there was one.
    Changed(Condition, Option<&'a str>),
    /// Something that was stored safely is damaged; a sentence says what and what it costs. Of messages that clients ask for,
    /// it comes once in ten seconds at most; [`Health::unreadable`] has them all.
    Damaged(&'a str),
}

type Tell = dyn Fn(StoreEvent<'_>) + Send + Sync;

#[derive(Default)]
struct Listener(Option<Box<Tell>>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener").field(&self.0.is_some()).finish()
    }
}

impl Health {
    /// How the medium is.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match self.condition.load(Ordering::Acquire) {
            0 => Condition::Good,
            1 => Condition::Full,
            _ => Condition::Failed,
        }
    }

    /// Has `tell` called with every event, on the thread that writes or reads, which waits for it. One that was set
    /// before hears nothing any more.
    pub fn on_event(&self, tell: impl Fn(StoreEvent<'_>) + Send + Sync + 'static) {
        self.listener.lock().0 = Some(Box::new(tell));
    }

    fn tell(&self, event: StoreEvent<'_>) {
        if let Some(tell) = &self.listener.lock().0 {
            tell(event);
        }
    }

    /// A segment is damaged.
    pub(crate) fn note_damage(&self, sentence: String) {
        self.tell(StoreEvent::Damaged(&sentence));
        *self.last_error.lock() = Some(sentence);
    }

    /// Messages cannot be read any more. Clients may ask for the same ones again and again, and must not fill a log: that is
    /// told once in a while, and each is counted.
    pub(crate) fn note_unreadable(&self, messages: u64, sentence: String) {
        self.unreadable.fetch_add(messages, Ordering::Relaxed);
        let mut told_at = self.unreadable_told_at.lock();
        if told_at.is_some_and(|at| at.elapsed() < UNREADABLE_INTERVAL) {
            *self.last_error.lock() = Some(sentence);
            return;
        }
        *told_at = Some(Instant::now());
        drop(told_at);
        self.note_damage(sentence);
    }

    pub(crate) fn become_(&self, condition: Condition, error: Option<&str>) {
        let before = self.condition.swap(condition as u8, Ordering::AcqRel);
        if before != condition as u8 {
            self.tell(StoreEvent::Changed(condition, error));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn who_asks_for_damaged_messages_again_and_again_is_told_of_once_and_counted_each_time() {
        let (health, told) = (Health::default(), Arc::new(AtomicU64::new(0)));
        let telling = told.clone();
        health.on_event(move |_| _ = telling.fetch_add(1, Ordering::Relaxed));
        (0..5).for_each(|_| health.note_unreadable(2, "damaged".to_owned()));
        assert_eq!((told.load(Ordering::Relaxed), health.unreadable.load(Ordering::Relaxed)), (1, 10));
        health.note_damage("a segment".to_owned());
        assert_eq!(told.load(Ordering::Relaxed), 2);
    }
}
