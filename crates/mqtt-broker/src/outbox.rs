//! The mailbox of one session: publishers push, the connection's own task takes.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use mqtt_codec::QoS;
use mqtt_session::{Batch, Delivery, DropReason, Layout};
use mqtt_store::{MemoryQueue, Pushed, Queue, QueueLimits, SessionId, Transaction};
use parking_lot::{Mutex, RwLock};

use crate::access::Identity;
use crate::bell::Bell;

/// Where the messages for one session wait, whether its client is connected or not.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Names the session in the index and as a publisher; never used twice.
    pub(crate) key: u64,
    pub(crate) client_id: Arc<str>,
    /// The session's name in a durable store, if it is kept there.
    pub(crate) kept: Option<SessionId>,
    /// The name under which a durable store has the will of a session of which it keeps nothing else.
    pub(crate) will: Option<SessionId>,
    /// Bounds of its own, instead of those that all sessions have.
    own_limits: Option<Box<OutboxLimits>>,
    state: Mutex<State>,
    /// The task of the connection, if there is one.
    owner: Bell,
    /// Whether the owner was told already that something waits.
    announced: AtomicBool,
    /// Whether publishers wait or may soon, so that the owner's progress is of interest. Written under the
    /// lock; an owner that sees an old value is at most one step behind.
    strained: AtomicBool,
    /// Whether a client is connected: a copy of what the link says, to be read without the lock.
    online: AtomicBool,
    /// How the owner takes batches: a copy of what the link says, to be read without the lock.
    in_batches: AtomicU8,
    /// Messages to this session that were discarded, for any reason.
    pub(crate) dropped: AtomicU64,
    /// Who has the session; `None` for a client inside the program, whom no rule concerns.
    identity: RwLock<Option<Arc<Identity>>>,
}

#[derive(Debug)]
struct State {
    queue: Box<dyn Queue>,
    /// Deliveries of QoS 0 in the queue.
    droppable: usize,
    /// Whether anything ever came here by a shared subscription.
    has_shared: bool,
    /// Deliveries that have left the queue since the client was last away.
    gone: u64,
    /// Messages in batches, between the queue's deliveries.
    batches: VecDeque<WaitingBatch>,
    batch_bytes: usize,
    batch_messages: usize,
    link: Link,
    /// Publishers that wait for room.
    waiting: Vec<Waker>,
}

#[derive(Debug)]
struct WaitingBatch {
    batch: Batch,
    /// It goes out when so many deliveries have left the queue: those that came before it.
    after: u64,
}

/// What an owner takes at a time.
#[derive(Debug)]
pub(crate) enum Taken {
    One(Delivery),
    Many(Batch),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Link {
    Online { pressure: Pressure, in_batches: Option<InBatches> },
    Offline,
    Closed,
}

/// Which batches an online client takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct InBatches {
    pub(crate) layout: Layout,
    /// What is above comes one by one through the queue.
    pub(crate) qos_max: QoS,
}

/// How an online client keeps up.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Pressure {
    Relaxed,
    /// Over its budget; it last took something then, be it only a few bytes of what was written before.
    High {
        last_progress: Instant,
    },
    /// It took nothing for the whole stall time.
    Stalled,
}

/// Bounds that a push or take looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutboxLimits {
    /// Above either of these two, publishers wait for an online client.
    pub(crate) bytes_high: usize,
    pub(crate) messages_high: usize,
    pub(crate) stall_timeout: Duration,
    pub(crate) queue_qos0_offline: bool,
    /// Of the queue; batches of QoS 0 may hold as much again.
    pub(crate) queue: QueueLimits,
}

impl OutboxLimits {
    /// The same with another queue. A queue that is full drops, so publishers have to wait before it is.
    pub(crate) fn for_queue(&self, queue: QueueLimits) -> Self {
        let bytes_high = self.bytes_high.min(queue.bytes_max / 2);
        Self { bytes_high, messages_high: queue.messages_max / 2, queue, ..*self }
    }
}

/// What a session leaves behind.
#[derive(Debug)]
pub(crate) enum Left {
    Few(Vec<Delivery>),
    /// Nothing that another member of a shared subscription could get.
    Many(Box<dyn Queue>),
}

/// What a push asks of the publisher.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "an idle owner must be woken"]
pub(crate) struct Signals {
    /// The owner has to be woken, once per burst.
    pub(crate) wake: bool,
    /// The publisher should wait for room before it reads on.
    pub(crate) congested: bool,
}

