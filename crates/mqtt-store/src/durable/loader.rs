//! Reads bodies back that are on the medium only, away from whoever asks.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use mqtt_session::{Delivery, Hop};
use parking_lot::Mutex;

use super::health::{Condition, Health};
use super::image::{BodyImage, Image};
use super::medium::MediumFile;
use super::record::{self, Decoder};
use super::recovery;
use super::segments::{Segments, number_at, offset_at};
use super::wall::Wall;
use super::writer::Kept;

/// Which messages are wanted.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// Of one session's queue, by their places.
    Queued { session: u64, places: Vec<u64> },
    /// Retained ones: topics with their versions. One that has been replaced since is not found.
    Retained(Vec<(Box<str>, u64)>),
}

/// Where messages come that were asked for: in the order of the question, `None` for what cannot be read or is gone.
#[derive(Debug, Default)]
pub(crate) struct Fetched(Mutex<Option<Vec<Option<Delivery>>>>);

impl Fetched {
    pub(crate) fn take(&self) -> Option<Vec<Option<Delivery>>> {
        self.0.lock().take()
    }
}

#[derive(Debug)]
pub(crate) struct Job {
    wanted: Wanted,
    /// Whoever asked may have lost interest.
    to: Weak<Fetched>,
    waker: Waker,
    since: Instant,
}

#[derive(Debug)]
pub(crate) enum Order {
    Fetch(Job),
    /// Something was written.
    Retry,
    End,
}

/// Reads, at once or on a thread of its own, which alone holds the store then: queues may outlive it.
#[derive(Debug)]
pub(crate) enum Loader {
    Inline(Reading),
    Thread { orders: Sender<Order>, thread: Mutex<Option<JoinHandle<()>>>, waiting_len: Arc<AtomicUsize> },
}

#[derive(Debug)]
pub(crate) struct Reading {
    kept: Arc<Mutex<Kept>>,
    health: Arc<Health>,
    wall: Wall,
    /// Jobs that ask for something which is not written yet.
    waiting: Mutex<Vec<Job>>,
    waiting_len: Arc<AtomicUsize>,
}

/// A body that is to be read.
struct Part {
    /// Its place in the answer.
    index: usize,
    id: u64,
    body: BodyImage,
    hop: Hop,
    file: Arc<dyn MediumFile>,
}

/// Something that was asked for is not written yet.
struct NotYet;

/// What is asked for is on its way to the store; what has not come after this time never will.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Bytes between two bodies that are rather read than skipped.
const GAP_BYTES_MAX: u64 = 8 << 10;
/// Bytes that are read at once, unless one body is longer.
const SPAN_BYTES_MAX: u64 = 1 << 20;

impl Loader {
    /// Reads on the thread that asks.
    pub(crate) fn inline(kept: Arc<Mutex<Kept>>, health: Arc<Health>, wall: Wall) -> Self {
        Self::Inline(Reading::new(kept, health, wall))
    }

    /// Reads on a thread of its own.
    pub(crate) fn on_thread(kept: Arc<Mutex<Kept>>, health: Arc<Health>, wall: Wall) -> io::Result<Self> {
        let reading = Reading::new(kept, health, wall);
        let waiting_len = reading.waiting_len.clone();
        // Bounded by the sessions and replays that ask, which ask once at a time.
        let (orders, waiting) = crossbeam_channel::unbounded();
        let thread = std::thread::Builder::new().name("store-read".to_owned());
        let thread = Mutex::new(Some(thread.spawn(move || reading.run(&waiting))?));
        Ok(Self::Thread { orders, thread, waiting_len })
    }

    /// Whether answers are there as soon as they are asked for, or never.
    pub(crate) fn is_inline(&self) -> bool {
        matches!(self, Self::Inline(_))
    }

