//! The durable store: what is looked at often is in memory, and every change goes to the writer.

use core::fmt;
use core::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::Sender;
use mqtt_topic::{TopicFilter, TopicName};
use parking_lot::Mutex;

use super::health::{Condition, Health};
use super::medium::{Directory, Medium};
use super::queue::DurableQueue;
use super::recovery::{self, OpenError, Report};
use super::wall::Wall;
use super::writer::{Kept, Order, WriteSettings, Writer};
use crate::{
    Journal, MemoryStore, Parked, Progress, Queue, QueueLimits, Recovered, RetainOutcome, Retained,
    RetainedLimits, RetainedPage, RetainedTotals, SessionId, Store, StoreError, Transaction,
};

/// How a durable store is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct DurableSettings {
    /// How it writes.
    pub write: WriteSettings,
    /// Bounds on retained messages.
    pub retained: RetainedLimits,
    /// Bounds on the queues that are read back.
    pub queue: QueueLimits,
    /// Joins the clock of the process with the calendar.
    pub wall: Wall,
    /// Whether damaged data is left out instead of refusing to start. The report lists it.
    pub drop_damaged: bool,
}

/// A store on a medium.
pub struct DurableStore {
    memory: MemoryStore,
    way: Way,
    kept: Arc<Mutex<Kept>>,
    health: Arc<Health>,
    report: Report,
    recovered: Mutex<Vec<Recovered>>,
    last_session: AtomicU64,
    last_version: Mutex<u64>,
}

/// How changes come to the writer.
enum Way {
    /// A thread of its own.
    Thread { orders: Sender<Order>, thread: Mutex<Option<JoinHandle<()>>> },
    /// At once, by whoever makes them: for tests that want every step in its order.
    Inline(Box<Mutex<Writer>>),
}

/// Transactions that may wait for the writer.
const ORDERS_MAX: usize = 64 << 10;

impl DurableStore {
    /// Opens a directory and starts the writer's thread.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        path: &Path,
        settings: &DurableSettings,
        progress: impl FnMut(u64),
    ) -> Result<Self, OpenError> {
        let medium = Arc::new(Directory::open(path)?);
        Self::on(medium, settings, progress, |writer| {
            let (orders, waiting) = crossbeam_channel::bounded(ORDERS_MAX);
            let thread = std::thread::Builder::new().name("store".to_owned());
            let thread = thread.spawn(move || writer.run(&waiting))?;
            Ok(Way::Thread { orders, thread: Mutex::new(Some(thread)) })
        })
    }

    /// Opens a medium and stores every change at once, on the thread that makes it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_inline(medium: Arc<dyn Medium>, settings: &DurableSettings) -> Result<Self, OpenError> {
        Self::on(medium, settings, |_| {}, |writer| Ok(Way::Inline(Box::new(Mutex::new(writer)))))
    }

    fn on(
        medium: Arc<dyn Medium>,
        settings: &DurableSettings,
        progress: impl FnMut(u64),
        way: impl FnOnce(Writer) -> std::io::Result<Way>,
    ) -> Result<Self, OpenError> {
        let wall = settings.wall;
        let (mut kept, mut findings) = recovery::read(medium, settings.write.segment_bytes_max, progress)?;
        let memory = MemoryStore::new(RetainedLimits { messages_max: usize::MAX, bytes_max: usize::MAX });
        let unreadable = kept.retained(&wall, |retained| {
            memory.retain(retained).expect("there is no limit yet");
        });
        findings.damaged.extend(unreadable);
        let (recovered, unreadable) = kept.sessions(&wall, settings.queue);
        findings.damaged.extend(unreadable);
        if !findings.damaged.is_empty() && !settings.drop_damaged {
            return Err(OpenError::Damaged(findings.damaged));
        }
        kept.segments.tidy_end()?;
        kept.segments.begin()?;
        let report = kept.report(findings);
        let (last_session, last_version) = (kept.image.last_session, kept.image.last_version);
        let (kept, health) = (Arc::new(Mutex::new(kept)), Arc::new(Health::default()));
        let writer = Writer::new(kept.clone(), settings.write, health.clone(), wall);
        Ok(Self {
            memory: memory.with_limits(settings.retained),
            way: way(writer)?,
            kept,
            health,
            report,
            recovered: Mutex::new(recovered),
            last_session: AtomicU64::new(last_session),
            last_version: Mutex::new(last_version),
        })
    }

    /// What was read back at the start.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Writes everything that is needed into new segments and removes the old ones. Only for a store that nobody
    /// else uses.
    ///
    /// # Errors
    /// The medium failed.
    ///
    /// # Panics
    /// The store was opened with a thread.
    pub fn compact(&self) -> std::io::Result<()> {
        match &self.way {
            Way::Inline(writer) => writer.lock().compact(),
            Way::Thread { .. } => panic!("the thread has the writer"),
        }
    }

    /// Bytes of all segments now.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.kept.lock().segments.len_bytes()
    }

    fn order(&self, order: Order) {
        match &self.way {
            // A writer that is gone answers nobody, so nothing is acknowledged that it should have stored.
            Way::Thread { orders, .. } => drop(orders.send(order)),
            Way::Inline(writer) => {
                writer.lock().turn(&mut vec![order]);
            }
        }
    }
}