/// What became of a push.
#[derive(Debug)]
#[must_use = "a message that was dropped must be counted"]
pub(crate) struct PushOutcome {
    pub(crate) signals: Signals,
    /// What was discarded: older messages, or this one.
    pub(crate) dropped: Vec<(Delivery, DropReason)>,
}

const NO_BATCHES: u8 = 0;
const BATCHES_PLAIN: u8 = 4;
const BATCHES_WITH_PROPERTIES: u8 = 8;
const BATCHES_QOS: u8 = 3;
/// So many messages are a long queue: they are not gone through at once.
const LONG_QUEUE: usize = 256;
/// Room for this many batches is kept while none waits.
const SPARE_BATCHES: usize = 16;

impl Outbox {
    pub(crate) fn new(key: u64, client_id: Arc<str>, queue: Box<dyn Queue>) -> Self {
        Self {
            key,
            client_id,
            kept: queue.session(),
            will: None,
            own_limits: None,
            state: Mutex::new(State {
                queue,
                droppable: 0,
                has_shared: false,
                gone: 0,
                batches: VecDeque::new(),
                batch_bytes: 0,
                batch_messages: 0,
                link: Link::Offline,
                waiting: Vec::new(),
            }),
            owner: Bell::new(),
            announced: AtomicBool::new(false),
            strained: AtomicBool::new(false),
            online: AtomicBool::new(false),
            in_batches: AtomicU8::new(NO_BATCHES),
            dropped: AtomicU64::new(0),
            identity: RwLock::new(None),
        }
    }

    /// With bounds of its own.
    pub(crate) fn with_limits(self, own_limits: Option<OutboxLimits>) -> Self {
        Self { own_limits: own_limits.map(Box::new), ..self }
    }

    /// Of a session of which a durable store keeps the will under this name, and nothing else.
    pub(crate) fn with_will(self, will: Option<SessionId>) -> Self {
        Self { will, ..self }
    }

    fn limits<'a>(&'a self, common: &'a OutboxLimits) -> &'a OutboxLimits {
        self.own_limits.as_deref().unwrap_or(common)
    }

    /// Remembers whose session it is.
    pub(crate) fn set_identity(&self, identity: &Arc<Identity>) {
        *self.identity.write() = Some(identity.clone());
    }

    /// Whose session it is.
    pub(crate) fn identity(&self) -> Option<Arc<Identity>> {
        self.identity.read().clone()
    }

    /// Has a message stored that goes out at once and has not waited here.
    pub(crate) fn keep_sent(&self, delivery: &mut Delivery, transaction: &mut Transaction) {
        self.state.lock().queue.keep_sent(delivery, transaction);
    }

    /// See [`Queue::name_shares`].
    pub(crate) fn name_shares(&self, share_of: &dyn Fn(&str) -> u64) {
        let has_shared = Cell::new(false);
        let mut state = self.state.lock();
        state.queue.name_shares(&|topic| {
            let share = share_of(topic);
            has_shared.set(has_shared.get() || share > 0);
            share
        });
        state.has_shared |= has_shared.get();
    }

    /// Adds a message for this session.
    pub(crate) fn push(
        &self,
        delivery: Delivery,
        limits: &OutboxLimits,
        now: Instant,
        transaction: &mut Transaction,
    ) -> PushOutcome {
        let limits = self.limits(limits);
        let mut state = self.state.lock();
        if let Some(reason) = refusal(&state.link, delivery.hop.qos, limits) {
            return PushOutcome::refused(delivery, reason);
        }
        // What nobody will get must not keep out what somebody can [MQTT-3.3.2-5].
        let mut dropped = state.take_expired(now);
        if !state.batches.is_empty() && state.is_full_with(&delivery, &limits.queue) {
            state.queue_batches(&mut dropped);
        }
        state.has_shared |= delivery.hop.share > 0;
        state.enqueue_in(delivery, transaction, &mut dropped);
        let online = state.is_online();
        let congested = state.note_pressure(limits, now);
        let alarm = self.note_strain(congested);
        drop(state);
        let signals = Signals { wake: online && (self.announce() || alarm), congested };
        PushOutcome { signals, dropped }
    }

