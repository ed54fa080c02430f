//! The mailbox of one session: publishers push, the connection's own task takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use mqtt_codec::QoS;
use mqtt_session::{Delivery, DropReason};
use mqtt_store::{Pushed, Queue};
use parking_lot::Mutex;

/// Where the messages for one session wait, whether its client is connected or not.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Names the session in the index and as a publisher; never used twice.
    pub(crate) key: u64,
    pub(crate) client_id: Arc<str>,
    state: Mutex<State>,
    /// The task of the connection, if there is one.
    owner: AtomicWaker,
    /// Whether the owner was told already that something waits.
    announced: AtomicBool,
    /// Whether publishers wait or may soon, so that the owner's progress is of interest. Written under the
    /// lock; an owner that sees an old value is at most one step behind.
    strained: AtomicBool,
    /// Messages to this session that were discarded, for any reason.
    pub(crate) dropped: AtomicU64,
}

#[derive(Debug)]
struct State {
    queue: Box<dyn Queue>,
    link: Link,
    /// Publishers that wait for room.
    waiting: Vec<Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Link {
    Online { pressure: Pressure },
    Offline,
    Closed,
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
}

/// What became of a push.
#[derive(Debug)]
#[must_use = "a message that was dropped must be counted, and an idle owner woken"]
pub(crate) struct PushOutcome {
    /// The owner has to be woken, once per burst.
    pub(crate) wake: bool,
    /// The publisher should wait for room before it reads on.
    pub(crate) congested: bool,
    /// What was discarded: this message, or older ones in its favour.
    pub(crate) dropped: Vec<Delivery>,
    pub(crate) drop_reason: Option<DropReason>,
}

impl Outbox {
    pub(crate) fn new(key: u64, client_id: Arc<str>, queue: Box<dyn Queue>) -> Self {
        Self {
            key,
            client_id,
            state: Mutex::new(State {
                queue,
                link: Link::Online { pressure: Pressure::Relaxed },
                waiting: Vec::new(),
            }),
            owner: AtomicWaker::new(),
            announced: AtomicBool::new(false),
            strained: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
        }
    }

    /// Adds a message for this session.
    pub(crate) fn push(&self, delivery: Delivery, limits: &OutboxLimits, now: Instant) -> PushOutcome {
        let mut state = self.state.lock();
        if let Some(reason) = refusal(&state.link, delivery.hop.qos, limits) {
            return PushOutcome::refused(delivery, reason);
        }
        let pushed = state.queue.push(delivery);
        let congested = state.note_pressure(limits, now);
        self.strained.store(congested, Ordering::Relaxed);
        let online = matches!(state.link, Link::Online { .. });
        drop(state);
        let (dropped, drop_reason) = match pushed {
            Pushed::Queued => (Vec::new(), None),
            Pushed::QueuedInsteadOf(older, reason) => (older, Some(reason)),
            Pushed::Refused(delivery, reason) => (vec![delivery], Some(reason)),
        };
        let wake = online && !self.announced.swap(true, Ordering::AcqRel);
        PushOutcome { wake, congested, dropped, drop_reason }
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
        &self,
        mut window: u16,
        bytes_max: usize,
        limits: &OutboxLimits,
        now: Instant,
        into: &mut Vec<Delivery>,
    ) {
        if !self.announced.load(Ordering::Acquire) {
            return;
        }
        let mut bytes = 0;
        let mut state = self.state.lock();
        while bytes < bytes_max
            && let Some(front) = state.queue.front()
        {
            if front.hop.qos > QoS::AtMostOnce {
                if window == 0 {
                    break;
                }
                window -= 1;
            }
            bytes += front.size_bytes();
            into.extend(state.queue.pop());
        }
        if state.queue.is_empty() {
            // Under the lock: a push that comes after it announces itself anew.
            self.announced.store(false, Ordering::Release);
        }
        let relieved = if bytes > 0 { state.note_taken(limits, now) } else { Vec::new() };
        self.strained.store(state.is_high(), Ordering::Relaxed);
        drop(state);
        relieved.into_iter().for_each(Waker::wake);
    }

