//! From segments to a running store: what was kept is read back, and what is missing is said.

use core::fmt;
use core::num::NonZeroU64;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use hashbrown::HashMap;
use mqtt_codec::{PacketId, Properties};
use mqtt_session::{Delivery, Message, NO_PUBLISHER, Session};
use mqtt_topic::TopicName;

use super::budget::Budget;
use super::image::{BodyImage, Image, RetainedImage, SessionImage};
use super::loader::Loader;
use super::medium::Medium;
use super::queue::DurableQueue;
use super::record::{self, Decoder, Unreadable, VERSION};
use super::segments::{Findings, Segments, offset_at};
use super::wall::Wall;
use super::writer::{Kept, for_each_record};
use crate::{MemoryQueue, Queue, QueueLimits, Recovered, Retained, SessionId, Source};

/// Name of a file that is there while a store is being filled from elsewhere.
pub(crate) const UNFINISHED_NAME: &str = "unfinished";

/// What was read back at the start.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Sessions.
    pub sessions: usize,
    /// Messages that wait or are under way.
    pub messages: usize,
    /// Retained messages.
    pub retained: usize,
    /// Bytes of all segments.
    pub bytes: u64,
    /// What could not be used.
    pub findings: Findings,
}

/// Why a store cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process has it.
    InUse,
    /// The medium failed.
    Medium(io::Error),
    /// What was stored safely cannot be read; each finding is a sentence. Nothing was changed.
    Damaged(Vec<String>),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("another process uses it"),
            Self::Medium(error) => error.fmt(f),
            Self::Damaged(findings) => write!(f, "stored data is damaged: {}", findings.join("; ")),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::WouldBlock { Self::InUse } else { Self::Medium(error) }
    }
}

/// Reads all segments. Nothing is written.
pub(crate) fn read(
    medium: Arc<dyn Medium>,
    segment_bytes_max: u64,
    mut progress: impl FnMut(u64),
) -> Result<(Kept, Findings), OpenError> {
    refuse_unfinished(&*medium)?;
    read_whatever(medium, segment_bytes_max, &mut progress)
}

/// Reads all segments, whether or not all are there yet.
pub(crate) fn read_whatever(
    medium: Arc<dyn Medium>,
    segment_bytes_max: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<(Kept, Findings), OpenError> {
    let mut image = Image::default();
    let mut read_bytes = 0;
    let mut foreign = None;
    let (segments, mut findings) = Segments::open(medium, segment_bytes_max, |records, origin| {
        read_bytes += records.len() as u64;
        progress(read_bytes);
        let read = for_each_record(records, origin, |record, spot| image.replay(record, spot));
        if let Err(Unreadable::Version(version)) = read {
            foreign.get_or_insert(version);
        }
        read.map_err(|_| "a record is of no kind that this version knows".to_owned())
    })?;
    if let Some(version) = foreign {
        return Err(OpenError::Medium(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "a record has version {version}, and this version of Martlet reads and writes version {VERSION} only"
            ),
        )));
    }
    findings.damaged.extend(image.settle());
    Ok((Kept { image, segments }, findings))
}

/// Reads everything that was put somewhere, whether or not that is finished, and says how much it is.
pub(crate) fn report(medium: Arc<dyn Medium>) -> Result<Report, OpenError> {
    let wall = Wall { instant: std::time::Instant::now(), unix_ms: 0 };
    let (kept, mut findings) = read_whatever(medium, u64::MAX, &mut |_| {})?;
    findings.damaged.extend(kept.retained(&wall, |_| {}));
    let limits = QueueLimits::default();
    let mut rebuilding = Rebuilding { kept: &kept, wall, limits, later: None, unreadable: Vec::new() };
    rebuilding.sessions();
    findings.damaged.extend(rebuilding.unreadable);
    if findings.damaged.is_empty() {
        Ok(kept.report(findings))
    } else {
        Err(OpenError::Damaged(findings.damaged))
    }
}

fn refuse_unfinished(medium: &dyn Medium) -> io::Result<()> {
    if medium.list()?.iter().any(|name| name == UNFINISHED_NAME) {
        return Err(io::Error::other(
            "an import or a backup into it was not finished: begin it again with --force",
        ));
    }
    Ok(())
}

