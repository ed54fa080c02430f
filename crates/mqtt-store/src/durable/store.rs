//! The durable store: what is looked at often is in memory, and every change goes to the writer.

use core::fmt;
use core::num::NonZeroU64;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Wake, Waker};
use std::thread::{JoinHandle, Thread};
use std::time::Instant;

use mqtt_session::Message;
use mqtt_topic::{TopicFilter, TopicName};
use parking_lot::Mutex;

use super::budget::Budget;
use super::health::{Condition, Health};
use super::loader::Loader;
use super::medium::{Directory, Medium};
use super::orders::{Order, Orders};
use super::queue::DurableQueue;
use super::recovery::{self, OpenError, Rebuilding, Report};
use super::replay::RetainedTicket;
use super::rounds::Rounds;
use super::wall::Wall;
use super::writer::{Kept, WriteSettings, Writer};
use crate::retained::{Shelf, topic_of};
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
    /// Bytes of message bodies in memory, those of retained messages and of queues together; beyond it, bodies are on
    /// the medium only. What a client that is connected gets next, and what it has not acknowledged, is in memory
    /// nevertheless.
    pub memory_bytes_max: usize,
    /// Joins the clock of the process with the calendar.
    pub wall: Wall,
    /// Whether damaged data is left out instead of refusing to start. The report lists it.
    pub drop_damaged: bool,
}

