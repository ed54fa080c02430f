//! Retained messages for a new subscription, in paced pages: a short queue never costs one.

use std::sync::Arc;
use std::time::Instant;

use mqtt_session::{Delivery, Hop, Subscription};
use mqtt_store::{Retained, RetainedPage, Store, StoreError};
use mqtt_topic::{TopicFilter, TopicName};

/// The retained messages of one new subscription, on their way.
#[derive(Debug)]
pub(super) struct Replay {
    filter: TopicFilter,
    subscription: Subscription,
    subscription_ids: Option<Arc<[u32]>>,
    /// Read from the store and not yet sent, last first.
    page: Vec<Retained>,
    progress: Progress,
}

#[derive(Debug)]
enum Progress {
    Start,
    After(TopicName<Box<str>>),
    Complete,
}

/// Messages read from the store at a time.
const PAGE_MESSAGES: usize = 128;

impl Replay {
    pub(super) fn new(filter: TopicFilter, subscription: Subscription) -> Self {
        let subscription_ids = subscription.identifier.map(|id| Arc::from([id]));
        Self { filter, subscription, subscription_ids, page: Vec::new(), progress: Progress::Start }
    }

    pub(super) fn filter(&self) -> &TopicFilter {
        &self.filter
    }

    /// The next message, which stays here until [`advance`](Self::advance); `None` at the end.
    pub(super) fn peek(
        &mut self,
        store: &dyn Store,
        session: u64,
        now: Instant,
    ) -> Result<Option<Delivery>, StoreError> {
        loop {
            if let Some(retained) = self.page.last() {
                let own = retained.message.publisher() == session;
                if own && self.subscription.options.no_local {
                    self.page.pop(); // [MQTT-3.8.3-3]
                    continue;
                }
                return Ok(Some(self.delivery(retained)));
            }
            let after = match &self.progress {
                Progress::Start => None,
                Progress::After(topic) => Some(topic),
                Progress::Complete => return Ok(None),
            };
            let page = store.scan_retained(&self.filter.as_ref(), after, PAGE_MESSAGES, now)?;
            self.turn(page);
        }
    }

    fn turn(&mut self, page: RetainedPage) {
        self.page = page.messages;
        self.page.reverse();
        self.progress = page.next.map_or(Progress::Complete, Progress::After);
    }

    /// The message that was peeked at has been sent.
    pub(super) fn advance(&mut self) {
        self.page.pop();
    }

    fn delivery(&self, retained: &Retained) -> Delivery {
        let hop = Hop {
            qos: retained.qos.min(self.subscription.options.qos),
            retain: true, // [MQTT-3.3.1-8]
            subscription_ids: self.subscription_ids.clone(),
            share: 0,
        };
        Delivery { hop, message: retained.message.clone() }
    }
}
