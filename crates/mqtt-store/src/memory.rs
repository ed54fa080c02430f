//! The store that lives and dies with the process.

use core::cmp::Ordering;
use core::fmt;
use core::ops::ControlFlow;
use std::collections::BTreeSet;
use std::time::Instant;

use hashbrown::HashMap;
use mqtt_session::Message;
use mqtt_topic::{NameTree, Scanned, TopicFilter, TopicName};
use parking_lot::{Mutex, RwLock};

use crate::{
    MemoryQueue, Parked, Queue, QueueLimits, RetainOutcome, Retained, RetainedLimits, RetainedPage,
    RetainedTotals, Store, StoreError,
};

/// Everything in memory, within stated limits.
#[derive(Debug, Default)]
pub struct MemoryStore {
    retained: RwLock<RetainedSet>,
    limits: RetainedLimits,
    parked: Mutex<HashMap<Box<str>, Parked>>,
}

#[derive(Default)]
struct RetainedSet {
    tree: NameTree<Retained>,
    bytes: usize,
    /// Those that have an expiry, the next one first, so that expiry looks at nothing else.
    expiring: BTreeSet<Expiring>,
}

/// A message in the order of its expiry.
struct Expiring(Message);

/// Names that one scan looks at, matching or not, so that a filter that finds little keeps no writer waiting.
const SCAN_STEPS_MAX: usize = 4096;

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(limits: RetainedLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// The same with other limits; what is there already stays.
    pub(crate) fn with_limits(self, limits: RetainedLimits) -> Self {
        Self { limits, ..self }
    }

    /// Removes and returns the retained messages that have expired.
    pub(crate) fn take_expired_retained(&self, now: Instant) -> Vec<Message> {
        let mut expired = Vec::new();
        if self.retained.read().expiring.first().is_none_or(|next| !next.0.is_expired(now)) {
            return expired;
        }
        let mut set = self.retained.write();
        while let Some(message) = set.pop_expired(now) {
            set.remove(topic_of(&message));
            expired.push(message);
        }
        expired
    }
}

impl fmt::Debug for RetainedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetainedSet")
            .field("messages", &self.tree.len())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl RetainedSet {
    fn remove(&mut self, topic: TopicName<&str>) -> Option<Retained> {
        let old = self.tree.remove(topic)?;
        self.forget(&old);
        Some(old)
    }

    fn forget(&mut self, old: &Retained) {
        self.bytes -= old.message.size_bytes();
        if old.message.expires_at().is_some() {
            self.expiring.remove(&Expiring(old.message.clone()));
        }
    }

    fn insert(&mut self, topic: TopicName<&str>, retained: Retained) -> RetainOutcome {
        let message = retained.message.clone();
        let old = self.tree.insert(topic, retained);
        if let Some(old) = &old {
            self.forget(old);
        }
        self.bytes += message.size_bytes();
        if message.expires_at().is_some() {
            self.expiring.insert(Expiring(message));
        }
        if old.is_some() { RetainOutcome::Replaced } else { RetainOutcome::Added }
    }

    /// Takes the next message that has expired.
    fn pop_expired(&mut self, now: Instant) -> Option<Message> {
        let next = self.expiring.first()?;
        if !next.0.is_expired(now) {
            return None;
        }
        self.expiring.pop_first().map(|Expiring(message)| message)
    }

    fn fits(&self, topic: TopicName<&str>, retained: &Retained, limits: &RetainedLimits) -> bool {
        let old = self.tree.get(topic);
        let freed_bytes = old.map_or(0, |old| old.message.size_bytes());
        self.tree.len() - usize::from(old.is_some()) < limits.messages_max
            && self.bytes - freed_bytes + retained.message.size_bytes() <= limits.bytes_max
    }
}

impl Expiring {
    fn key(&self) -> (Option<Instant>, &str) {
        (self.0.expires_at(), self.0.topic())
    }
}

impl Ord for Expiring {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Expiring {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Expiring {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Expiring {}

impl Store for MemoryStore {
    fn retain(&self, retained: Retained) -> Result<RetainOutcome, StoreError> {
        let message = retained.message.clone();
        let topic = topic_of(&message);
        let mut set = self.retained.write();
        if message.payload().is_empty() {
            return Ok(match set.remove(topic) {
                Some(_) => RetainOutcome::Cleared,
                None => RetainOutcome::NothingToClear,
            });
        }
        if !set.fits(topic, &retained, &self.limits) {
            return Err(StoreError::Full);
        }
        Ok(set.insert(topic, retained))
    }

    fn scan_retained(
        &self,
        filter: &TopicFilter<&str>,
        after: Option<&TopicName<Box<str>>>,
        messages_max: usize,
        now: Instant,
    ) -> Result<RetainedPage, StoreError> {
        let mut page = RetainedPage::default();
        let set = self.retained.read();
        let after = after.map(TopicName::as_ref);
        let scanned = set.tree.scan_some(filter, after, SCAN_STEPS_MAX, |_, retained| {
            if page.messages.len() == messages_max {
                return ControlFlow::Break(());
            }
            if !retained.message.is_expired(now) {
                page.messages.push(retained.clone());
            }
            ControlFlow::Continue(())
        });
        page.next = match scanned {
            Scanned::Finished => None,
            Scanned::Paused { after } => Some(after.to_boxed()),
            Scanned::Stopped => page.messages.last().map(|last| topic_of(&last.message).to_boxed()),
        };
        Ok(page)
    }

    fn retained_totals(&self) -> RetainedTotals {
        let set = self.retained.read();
        RetainedTotals { messages: set.tree.len(), bytes: set.bytes }
    }

    fn expire_retained(&self, now: Instant) -> usize {
        self.take_expired_retained(now).len()
    }

    fn next_retained_expiry(&self) -> Option<Instant> {
        self.retained.read().expiring.first()?.0.expires_at()
    }

    fn open_queue(&self, _client_id: &str, limits: QueueLimits) -> Result<Box<dyn Queue>, StoreError> {
        Ok(Box::new(MemoryQueue::new(limits)))
    }

    fn park(&self, client_id: &str, parked: Parked) -> Result<(), StoreError> {
        self.parked.lock().insert(client_id.into(), parked);
        Ok(())
    }

    fn unpark(&self, client_id: &str) -> Result<Option<Parked>, StoreError> {
        Ok(self.parked.lock().remove(client_id))
    }

    fn parked_len(&self) -> usize {
        self.parked.lock().len()
    }
}

fn topic_of(message: &Message) -> TopicName<&str> {
    TopicName::assume_valid(message.topic())
}
