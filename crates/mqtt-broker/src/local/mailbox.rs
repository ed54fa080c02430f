//! Where the messages of one local subscription wait, and who takes them.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::Stream;
use mqtt_codec::QoS;
use mqtt_session::{Delivery, DropReason, Layout, Session, Subscription as Asked};
use mqtt_store::{MemoryQueue, QueueLimits};
use mqtt_topic::TopicFilter;

use super::{LocalMessage, Shared};
use crate::connection::{Next, Replay};
use crate::core::{Core, Touched};
use crate::index::Member;
use crate::outbox::{InBatches, Outbox, Taken};

/// The shared half of a local subscription: an outbox whose owner is no connection.
pub(crate) struct Mailbox {
    pub(super) filter: TopicFilter,
    asked: Asked,
    outbox: Arc<Outbox>,
    ended: AtomicBool,
}

/// The messages of one local subscription: with [`recv`](Self::recv), or as a [`Stream`]. Ends the subscription when
/// dropped; what still waits then goes to another member of its shared subscription or is counted as dropped.
#[must_use = "dropping a subscription ends it"]
pub struct Subscription {
    shared: Arc<Shared>,
    mailbox: Arc<Mailbox>,
    replay: Option<Replay>,
    /// Taken from the outbox, not yet from here.
    taken: VecDeque<Delivery>,
}

/// Messages above QoS 0 and bytes that are taken from the outbox at a time.
const TAKE_MESSAGES: u16 = 64;
const TAKE_BYTES: usize = 64 << 10;

impl Mailbox {
    /// A mailbox that is in the index already.
    pub(super) fn new(
        shared: &Shared,
        filter: TopicFilter,
        asked: Asked,
        limits: Option<QueueLimits>,
    ) -> Arc<Self> {
        let core = &shared.core;
        let queue = Box::new(MemoryQueue::new(limits.unwrap_or(core.settings.queue)));
        let own_limits = limits.map(|limits| core.outbox_limits.for_queue(limits));
        // A batch may be larger than a mailbox of its own size.
        let in_batches = InBatches { layout: Layout::WithProperties, qos_max: QoS::ExactlyOnce };
        let takes_batches = own_limits.is_none();
        let client_id = shared.identity.client_id.clone();
        let outbox = Arc::new(Outbox::new(core.index.new_key(), client_id, queue).with_limits(own_limits));
        outbox.go_online(takes_batches.then_some(in_batches));
        let member = Member { outbox: outbox.clone(), subscription: asked };
        core.index.subscribe(&filter, member);
        Arc::new(Self { filter, asked, outbox, ended: AtomicBool::new(false) })
    }

    /// Nothing new comes; what waits can still be taken.
    pub(super) fn end(&self, core: &Core) {
        core.index.unsubscribe(&self.filter, self.outbox.key);
        self.ended.store(true, Ordering::Release);
        self.outbox.wake();
    }
}

impl Shared {
    /// Ends all subscriptions: the broker stops.
    pub(super) fn end_all(&self) {
        let all = std::mem::take(&mut *self.mailboxes.lock());
        all.values().flatten().for_each(|mailbox| mailbox.end(&self.core));
    }
}

impl Subscription {
    pub(super) fn new(shared: Arc<Shared>, mailbox: Arc<Mailbox>, wants_retained: bool) -> Self {
        // A shared subscription gets no retained messages when it begins (section 4.8.2).
        let replays = wants_retained && mailbox.filter.share_name().is_none();
        let replay = replays.then(|| Replay::new(mailbox.filter.clone(), mailbox.asked));
        let mut subscription = Self { shared, mailbox, replay, taken: VecDeque::new() };
        // What is retained from now on comes as it is published: what is read now cannot be mistaken for it.
        let nobody = &Context::from_waker(std::task::Waker::noop());
        subscription.peek_retained(nobody, subscription.shared.core.now());
        subscription
    }

    /// The filter, as it was subscribed with.
    #[must_use]
    pub fn filter(&self) -> &str {
        self.mailbox.filter.as_str()
    }

    /// The next message; `None` when the filter was unsubscribed or the broker has stopped, and nothing waits.
    /// Nothing is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<LocalMessage> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next message if one waits.
    pub fn try_recv(&mut self) -> Option<LocalMessage> {
        let waker = futures_util::task::noop_waker();
        match self.poll_recv(&mut Context::from_waker(&waker)) {
            Poll::Ready(message) => message,
            Poll::Pending => None,
        }
    }

