//! The one that writes: takes what waits in the channel, stores it with one write, and tells who waits for it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;

use super::health::{Condition, Health};
use super::image::{Frame, Image, Pending, Stranded};
use super::live::{At, Spot};
use super::loader::Loader;
use super::medium::MediumFile;
use super::orders::{Closing, Order, Orders};
use super::record::{Decoder, Record, Unreadable};
use super::segments::{HEADER_BYTES, Segments, name_of, read_frame};
use super::syncer::{Request, Synced, Syncer};
use super::wall::Wall;
use crate::SessionId;
use crate::journal::{Change, Progress};

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
    /// Who is told when they are, in the order of the transactions.
    unanswered: Vec<Waiting>,
    /// Whether something is written that no sync is meant to cover.
    unsynced: bool,
    /// Whether the thread knows that, and so when to sync.
    told_unsynced: bool,
    /// Whether somebody waits for a sync.
    must_sync: bool,
    synced_at: Option<Instant>,
    /// Syncs while others are served; without it, the writer does.
    syncer: Option<Syncer>,
    /// The oldest segment, while what is needed of it is written again.
    cleaning: Option<Cleaning>,
    /// Whether cleaning leaves most of the time to others.
    is_paced: bool,
    /// When the next part of a segment may be cleaned.
    clean_after: Option<Instant>,
    loader: Arc<Loader>,
}

#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) image: Image,
    pub(crate) segments: Segments,
}

#[derive(Debug)]
struct Cleaning {
    number: u32,
    file: Arc<dyn MediumFile>,
    len_bytes: u64,
    /// Everything before it is done.
    position: u64,
}

/// Somebody who waits for an answer.
#[derive(Debug)]
struct Waiting {
    to: Arc<Progress>,
    number: u64,
    needs: Needs,
}

/// What has to happen before an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Needs {
    Write {
        synced: bool,
    },
    /// Everything up to this place has to be synced.
    Sync(At),
    Nothing,
}

/// Bytes that go out with one write.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Bytes that are written by whoever waits for them.
const HERE_BYTES_MAX: usize = 16 << 10;
/// How often somebody looks for more that has come meanwhile.
const HERE_ROUNDS_MAX: usize = 4;
/// Bytes of the oldest segments that are looked at after each write, so that nobody waits long.
const CLEAN_BYTES: u64 = 256 << 10;
/// Bytes that are enough for one of several frames.
const FRAME_BYTES: usize = 256 << 10;
/// After cleaning for some time, so many times as long belong to others.
const CLEAN_PAUSE: u32 = 3;
/// Segments that wait for a sync before they are removed; more do not wait for the usual time of one.
const RETIRED_MAX: usize = 2;
/// Bytes that may have to be synced before a new segment begins; more are synced in the background first.
const ROTATE_UNSYNCED_BYTES_MAX: u64 = 1 << 20;
/// Time between two attempts to write to a full medium.
const RETRY: Duration = Duration::from_millis(200);

