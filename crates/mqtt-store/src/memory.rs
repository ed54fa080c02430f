//! The store that lives and dies with the process.

use core::fmt;
use core::ops::ControlFlow;
use std::time::Instant;

use hashbrown::HashMap;
use mqtt_topic::{NameTree, TopicFilter, TopicName};
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
    /// Messages that have an expiry, so that a sweep costs nothing where none has.
    expiring: usize,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(limits: RetainedLimits) -> Self {
        Self { limits, ..Self::default() }
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
        self.expiring -= usize::from(old.message.expires_at().is_some());
    }

    fn insert(&mut self, topic: TopicName<&str>, retained: Retained) -> RetainOutcome {
        self.bytes += retained.message.size_bytes();
        self.expiring += usize::from(retained.message.expires_at().is_some());
        match self.tree.insert(topic, retained) {
            Some(old) => {
                self.forget(&old);
                RetainOutcome::Replaced
            }
            None => RetainOutcome::Added,
        }
    }

    fn fits(&self, topic: TopicName<&str>, retained: &Retained, limits: &RetainedLimits) -> bool {
        let old = self.tree.get(topic);
        let freed_bytes = old.map_or(0, |old| old.message.size_bytes());
        self.tree.len() - usize::from(old.is_some()) < limits.messages_max
            && self.bytes - freed_bytes + retained.message.size_bytes() <= limits.bytes_max
    }
}

impl Store for MemoryStore {
    fn retain(&self, retained: Retained) -> Result<RetainOutcome, StoreError> {
        let message = retained.message.clone();
        let topic = TopicName::parse(message.topic()).expect("a message has a valid topic");
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
        let _: ControlFlow<()> = set.tree.scan(filter, after, |_, retained| {
            if page.messages.len() == messages_max {
                let last = page.messages.last().map(|retained| retained.message.topic());
                page.next = last.and_then(|topic| TopicName::parse(topic.into()).ok());
                return ControlFlow::Break(());
            }
            if !retained.message.is_expired(now) {
                page.messages.push(retained.clone());
            }
            ControlFlow::Continue(())
        });
        Ok(page)
    }

    fn retained_totals(&self) -> RetainedTotals {
        let set = self.retained.read();
        RetainedTotals { messages: set.tree.len(), bytes: set.bytes }
    }

    fn expire_retained(&self, now: Instant) -> usize {
        if self.retained.read().expiring == 0 {
            return 0;
        }
        let mut set = self.retained.write();
        let mut expired = Vec::new();
        for all in ["#", "$SYS/#"] {
            let filter = TopicFilter::parse(all).expect("a valid filter");
            let _: ControlFlow<()> = set.tree.scan(&filter, None, |_, retained| {
                if retained.message.is_expired(now) {
                    expired.push(retained.message.clone());
                }
                ControlFlow::Continue(())
            });
        }
        for message in &expired {
            set.remove(TopicName::parse(message.topic()).expect("a message has a valid topic"));
        }
        expired.len()
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
