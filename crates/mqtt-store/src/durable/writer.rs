//! The one that writes: takes what waits in the channel, stores it with one write, and tells who waits for it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use hashbrown::HashMap;
use parking_lot::Mutex;

use super::health::{Condition, Health};
use super::image::{At, Image};
use super::record::{Decoder, Record, Unreadable};
use super::segments::{Segments, each_frame};
use super::wall::Wall;
use crate::journal::{Progress, Transaction};

/// What comes through the channel.
#[derive(Debug)]
pub(crate) enum Order {
    Store {
        transaction: Transaction,
        to: Option<(Arc<Progress>, u64)>,
    },
    /// Store all that came before, sync, and end.
    Close,
}

/// How a durable store writes.
#[derive(Clone, Copy, Debug)]
pub struct WriteSettings {
    /// The longest that something written stays unsynced.
    pub sync_interval: Duration,
    /// Bytes after which a new segment begins.
    pub segment_bytes_max: u64,
    /// Bytes of segments that are tolerated for one byte that is needed.
    pub space_factor: u64,
    /// Bytes of segments that are tolerated in any case.
    pub space_bytes_min: u64,
}

impl Default for WriteSettings {
    fn default() -> Self {
        Self {
            sync_interval: Duration::from_millis(200),
            segment_bytes_max: 32 << 20,
            space_factor: 2,
            space_bytes_min: 64 << 20,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Writer {
    /// Shared with those who read messages back.
    pub(crate) kept: Arc<Mutex<Kept>>,
    pub(crate) settings: WriteSettings,
    pub(crate) health: Arc<Health>,
    pub(crate) wall: Wall,
    /// Transactions that came before what they build on.
    early: Vec<Order>,
    /// Frames that could not be written yet.
    unwritten: Vec<u8>,
    /// Who is told when they are.
    unanswered: Vec<(Arc<Progress>, u64)>,
    unsynced: bool,
    synced_at: Option<Instant>,
    /// The oldest segment, while what is needed of it is written again.
    cleaning: Option<Cleaning>,
}

#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) image: Image,
    pub(crate) segments: Segments,
}

#[derive(Debug)]
struct Cleaning {
    number: u32,
    bytes: Vec<u8>,
    /// Frames that are done.
    frames: usize,
}

/// Bytes that go out with one write.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Bytes of the oldest segment that are looked at after each write, so that nobody waits long.
const CLEAN_BYTES: usize = 256 << 10;
/// Time between two attempts to write to a full medium.
const RETRY: Duration = Duration::from_millis(200);

impl Writer {
    pub(crate) fn new(
        kept: Arc<Mutex<Kept>>,
        settings: WriteSettings,
        health: Arc<Health>,
        wall: Wall,
    ) -> Self {
        let writer = Self {
            kept,
            settings,
            health,
            wall,
            early: Vec::new(),
            unwritten: Vec::new(),
            unanswered: Vec::new(),
            unsynced: false,
            synced_at: None,
            cleaning: None,
        };
        writer.note();
        writer
    }

    /// Serves a channel to its end.
    pub(crate) fn run(mut self, orders: &Receiver<Order>) {
        let mut batch = Vec::new();
        loop {
            match orders.recv_timeout(self.patience()) {
                Ok(order) => batch.push(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => batch.push(Order::Close),
            }
            let mut bytes = 0;
            while bytes < BATCH_BYTES_MAX
                && let Ok(order) = orders.try_recv()
            {
                bytes += order.bytes();
                batch.push(order);
            }
            if self.turn(&mut batch) {
                return;
            }
        }
    }

    /// How long to wait for more.
    fn patience(&self) -> Duration {
        if !self.unwritten.is_empty() {
            return RETRY;
        }
        if self.cleaning.is_some() || self.wants_cleaning() {
            return Duration::from_millis(1);
        }
        match self.synced_at {
            Some(at) if self.unsynced => self.settings.sync_interval.saturating_sub(at.elapsed()),
            _ => Duration::from_secs(3600),
        }
    }

    /// Stores what came. Whether it was the end.
    pub(crate) fn turn(&mut self, batch: &mut Vec<Order>) -> bool {
        let mut closing = false;
        let mut must_sync = false;
        let early = std::mem::take(&mut self.early);
        let orders: Vec<Order> = early.into_iter().chain(batch.drain(..)).collect();
        if self.health.condition() == Condition::Failed {
            closing = orders.iter().any(|order| matches!(order, Order::Close));
            self.give_up(orders);
            return closing;
        }
        let mut done = vec![false; orders.len()];
        let stored = self.store(&orders, &mut done, &mut must_sync, &mut closing);
        let due = self.unsynced
            && (must_sync
                || closing
                || self.synced_at.is_none_or(|at| at.elapsed() >= self.settings.sync_interval));
        match stored.and_then(|()| if due { self.sync() } else { Ok(()) }) {
            Ok(()) => self.answer(),
            Err(error) => self.fail(&error),
        }
        self.put_off(orders, &done);
        let idle = self.health.condition() == Condition::Good && self.unwritten.is_empty();
        if idle && let Err(error) = self.rotate().and_then(|()| self.clean()) {
            self.fail(&error);
        }
        self.note();
        closing
    }

    fn store(
        &mut self,
        orders: &[Order],
        done: &mut [bool],
        must_sync: &mut bool,
        closing: &mut bool,
    ) -> io::Result<()> {
        let kept = self.kept.clone();
        let mut kept = kept.lock();
        let Kept { image, segments } = &mut *kept;
        let mut frame = segments.frame(self.unwritten.len());
        let mut shared = HashMap::new();
        let mut pending = Vec::new();
        // Whatever came too early finds what it builds on in the same batch or in a later one.
        loop {
            let mut moved = false;
            let mut blocked: Vec<&Arc<Progress>> = Vec::new();
            for (order, done) in orders.iter().zip(&mut *done).filter(|(_, done)| !**done) {
                let Order::Store { transaction, to } = order else {
                    (*closing, *done) = (true, true);
                    continue;
                };
                let waits =
                    to.as_ref().is_some_and(|(to, _)| blocked.iter().any(|other| Arc::ptr_eq(other, to)));
                if waits || image.is_due(&transaction.changes).is_err() {
                    blocked.extend(to.as_ref().map(|(to, _)| to));
                    continue;
                }
                let changes = transaction.changes.iter();
                pending.extend(changes.filter_map(|change| image.apply(change, &mut shared)));
                *must_sync |= transaction.synced;
                self.health.transactions.fetch_add(1, Ordering::Relaxed);
                self.unanswered.extend(to.clone());
                (*done, moved) = (true, true);
            }
            if !moved || done.iter().all(|done| *done) {
                break;
            }
        }
        for pending in &pending {
            image.write(pending, &mut frame, &self.wall);
        }
        self.unwritten.extend(segments.seal(frame).unwrap_or_default());
        self.write(segments)
    }

    fn write(&mut self, segments: &mut Segments) -> io::Result<()> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        segments.append(&self.unwritten)?;
        self.health.become_(Condition::Good, None);
        self.health.writes.fetch_add(1, Ordering::Relaxed);
        self.health.bytes_written.fetch_add(self.unwritten.len() as u64, Ordering::Relaxed);
        self.unwritten.clear();
        self.unsynced = true;
        self.synced_at.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// The file is synced outside of the lock: whoever reads messages back does not wait.
    fn sync(&mut self) -> io::Result<()> {
        let (file, to) = self.kept.lock().segments.next_sync();
        file.sync()?;
        self.kept.lock().segments.note_synced(to);
        self.health.syncs.fetch_add(1, Ordering::Relaxed);
        self.unsynced = false;
        self.synced_at = Some(Instant::now());
        Ok(())
    }

    /// Begins a new segment where the last one is long enough.
    fn rotate(&mut self) -> io::Result<()> {
        if !self.kept.lock().segments.is_long() {
            return Ok(());
        }
        self.sync()?;
        self.kept.lock().segments.rotate()
    }

    fn answer(&mut self) {
        for (to, number) in &self.unanswered {
            to.complete(*number);
        }
        for (to, _) in self.unanswered.drain(..) {
            to.wake();
        }
    }

    /// A full medium may have room later: what could not be written is kept. Any other error is the end: what the
    /// system says about the medium's contents cannot be trusted any more.
    fn fail(&mut self, error: &io::Error) {
        let text = error.to_string();
        *self.health.last_error.lock() = Some(text.clone());
        if is_full(error) && self.health.condition() != Condition::Failed {
            self.health.become_(Condition::Full, Some(&text));
            return;
        }
        self.health.become_(Condition::Failed, Some(&text));
        self.unwritten = Vec::new();
        for (to, _) in self.unanswered.drain(..) {
            to.fail();
            to.wake();
        }
    }

    fn give_up(&mut self, orders: Vec<Order>) {
        for order in &orders {
            if let Order::Store { to: Some((to, _)), .. } = order {
                to.fail();
                to.wake();
            }
        }
        self.release(orders);
    }

    /// Keeps what came too early for the next turn.
    fn put_off(&mut self, orders: Vec<Order>, done: &[bool]) {
        let (stored, early): (Vec<_>, Vec<_>) = orders.into_iter().zip(done).partition(|(_, done)| **done);
        self.early = early.into_iter().map(|(order, _)| order).collect();
        self.release(stored.into_iter().map(|(order, _)| order).collect());
    }

    fn release(&self, orders: Vec<Order>) {
        let bytes: usize = orders.iter().map(Order::bytes).sum();
        self.health.bytes_waiting.fetch_sub(bytes as u64, Ordering::AcqRel);
    }

    fn wants_cleaning(&self) -> bool {
        let kept = self.kept.lock();
        let tolerated = self.settings.space_factor * kept.image.live_bytes + self.settings.space_bytes_min;
        kept.segments.len() > 1 && kept.segments.len_bytes() > tolerated
    }

    /// Goes on writing what is needed of the oldest segment again, and removes it when that is done.
    fn clean(&mut self) -> io::Result<()> {
        if self.cleaning.is_none() && self.wants_cleaning() {
            let oldest = self.kept.lock().segments.read_oldest()?;
            self.cleaning = oldest.map(|(number, bytes)| Cleaning { number, bytes, frames: 0 });
        }
        let Some(mut cleaning) = self.cleaning.take() else { return Ok(()) };
        let kept = self.kept.clone();
        let mut guard = kept.lock();
        let Kept { image, segments } = &mut *guard;
        let mut frame = segments.frame(self.unwritten.len());
        let (mut index, mut looked_at) = (0, 0);
        let mut finished = true;
        each_frame(cleaning.number, &cleaning.bytes, |records, origin| {
            index += 1;
            if index <= cleaning.frames {
                return;
            }
            if looked_at >= CLEAN_BYTES {
                finished = false;
                return;
            }
            looked_at += records.len();
            cleaning.frames = index;
            // What cannot be read was found when the store was opened.
            let _ = for_each_record(records, origin, |record, at, _| {
                if let Some(pending) = image.save(record, at) {
                    image.write(&pending, &mut frame, &self.wall);
                }
            });
        });
        self.unwritten.extend(segments.seal(frame).unwrap_or_default());
        self.write(segments)?;
        if !finished {
            self.cleaning = Some(cleaning);
            return Ok(());
        }
        drop(guard);
        // The copies must be safe before what they were made from goes.
        self.sync()?;
        self.kept.lock().segments.remove_oldest()
    }

    fn note(&self) {
        let kept = self.kept.lock();
        self.health.bytes_held.store(kept.segments.len_bytes(), Ordering::Relaxed);
        self.health.bytes_live.store(kept.image.live_bytes, Ordering::Relaxed);
        self.health.messages.store(kept.image.messages, Ordering::Relaxed);
    }

    /// Writes everything that is needed into new segments, until there is nothing else.
    pub(crate) fn compact(&mut self) -> io::Result<()> {
        self.kept.lock().segments.begin()?;
        let rounds = self.kept.lock().segments.len() - 1;
        let settings = self.settings;
        (self.settings.space_factor, self.settings.space_bytes_min) = (0, 0);
        let mut removed = 0;
        while removed < rounds {
            let before = self.kept.lock().segments.len();
            self.clean()?;
            removed += usize::from(self.cleaning.is_none());
            debug_assert!(before > 0, "there is always a segment");
        }
        self.settings = settings;
        self.sync()
    }
}

impl Order {
    fn bytes(&self) -> usize {
        match self {
            Self::Store { transaction, .. } => transaction.bytes,
            Self::Close => 0,
        }
    }
}

/// Takes the records of a frame one by one, with their places and lengths, up to one that cannot be read.
pub(crate) fn for_each_record<'a>(
    records: &'a [u8],
    origin: At,
    mut each: impl FnMut(&Record<'a>, At, u64),
) -> Result<(), Unreadable> {
    let mut decoder = Decoder::new(records);
    loop {
        let from = decoder.position() as u64;
        match decoder.next()? {
            Some(record) => each(&record, origin + from, decoder.position() as u64 - from),
            None => return Ok(()),
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
