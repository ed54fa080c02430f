//! What the segments amount to: where the latest record of everything stands, and how it all hangs together.
//!
//! The messages themselves are not here. A session's messages, subscriptions and identifiers each have one record
//! that stands for them; short records tell what became of them afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use mqtt_codec::{RetainHandling, SubscriptionOptions};
use mqtt_session::{Hop, Message, Subscription};

use super::record::{self, Encoder, Head, Record};
use super::wall::Wall;
use super::wills;
use crate::Source;
use crate::journal::{Change, SessionHead};

/// Where a record stands: number of the segment in the upper half, offset in the lower. 0: nowhere yet.
pub(crate) type At = u64;

/// Everything that is kept.
#[derive(Debug, Default)]
pub(crate) struct Image {
    pub(crate) sessions: HashMap<u64, SessionImage>,
    pub(crate) bodies: HashMap<u64, BodyImage>,
    pub(crate) retained: HashMap<Box<str>, RetainedImage>,
    /// Versions of topics that were cleared, for messages that come too late.
    cleared: HashMap<Box<str>, u64>,
    last_body: u64,
    pub(crate) last_session: u64,
    pub(crate) last_version: u64,
    /// Bytes of the records that are still needed.
    pub(crate) live_bytes: u64,
    /// Messages that wait or are under way, once for each session.
    pub(crate) messages: u64,
}

#[derive(Debug, Default)]
pub(crate) struct SessionImage {
    /// `None` while only later records of the session were read.
    pub(crate) head: Option<SessionHead>,
    head_at: At,
    pub(crate) subscriptions: BTreeMap<Box<str>, (Subscription, At)>,
    pub(crate) entries: HashMap<u64, EntryImage>,
    in_flight: HashMap<u16, u64>,
    pub(crate) received: BTreeMap<u16, At>,
    last_order: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct EntryImage {
    pub(crate) body: u64,
    at: At,
    pub(crate) packet_id: u16,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) released: bool,
    pub(crate) order: u64,
    pub(crate) ids: Option<Arc<[u32]>>,
}

#[derive(Debug, Default)]
pub(crate) struct BodyImage {
    pub(crate) at: At,
    pub(crate) bytes: u32,
    refs: u32,
    /// The message, until it is written.
    message: Option<Message>,
}

#[derive(Debug)]
pub(crate) struct RetainedImage {
    pub(crate) body: u64,
    pub(crate) version: u64,
    pub(crate) qos: u8,
    pub(crate) publisher: Option<Arc<str>>,
    at: At,
}

