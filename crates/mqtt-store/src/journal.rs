//! What a broker tells a durable store: changes, grouped so that each group is stored whole or not at all.

use core::num::NonZeroU64;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::task::Waker;
use std::sync::Arc;

use mqtt_codec::{PacketId, QoS};
use mqtt_session::{Batch, Delivery, Hop, Message, Subscription, WillMessage};
use parking_lot::Mutex;

use crate::{Condition, Health, Source};

/// What the acknowledgement of a message promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// The message is in memory: it is lost with the process.
    Memory,
    /// The operating system has it: a killed process loses nothing, a power failure as much as was written since
    /// the last sync.
    #[default]
    Periodic,
    /// It is on the disk.
    Acked,
}

/// Names a session in a durable store; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub NonZeroU64);

/// What is kept of a session besides its subscriptions, messages and packet identifiers.
#[derive(Clone, Debug)]
pub struct SessionHead {
    /// Client identifier.
    pub client_id: Arc<str>,
    /// The client that it belongs to, as access rules see it; `None` for one that no rule concerns.
    pub owner: Option<Arc<Source>>,
    /// Session Expiry Interval in seconds; `u32::MAX` for no end.
    pub session_expiry_s: u32,
    /// Milliseconds since 1970 at which the client went away; `None` while it is connected.
    pub away_since_ms: Option<u64>,
    /// The will that is not published yet.
    pub will: Option<WillMessage>,
}

/// One change of what a durable store keeps.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Head(SessionId, Box<SessionHead>),
    WillGone(SessionId, u64),
    End(SessionId),
    Subscribe(SessionId, Box<str>, Subscription),
    Unsubscribe(SessionId, Box<str>),
    Enqueue {
        session: SessionId,
        place: u64,
        hop: Hop,
        message: Message,
    },
    /// The batch knows its places.
    EnqueueBatch {
        session: SessionId,
        batch: Batch,
    },
    Drop {
        session: SessionId,
        place: u64,
    },
    /// So many in a row, at least one: places and packet identifiers go up by one with each.
    Sent {
        session: SessionId,
        place: u64,
        packet_id: PacketId,
        count: u16,
    },
    Pubrec(SessionId, PacketId),
    /// So many in a row, at least one.
    Settled {
        session: SessionId,
        packet_id: PacketId,
        count: u16,
    },
    Received(SessionId, PacketId),
    Released(SessionId, PacketId),
    Retain {
        message: Message,
        qos: QoS,
        publisher: Option<Arc<str>>,
        version: u64,
    },
    Clear {
        topic: Box<str>,
        version: u64,
    },
}

impl Change {
    /// Whether it puts a message there.
    pub(crate) fn brings(&self, to: SessionId, at: u64) -> bool {
        match self {
            Self::Enqueue { session, place, .. } => *session == to && *place == at,
            Self::EnqueueBatch { session, batch } => {
                let places = batch.place()..batch.place() + u64::from(batch.messages());
                *session == to && places.contains(&at)
            }
            _ => false,
        }
    }

    /// The session whose client has done it, or whose owner, with messages that came before.
    pub(crate) fn follows(&self) -> Option<SessionId> {
        match self {
            Self::Drop { session, .. } | Self::Sent { session, .. } | Self::Settled { session, .. } => {
                Some(*session)
            }
            Self::Pubrec(session, _) => Some(*session),
            _ => None,
        }
    }
}

/// Changes that are stored together or not at all.
#[derive(Debug, Default)]
pub struct Transaction {
    pub(crate) changes: Vec<Change>,
    /// About the bytes that they take.
    pub(crate) bytes: usize,
    /// Messages among them, once for each receiver.
    pub(crate) messages: u64,
    durability: Durability,
    /// Whether an answer waits for it.
    awaited: bool,
    /// Whether it has to be on the disk before that.
    pub(crate) synced: bool,
    /// Whether it may take much longer than its bytes say.
    pub(crate) is_long: bool,
}

impl Transaction {
    /// What holds for the messages that are added from now on.
    pub fn set_durability(&mut self, durability: Durability) {
        self.durability = durability;
    }

