//! Messages that wait for one session, in order.

use core::fmt;
use std::collections::VecDeque;
use std::task::Waker;
use std::time::Instant;

use mqtt_session::{Batch, Delivery, DropReason};

use crate::{SessionId, Transaction};

/// What a queue does with a message for which there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// Refuse the message that comes.
    #[default]
    DropNewest,
    /// Give up the messages that have waited longest.
    DropOldest,
}

/// The most that one queue may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Messages that may wait.
    pub messages_max: usize,
    /// Bytes that may wait, counted as [`Delivery::size_bytes`].
    pub bytes_max: usize,
    /// What happens at either limit.
    pub overflow: Overflow,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { messages_max: 100_000, bytes_max: 64 << 20, overflow: Overflow::DropNewest }
    }
}

/// What became of a message that was pushed. Whatever was dropped must be counted by the caller.
#[derive(Debug, PartialEq)]
#[must_use = "a message that was dropped must be counted"]
pub enum Pushed {
    /// It waits.
    Queued,
    /// It waits; these older ones were given up for it.
    QueuedInsteadOf(Vec<Delivery>, DropReason),
    /// There is no room for it.
    Refused(Delivery, DropReason),
}

/// The queue of one session: first in, first out.
///
/// ```
/// use mqtt_codec::{Properties, QoS};
/// use mqtt_session::{Delivery, Hop, Message, NO_PUBLISHER};
/// use mqtt_store::{MemoryQueue, Pushed, Queue, QueueLimits};
/// use mqtt_topic::TopicName;
///
/// let mut queue = MemoryQueue::new(QueueLimits { messages_max: 1, ..QueueLimits::default() });
/// let delivery = |text: &str| {
///     let topic = TopicName::parse("jobs").expect("a name");
///     let message = Message::new(topic, Properties::EMPTY, text.as_bytes(), NO_PUBLISHER, None);
///     Delivery { hop: Hop::new(QoS::AtLeastOnce), message }
/// };
/// assert!(matches!(queue.push(delivery("1")), Pushed::Queued { .. }));
/// assert!(!matches!(queue.push(delivery("2")), Pushed::Queued { .. }), "it is full");
/// assert_eq!(queue.pop().expect("the first").message.payload(), b"1");
/// assert!(queue.is_empty());
/// ```
pub trait Queue: fmt::Debug + Send {
    /// Appends a message, within the limits.
    fn push(&mut self, delivery: Delivery) -> Pushed;

    /// Appends a message, within the limits, and notes in the transaction what has to be stored for it.
    fn push_in(&mut self, delivery: Delivery, _transaction: &mut Transaction) -> Pushed {
        self.push(delivery)
    }

    /// A batch that goes to the client past the queue, for which there is room in the queue if the client leaves: its
    /// messages stand in the store from then on, if they are to be kept, and the transaction knows.
    fn pass_in(&mut self, batch: &Batch, _transaction: &mut Transaction) -> Batch {
        batch.clone()
    }

    /// Gives a message that goes out at once, without waiting here, a place in the store, and notes in the transaction
    /// what has to be stored for it.
    fn keep_sent(&mut self, _delivery: &mut Delivery, _transaction: &mut Transaction) {}

    /// Says of the messages that were kept over a restart which shared subscription chose the session, by their topics;
    /// 0 for none. Before anything else comes.
    fn name_shares(&mut self, _share_of: &dyn Fn(&str) -> u64) {}

    /// The session, if its messages are kept by a durable store.
    fn session(&self) -> Option<SessionId> {
        None
    }

    /// The message that has waited longest; `None` also while its body is not in memory: see
    /// [`refill`](Self::refill).
    fn front(&self) -> Option<&Delivery>;

    /// When the message that has waited longest expires, wherever its body is.
    fn front_expires_at(&self) -> Option<Instant> {
        self.front()?.message.expires_at()
    }

    /// Has bodies read that will be needed soon. `waker` makes what is woken when the front is there.
    fn refill(&mut self, _waker: &dyn Fn() -> Waker) {}

    /// Whether somebody takes from the queue: bodies need not be in memory while nobody does.
    fn set_away(&mut self, _is_away: bool) {}

    /// Takes the message that has waited longest, to be sent if it was the [`front`](Self::front). Otherwise its
    /// message may be [absent](mqtt_session::Message::is_absent): enough to put it back or to count it as dropped.
    fn pop(&mut self) -> Option<Delivery>;

    /// Messages that wait.
    fn len(&self) -> usize;

    /// Whether nothing waits.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that wait, counted as [`Delivery::size_bytes`].
    fn bytes(&self) -> usize;
}

/// A queue in memory. While it is empty it holds room for a burst at most, and none if none ever came.
///
/// ```
/// use mqtt_store::{MemoryQueue, Overflow, Queue, QueueLimits};
///
/// let limits = QueueLimits { messages_max: 100, overflow: Overflow::DropOldest, ..QueueLimits::default() };
/// let queue = MemoryQueue::new(limits);
/// assert_eq!((queue.len(), queue.bytes()), (0, 0));
/// ```
#[derive(Debug)]
pub struct MemoryQueue {
    waiting: VecDeque<Delivery>,
    bytes: usize,
    limits: QueueLimits,
}

/// An empty queue keeps room for this many messages, so that steady traffic does not allocate.
const SPARE_MESSAGES: usize = 512;

impl MemoryQueue {
    /// An empty queue.
    #[must_use]
    pub fn new(limits: QueueLimits) -> Self {
        Self { waiting: VecDeque::new(), bytes: 0, limits }
    }

    fn overfull(&self, extra_bytes: usize) -> Option<DropReason> {
        if self.waiting.len() >= self.limits.messages_max {
            return Some(DropReason::QueueFullMessages);
        }
        (self.bytes + extra_bytes > self.limits.bytes_max).then_some(DropReason::QueueFullBytes)
    }

    fn push_instead(&mut self, delivery: Delivery, bytes: usize, reason: DropReason) -> Pushed {
        let mut given_up = Vec::new();
        while self.overfull(bytes).is_some()
            && let Some(oldest) = self.pop()
        {
            given_up.push(oldest);
        }
        self.append(delivery, bytes);
        Pushed::QueuedInsteadOf(given_up, reason)
    }

    /// Puts a message back that was here before, whatever the limits are now.
    pub(crate) fn restore(&mut self, delivery: Delivery) {
        let bytes = delivery.size_bytes();
        self.append(delivery, bytes);
    }

    fn append(&mut self, delivery: Delivery, bytes: usize) {
        self.bytes += bytes;
        self.waiting.push_back(delivery);
    }
}

impl Queue for MemoryQueue {
    fn push(&mut self, delivery: Delivery) -> Pushed {
        let bytes = delivery.size_bytes();
        let Some(reason) = self.overfull(bytes) else {
            self.append(delivery, bytes);
            return Pushed::Queued;
        };
        let never_fits = bytes > self.limits.bytes_max || self.limits.messages_max == 0;
        if never_fits || self.limits.overflow == Overflow::DropNewest {
            return Pushed::Refused(delivery, reason);
        }
        self.push_instead(delivery, bytes, reason)
    }

    fn front(&self) -> Option<&Delivery> {
        self.waiting.front()
    }

    fn pop(&mut self) -> Option<Delivery> {
        let delivery = self.waiting.pop_front()?;
        self.bytes -= delivery.size_bytes();
        if self.waiting.is_empty() && self.waiting.capacity() > SPARE_MESSAGES {
            self.waiting = VecDeque::new();
        }
        Some(delivery)
    }

    fn len(&self) -> usize {
        self.waiting.len()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}