/// A record that has to be written, unless what it stands for has gone by then.
#[derive(Debug)]
pub(crate) enum Pending<'c> {
    Head(u64),
    Subscription(u64, &'c str),
    Entry(u64, u64),
    Received(u64, u16),
    Retained(&'c str),
    Body(record::Body<'c>),
    Delta(Record<'c>),
}

/// A transaction names a message that is still on its way here.
#[derive(Debug)]
pub(crate) struct TooEarly;

/// Records that are being collected for one write.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    /// Where the first byte will stand.
    pub(crate) origin: At,
    /// The last record and where it begins, if it may stand for more in a row.
    last: Option<(usize, Record<'static>)>,
}

/// What a short record is counted as.
const SMALL_BYTES: u64 = 32;
const CLEARED_MAX: usize = 100_000;

impl Image {
    /// Whether all that these changes build on is here.
    pub(crate) fn is_due(&self, changes: &[Change]) -> Result<(), TooEarly> {
        for (index, change) in changes.iter().enumerate() {
            if let Change::Sent { session, place, .. } | Change::Drop { session, place } = change
                && let Some(known) = self.sessions.get(&session.0.get())
                && !known.entries.contains_key(place)
                && !changes[..index].iter().any(|earlier| {
                    matches!(earlier,
                    Change::Enqueue { session: s, place: p, .. } if s == session && p == place)
                })
            {
                return Err(TooEarly);
            }
        }
        Ok(())
    }

    /// Takes a change over. What has to be written for it, if anything.
    ///
    /// Whatever can be replaced (a head, a subscription, a retained message) may have an earlier record that was
    /// written, although the latest was not: its end is written in any case. Only messages, which have a place of their
    /// own, go without a trace.
    pub(crate) fn apply<'c>(
        &mut self,
        change: &'c Change,
        shared: &mut HashMap<usize, u64>,
    ) -> Option<Pending<'c>> {
        match change {
            Change::Head(session, head) => {
                let session = session.0.get();
                self.last_session = self.last_session.max(session);
                let image = self.sessions.entry(session).or_default();
                if image.head_at != 0 {
                    self.live_bytes = self.live_bytes.saturating_sub(SMALL_BYTES);
                }
                (image.head, image.head_at) = (Some((**head).clone()), 0);
                Some(Pending::Head(session))
            }
            Change::End(session) => {
                let session = session.0.get();
                self.end(session)?;
                Some(Pending::Delta(Record::End { session }))
            }
            Change::Subscribe(session, filter, subscription) => {
                let session = session.0.get();
                self.sessions.get_mut(&session)?.subscriptions.insert(filter.clone(), (*subscription, 0));
                Some(Pending::Subscription(session, filter))
            }
            Change::Unsubscribe(session, filter) => {
                let session = session.0.get();
                self.sessions.get_mut(&session)?.subscriptions.remove(filter)?;
                Some(Pending::Delta(Record::Unsubscribe { session, filter }))
            }
            Change::Enqueue { session, place, hop, message } => {
                let session = session.0.get();
                if !self.sessions.contains_key(&session) {
                    return None;
                }
                let body = self.share(message, shared);
                self.put_entry(session, *place, EntryImage::new(body, hop));
                Some(Pending::Entry(session, *place))
            }
            Change::Drop { session, place } => self.done(session.0.get(), *place),
            Change::Sent { session, place, packet_id } => self.sent(session.0.get(), *place, packet_id.get()),
            Change::Pubrec(session, packet_id) => self.pubrec(session.0.get(), packet_id.get()),
            Change::Settled(session, packet_id) => {
                let session = session.0.get();
                let place = self.sessions.get_mut(&session)?.in_flight.remove(&packet_id.get())?;
                self.done(session, place)
            }
            Change::Received(session, packet_id) => {
                let (session, packet_id) = (session.0.get(), packet_id.get());
                self.sessions.get_mut(&session)?.received.insert(packet_id, 0);
                Some(Pending::Received(session, packet_id))
            }
            Change::Released(session, packet_id) => {
                let (session, packet_id) = (session.0.get(), packet_id.get());
                self.sessions.get_mut(&session)?.received.remove(&packet_id)?;
                Some(Pending::Delta(Record::Released { session, packet_id, count: 1 }))
            }
            Change::Retain { message, qos, publisher, version } => {
                if !self.is_latest(message.topic(), *version) {
                    return None;
                }
                let body = self.share(message, shared);
                let retained = RetainedImage {
                    body,
                    version: *version,
                    qos: *qos as u8,
                    publisher: publisher.clone(),
                    at: 0,
                };
                self.put_retained(message.topic(), retained);
                Some(Pending::Retained(message.topic()))
            }
            Change::Clear { topic, version } => {
                if !self.is_latest(topic, *version) {
                    return None;
                }
                self.clear(topic, *version)?;
                Some(Pending::Delta(Record::Cleared { topic, version: *version }))
            }
        }
    }

    fn sent<'c>(&mut self, session: u64, place: u64, packet_id: u16) -> Option<Pending<'c>> {
        let image = self.sessions.get_mut(&session)?;
        let order = image.last_order + 1;
        image.mark_sent(place, packet_id, order)?;
        let record = Record::Sent { session, place, packet_id, order, count: 1 };
        (image.entries.get(&place)?.at != 0).then_some(Pending::Delta(record))
    }

    fn pubrec<'c>(&mut self, session: u64, packet_id: u16) -> Option<Pending<'c>> {
        let image = self.sessions.get_mut(&session)?;
        let (place, order) = (*image.in_flight.get(&packet_id)?, image.last_order + 1);
        if image.entries.get(&place)?.released {
            return None;
        }
        image.mark_released(place, order)?;
        let record = Record::Pubrec { session, place, order, count: 1 };
        (image.entries.get(&place)?.at != 0).then_some(Pending::Delta(record))
    }

    /// An entry is gone. What has to be written, if it stands anywhere.
    fn done<'c>(&mut self, session: u64, place: u64) -> Option<Pending<'c>> {
        let entry = self.remove_entry(session, place)?;
        (entry.at != 0).then_some(Pending::Delta(Record::Done { session, place, count: 1 }))
    }

    fn remove_entry(&mut self, session: u64, place: u64) -> Option<EntryImage> {
        let image = self.sessions.get_mut(&session)?;
        let entry = image.entries.remove(&place)?;
        if entry.packet_id != 0 && image.in_flight.get(&entry.packet_id) == Some(&place) {
            image.in_flight.remove(&entry.packet_id);
        }
        self.forget_entry(&entry);
        Some(entry)
    }

    fn forget_entry(&mut self, entry: &EntryImage) {
        self.messages = self.messages.saturating_sub(1);
        if entry.at != 0 {
            self.live_bytes = self.live_bytes.saturating_sub(SMALL_BYTES);
        }
        self.release_body(entry.body);
    }

    fn put_entry(&mut self, session: u64, place: u64, entry: EntryImage) {
        let image = self.sessions.entry(session).or_default();
        if entry.packet_id != 0 {
            image.in_flight.insert(entry.packet_id, place);
            image.last_order = image.last_order.max(entry.order);
        }
        self.bodies.entry(entry.body).or_default().refs += 1;
        self.messages += 1;
        if let Some(old) = image.entries.insert(place, entry) {
            self.forget_entry(&old);
        }
    }

    /// The body of a message, the same for everybody who gets it out of one write.
    fn share(&mut self, message: &Message, shared: &mut HashMap<usize, u64>) -> u64 {
        if let Some(&id) = shared.get(&message.address())
            && self.bodies.contains_key(&id)
        {
            return id;
        }
        self.last_body += 1;
        let body = BodyImage { message: Some(message.clone()), ..BodyImage::default() };
        self.bodies.insert(self.last_body, body);
        shared.insert(message.address(), self.last_body);
        self.last_body
    }

    fn release_body(&mut self, id: u64) {
        let Some(body) = self.bodies.get_mut(&id) else { return };
        body.refs = body.refs.saturating_sub(1);
        if body.refs == 0 {
            if body.at != 0 {
                self.live_bytes = self.live_bytes.saturating_sub(body.bytes.into());
            }
            self.bodies.remove(&id);
        }
    }

    /// Ends a session; `None` if it is not known.
    fn end(&mut self, session: u64) -> Option<()> {
        let image = self.sessions.remove(&session)?;
        for entry in image.entries.values() {
            self.forget_entry(entry);
        }
        let small = image.subscriptions.len() + image.received.len() + usize::from(image.head_at != 0);
        self.live_bytes = self.live_bytes.saturating_sub(small as u64 * SMALL_BYTES);
        Some(())
    }

    fn is_latest(&self, topic: &str, version: u64) -> bool {
        let kept = self.retained.get(topic).map(|retained| retained.version);
        kept.max(self.cleared.get(topic).copied()).is_none_or(|known| known < version)
    }

    fn put_retained(&mut self, topic: &str, retained: RetainedImage) {
        self.last_version = self.last_version.max(retained.version);
        self.bodies.entry(retained.body).or_default().refs += 1;
        self.cleared.remove(topic);
        if let Some(old) = self.retained.insert(topic.into(), retained) {
            self.forget_retained(&old);
        }
    }

    fn forget_retained(&mut self, old: &RetainedImage) {
        if old.at != 0 {
            self.live_bytes = self.live_bytes.saturating_sub(SMALL_BYTES);
        }
        self.release_body(old.body);
    }

    fn clear(&mut self, topic: &str, version: u64) -> Option<()> {
        self.last_version = self.last_version.max(version);
        if self.cleared.len() >= CLEARED_MAX {
            self.cleared = HashMap::new(); // what came too late came long ago
        }
        self.cleared.insert(topic.into(), version);
        let old = self.retained.remove(topic)?;
        self.forget_retained(&old);
        Some(())
    }

    /// Appends a record to a frame, unless what it stands for is gone or written already.
    pub(crate) fn write(&mut self, pending: &Pending<'_>, frame: &mut Frame, wall: &Wall) {
        match *pending {
            Pending::Delta(record) if self.is_there_again(&record) => {}
            Pending::Delta(record) => frame.append_delta(&record),
            Pending::Body(body) => {
                if let Some(image) = self.bodies.get_mut(&body.id) {
                    image.at = frame.here();
                    frame.append(&Record::Body(body));
                }
            }
            Pending::Head(session) => self.write_head(session, frame),
            Pending::Subscription(session, filter) => self.write_subscription(session, filter, frame),
            Pending::Entry(session, place) => self.write_entry(session, place, frame, wall),
            Pending::Received(session, packet_id) => {
                let image = self.sessions.get_mut(&session);
                if let Some(at @ 0) = image.and_then(|image| image.received.get_mut(&packet_id)) {
                    *at = frame.here();
                    self.live_bytes += SMALL_BYTES;
                    frame.append(&Record::Received { session, packet_id });
                }
            }
            Pending::Retained(topic) => self.write_retained(topic, frame, wall),
        }
    }

    /// Whether what a record says the end of has come back in the same write, where its own record says all.
    fn is_there_again(&self, end: &Record<'_>) -> bool {
        let session = |session: u64| self.sessions.get(&session);
        match *end {
            Record::Unsubscribe { session: id, filter } => {
                session(id).is_some_and(|image| image.subscriptions.contains_key(filter))
            }
            Record::Released { session: id, packet_id, .. } => {
                session(id).is_some_and(|image| image.received.contains_key(&packet_id))
            }
            Record::Cleared { topic, .. } => self.retained.contains_key(topic),
            _ => false,
        }
    }

    fn write_head(&mut self, session: u64, frame: &mut Frame) {
        let Some(image) = self.sessions.get_mut(&session) else { return };
        let Some(head) = image.head.as_ref().filter(|_| image.head_at == 0) else { return };
        image.head_at = frame.here();
        self.live_bytes += SMALL_BYTES;
        frame.append(&Record::Head(Head {
            session,
            client_id: &head.client_id,
            owner: &head.owner.as_ref().map(|owner| owner.to_text()).unwrap_or_default(),
            session_expiry_s: head.session_expiry_s,
            away_since_ms: head.away_since_ms.unwrap_or(0),
            will: head.will.as_ref().map(wills::record),
        }));
    }

    fn write_subscription(&mut self, session: u64, filter: &str, frame: &mut Frame) {
        let Some(image) = self.sessions.get_mut(&session) else { return };
        let Some((subscription, at @ 0)) = image.subscriptions.get_mut(filter) else { return };
        *at = frame.here();
        self.live_bytes += SMALL_BYTES;
        let options = options_byte(subscription.options);
        let identifier = subscription.identifier.unwrap_or(0);
        frame.append(&Record::Subscribe { session, filter, options, identifier });
    }

    fn write_body(&mut self, id: u64, frame: &mut Frame, wall: &Wall) {
        let Some(body) = self.bodies.get_mut(&id) else { return };
        let Some(message) = body.message.take() else { return };
        body.at = frame.here();
        frame.append(&Record::Body(record::Body {
            id,
            expires_at_ms: message.expires_at().map_or(0, |at| wall.to_ms(at).max(1)),
            topic: message.topic(),
            properties: message.properties().as_bytes(),
            payload: message.payload(),
        }));
        body.bytes = u32::try_from(frame.here() - body.at).unwrap_or(u32::MAX);
        self.live_bytes += u64::from(body.bytes);
    }

    fn write_entry(&mut self, session: u64, place: u64, frame: &mut Frame, wall: &Wall) {
        let entry = self.sessions.get(&session).and_then(|image| image.entries.get(&place));
        let Some(body) = entry.filter(|entry| entry.at == 0).map(|entry| entry.body) else { return };
        self.write_body(body, frame, wall);
        let image = self.sessions.get_mut(&session).expect("it was here");
        let entry = image.entries.get_mut(&place).expect("it was here");
        entry.at = frame.here();
        self.live_bytes += SMALL_BYTES;
        let ids: Vec<u8> =
            entry.ids.iter().flat_map(|ids| ids.iter()).flat_map(|id| id.to_le_bytes()).collect();
        frame.append(&Record::Entry(record::Entry {
            session,
            place,
            body,
            qos: entry.qos,
            retain: entry.retain,
            ids: &ids,
            packet_id: entry.packet_id,
            released: entry.released,
            order: entry.order,
        }));
    }

    fn write_retained(&mut self, topic: &str, frame: &mut Frame, wall: &Wall) {
        let Some(body) = self.retained.get(topic).filter(|retained| retained.at == 0).map(|r| r.body) else {
            return;
        };
        self.write_body(body, frame, wall);
        let retained = self.retained.get_mut(topic).expect("it was here");
        retained.at = frame.here();
        self.live_bytes += SMALL_BYTES;
        let publisher = retained.publisher.as_deref().unwrap_or_default();
        let (version, qos) = (retained.version, retained.qos);
        frame.append(&Record::Retained { topic, version, body, qos, publisher });
    }

    /// What has to be written again before the segment with this record may go; `None` if nobody needs it.
    pub(crate) fn save<'c>(&mut self, record: &Record<'c>, at: At) -> Option<Pending<'c>> {
        let small = |live_bytes: &mut u64| *live_bytes = live_bytes.saturating_sub(SMALL_BYTES);
        match *record {
            Record::Body(body) => (self.bodies.get(&body.id)?.at == at).then_some(Pending::Body(body)),
            Record::Entry(record::Entry { session, place, .. }) => {
                let entry = self.sessions.get_mut(&session)?.entries.get_mut(&place)?;
                (entry.at == at).then(|| entry.at = 0)?;
                small(&mut self.live_bytes);
                Some(Pending::Entry(session, place))
            }
            Record::Head(Head { session, .. }) => {
                let image = self.sessions.get_mut(&session)?;
                (image.head_at == at).then(|| image.head_at = 0)?;
                small(&mut self.live_bytes);
                Some(Pending::Head(session))
            }
            Record::Subscribe { session, filter, .. } => {
                let (_, kept_at) = self.sessions.get_mut(&session)?.subscriptions.get_mut(filter)?;
                (*kept_at == at).then(|| *kept_at = 0)?;
                small(&mut self.live_bytes);
                Some(Pending::Subscription(session, filter))
            }
            Record::Received { session, packet_id } => {
                let kept_at = self.sessions.get_mut(&session)?.received.get_mut(&packet_id)?;
                (*kept_at == at).then(|| *kept_at = 0)?;
                small(&mut self.live_bytes);
                Some(Pending::Received(session, packet_id))
            }
            Record::Retained { topic, .. } => {
                let retained = self.retained.get_mut(topic)?;
                (retained.at == at).then(|| retained.at = 0)?;
                small(&mut self.live_bytes);
                Some(Pending::Retained(topic))
            }
            _ => None,
        }
    }

    /// Takes a record over that was read back. Bodies that nobody refers to stay until [`settle`](Self::settle):
    /// who refers to them may come later.
    pub(crate) fn replay(&mut self, record: &Record<'_>, at: At, bytes: u64) {
        match *record {
            Record::Body(body) => {
                self.last_body = self.last_body.max(body.id);
                let image = self.bodies.entry(body.id).or_default();
                (image.at, image.bytes) = (at, u32::try_from(bytes).unwrap_or(u32::MAX));
            }
            Record::Entry(entry) => {
                self.bodies.entry(entry.body).or_default().refs += 1; // held until the end of the replay
                self.put_entry(entry.session, entry.place, EntryImage::read(&entry, at));
            }
            Record::Sent { session, place, packet_id, order, count } => {
                if let Some(image) = self.sessions.get_mut(&session) {
                    for step in 0..count {
                        let (place, order) =
                            (place.wrapping_add(step.into()), order.wrapping_add(step.into()));
                        image.mark_sent(place, packet_id.wrapping_add(step), order);
                    }
                }
            }
            Record::Pubrec { session, place, order, count } => {
                if let Some(image) = self.sessions.get_mut(&session) {
                    for step in 0..u64::from(count) {
                        image.mark_released(place.wrapping_add(step), order.wrapping_add(step));
                    }
                }
            }
            Record::Done { session, place, count } => {
                for step in 0..u64::from(count) {
                    self.remove_entry(session, place.wrapping_add(step));
                }
            }
            Record::Head(head) => {
                self.last_session = self.last_session.max(head.session);
                let image = self.sessions.entry(head.session).or_default();
                image.head_at = at;
                image.head = Some(SessionHead {
                    client_id: head.client_id.into(),
                    owner: Source::from_text(head.owner).map(Arc::new),
                    session_expiry_s: head.session_expiry_s,
                    away_since_ms: Some(head.away_since_ms).filter(|ms| *ms > 0),
                    will: head.will.as_ref().and_then(wills::read),
                });
            }
            Record::End { session } => {
                self.end(session);
            }
            Record::Subscribe { session, filter, options, identifier } => {
                let options = options_of(options);
                let identifier = Some(identifier).filter(|identifier| *identifier > 0);
                let image = self.sessions.entry(session).or_default();
                image.subscriptions.insert(filter.into(), (Subscription { options, identifier }, at));
            }
            Record::Unsubscribe { session, filter } => {
                self.sessions.entry(session).or_default().subscriptions.remove(filter);
            }
            Record::Received { session, packet_id } => {
                self.sessions.entry(session).or_default().received.insert(packet_id, at);
            }
            Record::Released { session, packet_id, count } => {
                let received = &mut self.sessions.entry(session).or_default().received;
                for step in 0..count {
                    received.remove(&packet_id.wrapping_add(step));
                }
            }
            Record::Retained { topic, version, body, qos, publisher } => {
                self.bodies.entry(body).or_default().refs += 1; // held until the end of the replay
                let publisher = Some(publisher).filter(|publisher| !publisher.is_empty()).map(Arc::from);
                self.put_retained(topic, RetainedImage { body, version, qos, publisher, at });
            }
            Record::Cleared { topic, version } => {
                self.clear(topic, version);
            }
        }
    }

    /// After a replay: forgets what nobody refers to. Messages whose bodies are missing, with the sessions and
    /// topics that they were for.
    pub(crate) fn settle(&mut self) -> Vec<String> {
        let mut missing = Vec::new();
        self.sessions.retain(|_, image| image.head.is_some()); // only remains of what has ended
        self.cleared = HashMap::new();
        for body in self.bodies.values_mut() {
            body.refs = 0;
        }
        for image in self.sessions.values_mut() {
            let client_id = image.head.as_ref().map_or("", |head| &*head.client_id).to_owned();
            image.entries.retain(|place, entry| match self.bodies.get_mut(&entry.body) {
                Some(body) if body.at != 0 => {
                    body.refs += 1;
                    true
                }
                _ => {
                    missing.push(format!("message {place} of client {client_id:?} has no body"));
                    false
                }
            });
        }
        self.messages = self.sessions.values().map(|image| image.entries.len() as u64).sum();
        self.retained.retain(|topic, retained| match self.bodies.get_mut(&retained.body) {
            Some(body) if body.at != 0 => {
                body.refs += 1;
                true
            }
            _ => {
                missing.push(format!("the retained message of {topic:?} has no body"));
                false
            }
        });
        self.bodies.retain(|_, body| body.refs > 0);
        self.live_bytes = self.count_live_bytes();
        missing
    }

    fn count_live_bytes(&self) -> u64 {
        let bodies: u64 = self.bodies.values().map(|body| u64::from(body.bytes)).sum();
        let of_sessions =
            |image: &SessionImage| 1 + image.subscriptions.len() + image.entries.len() + image.received.len();
        let small = self.sessions.values().map(of_sessions).sum::<usize>() + self.retained.len();
        bodies + small as u64 * SMALL_BYTES
    }
}