/// How sessions are put together.
pub(crate) struct Rebuilding<'k> {
    pub(crate) kept: &'k Kept,
    pub(crate) wall: Wall,
    pub(crate) limits: QueueLimits,
    /// Where messages that wait come from when somebody asks for them; without it, all are read.
    pub(crate) later: Option<(Arc<Budget>, Arc<Loader>)>,
    /// What could not be read.
    pub(crate) unreadable: Vec<String>,
}

impl Kept {
    pub(crate) fn report(&self, findings: Findings) -> Report {
        Report {
            sessions: self.image.sessions.len(),
            messages: self.image.sessions.values().map(|session| session.entries.len()).sum(),
            retained: self.image.retained.len(),
            bytes: self.segments.len_bytes(),
            findings,
        }
    }

    /// Reads a message back.
    fn message(&self, id: u64, wall: &Wall) -> io::Result<Message> {
        let gone = || io::Error::from(io::ErrorKind::InvalidData);
        let bytes = self.body_bytes(id)?;
        let body = Decoder::checked_body(&bytes, id).map_err(|_| gone())?;
        message(&body, wall).ok_or_else(gone)
    }

    /// The record of a message.
    pub(crate) fn body_bytes(&self, id: u64) -> io::Result<Vec<u8>> {
        let spot = self.image.bodies.get(id).map(BodyImage::spot).unwrap_or_default();
        let file = self.segments.file(spot).ok_or(io::ErrorKind::InvalidData)?;
        let mut bytes = vec![0; spot.bytes as usize];
        file.read_at(&mut bytes, offset_at(spot.at))?;
        Ok(bytes)
    }

    /// Size and expiry of a message.
    fn outline(&self, id: u64, wall: &Wall) -> (u32, Option<Instant>) {
        let body = self.image.bodies.get(id).copied().unwrap_or_default();
        (body.size_bytes, expiry(body.expires_at_ms, wall))
    }

    /// All retained messages.
    pub(crate) fn retained(&self, wall: &Wall, mut each: impl FnMut(Retained)) -> Vec<String> {
        let mut unreadable = Vec::new();
        for (topic, retained) in &self.image.retained {
            match self.message(retained.body, wall) {
                Ok(message) => each(found(retained, message)),
                Err(error) => unreadable.push(format!("the retained message of {topic:?}: {error}")),
            }
        }
        unreadable
    }

    /// All retained messages without their bodies, in the order of their topics, with their versions.
    pub(crate) fn retained_outlines(&self, wall: &Wall) -> impl Iterator<Item = (&str, Retained, u64)> {
        let mut sources = Sources::default();
        self.sorted_retained().into_iter().map(move |(topic, retained)| {
            let (size_bytes, expires_at) = self.outline(retained.body, wall);
            let (message, qos) = (Message::absent(size_bytes, expires_at), record::qos(retained.qos));
            let source = retained.publisher.as_ref().and_then(|publisher| sources.find(publisher));
            (topic, Retained { message, qos, source }, retained.version)
        })
    }

    fn sorted_retained(&self) -> Vec<(&str, &RetainedImage)> {
        let retained = &self.image.retained;
        let same = common_bytes(retained.keys().map(|topic| topic.as_bytes()));
        // Comparing eight bytes at hand mostly spares a look at the texts themselves.
        let mut all: Vec<_> =
            retained.iter().map(|(topic, one)| (key_at(topic, same), &**topic, one)).collect();
        all.sort_unstable_by_key(|(key, topic, _)| (*key, *topic));
        all.into_iter().map(|(_, topic, one)| (topic, one)).collect()
    }
}

/// Publishers of retained messages, each made once.
#[derive(Default)]
struct Sources(HashMap<usize, Option<Arc<Source>>>);

impl Sources {
    /// The text is the same for all messages of a publisher, so its address names it.
    fn find(&mut self, publisher: &Arc<str>) -> Option<Arc<Source>> {
        let address = publisher.as_ptr().addr();
        self.0.entry(address).or_insert_with(|| Source::from_text(publisher).map(Arc::new)).clone()
    }
}

/// Bytes that all texts begin with.
fn common_bytes<'a>(mut texts: impl Iterator<Item = &'a [u8]>) -> usize {
    let Some(first) = texts.next() else { return 0 };
    texts.fold(first.len(), |same, text| {
        let pairs = first[..same].iter().zip(text);
        pairs.take_while(|(one, other)| one == other).count()
    })
}