    /// Asks for messages; `waker` is woken when they are there.
    pub(crate) fn fetch(&self, wanted: Wanted, waker: Waker) -> Arc<Fetched> {
        let fetched = Arc::new(Fetched::default());
        let len = wanted.len();
        let job = Job { wanted, to: Arc::downgrade(&fetched), waker, since: Instant::now() };
        match self {
            Self::Inline(reading) => reading.serve_or_wait(job),
            Self::Thread { orders, .. } => {
                if orders.send(Order::Fetch(job)).is_err() {
                    // The store was closed: nothing can be read any more.
                    *fetched.0.lock() = Some(std::iter::repeat_with(|| None).take(len).collect());
                }
            }
        }
        fetched
    }

    /// Something was written that somebody may wait for. Costs next to nothing if nobody does.
    pub(crate) fn retry(&self) {
        match self {
            Self::Inline(reading) => reading.retry(),
            Self::Thread { orders, waiting_len, .. } => {
                if waiting_len.load(Ordering::Acquire) > 0 {
                    orders.send(Order::Retry).ok();
                }
            }
        }
    }

    /// Ends the thread.
    pub(crate) fn close(&self) {
        let Self::Thread { orders, thread, .. } = self else { return };
        orders.send(Order::End).ok();
        if let Some(thread) = thread.lock().take() {
            // A thread that panicked has said so.
            thread.join().ok();
        }
    }
}

impl Reading {
    fn new(kept: Arc<Mutex<Kept>>, health: Arc<Health>, wall: Wall) -> Self {
        Self { kept, health, wall, waiting: Mutex::default(), waiting_len: Arc::default() }
    }

