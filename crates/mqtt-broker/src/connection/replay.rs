//! Retained messages for a new subscription, in paced pages: a short queue never costs one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Instant;

use hashbrown::HashMap;
use mqtt_codec::QoS;
use mqtt_session::{Delivery, Hop, Subscription};
use mqtt_store::{Retained, RetainedPage, RetainedTicket, Store, StoreError};
use mqtt_topic::{TopicFilter, TopicName};

/// The replays that a connection still has to send, one for each filter at most. Nothing is allocated while there is
/// none.
#[derive(Debug, Default)]
pub(crate) struct Replays(Option<Box<Lists>>);

#[derive(Debug, Default)]
struct Lists {
    /// In the order in which they are served.
    waiting: BTreeMap<u64, Replay>,
    by_filter: HashMap<Box<str>, u64>,
    last: u64,
}

/// What [`Replay::peek`] sees.
pub(crate) enum Next {
    /// This message.
    Message(Delivery),
    /// Nothing yet: the store searches on when it is asked again, and others should get their turn before.
    Pause,
    /// Nothing yet: the waker is woken when it is worth to ask again.
    Wait,
    /// All have been sent.
    End,
}

/// The retained messages of one new subscription, on their way.
#[derive(Debug)]
pub(crate) struct Replay {
    filter: TopicFilter,
    subscription: Subscription,
    subscription_ids: Option<Arc<[u32]>>,
    /// Read from the store and not yet sent, last first.
    page: Vec<Retained>,
    /// The message that was sent last on this connection.
    sent: Option<Retained>,
    /// The topic that was sent last on an earlier one.
    rewound_to: Option<TopicName<Box<str>>>,
    progress: Progress,
    /// The page that the store is reading.
    ticket: Option<RetainedTicket>,
}

#[derive(Debug)]
enum Progress {
    Start,
    After(TopicName<Box<str>>),
    Complete,
}

/// Messages read from the store at a time.
const PAGE_MESSAGES: usize = 128;

impl Replays {
    /// Adds the replay of a subscription, in the place of an earlier one with the same filter: what that has
    /// not sent yet comes with this one.
    pub(super) fn add(&mut self, replay: Replay) {
        let lists = self.0.get_or_insert_default();
        lists.last += 1;
        if let Some(earlier) = lists.by_filter.insert(replay.filter.as_str().into(), lists.last) {
            lists.waiting.remove(&earlier);
        }
        lists.waiting.insert(lists.last, replay);
    }

    /// The subscription has gone.
    pub(super) fn remove(&mut self, filter: &str) {
        if let Some(lists) = &mut self.0
            && let Some(number) = lists.by_filter.remove(filter)
        {
            lists.waiting.remove(&number);
            self.release();
        }
    }

    pub(super) fn first_mut(&mut self) -> Option<&mut Replay> {
        self.0.as_mut()?.waiting.first_entry().map(|entry| entry.into_mut())
    }

    /// What is left for the session's next connection: as little as says where to go on.
    pub(super) fn into_rest(mut self) -> Option<Self> {
        let lists = self.0.as_mut()?;
        lists.waiting.values_mut().for_each(Replay::rewind);
        Some(self)
    }

    /// The first has been sent.
    pub(super) fn pop_first(&mut self) {
        if let Some(lists) = &mut self.0
            && let Some((_, replay)) = lists.waiting.pop_first()
        {
            lists.by_filter.remove(replay.filter.as_str());
            self.release();
        }
    }

    /// An idle connection holds no memory.
    fn release(&mut self) {
        if self.0.as_ref().is_some_and(|lists| lists.waiting.is_empty()) {
            self.0 = None;
        }
    }
}

impl Replay {
    pub(crate) fn new(filter: TopicFilter, subscription: Subscription) -> Self {
        let subscription_ids = subscription.identifier.map(|id| Arc::from([id]));
        Self {
            filter,
            subscription,
            subscription_ids,
            page: Vec::new(),
            sent: None,
            rewound_to: None,
            progress: Progress::Start,
            ticket: None,
        }
    }

    /// The next message, which stays here until [`advance`](Self::advance).
    pub(crate) fn peek(
        &mut self,
        store: &dyn Store,
        session: u64,
        may: &dyn Fn(&Retained, QoS) -> bool,
        now: Instant,
        waker: &dyn Fn() -> Waker,
    ) -> Result<Next, StoreError> {
        let mut skipped = false;
        loop {
            if let Some(retained) = self.page.last() {
                let own = retained.message.publisher() == session;
                if own && self.subscription.options.no_local {
                    self.page.pop(); // [MQTT-3.8.3-3]
                    continue;
                }
                if !may(retained, retained.qos.min(self.subscription.options.qos)) {
                    self.page.pop();
                    skipped = true;
                    continue;
                }
                return Ok(Next::Message(self.delivery(retained)));
            }
            let after = match &self.progress {
                Progress::Start => None,
                Progress::After(topic) => Some(topic),
                Progress::Complete => return Ok(Next::End),
            };
            if skipped {
                return Ok(Next::Pause); // a page of what it may not get is work enough for one turn
            }
            let filter = self.filter.as_ref();
            match store.poll_retained(&mut self.ticket, &filter, after, PAGE_MESSAGES, now, waker) {
                Poll::Ready(page) => self.turn(page?),
                Poll::Pending => return Ok(Next::Wait),
            }
            if self.page.is_empty() && !matches!(self.progress, Progress::Complete) {
                return Ok(Next::Pause);
            }
        }
    }

    fn turn(&mut self, page: RetainedPage) {
        self.page = page.messages;
        self.page.reverse();
        self.progress = page.next.map_or(Progress::Complete, Progress::After);
    }

    /// The message that was peeked at has been sent.
    pub(crate) fn advance(&mut self) {
        self.sent = self.page.pop();
    }

    /// Gives back what was read and not sent; it is read again when the replay goes on.
    fn rewind(&mut self) {
        self.ticket = None;
        if let Some(sent) = self.sent.take() {
            self.rewound_to = Some(TopicName::assume_valid(sent.message.topic()).to_boxed());
        }
        if !self.page.is_empty() {
            self.page = Vec::new();
            self.progress = self.rewound_to.clone().map_or(Progress::Start, Progress::After);
        }
    }

    fn delivery(&self, retained: &Retained) -> Delivery {
        let hop = Hop {
            qos: retained.qos.min(self.subscription.options.qos),
            retain: true, // [MQTT-3.3.1-8]
            subscription_ids: self.subscription_ids.clone(),
            share: 0,
            place: 0,
        };
        Delivery { hop, message: retained.message.clone() }
    }
}