/// A store on a medium.
///
/// ```no_run
/// use std::path::Path;
/// use mqtt_store::{DurableSettings, DurableStore, Store};
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let told = |bytes| println!("{bytes} bytes read");
/// let store = DurableStore::open(Path::new("/var/lib/broker"), &DurableSettings::default(), told)?;
/// println!("{} messages are retained", store.retained_totals().messages);
/// # Ok(()) }
/// ```
pub struct DurableStore {
    memory: MemoryStore,
    retained: Shelf,
    budget: Arc<Budget>,
    loader: Arc<Loader>,
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
    Thread {
        orders: Arc<Orders>,
        writer: Arc<Mutex<Writer>>,
        thread: Mutex<Option<JoinHandle<()>>>,
        rounds: Rounds,
    },
    /// At once, by whoever makes them: for tests that want every step in its order.
    Inline(Box<Mutex<Writer>>),
}

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
        Self::open_on(Arc::new(Directory::open(path)?), settings, progress)
    }

    /// Opens a medium, as [`open`](Self::open) opens a directory.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_on(
        medium: Arc<dyn Medium>,
        settings: &DurableSettings,
        progress: impl FnMut(u64),
    ) -> Result<Self, OpenError> {
        Self::on(medium, settings, progress, Loader::on_thread, |writer| {
            let (orders, writer) = (Arc::new(Orders::default()), Arc::new(Mutex::new(writer)));
            let (its_orders, its_writer) = (orders.clone(), writer.clone());
            let thread = std::thread::Builder::new().name("store".to_owned());
            let thread = thread.spawn(move || Writer::run(&its_writer, &its_orders))?;
            let (thread, rounds) = (Mutex::new(Some(thread)), Rounds::default());
            Ok(Way::Thread { orders, writer, thread, rounds })
        })
    }

    /// Opens a medium and stores every change at once, on the thread that makes it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_inline(medium: Arc<dyn Medium>, settings: &DurableSettings) -> Result<Self, OpenError> {
        let loader = |kept, health, wall| Ok(Loader::inline(kept, health, wall));
        Self::on(medium, settings, |_| {}, loader, |writer| Ok(Way::Inline(Box::new(Mutex::new(writer)))))
    }

    fn on(
        medium: Arc<dyn Medium>,
        settings: &DurableSettings,
        progress: impl FnMut(u64),
        loader: impl FnOnce(Arc<Mutex<Kept>>, Arc<Health>, Wall) -> io::Result<Loader>,
        way: impl FnOnce(Writer) -> io::Result<Way>,
    ) -> Result<Self, OpenError> {
        let wall = settings.wall;
        let (mut kept, findings) = recovery::read(medium, settings.write.segment_bytes_max, progress)?;
        if !findings.damaged.is_empty() && !settings.drop_damaged {
            return Err(OpenError::Damaged(findings.damaged));
        }
        kept.segments.tidy_end()?;
        kept.segments.begin()?;
        let report = kept.report(findings);
        let health = Arc::new(Health::default());
        let budget = Budget::new(health.clone(), settings.memory_bytes_max);
        let kept = Arc::new(Mutex::new(kept));
        let loader = Arc::new(loader(kept.clone(), health.clone(), wall)?);
        let mut store = Self {
            memory: MemoryStore::default(),
            retained: Shelf::new(settings.retained),
            budget: budget.clone(),
            loader: loader.clone(),
            way: way(Writer::new(kept.clone(), settings.write, health.clone(), wall, loader))?,
            kept,
            health,
            report,
            recovered: Mutex::default(),
            last_session: AtomicU64::new(0),
            last_version: Mutex::new(0),
        };
        store.rebuild(settings);
        Ok(store)
    }

    /// Puts together what the image amounts to.
    fn rebuild(&mut self, settings: &DurableSettings) {
        let kept = self.kept.lock();
        *self.last_session.get_mut() = kept.image.last_session;
        *self.last_version.get_mut() = kept.image.last_version;
        let mut rebuilding = Rebuilding {
            kept: &kept,
            wall: settings.wall,
            limits: settings.queue,
            later: Some((self.budget.clone(), self.loader.clone())),
            unreadable: Vec::new(),
        };
        let (kept, retained, recovered) = (&*kept, &self.retained, self.recovered.get_mut());
        std::thread::scope(|scope| {
            scope.spawn(|| retained.restore(kept.retained_outlines(&settings.wall)));
            *recovered = rebuilding.sessions();
        });
        self.report.findings.damaged.append(&mut rebuilding.unreadable);
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

    /// Has what could not be written tried again, which a thread does by itself. Nothing for a store with a thread.
    pub fn retry(&self) {
        if let Way::Inline(writer) = &self.way {
            writer.lock().turn(&mut Vec::new());
        }
    }

    /// Bytes of all segments now.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.kept.lock().segments.len_bytes()
    }

    /// Keeps or clears a message; the budget knows of it.
    fn shelve(
        &self,
        topic: TopicName<&str>,
        retained: Retained,
        version: u64,
    ) -> Result<RetainOutcome, StoreError> {
        let bytes_here = here_bytes(&retained);
        let is_empty = retained.message.payload().is_empty() && bytes_here > 0;
        let (outcome, old) = self.retained.retain(topic, retained, version)?;
        self.budget.add(if is_empty { 0 } else { bytes_here });
        self.budget.remove(old.as_ref().map_or(0, here_bytes));
        Ok(outcome)
    }

    fn next_session(&self) -> SessionId {
        let last = self.last_session.fetch_add(1, Ordering::Relaxed);
        SessionId(NonZeroU64::MIN.saturating_add(last))
    }

    fn order(&self, order: Order) {
        match &self.way {
            Way::Thread { orders, writer, rounds, .. } => {
                orders.push(order);
                if orders.has_urgent() && rounds.is_first() {
                    Writer::store_here(writer, orders);
                }
            }
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

    fn call_rounds(&self, call: Option<Box<dyn Fn() + Send + Sync>>) {
        if let Way::Thread { rounds, .. } = &self.way {
            rounds.set_caller(call);
            self.end_round();
        }
    }

    fn end_round(&self) {
        if let Way::Thread { orders, writer, rounds, .. } = &self.way {
            rounds.end();
            if orders.has_urgent() {
                Writer::store_here(writer, orders);
            }
        }
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
        self.loader.close();
        if matches!(self.way, Way::Thread { .. }) {
            self.kept.lock().segments.medium().release();
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
        let mut shelved = retained.clone();
        if transaction.keeps_messages() && !retained.message.payload().is_empty() && self.budget.is_over() {
            let size_bytes = u32::try_from(retained.message.size_bytes()).unwrap_or(u32::MAX);
            shelved.message = Message::absent(size_bytes, retained.message.expires_at());
        }
        let outcome = self.shelve(topic_of(&retained.message), shelved, *version + 1)?;
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
        // Whoever calls this can wait; the broker polls.
        let mut ticket = None;
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        loop {
            let polled = self.poll_retained(&mut ticket, filter, after, messages_max, now, &|| waker.clone());
            match polled {
                Poll::Ready(page) => return page,
                Poll::Pending if self.loader.is_inline() => return Err(StoreError::Unavailable),
                Poll::Pending => std::thread::park(),
            }
        }
    }

    fn poll_retained(
        &self,
        ticket: &mut Option<RetainedTicket>,
        filter: &TopicFilter<&str>,
        after: Option<&TopicName<Box<str>>>,
        messages_max: usize,
        now: Instant,
        waker: &dyn Fn() -> Waker,
    ) -> Poll<Result<RetainedPage, StoreError>> {
        if ticket.is_none() {
            let (page, holes) = self.retained.scan(filter, after, messages_max, now);
            if holes.is_empty() {
                return Poll::Ready(Ok(page));
            }
            *ticket = Some(RetainedTicket::new(page, holes, &self.loader, waker()));
        }
        match ticket
            .as_mut()
            .and_then(|ticket| ticket.complete(&self.retained, &self.budget, &self.loader, waker))
        {
            Some(page) => {
                *ticket = None;
                Poll::Ready(Ok(page))
            }
            None => Poll::Pending,
        }
    }

    fn retained_totals(&self) -> RetainedTotals {
        self.retained.totals()
    }

    fn expire_retained(&self, now: Instant) -> Vec<Box<str>> {
        let mut version = self.last_version.lock();
        let expired = self.retained.take_expired(now);
        let mut transaction = Transaction::default();
        for (topic, retained) in &expired {
            *version += 1;
            transaction.clear(topic, *version);
            self.budget.remove(here_bytes(retained));
        }
        drop(version);
        if !expired.is_empty() {
            self.submit(&mut transaction, None);
        }
        expired.into_iter().map(|(topic, _)| topic).collect()
    }

    fn next_retained_expiry(&self) -> Option<Instant> {
        self.retained.next_expiry()
    }

    fn open_queue(&self, client_id: &str, limits: QueueLimits) -> Result<Box<dyn Queue>, StoreError> {
        self.memory.open_queue(client_id, limits)
    }

    fn open_kept_queue(&self, _client_id: &str, limits: QueueLimits) -> Result<Box<dyn Queue>, StoreError> {
        let id = self.next_session();
        let (budget, loader) = (self.budget.clone(), self.loader.clone());
        Ok(Box::new(DurableQueue::new(id, 0, limits, budget, loader)))
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

    fn new_session_id(&self) -> Option<SessionId> {
        Some(self.next_session())
    }

    fn journal(&self) -> Option<&dyn Journal> {
        Some(self)
    }

    fn take_recovered(&self) -> Vec<Recovered> {
        std::mem::take(&mut *self.recovered.lock())
    }
}

/// Wakes a thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Bytes that a message's body takes in memory.
fn here_bytes(retained: &Retained) -> usize {
    if retained.message.is_absent() { 0 } else { retained.message.size_bytes() }
}

#[cfg(test)]
mod run_tests;
#[cfg(test)]
mod tests;
