//! The store that lives and dies with the process.

use std::time::Instant;

use hashbrown::HashMap;
use mqtt_topic::{TopicFilter, TopicName};
use parking_lot::Mutex;

use crate::retained::{self, Shelf};
use crate::{
    MemoryQueue, Parked, Queue, QueueLimits, RetainOutcome, Retained, RetainedLimits, RetainedPage,
    RetainedTotals, Store, StoreError,
};

/// Everything in memory, within stated limits.
///
/// ```
/// use std::time::Instant;
/// use mqtt_codec::{Properties, QoS};
/// use mqtt_session::{Message, NO_PUBLISHER};
/// use mqtt_store::{MemoryStore, Retained, RetainedLimits, Store};
/// use mqtt_topic::{TopicFilter, TopicName};
///
/// let store = MemoryStore::new(RetainedLimits::default());
/// let message = Message::new(TopicName::parse("lamp")?, Properties::EMPTY, b"on", NO_PUBLISHER, None);
/// store.retain(Retained { message, qos: QoS::AtLeastOnce, source: None })?;
/// let page = store.scan_retained(&TopicFilter::parse("#")?, None, 10, Instant::now())?;
/// assert_eq!(page.messages[0].message.payload(), b"on");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct MemoryStore {
    retained: Shelf,
    parked: Mutex<HashMap<Box<str>, Parked>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(limits: RetainedLimits) -> Self {
        Self { retained: Shelf::new(limits), parked: Mutex::default() }
    }
}

impl Store for MemoryStore {
    fn retain(&self, retained: Retained) -> Result<RetainOutcome, StoreError> {
        let message = retained.message.clone();
        self.retained.retain(retained::topic_of(&message), retained, 0).map(|(outcome, _)| outcome)
    }

    fn scan_retained(
        &self,
        filter: &TopicFilter<&str>,
        after: Option<&TopicName<Box<str>>>,
        messages_max: usize,
        now: Instant,
    ) -> Result<RetainedPage, StoreError> {
        Ok(self.retained.scan(filter, after, messages_max, now).0)
    }

    fn retained_totals(&self) -> RetainedTotals {
        self.retained.totals()
    }

    fn expire_retained(&self, now: Instant) -> Vec<Box<str>> {
        self.retained.take_expired(now).into_iter().map(|(topic, _)| topic).collect()
    }

    fn next_retained_expiry(&self) -> Option<Instant> {
        self.retained.next_expiry()
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