impl Writer {
    pub(crate) fn new(
        kept: Arc<Mutex<Kept>>,
        settings: WriteSettings,
        health: Arc<Health>,
        wall: Wall,
        loader: Arc<Loader>,
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
            told_unsynced: false,
            must_sync: false,
            synced_at: None,
            syncer: None,
            cleaning: None,
            is_paced: false,
            clean_after: None,
            loader,
        };
        writer.note();
        writer
    }

    /// Carries orders out until the last one.
    pub(crate) fn run(writer: &Mutex<Self>, orders: &Arc<Orders>) {
        let _closing = Closing { orders, health: writer.lock().health.clone() };
        writer.lock().begin(orders);
        let mut batch = Vec::new();
        loop {
            let patience = writer.lock().patience();
            orders.wait(patience);
            let mut writer = writer.lock();
            writer.take_synced();
            orders.take(&mut batch, BATCH_BYTES_MAX);
            if writer.turn(&mut batch) {
                writer.syncer = None;
                return;
            }
        }
    }

    fn begin(&mut self, orders: &Arc<Orders>) {
        self.is_paced = true;
        let medium = self.kept.lock().segments.medium();
        match Syncer::start(medium, orders.clone()) {
            Ok(syncer) => self.syncer = Some(syncer),
            Err(error) => self.fail(&error),
        }
    }

    fn take_synced(&mut self) {
        if let Some(synced) = self.syncer.as_mut().and_then(Syncer::take) {
            self.note_synced(synced);
        }
    }

    /// Stores what waits on the thread of somebody who waits for it, which is quicker than to call the writer's, if
    /// that is no more than a short write. The system is not asked for one while it syncs: it might take as long.
    pub(crate) fn store_here(writer: &Mutex<Self>, orders: &Orders) {
        for _ in 0..HERE_ROUNDS_MAX {
            let Some(mut writer) = writer.try_lock() else { return }; // whoever has it looks again
            if !writer.turn_here(orders) {
                break;
            }
            drop(writer);
            if !orders.has_urgent() {
                return;
            }
        }
        orders.ring();
    }

    fn turn_here(&mut self, orders: &Orders) -> bool {
        let is_quiet = self.early.is_empty() && self.unwritten.is_empty() && self.cleaning.is_none();
        let is_busy = self.syncer.as_ref().is_none_or(Syncer::is_busy);
        if !is_quiet || is_busy || self.health.condition() != Condition::Good {
            return false;
        }
        let mut batch = Vec::new();
        if self.kept.lock().segments.is_long() || !orders.take_light(&mut batch, HERE_BYTES_MAX) {
            return false;
        }
        let mut done = vec![false; batch.len()];
        match self.store(&batch, &mut done, &mut false) {
            Ok(()) => self.answer(),
            Err(error) => self.fail(&error),
        }
        self.loader.retry();
        let was_told = std::mem::replace(&mut self.told_unsynced, self.unsynced);
        self.put_off(batch, &done);
        was_told || !self.unsynced
    }

    /// How long to wait for more.
    fn patience(&self) -> Duration {
        if !self.unwritten.is_empty() {
            return RETRY;
        }
        let is_busy = self.syncer.as_ref().is_some_and(Syncer::is_busy);
        let sync = match self.synced_at {
            Some(at) if self.unsynced && !is_busy => self.settings.sync_interval.saturating_sub(at.elapsed()),
            _ => Duration::from_secs(3600),
        };
        if self.cleaning.is_some() || self.wants_cleaning() {
            return sync.min(self.clean_pause().max(Duration::from_millis(1)));
        }
        sync
    }

    /// How long cleaning has to wait for others.
    fn clean_pause(&self) -> Duration {
        let after = self.clean_after.filter(|_| self.is_paced);
        after.map_or(Duration::ZERO, |after| after.saturating_duration_since(Instant::now()))
    }

    /// Stores what came. Whether it was the end.
    pub(crate) fn turn(&mut self, batch: &mut Vec<Order>) -> bool {
        let mut closing = false;
        let early = std::mem::take(&mut self.early);
        let orders: Vec<Order> = early.into_iter().chain(batch.drain(..)).collect();
        if self.health.condition() == Condition::Failed {
            closing = orders.iter().any(|order| matches!(order, Order::Close));
            self.give_up(orders);
            self.loader.retry(); // what was never stored is not waited for
            return closing;
        }
        let mut done = vec![false; orders.len()];
        let stored = self.store(&orders, &mut done, &mut closing);
        let due = self.unsynced
            && (self.must_sync
                || closing
                || self.kept.lock().segments.retired_len() > if self.is_paced { RETIRED_MAX } else { 0 }
                || self.synced_at.is_none_or(|at| at.elapsed() >= self.settings.sync_interval));
        match stored.and_then(|()| if due { self.begin_sync(closing) } else { Ok(()) }) {
            Ok(()) => self.answer(),
            Err(error) => self.fail(&error),
        }
        self.loader.retry();
        self.put_off(orders, &done);
        let idle = self.health.condition() == Condition::Good && self.unwritten.is_empty();
        if idle && let Err(error) = self.rotate().and_then(|()| self.clean()) {
            self.fail(&error);
        }
        self.note();
        self.told_unsynced = self.unsynced;
        closing
    }

    fn store(&mut self, orders: &[Order], done: &mut [bool], closing: &mut bool) -> io::Result<()> {
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
            let mut blocked_sessions: Vec<SessionId> = Vec::new();
            for (order, done) in orders.iter().zip(&mut *done).filter(|(_, done)| !**done) {
                let Order::Store { transaction, to } = order else {
                    (*closing, *done) = (true, true);
                    continue;
                };
                let waits =
                    to.as_ref().is_some_and(|(to, _)| blocked.iter().any(|other| Arc::ptr_eq(other, to)));
                let mut followed = transaction.changes.iter().filter_map(Change::follows);
                let waits = waits
                    || !blocked_sessions.is_empty()
                        && followed.any(|session| blocked_sessions.contains(&session));
                if waits || image.is_due(&transaction.changes).is_err() {
                    blocked.extend(to.as_ref().map(|(to, _)| to));
                    blocked_sessions.extend(transaction.changes.iter().filter_map(Change::follows));
                    continue;
                }
                transaction.changes.iter().for_each(|change| image.apply(change, &mut shared, &mut pending));
                self.must_sync |= transaction.synced;
                self.health.messages_stored.fetch_add(transaction.messages, Ordering::Relaxed);
                self.health.transactions.fetch_add(1, Ordering::Relaxed);
                let needs = Needs::Write { synced: transaction.synced };
                let awaited = to.clone().filter(|(_, number)| *number > 0);
                let waiting = awaited.map(|(to, number)| Waiting { to, number, needs });
                self.unanswered.extend(waiting);
                (*done, moved) = (true, true);
            }
            if !moved || done.iter().all(|done| *done) {
                break;
            }
        }
        for pending in &pending {
            image.write(pending, &mut frame, &self.wall);
        }
        image.forget_fresh();
        self.unwritten.extend(segments.seal(frame).unwrap_or_default());
        self.write(segments)
    }

    fn write(&mut self, segments: &mut Segments) -> io::Result<()> {
        if self.unwritten.is_empty() {
            self.note_written(|_| Needs::Nothing); // what came left no trace
            return Ok(());
        }
        segments.append(&self.unwritten)?;
        self.health.become_(Condition::Good, None);
        self.health.writes.fetch_add(1, Ordering::Relaxed);
        self.health.bytes_written.fetch_add(self.unwritten.len() as u64, Ordering::Relaxed);
        self.unwritten.clear();
        self.unsynced = true;
        self.synced_at.get_or_insert_with(Instant::now);
        let (_, end) = segments.next_sync();
        self.note_written(|synced| if synced { Needs::Sync(end) } else { Needs::Nothing });
        Ok(())
    }

    /// Whoever waited for a write waits for what is left.
    fn note_written(&mut self, then: impl Fn(bool) -> Needs) {
        for waiting in self.unanswered.iter_mut().rev() {
            let Needs::Write { synced } = waiting.needs else { return };
            waiting.needs = then(synced);
        }
    }

    /// Has all synced that is written: in the background if possible, or at once if it is urgent.
    fn begin_sync(&mut self, urgent: bool) -> io::Result<()> {
        let Some(syncer) = self.syncer.as_mut().filter(|_| !urgent) else { return self.sync() };
        if syncer.is_busy() {
            return Ok(()); // what has come since is synced next
        }
        let kept = &mut self.kept.lock();
        let (file, to) = kept.segments.next_sync();
        let remove = kept.segments.removable(to);
        syncer.begin(Request { file, to, remove });
        (self.unsynced, self.must_sync) = (false, false);
        self.synced_at = Some(Instant::now());
        Ok(())
    }

    /// A sync in the background has ended.
    fn note_synced(&mut self, synced: Synced) {
        match synced.result {
            Ok(()) => {
                self.kept.lock().segments.note_removed(synced.to);
                self.health.syncs.fetch_add(1, Ordering::Relaxed);
                self.synced_at = Some(Instant::now());
            }
            Err(error) => self.fail(&error),
        }
    }

    /// The file is synced outside of the lock: whoever reads messages back does not wait.
    fn sync(&mut self) -> io::Result<()> {
        if let Some(synced) = self.syncer.as_mut().and_then(Syncer::wait) {
            self.note_synced(synced);
            if self.health.condition() == Condition::Failed {
                return Err(io::Error::other("the sync before it failed"));
            }
        }
        let (file, to) = self.kept.lock().segments.next_sync();
        file.sync()?;
        let mut kept = self.kept.lock();
        kept.segments.note_synced(to);
        kept.segments.remove_retired()?;
        drop(kept);
        self.health.syncs.fetch_add(1, Ordering::Relaxed);
        (self.unsynced, self.must_sync) = (false, false);
        self.synced_at = Some(Instant::now());
        Ok(())
    }

    /// Begins a new segment where the last one is long enough.
    fn rotate(&mut self) -> io::Result<()> {
        let mut kept = self.kept.lock();
        if !kept.segments.is_long() {
            return Ok(());
        }
        let unsynced_bytes = kept.segments.unsynced_bytes();
        drop(kept);
        let segment_bytes_max = self.settings.segment_bytes_max;
        let can_wait = self.syncer.is_some() && unsynced_bytes < segment_bytes_max;
        if can_wait && unsynced_bytes > ROTATE_UNSYNCED_BYTES_MAX {
            return self.begin_sync(false);
        }
        self.sync()?;
        self.kept.lock().segments.rotate()
    }

    /// Tells everybody for whom enough has happened. Whoever made a transaction hears of it after those that he made
    /// before.
    fn answer(&mut self) {
        let synced_to = self.kept.lock().segments.synced_to();
        let mut blocked: HashSet<usize> = HashSet::new();
        let mut told = Vec::new();
        self.unanswered.retain(|waiting| {
            let name = Arc::as_ptr(&waiting.to).addr();
            let ready = waiting.needs.is_met(synced_to) && (blocked.is_empty() || !blocked.contains(&name));
            if ready {
                waiting.to.complete(waiting.number);
                told.push(waiting.to.clone());
            } else {
                blocked.insert(name);
            }
            !ready
        });
        told.iter().for_each(|to| to.wake());
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
        for Waiting { to, .. } in self.unanswered.drain(..) {
            to.fail();
            to.wake();
        }
    }

    fn give_up(&mut self, orders: Vec<Order>) {
        orders.iter().for_each(Order::fail);
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
        self.held_over(1)
    }

    /// Whether the segments hold more than is tolerated, times this.
    fn held_over(&self, times: u64) -> bool {
        let kept = self.kept.lock();
        let live_bytes = kept.image.live.total_bytes();
        let tolerated = self.settings.space_factor * live_bytes + self.settings.space_bytes_min;
        kept.segments.oldest().is_some() && kept.segments.len_bytes() > tolerated * times
    }

    /// Goes on writing what is needed of the oldest segments again, and retires those with which that is done. Takes a part
    /// of the time only, as long as that keeps up.
    fn clean(&mut self) -> io::Result<()> {
        if !self.clean_pause().is_zero() && !self.held_over(2) {
            return Ok(());
        }
        let began = Instant::now();
        let mut left_bytes = CLEAN_BYTES;
        while left_bytes > 0 {
            self.choose_oldest();
            let Some(cleaning) = self.cleaning.take() else { break };
            let done = self.clean_part(cleaning, &mut left_bytes)?;
            self.clean_after = Some(Instant::now() + began.elapsed() * CLEAN_PAUSE);
            if done {
                // The copies must be safe before what they were made from goes.
                self.kept.lock().segments.retire_oldest();
                self.unsynced = true;
            }
        }
        Ok(())
    }

    /// Looks for a segment to clean. Those of which nothing is needed need no cleaning.
    fn choose_oldest(&mut self) {
        while self.cleaning.is_none() && self.wants_cleaning() {
            let mut kept = self.kept.lock();
            let Some((number, file, len_bytes)) = kept.segments.oldest() else { return };
            if kept.image.live.bytes_of(number) > 0 {
                self.cleaning = Some(Cleaning { number, file, len_bytes, position: HEADER_BYTES });
                return;
            }
            kept.image.live.forget(number);
            kept.segments.retire_oldest();
            self.unsynced = true;
        }
    }

    /// Writes what is needed of the next part of a segment again, about as many bytes as are left. Whether that was the
    /// last.
    fn clean_part(&mut self, mut cleaning: Cleaning, left_bytes: &mut u64) -> io::Result<bool> {
        let Cleaning { number, len_bytes, .. } = cleaning;
        while *left_bytes > 0 {
            let needed = self.kept.lock().image.live.bytes_of(number) > 0;
            let read = read_frame(number, &*cleaning.file, cleaning.position, len_bytes)?.filter(|_| needed);
            let Some(read) = read else {
                self.rescue(number)?;
                self.kept.lock().image.live.forget(number);
                return Ok(true);
            };
            *left_bytes = left_bytes.saturating_sub(read.next - cleaning.position);
            cleaning.position = read.next;
            self.save_records(&read.records, read.origin)?;
        }
        self.cleaning = Some(cleaning);
        Ok(false)
    }

    fn save_records(&mut self, records: &[u8], origin: At) -> io::Result<()> {
        let wall = self.wall;
        self.write_frame(|kept, frame| {
            // What cannot be read was found when the store was opened.
            let mut pending = Vec::new();
            let _ = for_each_record(records, origin, |record, spot| {
                kept.image.save(record, spot.at, &mut pending);
                pending.drain(..).for_each(|pending| kept.image.write(&pending, frame, &wall));
            });
        })
    }

    fn write_frame(&mut self, fill: impl FnOnce(&mut Kept, &mut Frame)) -> io::Result<()> {
        let kept = self.kept.clone();
        let mut kept = kept.lock();
        let mut frame = kept.segments.frame(self.unwritten.len());
        fill(&mut kept, &mut frame);
        self.unwritten.extend(kept.segments.seal(frame).unwrap_or_default());
        self.write(&mut kept.segments)
    }

    /// Writes again what a segment should hold and does not any more, because it was damaged after it had been read. The
    /// image has all but the messages, of which each is tried for itself.
    fn rescue(&mut self, number: u32) -> io::Result<()> {
        let stranded = self.kept.lock().image.stranded_in(number);
        if stranded.is_empty() {
            return Ok(());
        }
        let (wall, mut lost) = (self.wall, 0);
        let mut rest = stranded.iter();
        while !rest.as_slice().is_empty() {
            self.write_frame(|kept, frame| {
                while frame.bytes.len() < FRAME_BYTES
                    && let Some(stranded) = rest.next()
                {
                    lost += u64::from(!kept.write_stranded(stranded, frame, &wall));
                }
            })?;
        }
        let name = name_of(number);
        let sentence = format!(
            "{name} was damaged: {} records were written anew, {lost} messages are lost",
            stranded.len()
        );
        self.health.note_damage(sentence); // whoever asks for a lost message counts it
        Ok(())
    }

    fn note(&self) {
        let kept = self.kept.lock();
        self.health.bytes_held.store(kept.segments.len_bytes(), Ordering::Relaxed);
        self.health.bytes_live.store(kept.image.live.total_bytes(), Ordering::Relaxed);
        self.health.messages.store(kept.image.messages, Ordering::Relaxed);
    }

    /// Writes everything that is needed into new segments, until there is nothing else.
    pub(crate) fn compact(&mut self) -> io::Result<()> {
        self.kept.lock().segments.begin()?;
        let rounds = self.kept.lock().segments.len() - 1;
        for _ in 0..rounds {
            let oldest = self.kept.lock().segments.oldest();
            let Some((number, file, len_bytes)) = oldest else { break };
            self.cleaning = Some(Cleaning { number, file, len_bytes, position: HEADER_BYTES });
            while let Some(cleaning) = self.cleaning.take() {
                if self.clean_part(cleaning, &mut CLEAN_BYTES.clone())? {
                    self.kept.lock().segments.retire_oldest();
                }
            }
            self.rotate()?;
        }
        self.sync()
    }
}