/// Eight bytes of a text as a number that compares as they do.
fn key_at(text: &str, from: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(&text.as_bytes()[from..]).for_each(|(to, byte)| *to = *byte);
    u64::from_be_bytes(bytes)
}

fn found(retained: &RetainedImage, message: Message) -> Retained {
    let source = retained.publisher.as_deref().and_then(Source::from_text).map(Arc::new);
    Retained { message, qos: record::qos(retained.qos), source }
}

impl Rebuilding<'_> {
    /// All sessions, in the order in which they began.
    pub(crate) fn sessions(&mut self) -> Vec<Recovered> {
        let mut images: Vec<_> = self.kept.image.sessions.iter().collect();
        images.sort_unstable_by_key(|(id, _)| **id);
        let mut recovered = Vec::with_capacity(images.len());
        for (&id, image) in images {
            let Some(id) = NonZeroU64::new(id).map(SessionId) else { continue };
            recovered.push(self.session(id, image));
        }
        recovered
    }

    fn session(&mut self, id: SessionId, image: &SessionImage) -> Recovered {
        let head = image.head.clone().expect("sessions without a head were forgotten");
        let mut session = Session::new();
        for (filter, (subscription, _)) in &image.subscriptions {
            session.subscribe(filter, *subscription);
        }
        image.received.keys().filter_map(|id| PacketId::new(*id)).for_each(|id| session.restore_received(id));
        self.under_way(image, &head.client_id, &mut session);
        let queue = self.queue(id, image, &head.client_id);
        Recovered { id, head, session, queue }
    }

    /// What was sent and not acknowledged, in its order.
    fn under_way(&mut self, image: &SessionImage, client_id: &str, session: &mut Session) {
        let mut in_flight: Vec<_> = image.in_flight.iter().collect();
        in_flight.sort_by_key(|(_, one)| one.order);
        for (packet_id, one) in in_flight {
            if let (Some(packet_id), Some(delivery)) =
                (PacketId::new(*packet_id), self.delivery(image, one.place, client_id))
            {
                session.restore_sent(packet_id, delivery, one.released);
            }
        }
    }

    fn queue(&mut self, id: SessionId, image: &SessionImage, client_id: &str) -> Box<dyn Queue> {
        let waiting = image.entries.iter().filter(|(_, entry)| entry.packet_id == 0);
        let mut places: Vec<u64> = waiting.map(|(place, _)| place).collect();
        places.sort_unstable();
        let Some((budget, loader)) = self.later.clone() else {
            let mut queue = MemoryQueue::new(self.limits);
            let found = places.into_iter().filter_map(|place| self.delivery(image, place, client_id));
            found.for_each(|delivery| queue.restore(delivery));
            return Box::new(queue);
        };
        let mut queue = DurableQueue::new(id, image.entries.last(), self.limits, budget, loader);
        // What another member may have to get at once is in memory.
        let shares = image.subscriptions.keys().any(|filter| filter.starts_with("$share/"));
        for place in places {
            if shares {
                self.delivery(image, place, client_id).into_iter().for_each(|one| queue.restore_here(one));
            } else if let (Some(hop), Some(entry)) = (image.hop(place), image.entries.get(place)) {
                let (size_bytes, expires_at) = self.kept.outline(entry.body, &self.wall);
                queue.restore(&hop, size_bytes, expires_at);
            }
        }
        Box::new(queue)
    }

    fn delivery(&mut self, image: &SessionImage, place: u64, client_id: &str) -> Option<Delivery> {
        let (hop, entry) = (image.hop(place)?, image.entries.get(place)?);
        match self.kept.message(entry.body, &self.wall) {
            Ok(message) => Some(Delivery { hop, message }),
            Err(error) => {
                self.unreadable.push(format!("message {place} of client {client_id:?}: {error}"));
                None
            }
        }
    }
}

fn expiry(expires_at_ms: u64, wall: &Wall) -> Option<Instant> {
    if expires_at_ms == 0 { None } else { wall.to_instant(expires_at_ms) }
}

/// The message of a record; `None` if its topic is none.
pub(crate) fn message(body: &record::Body<'_>, wall: &Wall) -> Option<Message> {
    let topic = TopicName::parse(body.topic).ok()?;
    let expires_at = expiry(body.expires_at_ms, wall);
    let properties = Properties::from_validated(body.properties);
    Some(Message::new(topic, properties, body.payload, NO_PUBLISHER, expires_at))
}