    /// Adds a batch, if the client is connected and can be sent it as it is and there is room; otherwise its
    /// messages must be pushed one by one.
    pub(crate) fn push_batch(
        &self,
        batch: &Batch,
        limits: &OutboxLimits,
        now: Instant,
        transaction: &mut Transaction,
    ) -> Option<Signals> {
        let mut state = self.state.lock();
        let Link::Online { pressure, in_batches } = state.link else { return None };
        let suits = in_batches.is_some_and(|way| way.suits(batch)) && pressure != Pressure::Stalled;
        if !suits || !state.has_room_for(batch, &limits.queue) {
            return None;
        }
        let after = state.gone + state.queue.len() as u64;
        state.batch_bytes += batch.size_bytes();
        state.batch_messages += batch.messages() as usize;
        let batch = state.queue.pass_in(batch, transaction);
        state.batches.push_back(WaitingBatch { batch, after });
        let congested = state.note_pressure(limits, now);
        let alarm = self.note_strain(congested);
        drop(state);
        Some(Signals { wake: self.announce() || alarm, congested })
    }

    /// Remembers whether publishers wait. Whether the owner has to know: it may be waiting itself, and not
    /// reading the acknowledgements that make room here.
    fn note_strain(&self, strained: bool) -> bool {
        strained && !self.strained.swap(strained, Ordering::Relaxed)
    }

    /// Whether publishers wait, or will with their next message.
    pub(crate) fn is_strained(&self) -> bool {
        self.strained.load(Ordering::Relaxed)
    }

    /// Whether the owner has to be woken: it does not know yet that something waits.
    fn announce(&self) -> bool {
        !self.announced.swap(true, Ordering::AcqRel)
    }

    /// In which layout the client takes batches of this quality of service now, if at all. A hint: the link decides
    /// when one is pushed.
    pub(crate) fn batch_layout(&self, qos: QoS) -> Option<Layout> {
        let code = self.in_batches.load(Ordering::Relaxed);
        if qos as u8 > code & BATCHES_QOS {
            return None;
        }
        match code & !BATCHES_QOS {
            BATCHES_PLAIN => Some(Layout::Plain),
            BATCHES_WITH_PROPERTIES => Some(Layout::WithProperties),
            _ => None,
        }
    }

    /// Wakes the owner; called after a burst of pushes, outside all locks.
    pub(crate) fn wake(&self) {
        self.owner.wake();
    }

    /// Remembers the task that is woken by pushes. Call before [`take`](Self::take).
    pub(crate) fn register(&self, waker: &Waker) {
        self.owner.register(waker);
    }

    /// Moves messages to `into`: at most `window` above QoS 0, and about `bytes_max` bytes. All of them
    /// must be handed to the protocol before anything else happens, so nothing ever needs to go back.
    pub(crate) fn take(
        self: &Arc<Self>,
        mut window: u16,
        bytes_max: usize,
        limits: &OutboxLimits,
        now: Instant,
        into: &mut Vec<Taken>,
    ) {
        let limits = self.limits(limits);
        if !self.announced.load(Ordering::Acquire) {
            return;
        }
        let mut bytes = 0;
        let mut state = self.state.lock();
        state.queue.refill(&|| self.waker());
        while bytes < bytes_max {
            if state.is_batch_next() {
                let Some(batch) = state.pop_batch(&mut window) else { break };
                bytes += batch.bytes().len();
                into.push(Taken::Many(batch));
                continue;
            }
            let Some(front) = state.queue.front() else { break };
            if front.hop.qos > QoS::AtMostOnce {
                if window == 0 {
                    break;
                }
                window -= 1;
            }
            bytes += front.size_bytes();
            into.extend(state.pop().map(Taken::One));
        }
        if state.queue.is_empty() && state.batches.is_empty() {
            // Under the lock: a push that comes after it announces itself anew.
            self.announced.store(false, Ordering::Release);
        }
        let relieved = if bytes > 0 { state.note_taken(limits, now) } else { Vec::new() };
        self.strained.store(state.is_high(), Ordering::Relaxed);
        drop(state);
        relieved.into_iter().for_each(Waker::wake);
    }