    /// Messages and bytes that wait, retained ones apart.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        let (messages, bytes) = self.mailbox.outbox.waiting();
        let taken_bytes: usize = self.taken.iter().map(Delivery::size_bytes).sum();
        (messages + self.taken.len(), bytes + taken_bytes)
    }

    /// Messages to this subscription that were discarded, for any reason; the broker counts them by reason.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.mailbox.outbox.dropped.load(Ordering::Relaxed)
    }

    /// As [`recv`](Self::recv), for whoever polls by hand.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<LocalMessage>> {
        let now = self.shared.core.now();
        self.mailbox.outbox.register(cx.waker());
        loop {
            match self.next_retained(cx, now) {
                Some(Poll::Ready(delivery)) => return Poll::Ready(Some(LocalMessage::new(delivery))),
                Some(Poll::Pending) => return Poll::Pending,
                None => {}
            }
            if let Some(delivery) = self.taken.pop_front() {
                match self.unwanted(&delivery, now) {
                    None => return Poll::Ready(Some(LocalMessage::new(delivery))),
                    Some(Unwanted::Own) => continue,
                    Some(Unwanted::Expired) => {
                        self.shared.core.dropped(DropReason::Expired, &self.mailbox.outbox, &delivery);
                        continue;
                    }
                }
            }
            let ended = self.mailbox.ended.load(Ordering::Acquire);
            self.take(now);
            if self.taken.is_empty() {
                return if ended { Poll::Ready(None) } else { Poll::Pending };
            }
        }
    }

    fn unwanted(&self, delivery: &Delivery, now: Instant) -> Option<Unwanted> {
        let own = delivery.message.publisher() == self.shared.key;
        if own && self.mailbox.asked.options.no_local {
            return Some(Unwanted::Own); // [MQTT-3.8.3-3]
        }
        delivery.message.is_expired(now).then_some(Unwanted::Expired)
    }

    /// The next retained message, if any is left; pending while the store searches on.
    fn next_retained(&mut self, cx: &Context<'_>, now: Instant) -> Option<Poll<Delivery>> {
        let next = self.peek_retained(cx, now);
        if let Some(Poll::Ready(delivery)) = &next {
            self.replay.as_mut().expect("it was peeked at").advance();
            if !self.shared.past_hooks {
                self.shared.core.tell_replayed(&self.shared.identity.client_id, delivery);
            }
        }
        next
    }

    fn peek_retained(&mut self, cx: &Context<'_>, now: Instant) -> Option<Poll<Delivery>> {
        let replay = self.replay.as_mut()?;
        let outbox = &self.mailbox.outbox;
        match replay.peek(&*self.shared.core.store, self.shared.key, &|_, _| true, now, &|| outbox.waker()) {
            Ok(Next::Message(delivery)) => return Some(Poll::Ready(delivery)),
            Ok(Next::Pause) => {
                cx.waker().wake_by_ref(); // the store goes on when it is asked again
                return Some(Poll::Pending);
            }
            Ok(Next::Wait) => return Some(Poll::Pending),
            Ok(Next::End) => {}
            Err(error) => {
                tracing::error!(filter = self.mailbox.filter.as_str(), %error, "retained messages cannot be read");
            }
        }
        self.replay = None;
        None
    }

    fn take(&mut self, now: Instant) {
        let mut taken = Vec::new();
        let limits = &self.shared.core.outbox_limits;
        self.mailbox.outbox.take(TAKE_MESSAGES, TAKE_BYTES, limits, now, &mut taken);
        for taken in taken {
            match taken {
                Taken::One(delivery) => self.taken.push_back(delivery),
                Taken::Many(batch) => self.taken.extend(batch.deliveries()),
            }
        }
    }
}

/// Why a message that was taken is not handed out.
enum Unwanted {
    Own,
    Expired,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let core = &self.shared.core;
        self.mailbox.end(core);
        self.shared.forget(&self.mailbox);
        let mut touched = Touched::default();
        for delivery in self.taken.drain(..) {
            // Never handed out, so another member of the group may have it.
            let movable = delivery.hop.qos > QoS::AtMostOnce;
            core.give_up(delivery, &self.mailbox.outbox, movable, &mut touched);
        }
        core.settle(&mut touched);
        let mut session = Session::new();
        session.subscribe(self.filter(), self.mailbox.asked);
        core.end_subscriber(session, &self.mailbox.outbox);
    }
}

impl Stream for Subscription {
    type Item = LocalMessage;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<LocalMessage>> {
        self.poll_recv(cx)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("filter", &self.filter()).finish_non_exhaustive()
    }
}