    fn run(self, orders: &Receiver<Order>) {
        loop {
            let patience = if self.waiting_len.load(Ordering::Acquire) == 0 { 3600 } else { 1 };
            match orders.recv_timeout(Duration::from_secs(patience)) {
                Ok(Order::Fetch(job)) => self.serve_or_wait(job),
                Ok(Order::Retry) | Err(RecvTimeoutError::Timeout) => self.retry(),
                Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn serve_or_wait(&self, job: Job) {
        if let Some(job) = self.serve(job) {
            self.waiting.lock().push(job);
            self.waiting_len.fetch_add(1, Ordering::AcqRel);
            self.retry(); // the writer may have looked just before
        }
    }

    fn retry(&self) {
        let jobs = std::mem::take(&mut *self.waiting.lock());
        let count = jobs.len();
        let left: Vec<Job> = jobs.into_iter().filter_map(|job| self.serve(job)).collect();
        self.waiting_len.fetch_sub(count - left.len(), Ordering::AcqRel);
        self.waiting.lock().extend(left);
    }

    /// Gives the job back if it has to wait.
    fn serve(&self, job: Job) -> Option<Job> {
        let fetched = job.to.upgrade()?;
        let in_vain = self.health.condition() == Condition::Failed || job.since.elapsed() >= WAIT_MAX;
        let Ok(parts) = self.plan(&job.wanted, in_vain) else { return Some(job) };
        let mut found = Vec::new();
        found.resize_with(job.wanted.len(), || None);
        for part in self.read(parts) {
            let (index, delivery) = part;
            found[index] = delivery;
        }
        *fetched.0.lock() = Some(found);
        drop(fetched);
        job.waker.wake();
        None
    }

    /// Where everything stands that is wanted and not gone.
    fn plan(&self, wanted: &Wanted, in_vain: bool) -> Result<Vec<Part>, NotYet> {
        let mut kept = self.kept.lock();
        let Kept { image, segments } = &mut *kept;
        if let Wanted::Queued { session, places } = wanted {
            places.iter().for_each(|place| image.dissolve_at(*session, *place));
        }
        let mut parts = Vec::with_capacity(wanted.len());
        let mut add = |index, found: Result<Option<(u64, Hop)>, NotYet>| {
            let part = match found {
                Ok(None) => return Ok(()),
                Ok(Some((id, hop))) => part(image, segments, index, id, hop),
                Err(NotYet) => Err(NotYet),
            };
            match part {
                Ok(part) => parts.push(part),
                Err(NotYet) if in_vain => {}
                Err(NotYet) => return Err(NotYet),
            }
            Ok(())
        };
        match wanted {
            Wanted::Queued { session, places } => {
                for (index, place) in places.iter().enumerate() {
                    add(index, queued(image, *session, *place))?;
                }
            }
            Wanted::Retained(topics) => {
                for (index, (topic, version)) in topics.iter().enumerate() {
                    add(index, retained(image, topic, *version))?;
                }
            }
        }
        Ok(parts)
    }

    /// Reads in the order of the medium, neighbours together.
    fn read(&self, mut parts: Vec<Part>) -> Vec<(usize, Option<Delivery>)> {
        parts.sort_unstable_by_key(|part| part.body.spot().at);
        let (mut unreadable, mut last_error) = (0, String::new());
        let mut found = Vec::with_capacity(parts.len());
        let mut rest = &mut parts[..];
        while !rest.is_empty() {
            let (span, behind) = rest.split_at_mut(span_len(rest));
            rest = behind;
            let from = offset_at(span[0].body.spot().at);
            let last = span[span.len() - 1].body.spot();
            let mut bytes =
                vec![0; usize::try_from(offset_at(last.at) + u64::from(last.bytes) - from).unwrap_or(0)];
            let read = span[0].file.read_at(&mut bytes, from);
            for part in span {
                let message = read.as_ref().map_err(ToString::to_string).and_then(|()| {
                    let begin = usize::try_from(offset_at(part.body.spot().at) - from).unwrap_or(usize::MAX);
                    let body = bytes.get(begin..).and_then(|rest| rest.get(..part.body.bytes as usize));
                    self.decode(body.unwrap_or_default(), part.id)
                });
                let hop = part.hop.clone();
                let delivery = message.map(|message| Delivery { hop, message });
                let delivery = delivery.map_err(|error| (unreadable, last_error) = (unreadable + 1, error));
                found.push((part.index, delivery.ok()));
            }
        }
        if unreadable > 0 {
            let sentence =
                format!("{unreadable} messages cannot be read and are not delivered: {last_error}");
            self.health.note_unreadable(unreadable, sentence);
        }
        found
    }

    fn decode(&self, bytes: &[u8], id: u64) -> Result<mqtt_session::Message, String> {
        let body = Decoder::checked_body(bytes, id).ok();
        body.and_then(|body| recovery::message(&body, &self.wall))
            .ok_or_else(|| "the body of a message is damaged".to_owned())
    }
}

impl Wanted {
    fn len(&self) -> usize {
        match self {
            Self::Queued { places, .. } => places.len(),
            Self::Retained(topics) => topics.len(),
        }
    }
}

fn queued(image: &Image, session: u64, place: u64) -> Result<Option<(u64, Hop)>, NotYet> {
    let session = image.sessions.get(&session).ok_or(NotYet)?;
    let entry = session.entries.get(place).ok_or(NotYet)?;
    Ok(session.hop(place).map(|hop| (entry.body, hop)))
}

fn retained(image: &Image, topic: &str, version: u64) -> Result<Option<(u64, Hop)>, NotYet> {
    if image.has_passed(topic, version) {
        return Ok(None);
    }
    let retained = image.retained.get(topic).filter(|retained| retained.version == version).ok_or(NotYet)?;
    Ok(Some((retained.body, Hop::new(record::qos(retained.qos)))))
}

fn part(image: &Image, segments: &Segments, index: usize, id: u64, hop: Hop) -> Result<Part, NotYet> {
    let body = *image.bodies.get(id).ok_or(NotYet)?;
    let file = segments.file(body.spot()).ok_or(NotYet)?;
    Ok(Part { index, id, body, hop, file })
}

/// How many of the first parts are read at once.
fn span_len(parts: &[Part]) -> usize {
    let first = parts[0].body.spot();
    let mut end = first.at + u64::from(first.bytes);
    let mut len = 1;
    for part in &parts[1..] {
        let spot = part.body.spot();
        let near = spot.at.saturating_sub(end) <= GAP_BYTES_MAX && number_at(spot.at) == number_at(first.at);
        if !near || spot.at + u64::from(spot.bytes) - first.at > SPAN_BYTES_MAX {
            break;
        }
        end = end.max(spot.at + u64::from(spot.bytes));
        len += 1;
    }
    len
}
