//! Puts a store together, item by item.

use core::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use mqtt_codec::{Properties, PropertyPlace};
use mqtt_topic::{TopicFilter, TopicName};

use super::image::{Frame, options_byte};
use super::item::{CopyItem, Item, MessageItem};
use super::medium::{Directory, Medium};
use super::record::{self, Record};
use super::recovery::{self, OpenError, Report, UNFINISHED_NAME};
use super::segments::{self, Segments, name_of};
use super::wills;
use super::writer::WriteSettings;
use crate::SessionHead;

/// Fills a directory with items, which have to come in an order in which whatever they refer to is there already.
///
/// Until [`finish`](Self::finish) a broker refuses to start on the directory; one that is dropped before leaves what
/// was there.
///
/// ```no_run
/// use std::path::Path;
/// use mqtt_store::durable::{Importer, Item};
///
/// # fn run(items: Vec<Item<'_>>) -> Result<(), Box<dyn std::error::Error>> {
/// let mut importer = Importer::begin(Path::new("/var/lib/broker"), false)?; // an empty directory
/// for item in &items {
///     importer.put(item)?;
/// }
/// let report = importer.finish()?; // until here nothing has changed
/// # let _ = report; Ok(()) }
/// ```
#[derive(Debug)]
pub struct Importer {
    medium: Arc<dyn Medium>,
    segments: Segments,
    frame: Frame,
    /// What is replaced.
    old: Vec<String>,
    /// Checksums of their topics.
    messages: HashMap<u64, u32>,
    sessions: HashMap<u64, Places>,
    last_version: u64,
    finished: bool,
}

/// What was given to a session so far.
#[derive(Debug, Default)]
struct Places {
    last_place: u64,
    last_order: u64,
    packet_ids: HashSet<u16>,
}

/// Why an item cannot be put into a store.
#[derive(Debug)]
pub enum ImportError {
    /// Something is in the directory already.
    NotEmpty,
    /// The directory cannot be used.
    Open(OpenError),
    /// The item means nothing; a sentence about it.
    Item(String),
}

/// Bytes that are written at once.
const FRAME_BYTES: usize = 1 << 20;

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEmpty => f.write_str("something is stored there already"),
            Self::Open(error) => error.fmt(f),
            Self::Item(sentence) => f.write_str(sentence),
        }
    }
}

impl std::error::Error for ImportError {}

impl From<io::Error> for ImportError {
    fn from(error: io::Error) -> Self {
        Self::Open(error.into())
    }
}

fn wrong<T>(sentence: impl fmt::Display) -> Result<T, ImportError> {
    Err(ImportError::Item(sentence.to_string()))
}

impl Importer {
    /// Begins to fill a directory, which is made if it is not there. With `replace`, what is stored there goes once
    /// everything new is safe.
    ///
    /// # Errors
    /// Something is stored there and is not to be replaced, another process uses it, or the medium failed.
    pub fn begin(path: &Path, replace: bool) -> Result<Self, ImportError> {
        let medium: Arc<dyn Medium> = Arc::new(Directory::open(path)?);
        let last = segments::numbers(&*medium)?.last().copied();
        if last.is_some() && !replace {
            return Err(ImportError::NotEmpty);
        }
        let old = medium.list()?.into_iter().filter(|name| name != UNFINISHED_NAME).collect();
        medium.create(UNFINISHED_NAME)?;
        let number = last.unwrap_or(0) + 1;
        let mut segments =
            Segments::fresh(medium.clone(), number, WriteSettings::default().segment_bytes_max)?;
        let frame = segments.frame(0);
        let (messages, sessions) = (HashMap::new(), HashMap::new());
        Ok(Self { medium, segments, frame, old, messages, sessions, last_version: 0, finished: false })
    }

    /// Puts an item in.
    ///
    /// # Errors
    /// It refers to what is not there, it is there already, or a value in it is wrong; or the medium failed.
    pub fn put(&mut self, item: &Item<'_>) -> Result<(), ImportError> {
        match *item {
            Item::Message { number, message } => self.message(number, message)?,
            Item::Retained { topic, message, qos, publisher } => {
                if self.topic_of(message)? != crc32fast::hash(topic.as_bytes()) {
                    return wrong(format_args!("message {message} is not of topic {topic:?}"));
                }
                self.last_version += 1;
                let (version, qos) = (self.last_version, qos as u8);
                self.frame.append(&Record::Retained { topic, version, body: message, qos, publisher });
            }
            Item::Session { number, head } => self.session(number, head)?,
            Item::Subscription { session, filter, subscription } => {
                self.places(session)?;
                if TopicFilter::parse(filter).is_err() {
                    return wrong(format_args!("{filter:?} is no topic filter"));
                }
                let identifier = subscription.identifier.unwrap_or(0);
                let options = options_byte(subscription.options);
                self.frame.append(&Record::Subscribe { session, filter, options, identifier });
            }
            Item::Received { session, packet_id } => {
                self.places(session)?;
                self.frame.append(&Record::Received { session, packet_id: packet_id.get() });
            }
            Item::InFlight { session, ref copy, packet_id, released } => {
                self.entry(session, copy, packet_id.get(), released)?;
            }
            Item::Queued { session, ref copy } => self.entry(session, copy, 0, false)?,
        }
        if self.frame.bytes.len() >= FRAME_BYTES { Ok(self.flush()?) } else { Ok(()) }
    }