impl SessionImage {
    fn mark_sent(&mut self, place: u64, packet_id: u16, order: u64) -> Option<()> {
        let entry = self.entries.get_mut(&place)?;
        (entry.packet_id, entry.order) = (packet_id, order);
        self.last_order = self.last_order.max(order);
        self.in_flight.insert(packet_id, place);
        Some(())
    }

    fn mark_released(&mut self, place: u64, order: u64) -> Option<()> {
        let entry = self.entries.get_mut(&place)?;
        (entry.released, entry.order) = (true, order);
        self.last_order = self.last_order.max(order);
        Some(())
    }

    /// The highest place that was given.
    pub(crate) fn last_place(&self) -> u64 {
        self.entries.keys().copied().max().unwrap_or(0)
    }
}

impl EntryImage {
    fn new(body: u64, hop: &Hop) -> Self {
        Self {
            body,
            at: 0,
            packet_id: 0,
            qos: hop.qos as u8,
            retain: hop.retain,
            released: false,
            order: 0,
            ids: hop.subscription_ids.clone(),
        }
    }

    fn read(entry: &record::Entry<'_>, at: At) -> Self {
        let ids: Arc<[u32]> = entry.ids.as_chunks().0.iter().map(|id| u32::from_le_bytes(*id)).collect();
        Self {
            body: entry.body,
            at,
            packet_id: entry.packet_id,
            qos: entry.qos,
            retain: entry.retain,
            released: entry.released,
            order: entry.order,
            ids: Some(ids).filter(|ids| !ids.is_empty()),
        }
    }

