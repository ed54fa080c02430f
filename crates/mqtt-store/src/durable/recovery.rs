//! From segments to a running store: what was kept is read back, and what is missing is said.

use core::fmt;
use core::num::NonZeroU64;
use std::io;
use std::sync::Arc;

use mqtt_codec::{PacketId, Properties};
use mqtt_session::{Delivery, Message, NO_PUBLISHER, Session};
use mqtt_topic::{TopicFilter, TopicName};

use super::image::{BodyImage, Image, SessionImage};
use super::medium::Medium;
use super::queue::DurableQueue;
use super::record::{self, Decoder, Unreadable, VERSION};
use super::segments::{Findings, Segments, offset_at};
use super::wall::Wall;
use super::writer::{Kept, for_each_record};
use crate::{QueueLimits, Recovered, Retained, SessionId, Source};

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
        let read = for_each_record(records, origin, |record, at, bytes| image.replay(record, at, bytes));
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
    findings.damaged.extend(kept.sessions(&wall, QueueLimits::default()).1);
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
    pub(crate) fn message(&self, body: &BodyImage, wall: &Wall) -> io::Result<Message> {
        let gone = || io::Error::from(io::ErrorKind::InvalidData);
        let bytes = self.body_bytes(body)?;
        let body = Decoder::checked_body(&bytes).map_err(|_| gone())?;
        message(&body, wall).ok_or_else(gone)
    }

    /// The record of a message.
    pub(crate) fn body_bytes(&self, body: &BodyImage) -> io::Result<Vec<u8>> {
        let file = self.segments.file(body.at).ok_or(io::ErrorKind::InvalidData)?;
        let mut bytes = vec![0; body.bytes as usize];
        file.read_at(&mut bytes, offset_at(body.at))?;
        Ok(bytes)
    }

    /// All retained messages.
    pub(crate) fn retained(&self, wall: &Wall, mut each: impl FnMut(Retained)) -> Vec<String> {
        let mut unreadable = Vec::new();
        for (topic, retained) in &self.image.retained {
            match self.message(&self.image.bodies[&retained.body], wall) {
                Ok(message) => {
                    let source = retained.publisher.as_deref().and_then(Source::from_text).map(Arc::new);
                    each(Retained { message, qos: record::qos(retained.qos), source });
                }
                Err(error) => unreadable.push(format!("the retained message of {topic:?}: {error}")),
            }
        }
        unreadable
    }

    /// All sessions.
    pub(crate) fn sessions(&self, wall: &Wall, limits: QueueLimits) -> (Vec<Recovered>, Vec<String>) {
        let mut unreadable = Vec::new();
        let mut recovered = Vec::with_capacity(self.image.sessions.len());
        for (&id, image) in &self.image.sessions {
            let Some(id) = NonZeroU64::new(id).map(SessionId) else { continue };
            recovered.push(self.session(id, image, wall, limits, &mut unreadable));
        }
        (recovered, unreadable)
    }

    fn session(
        &self,
        id: SessionId,
        image: &SessionImage,
        wall: &Wall,
        limits: QueueLimits,
        unreadable: &mut Vec<String>,
    ) -> Recovered {
        let head = image.head.clone().expect("sessions without a head were forgotten");
        let mut session = Session::new();
        for (filter, (subscription, _)) in &image.subscriptions {
            if TopicFilter::parse(&**filter).is_ok() {
                session.subscribe(filter, *subscription);
            }
        }
        image.received.keys().filter_map(|id| PacketId::new(*id)).for_each(|id| session.restore_received(id));
        let mut places: Vec<u64> = image.entries.keys().copied().collect();
        places.sort_unstable();
        let mut queue = DurableQueue::new(id, image.last_place(), limits);
        let mut in_flight = Vec::new();
        for place in places {
            let entry = &image.entries[&place];
            match self.message(&self.image.bodies[&entry.body], wall) {
                Ok(message) => {
                    let delivery = Delivery { hop: entry.hop(place), message };
                    match PacketId::new(entry.packet_id) {
                        Some(packet_id) => in_flight.push((entry.order, packet_id, entry.released, delivery)),
                        None => queue.restore(delivery),
                    }
                }
                Err(error) => {
                    unreadable.push(format!("message {place} of client {:?}: {error}", head.client_id));
                }
            }
        }
        in_flight.sort_by_key(|(order, ..)| *order);
        for (_, packet_id, released, delivery) in in_flight {
            session.restore_sent(packet_id, delivery, released);
        }
        Recovered { id, head, session, queue: Box::new(queue) }
    }
}

fn message(body: &record::Body<'_>, wall: &Wall) -> Option<Message> {
    let topic = TopicName::parse(body.topic).ok()?;
    let expires_at = if body.expires_at_ms == 0 { None } else { wall.to_instant(body.expires_at_ms) };
    let properties = Properties::from_validated(body.properties);
    Some(Message::new(topic, properties, body.payload, NO_PUBLISHER, expires_at))
}