    fn message(&mut self, number: u64, message: MessageItem<'_>) -> Result<(), ImportError> {
        let MessageItem { topic, properties, payload, expires_at_ms } = message;
        if TopicName::parse(topic).is_err() {
            return wrong(format_args!("{topic:?} is no topic name"));
        }
        let properties = match Properties::parse(properties, PropertyPlace::Publish) {
            Ok(properties) => properties,
            Err(error) => return wrong(format_args!("the properties of message {number}: {error}")),
        };
        if number == 0 || self.messages.contains_key(&number) {
            return wrong(format_args!("message {number} is there already, or 0"));
        }
        self.messages.insert(number, crc32fast::hash(topic.as_bytes()));
        self.frame.append(&Record::Body(record::Body {
            id: number,
            expires_at_ms: expires_at_ms.unwrap_or(0),
            topic,
            properties: properties.as_bytes(),
            payload,
            checksum: None,
        }));
        Ok(())
    }

    fn session(&mut self, number: u64, head: &SessionHead) -> Result<(), ImportError> {
        if number == 0 || self.sessions.contains_key(&number) {
            return wrong(format_args!("session {number} is there already, or 0"));
        }
        self.sessions.insert(number, Places::default());
        self.frame.append(&Record::Head(record::Head {
            session: number,
            client_id: &head.client_id,
            owner: &head.owner.as_ref().map(|owner| owner.to_text()).unwrap_or_default(),
            session_expiry_s: head.session_expiry_s,
            away_since_ms: head.away_since_ms.unwrap_or(0),
            will: head.will.as_ref().map(wills::record),
        }));
        Ok(())
    }

    fn entry(
        &mut self,
        session: u64,
        copy: &CopyItem<'_>,
        packet_id: u16,
        released: bool,
    ) -> Result<(), ImportError> {
        self.topic_of(copy.message)?;
        let places = self.places(session)?;
        if packet_id != 0 && !places.packet_ids.insert(packet_id) {
            return wrong(format_args!(
                "packet identifier {packet_id} of session {session} is there already"
            ));
        }
        places.last_place += 1;
        places.last_order += u64::from(packet_id != 0);
        let (place, order) = (places.last_place, if packet_id == 0 { 0 } else { places.last_order });
        let ids: Vec<u8> = copy.subscription_ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        self.frame.append(&Record::Entry(record::Entry {
            session,
            place,
            body: copy.message,
            qos: copy.qos as u8,
            retain: copy.retain,
            ids: &ids,
            packet_id,
            released,
            order,
        }));
        Ok(())
    }

    /// The checksum of a message's topic.
    fn topic_of(&self, message: u64) -> Result<u32, ImportError> {
        self.messages
            .get(&message)
            .copied()
            .map_or_else(|| wrong(format_args!("there is no message {message}")), Ok)
    }

    fn places(&mut self, session: u64) -> Result<&mut Places, ImportError> {
        self.sessions
            .get_mut(&session)
            .map_or_else(|| wrong(format_args!("there is no session {session}")), Ok)
    }

    fn flush(&mut self) -> io::Result<()> {
        let next = self.segments.frame(0);
        let frame = std::mem::replace(&mut self.frame, next);
        if let Some(frame) = self.segments.seal(frame) {
            self.segments.append(&frame)?;
        }
        if self.segments.is_long() {
            self.sync()?;
            self.segments.rotate()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let (file, to) = self.segments.next_sync();
        file.sync()?;
        self.segments.note_synced(to);
        Ok(())
    }

    /// Makes sure that everything is safe and can be read, and takes the place of what was there. What is there now.
    ///
    /// # Errors
    /// The medium failed; what was there before is lost only after everything new was safe.
    pub fn finish(mut self) -> Result<Report, ImportError> {
        self.flush()?;
        self.sync()?;
        self.finished = true; // what is new must stay from here on
        self.old.sort_unstable();
        for name in self.old.drain(..) {
            self.medium.remove(&name)?;
        }
        let report = recovery::report(self.medium.clone()).map_err(ImportError::Open)?;
        self.medium.remove(UNFINISHED_NAME)?;
        Ok(report)
    }
}

impl Drop for Importer {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let new = segments::numbers(&*self.medium).unwrap_or_default().into_iter().map(name_of);
        let removed =
            new.filter(|name| !self.old.contains(name)).try_for_each(|name| self.medium.remove(&name));
        // With the mark still there, nobody takes what is left for the whole.
        if removed.is_ok() {
            let _ = self.medium.remove(UNFINISHED_NAME);
        }
    }
}