    /// What a receiver's copy adds. Which shared subscription chose the session is not kept: a group's key means
    /// nothing, or another group, in the next process.
    pub(crate) fn hop(&self, place: u64) -> Hop {
        Hop {
            retain: self.retain,
            subscription_ids: self.ids.clone(),
            place,
            ..Hop::new(record::qos(self.qos))
        }
    }
}

impl Frame {
    /// An empty frame behind its head.
    pub(crate) fn new(head_bytes: usize, origin: At) -> Self {
        Self { bytes: vec![0; head_bytes], origin, last: None }
    }

    /// Where the next record will stand.
    pub(crate) fn here(&self) -> At {
        self.origin + self.bytes.len() as u64
    }

    pub(crate) fn append(&mut self, record: &Record<'_>) {
        self.last = None;
        Encoder(&mut self.bytes).record(record);
    }

    /// Appends a record that nobody looks for later.
    fn append_delta(&mut self, record: &Record<'_>) {
        let joined = self.last.and_then(|(at, last)| Some((at, last.joined(record)?)));
        self.bytes.truncate(joined.map_or(self.bytes.len(), |(at, _)| at));
        let at = self.bytes.len();
        Encoder(&mut self.bytes).record(joined.as_ref().map_or(record, |(_, joined)| joined));
        self.last = joined.map(|(_, joined)| joined).or_else(|| record.as_row()).map(|last| (at, last));
    }
}

pub(crate) fn options_byte(options: SubscriptionOptions) -> u8 {
    let handling = match options.retain_handling {
        RetainHandling::SendAtSubscribe => 0,
        RetainHandling::SendIfNew => 1,
        RetainHandling::DoNotSend => 2,
    };
    options.qos as u8
        | u8::from(options.no_local) << 2
        | u8::from(options.retain_as_published) << 3
        | handling << 4
}

fn options_of(byte: u8) -> SubscriptionOptions {
    SubscriptionOptions {
        qos: record::qos(byte),
        no_local: byte & 1 << 2 != 0,
        retain_as_published: byte & 1 << 3 != 0,
        retain_handling: match byte >> 4 & 3 {
            0 => RetainHandling::SendAtSubscribe,
            1 => RetainHandling::SendIfNew,
            _ => RetainHandling::DoNotSend,
        },
    }
}