    /// What leaves because of what was added has to wait as long as a message of this durability would. For the
    /// identifiers of QoS 2: if one side forgets what an identifier stands for, a later message under it is taken for
    /// an earlier one, and lost.
    pub fn require(&mut self, durability: Durability) {
        self.synced |= durability == Durability::Acked;
    }

    /// Whether messages that are added now are kept at all.
    #[must_use]
    pub fn keeps_messages(&self) -> bool {
        self.durability > Durability::Memory
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// About the bytes that it takes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether something that leaves has to wait until it is stored.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.awaited
    }

    /// Takes all changes of another transaction over, which is empty afterwards.
    pub fn append(&mut self, other: &mut Self) {
        self.changes.append(&mut other.changes);
        self.bytes += std::mem::take(&mut other.bytes);
        self.messages += std::mem::take(&mut other.messages);
        self.awaited |= std::mem::take(&mut other.awaited);
        self.synced |= std::mem::take(&mut other.synced);
        self.is_long |= std::mem::take(&mut other.is_long);
    }

    fn add(&mut self, change: Change, bytes: usize, awaited: bool) {
        self.changes.push(change);
        self.bytes += bytes;
        self.awaited |= awaited;
    }

    fn add_message(&mut self, change: Change, bytes: usize) {
        self.synced |= self.durability == Durability::Acked;
        self.add(change, bytes, true);
    }

    /// A session begins, or what is kept of it has changed.
    pub fn head(&mut self, session: SessionId, head: SessionHead) {
        self.add(Change::Head(session, Box::new(head)), 128, true);
    }

    /// The will of a session is published, or will never be. By now the session may have another one, which stays:
    /// [`WillMessage::serial`] tells them apart.
    pub fn will_gone(&mut self, session: SessionId, will: &WillMessage) {
        self.add(Change::WillGone(session, will.serial), 128, false);
    }

    /// A session has ended.
    pub fn end(&mut self, session: SessionId) {
        self.is_long = true;
        self.add(Change::End(session), 16, true);
    }

    /// A subscription is made or replaced.
    pub fn subscribe(&mut self, session: SessionId, filter: &str, subscription: Subscription) {
        self.add(Change::Subscribe(session, filter.into(), subscription), 32 + filter.len(), true);
    }

    /// A subscription is gone.
    pub fn unsubscribe(&mut self, session: SessionId, filter: &str) {
        self.add(Change::Unsubscribe(session, filter.into()), 32 + filter.len(), true);
    }

    pub(crate) fn enqueue(&mut self, session: SessionId, place: u64, delivery: &Delivery) {
        let (hop, message) = (delivery.hop.clone(), delivery.message.clone());
        let bytes = message.size_bytes();
        self.messages += 1;
        self.add_message(Change::Enqueue { session, place, hop, message }, bytes);
    }

    pub(crate) fn enqueue_batch(&mut self, session: SessionId, batch: Batch) {
        let bytes = batch.size_bytes();
        self.messages += u64::from(batch.messages());
        self.add_message(Change::EnqueueBatch { session, batch }, bytes);
    }

    pub(crate) fn retain(&mut self, message: Message, qos: QoS, publisher: Option<Arc<str>>, version: u64) {
        let bytes = message.size_bytes();
        self.messages += 1;
        self.add_message(Change::Retain { message, qos, publisher, version }, bytes);
    }

    pub(crate) fn clear(&mut self, topic: &str, version: u64) {
        self.add_message(Change::Clear { topic: topic.into(), version }, 32 + topic.len());
    }

    /// A queued message will not be delivered.
    pub fn give_up(&mut self, session: SessionId, place: u64) {
        self.add(Change::Drop { session, place }, 16, false);
    }

    /// A queued message was sent. At QoS 2 its PUBLISH must not leave before this is stored: a client that has
    /// it would get it again under another identifier.
    pub fn sent(&mut self, session: SessionId, place: u64, packet_id: PacketId, qos: QoS) {
        self.add(Change::Sent { session, place, packet_id, count: 1 }, 16, qos == QoS::ExactlyOnce);
    }