impl Kept {
    /// Whether something of a damaged segment could be written as it was.
    fn write_stranded(&mut self, stranded: &Stranded, frame: &mut Frame, wall: &Wall) -> bool {
        let &Stranded::Body(id) = stranded else {
            if let Some(pending) = self.image.lift(stranded) {
                self.image.write(&pending, frame, wall);
            }
            return true;
        };
        let bytes = self.body_bytes(id).unwrap_or_default();
        match Decoder::checked_body(&bytes, id) {
            Ok(body) => {
                self.image.write(&Pending::Body(body), frame, wall);
                true
            }
            Err(_) => {
                self.image.write_lost(id, frame);
                false
            }
        }
    }
}

impl Needs {
    fn is_met(self, synced_to: At) -> bool {
        match self {
            Self::Write { .. } => false,
            Self::Sync(to) => to <= synced_to,
            Self::Nothing => true,
        }
    }
}

/// Takes the records of a frame one by one, with their places and lengths, up to one that cannot be read.
pub(crate) fn for_each_record<'a>(
    records: &'a [u8],
    origin: At,
    mut each: impl FnMut(&Record<'a>, Spot),
) -> Result<(), Unreadable> {
    let mut decoder = Decoder::new(records);
    loop {
        let from = decoder.position() as u64;
        match decoder.next()? {
            Some(record) => {
                let bytes = u32::try_from(decoder.position() as u64 - from).expect("a frame is short");
                each(&record, Spot { at: origin + from, bytes });
            }
            None => return Ok(()),
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