    /// What wakes the owner.
    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(self.clone())
    }

    /// The client took something that was not in here any more: bytes of a long backlog, a repetition, a
    /// retained message. So it is slow, not stalled.
    pub(crate) fn note_progress(&self, now: Instant) {
        if !self.strained.load(Ordering::Relaxed) {
            return;
        }
        if let Link::Online { pressure: Pressure::High { last_progress }, .. } = &mut self.state.lock().link {
            *last_progress = now;
        }
    }

    /// Whether a publisher may go on. Registers it to be woken if not, and then says until when at most.
    pub(crate) fn poll_room(
        &self,
        cx: &mut Context<'_>,
        limits: &OutboxLimits,
        now: Instant,
        deadline: &mut Option<Instant>,
    ) -> Poll<()> {
        let limits = self.limits(limits);
        let mut state = self.state.lock();
        let Link::Online { pressure: Pressure::High { last_progress }, in_batches } = state.link else {
            return Poll::Ready(());
        };
        let stalls_at = last_progress + limits.stall_timeout;
        if stalls_at <= now {
            state.link = Link::Online { pressure: Pressure::Stalled, in_batches };
            self.strained.store(false, Ordering::Relaxed);
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            waiting.into_iter().for_each(Waker::wake);
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        *deadline = Some(deadline.map_or(stalls_at, |earlier| earlier.min(stalls_at)));
        Poll::Pending
    }

    /// Forgets a publisher that does not want to wait any more.
    pub(crate) fn stop_waiting(&self, waker: &Waker) {
        self.state.lock().waiting.retain(|waiting| !waiting.will_wake(waker));
    }

    /// A connection begins to take from here, some batches or none at all. Publishers that waited for
    /// the one before it may try again.
    pub(crate) fn go_online(&self, in_batches: Option<InBatches>) {
        self.in_batches.store(in_batches.map_or(NO_BATCHES, InBatches::code), Ordering::Relaxed);
        let mut state = self.state.lock();
        state.link = Link::Online { pressure: Pressure::Relaxed, in_batches };
        state.queue.set_away(false);
        self.online.store(true, Ordering::Relaxed);
        self.strained.store(false, Ordering::Relaxed);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.announced.store(true, Ordering::Release);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The connection has ended, the session goes on. Returns the messages that do not wait: those of QoS 0, unless
    /// they are to be queued.
    pub(crate) fn go_offline(&self, limits: &OutboxLimits) -> Vec<(Delivery, DropReason)> {
        self.owner.clear();
        self.in_batches.store(NO_BATCHES, Ordering::Relaxed);
        let mut state = self.state.lock();
        state.link = Link::Offline;
        self.online.store(false, Ordering::Relaxed);
        let mut dropped = Vec::new();
        state.sort_out(limits.queue_qos0_offline, &mut dropped);
        state.queue.set_away(true);
        state.gone = 0;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        dropped
    }

    /// The session has ended: returns everything that waited. Later pushes are refused.
    pub(crate) fn close(&self) -> Left {
        self.owner.clear();
        self.in_batches.store(NO_BATCHES, Ordering::Relaxed);
        let mut state = self.state.lock();
        state.link = Link::Closed;
        self.online.store(false, Ordering::Relaxed);
        let left = state.take_left();
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        left
    }

    /// Whether a client is connected. May be outdated by the time it is looked at.
    pub(crate) fn is_online(&self) -> bool {
        self.online.load(Ordering::Relaxed)
    }

    /// Messages and bytes that wait.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.messages(), state.bytes())
    }
}

impl InBatches {
    fn suits(self, batch: &Batch) -> bool {
        self.layout == batch.layout() && batch.qos() <= self.qos_max
    }

    /// As a number that can be read without the lock.
    fn code(self) -> u8 {
        let layout = match self.layout {
            Layout::Plain => BATCHES_PLAIN,
            Layout::WithProperties => BATCHES_WITH_PROPERTIES,
        };
        layout | self.qos_max as u8
    }
}

impl State {
    fn is_online(&self) -> bool {
        matches!(self.link, Link::Online { .. })
    }

    fn bytes(&self) -> usize {
        self.queue.bytes() + self.batch_bytes
    }

    /// Batches above QoS 0 are moved to the queue if the client goes away, so they have to fit in there.
    fn has_room_for(&self, batch: &Batch, limits: &QueueLimits) -> bool {
        let (messages, bytes) = match batch.qos() {
            QoS::AtMostOnce => (self.batch_messages, self.batch_bytes),
            _ => (self.messages(), self.bytes()),
        };
        messages + batch.messages() as usize <= limits.messages_max
            && bytes + batch.size_bytes() <= limits.bytes_max
    }