    /// The same for a batch of queued messages, whose identifiers go up by one from this on.
    pub fn sent_batch(&mut self, session: SessionId, batch: &Batch, packet_id: PacketId) {
        let (place, qos) = (batch.place(), batch.qos());
        let count = u16::try_from(batch.messages()).expect("each has an identifier");
        self.add(Change::Sent { session, place, packet_id, count }, 16, qos == QoS::ExactlyOnce);
    }

    /// The client has a QoS 2 message. Its PUBREL must not leave before this is stored.
    pub fn pubrec(&mut self, session: SessionId, packet_id: PacketId) {
        self.add(Change::Pubrec(session, packet_id), 16, true);
    }

    /// The client has acknowledged a message to the end.
    pub fn settled(&mut self, session: SessionId, packet_id: PacketId) {
        if let Some(Change::Settled { session: last, packet_id: first, count }) = self.changes.last_mut()
            && *last == session
            && first.get().checked_add(*count) == Some(packet_id.get())
        {
            *count += 1;
            return;
        }
        self.add(Change::Settled { session, packet_id, count: 1 }, 16, false);
    }

    /// A QoS 2 message was received and routed.
    pub fn received(&mut self, session: SessionId, packet_id: PacketId) {
        self.add(Change::Received(session, packet_id), 16, true);
    }

    /// The client has released a QoS 2 message. Its PUBCOMP must not leave before this is stored: the identifier
    /// may name another message after it, which would be taken for the same.
    pub fn released(&mut self, session: SessionId, packet_id: PacketId) {
        self.add(Change::Released(session, packet_id), 16, true);
    }
}

/// How far a store has come with the transactions of one connection, which numbers them from 1.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    failed: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Progress {
    /// The latest transaction that is stored as its messages ask for; all before it are stored as well.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Acquire)
    }

    /// Whether what is not done will never be.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Remembers whom to wake. Look at [`done`](Self::done) after it.
    pub fn register(&self, waker: &Waker) {
        let mut slot = self.waker.lock();
        if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    pub(crate) fn complete(&self, number: u64) {
        self.done.fetch_max(number, Ordering::AcqRel);
    }

    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Release);
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker.lock().take() {
            waker.wake();
        }
    }
}

impl Transaction {
    /// Takes everything out; what holds for further messages stays.
    pub(crate) fn take(&mut self) -> Self {
        let next = Self { durability: self.durability, ..Self::default() };
        std::mem::replace(self, next)
    }
}

/// Where transactions go.
///
/// ```
/// use std::sync::Arc;
/// use mqtt_store::durable::simulated::SimulatedMedium;
/// use mqtt_store::{DurableSettings, DurableStore, Store, Transaction};
///
/// let medium = Arc::new(SimulatedMedium::new());
/// let store = DurableStore::open_inline(medium, &DurableSettings::default()).expect("an empty medium");
/// let journal = store.journal().expect("it is durable");
/// journal.submit(&mut Transaction::default(), None);
/// println!("{:?}", journal.condition());
/// journal.close();
/// ```
pub trait Journal: core::fmt::Debug + Send + Sync {
    /// Hands a transaction over; it is empty afterwards. Those with the same `to` are stored in their order, and it
    /// hears when this one is, under this number, which is 0 if nobody waits.
    fn submit(&self, transaction: &mut Transaction, to: Option<(&Arc<Progress>, u64)>);

    /// Lets those who wait for a write share one. From now on the first transaction of a round has `call` called, and
    /// whoever heard it calls [`end_round`](Self::end_round) as soon as all who were ready have had their turn. Who is alone
    /// in a round is stored at once, a crowd at its end. With `None` there are no rounds, as in the beginning.
    fn call_rounds(&self, call: Option<Box<dyn Fn() + Send + Sync>>) {
        drop(call);
    }

    /// Stores what the others of a round wait for.
    fn end_round(&self) {}

    /// How the medium is.
    fn condition(&self) -> Condition;

    /// What was done so far.
    fn health(&self) -> &Health;

    /// Stores all that was submitted, syncs, and ends.
    fn close(&self);
}