    /// The client took something that was not in here any more: bytes of a long backlog, a repetition, a
    /// retained message. So it is slow, not stalled.
    pub(crate) fn note_progress(&self, now: Instant) {
        if !self.strained.load(Ordering::Relaxed) {
            return;
        }
        if let Link::Online { pressure: Pressure::High { last_progress } } = &mut self.state.lock().link {
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
        let mut state = self.state.lock();
        let Link::Online { pressure: Pressure::High { last_progress } } = state.link else {
            return Poll::Ready(());
        };
        let stalls_at = last_progress + limits.stall_timeout;
        if stalls_at <= now {
            state.link = Link::Online { pressure: Pressure::Stalled };
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

    /// A connection begins to take from here. Publishers that waited for the one before it may try again.
    pub(crate) fn go_online(&self) {
        let mut state = self.state.lock();
        state.link = Link::Online { pressure: Pressure::Relaxed };
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.announced.store(true, Ordering::Release);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The connection has ended, the session goes on. Returns the QoS 0 messages that do not wait.
    pub(crate) fn go_offline(&self, limits: &OutboxLimits) -> Vec<Delivery> {
        self.owner.take();
        let mut state = self.state.lock();
        state.link = Link::Offline;
        let mut dropped = Vec::new();
        if !limits.queue_qos0_offline {
            for _ in 0..state.queue.len() {
                let Some(delivery) = state.queue.pop() else { break };
                if delivery.hop.qos == QoS::AtMostOnce {
                    dropped.push(delivery);
                } else {
                    // There is room: it was taken from this queue just now.
                    let _: Pushed = state.queue.push(delivery);
                }
            }
        }
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        dropped
    }

    /// The session has ended: returns everything that waited. Later pushes are refused.
    pub(crate) fn close(&self) -> Vec<Delivery> {
        self.owner.take();
        let mut state = self.state.lock();
        state.link = Link::Closed;
        let mut left = Vec::with_capacity(state.queue.len());
        while let Some(delivery) = state.queue.pop() {
            left.push(delivery);
        }
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        left
    }

    pub(crate) fn is_online(&self) -> bool {
        matches!(self.state.lock().link, Link::Online { .. })
    }

    /// Messages and bytes that wait.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.queue.len(), state.queue.bytes())
    }
}

impl State {
    /// Looks at the budget after a push; whether publishers should wait.
    fn note_pressure(&mut self, limits: &OutboxLimits, now: Instant) -> bool {
        let over = self.queue.bytes() > limits.bytes_high || self.queue.len() > limits.messages_high;
        if over && self.link == (Link::Online { pressure: Pressure::Relaxed }) {
            self.link = Link::Online { pressure: Pressure::High { last_progress: now } };
        }
        self.is_high()
    }

    fn is_high(&self) -> bool {
        matches!(self.link, Link::Online { pressure: Pressure::High { .. } })
    }

    /// The owner took something; returns the publishers that may go on.
    fn note_taken(&mut self, limits: &OutboxLimits, now: Instant) -> Vec<Waker> {
        let Link::Online { pressure } = &mut self.link else { return Vec::new() };
        if *pressure == Pressure::Relaxed {
            return Vec::new();
        }
        if self.queue.bytes() <= limits.bytes_high / 2 && self.queue.len() <= limits.messages_high / 2 {
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
        Self { wake: false, congested: false, dropped: vec![delivery], drop_reason: Some(reason) }
    }
}

fn refusal(link: &Link, qos: QoS, limits: &OutboxLimits) -> Option<DropReason> {
    let droppable = qos == QoS::AtMostOnce;
    match link {
        Link::Closed => Some(DropReason::SessionEnded),
        Link::Offline if droppable && !limits.queue_qos0_offline => Some(DropReason::ReceiverOffline),
        Link::Online { pressure: Pressure::Stalled } if droppable => Some(DropReason::ReceiverStalled),
        _ => None,
    }
}