    fn pop(&mut self) -> Option<Delivery> {
        let delivery = self.queue.pop()?;
        self.gone += 1;
        self.droppable -= usize::from(delivery.hop.qos == QoS::AtMostOnce);
        Some(delivery)
    }

    /// Takes the messages at the front that have expired.
    fn take_expired(&mut self, now: Instant) -> Vec<(Delivery, DropReason)> {
        let mut expired = Vec::new();
        while self.queue.front_expires_at().is_some_and(|at| at <= now) {
            expired.extend(self.pop().map(|delivery| (delivery, DropReason::Expired)));
        }
        expired
    }

    /// Whether a batch is at the front: all deliveries that came before it have left.
    fn is_batch_next(&self) -> bool {
        self.batches.front().is_some_and(|waiting| waiting.after <= self.gone)
    }

    /// The batch at the front, or as much of it as the window lets pass; `None` if that is nothing.
    fn pop_batch(&mut self, window: &mut u16) -> Option<Batch> {
        let front = &mut self.batches.front_mut()?.batch;
        let needs_window = front.qos() > QoS::AtMostOnce;
        let before = front.size_bytes();
        let (batch, left_bytes) = if needs_window && front.messages() > u32::from(*window) {
            if *window == 0 {
                return None;
            }
            (front.split_front((*window).into()), front.size_bytes())
        } else {
            (self.batches.pop_front()?.batch, 0)
        };
        if needs_window {
            *window -= u16::try_from(batch.messages()).unwrap_or(*window);
        }
        self.batch_bytes -= before - left_bytes;
        self.batch_messages -= batch.messages() as usize;
        if self.batches.is_empty() && self.batches.capacity() > SPARE_BATCHES {
            self.batches = VecDeque::new();
        }
        Some(batch)
    }

    fn take_left(&mut self) -> Left {
        if self.has_shared || !self.batches.is_empty() || self.queue.len() < LONG_QUEUE {
            return Left::Few(self.take_everything());
        }
        self.droppable = 0;
        Left::Many(std::mem::replace(&mut self.queue, Box::new(MemoryQueue::new(QueueLimits::default()))))
    }

    /// Takes everything that waits, in its order, batches apart.
    fn take_everything(&mut self) -> Vec<Delivery> {
        (self.batch_bytes, self.batch_messages) = (0, 0);
        let mut batches = std::mem::take(&mut self.batches).into_iter().peekable();
        let mut everything = Vec::new();
        loop {
            while let Some(waiting) = batches.next_if(|waiting| waiting.after <= self.gone) {
                everything.extend(waiting.batch.deliveries());
            }
            match self.pop() {
                Some(delivery) => everything.push(delivery),
                None => return everything,
            }
        }
    }

    /// The client has gone: puts what waits for it into the queue, batches apart, and sorts out what does not wait.
    fn sort_out(&mut self, keeps_qos0: bool, dropped: &mut Vec<(Delivery, DropReason)>) {
        if self.batches.is_empty() && (keeps_qos0 || self.droppable == 0) {
            return; // a long queue need not be gone through
        }
        for delivery in self.take_everything() {
            if delivery.hop.qos == QoS::AtMostOnce && !keeps_qos0 {
                dropped.push((delivery, DropReason::ReceiverOffline));
            } else {
                self.enqueue(delivery, dropped);
            }
        }
    }

    /// Queues what the store, if any, knows already.
    fn enqueue(&mut self, delivery: Delivery, dropped: &mut Vec<(Delivery, DropReason)>) {
        let qos = delivery.hop.qos;
        let pushed = self.queue.push(delivery);
        self.note_pushed(qos, pushed, dropped);
    }

    fn enqueue_in(
        &mut self,
        delivery: Delivery,
        transaction: &mut Transaction,
        dropped: &mut Vec<(Delivery, DropReason)>,
    ) {
        let qos = delivery.hop.qos;
        let pushed = self.queue.push_in(delivery, transaction);
        self.note_pushed(qos, pushed, dropped);
    }

    fn note_pushed(&mut self, qos: QoS, pushed: Pushed, dropped: &mut Vec<(Delivery, DropReason)>) {
        let is_droppable = |qos| usize::from(qos == QoS::AtMostOnce);
        match pushed {
            Pushed::Queued => self.droppable += is_droppable(qos),
            Pushed::QueuedInsteadOf(older, reason) => {
                self.gone += older.len() as u64;
                self.droppable += is_droppable(qos);
                self.droppable -= older.iter().map(|older| is_droppable(older.hop.qos)).sum::<usize>();
                dropped.extend(older.into_iter().map(|delivery| (delivery, reason)));
            }
            Pushed::Refused(delivery, reason) => dropped.push((delivery, reason)),
        }
    }