impl fmt::Debug for DurableStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableStore").field("report", &self.report).finish_non_exhaustive()
    }
}

impl Drop for DurableStore {
    fn drop(&mut self) {
        self.close();
    }
}

impl Journal for DurableStore {
    fn submit(&self, transaction: &mut Transaction, to: Option<(&Arc<Progress>, u64)>) {
        let transaction = transaction.take();
        self.health.bytes_waiting.fetch_add(transaction.size_bytes() as u64, Ordering::AcqRel);
        self.order(Order::Store { transaction, to: to.map(|(to, number)| (to.clone(), number)) });
    }

    fn condition(&self) -> Condition {
        self.health.condition()
    }

    fn health(&self) -> &Health {
        &self.health
    }

    fn close(&self) {
        self.order(Order::Close);
        if let Way::Thread { thread, .. } = &self.way
            && let Some(thread) = thread.lock().take()
        {
            // A thread that panicked has said so.
            thread.join().ok();
        }
    }
}

impl Store for DurableStore {
    fn retain(&self, retained: Retained) -> Result<RetainOutcome, StoreError> {
        let mut transaction = Transaction::default();
        transaction.set_durability(crate::Durability::Periodic);
        let outcome = self.retain_in(retained, None, &mut transaction);
        self.submit(&mut transaction, None);
        outcome
    }

    fn retain_in(
        &self,
        retained: Retained,
        publisher: Option<&Arc<str>>,
        transaction: &mut Transaction,
    ) -> Result<RetainOutcome, StoreError> {
        // The lock makes the order of versions that of what is in memory.
        let mut version = self.last_version.lock();
        let outcome = self.memory.retain(retained.clone())?;
        *version += 1;
        match outcome {
            RetainOutcome::Added | RetainOutcome::Replaced if transaction.keeps_messages() => {
                let source = retained.source.map(|source| Arc::from(source.to_text())).or(publisher.cloned());
                transaction.retain(retained.message, retained.qos, source, *version);
            }
            // A message that is not kept must not leave an earlier one behind that is.
            RetainOutcome::Replaced | RetainOutcome::Cleared => {
                transaction.clear(retained.message.topic(), *version);
            }
            RetainOutcome::Added | RetainOutcome::NothingToClear => {}
        }
        Ok(outcome)
    }

    fn scan_retained(
        &self,
        filter: &TopicFilter<&str>,
        after: Option<&TopicName<Box<str>>>,
        messages_max: usize,
        now: Instant,
    ) -> Result<RetainedPage, StoreError> {
        self.memory.scan_retained(filter, after, messages_max, now)
    }

    fn retained_totals(&self) -> RetainedTotals {
        self.memory.retained_totals()
    }

    fn expire_retained(&self, now: Instant) -> usize {
        let mut version = self.last_version.lock();
        let expired = self.memory.take_expired_retained(now);
        let mut transaction = Transaction::default();
        for message in &expired {
            *version += 1;
            transaction.clear(message.topic(), *version);
        }
        drop(version);
        if !expired.is_empty() {
            self.submit(&mut transaction, None);
        }
        expired.len()
    }

    fn next_retained_expiry(&self) -> Option<Instant> {
        self.memory.next_retained_expiry()
    }

    fn open_queue(&self, client_id: &str, limits: QueueLimits) -> Result<Box<dyn Queue>, StoreError> {
        self.memory.open_queue(client_id, limits)
    }

    fn open_kept_queue(&self, _client_id: &str, limits: QueueLimits) -> Result<Box<dyn Queue>, StoreError> {
        let id = self.last_session.fetch_add(1, Ordering::Relaxed) + 1;
        let id = SessionId(NonZeroU64::new(id).expect("above zero"));
        Ok(Box::new(DurableQueue::new(id, 0, limits)))
    }

    fn park(&self, client_id: &str, parked: Parked) -> Result<(), StoreError> {
        self.memory.park(client_id, parked)
    }

    fn unpark(&self, client_id: &str) -> Result<Option<Parked>, StoreError> {
        self.memory.unpark(client_id)
    }

    fn parked_len(&self) -> usize {
        self.memory.parked_len()
    }

    fn journal(&self) -> Option<&dyn Journal> {
        Some(self)
    }

    fn take_recovered(&self) -> Vec<Recovered> {
        std::mem::take(&mut *self.recovered.lock())
    }
}