    /// Whether there are batches above QoS 0 that leave the queue no room for one more.
    fn is_full_with(&self, delivery: &Delivery, limits: &QueueLimits) -> bool {
        let above = self.batches.iter().map(|waiting| &waiting.batch);
        let above = above.filter(|batch| batch.qos() > QoS::AtMostOnce);
        let (messages, bytes) = above.fold((0, 0), |(messages, bytes), batch| {
            (messages + batch.messages() as usize, bytes + batch.size_bytes())
        });
        let full = self.queue.len() + messages >= limits.messages_max
            || self.queue.bytes() + bytes + delivery.size_bytes() > limits.bytes_max;
        messages > 0 && full
    }

    /// Moves the messages of batches above QoS 0 to their places in the queue, which then knows what to give up.
    fn queue_batches(&mut self, dropped: &mut Vec<(Delivery, DropReason)>) {
        let mut batches = std::mem::take(&mut self.batches).into_iter().peekable();
        let mut gone = self.gone;
        let deliveries: Vec<Delivery> = std::iter::from_fn(|| self.queue.pop()).collect();
        self.droppable = 0;
        let mut deliveries = deliveries.into_iter();
        loop {
            while let Some(waiting) = batches.next_if(|waiting| waiting.after <= gone) {
                self.queue_batch(waiting.batch, dropped);
            }
            let Some(delivery) = deliveries.next() else { return };
            gone += 1;
            self.enqueue(delivery, dropped);
        }
    }

    fn queue_batch(&mut self, batch: Batch, dropped: &mut Vec<(Delivery, DropReason)>) {
        if batch.qos() == QoS::AtMostOnce {
            let after = self.gone + self.queue.len() as u64;
            self.batches.push_back(WaitingBatch { batch, after });
            return;
        }
        self.batch_bytes -= batch.size_bytes();
        self.batch_messages -= batch.messages() as usize;
        batch.deliveries().for_each(|delivery| self.enqueue(delivery, dropped));
    }

    fn messages(&self) -> usize {
        self.queue.len() + self.batch_messages
    }

    /// Looks at the budget after a push; whether publishers should wait.
    fn note_pressure(&mut self, limits: &OutboxLimits, now: Instant) -> bool {
        let over = self.bytes() > limits.bytes_high || self.messages() > limits.messages_high;
        if over
            && let Link::Online { pressure, .. } = &mut self.link
            && *pressure == Pressure::Relaxed
        {
            *pressure = Pressure::High { last_progress: now };
        }
        self.is_high()
    }

    fn is_high(&self) -> bool {
        matches!(self.link, Link::Online { pressure: Pressure::High { .. }, .. })
    }

    /// The owner took something; returns the publishers that may go on.
    fn note_taken(&mut self, limits: &OutboxLimits, now: Instant) -> Vec<Waker> {
        let (bytes, messages) = (self.bytes(), self.messages());
        let Link::Online { pressure, .. } = &mut self.link else { return Vec::new() };
        if *pressure == Pressure::Relaxed {
            return Vec::new();
        }
        if bytes <= limits.bytes_high / 2 && messages <= limits.messages_high / 2 {
            *pressure = Pressure::Relaxed;
            return std::mem::take(&mut self.waiting);
        }
        if let Pressure::High { last_progress } = pressure {
            *last_progress = now;
        }
        Vec::new()
    }
}

impl PushOutcome {
    fn refused(delivery: Delivery, reason: DropReason) -> Self {
        Self { signals: Signals::default(), dropped: vec![(delivery, reason)] }
    }
}

impl Wake for Outbox {
    fn wake(self: Arc<Self>) {
        self.owner.wake();
    }
}

fn refusal(link: &Link, qos: QoS, limits: &OutboxLimits) -> Option<DropReason> {
    let droppable = qos == QoS::AtMostOnce;
    match link {
        Link::Closed => Some(DropReason::SessionEnded),
        Link::Offline if droppable && !limits.queue_qos0_offline => Some(DropReason::ReceiverOffline),
        Link::Online { pressure: Pressure::Stalled, .. } if droppable => Some(DropReason::ReceiverStalled),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
