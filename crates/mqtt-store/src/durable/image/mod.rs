//! What the segments amount to: where the latest record of everything stands, and how it all hangs together.
//!
//! The messages themselves are not here. A session's messages, subscriptions and identifiers each have one record
//! that stands for them; short records tell what became of them afterwards.

mod damaged;
mod replaying;
mod runs;
mod writing;

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use mqtt_codec::{RetainHandling, SubscriptionOptions};
use mqtt_session::{Batch, Hop, Message, Subscription};

pub(crate) use super::live::At;
use super::live::{Live, Spot};
use super::places::Places;
use super::record::{self, Record};
use crate::journal::{Change, SessionHead};
pub(crate) use damaged::Stranded;
use runs::{BodyRun, Run};
pub(crate) use writing::Frame;

/// Everything that is kept.
#[derive(Debug, Default)]
pub(crate) struct Image {
    pub(crate) sessions: HashMap<u64, SessionImage>,
    /// By their numbers, which go up one by one.
    pub(crate) bodies: Places<BodyImage>,
    /// Those that were written together and are only needed by runs, by the number of the first.
    body_runs: BTreeMap<u64, BodyRun>,
    pub(crate) retained: HashMap<Box<str>, RetainedImage>,
    /// Versions of topics that were cleared, by keyed hashes of their names, for messages that come too late. Without the
    /// names, since many are forgotten at once.
    cleared: HashMap<u64, u64>,
    hasher: RandomState,
    /// Publishers of retained messages, while records are read back.
    publishers: HashSet<Arc<str>>,
    /// What of the records that are read back cannot be what was written.
    impossible: Vec<String>,
    /// Messages that are written with the next frame.
    fresh: Vec<Option<Message>>,
    last_body: u64,
    pub(crate) last_session: u64,
    pub(crate) last_version: u64,
    /// Bytes of the records that are still needed.
    pub(crate) live: Live,
    /// Messages that wait or are under way, once for each session.
    pub(crate) messages: u64,
}

#[derive(Debug, Default)]
pub(crate) struct SessionImage {
    /// `None` while only later records of the session were read.
    pub(crate) head: Option<SessionHead>,
    head_spot: Spot,
    pub(crate) subscriptions: BTreeMap<Box<str>, (Subscription, Spot)>,
    pub(crate) entries: Places<EntryImage>,
    /// Messages that are still as they came, in the order of their places. There are none when a store was opened.
    runs: VecDeque<Run>,
    /// Subscription identifiers of the entries that have some.
    ids: HashMap<u64, Arc<[u32]>>,
    /// By packet identifier.
    pub(crate) in_flight: HashMap<u16, InFlight>,
    pub(crate) received: BTreeMap<u16, Spot>,
    last_order: u64,
}

/// One session's part in a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryImage {
    pub(crate) body: u64,
    at: At,
    bytes: u32,
    /// 0 if it waits.
    pub(crate) packet_id: u16,
    qos: u8,
    retain: bool,
}

/// A message that was sent and not acknowledged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlight {
    pub(crate) place: u64,
    /// Order of sending, or of the PUBREC.
    pub(crate) order: u64,
    pub(crate) released: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BodyImage {
    /// Where the record stands; with [`FRESH`], which of the fresh messages it is.
    at: At,
    pub(crate) bytes: u32,
    refs: u32,
    /// What [`Message::size_bytes`] is.
    pub(crate) size_bytes: u32,
    /// Milliseconds since 1970; 0 for never.
    pub(crate) expires_at_ms: u64,
}

#[derive(Debug)]
pub(crate) struct RetainedImage {
    pub(crate) body: u64,
    pub(crate) version: u64,
    pub(crate) qos: u8,
    pub(crate) publisher: Option<Arc<str>>,
    spot: Spot,
}

/// A record that has to be written, unless what it stands for has gone by then.
#[derive(Debug)]
pub(crate) enum Pending<'c> {
    Head(u64),
    Subscription(u64, &'c str),
    Entry(u64, u64),
    /// The messages of a batch for a session; their bodies have numbers from this on.
    Batch(u64, &'c Batch, u64),
    Received(u64, u16),
    Retained(&'c str),
    Body(record::Body<'c>),
    /// A body that is damaged, and has to stay recognisable as that.
    Lost(u64),
    Delta(Record<'c>),
}

/// A transaction names a message that is still on its way here.
#[derive(Debug)]
pub(crate) struct TooEarly;

/// Set in the place of a body that is not written yet.
const FRESH: At = 1 << 63;
const CLEARED_MAX: usize = 100_000;

impl Image {
    /// Whether all that these changes build on is here.
    pub(crate) fn is_due(&self, changes: &[Change]) -> Result<(), TooEarly> {
        for (index, change) in changes.iter().enumerate() {
            if let Change::Sent { session, place, .. } | Change::Drop { session, place } = change
                && let Some(known) = self.sessions.get(&session.0.get())
                && !known.holds(*place)
                && !changes[..index].iter().any(|earlier| earlier.brings(*session, *place))
            {
                return Err(TooEarly);
            }
        }
        Ok(())
    }

    /// Takes a change over, and adds to what has to be written.
    ///
    /// Whatever can be replaced (a head, a subscription, a retained message) may have an earlier record that was
    /// written, although the latest was not: its end is written in any case. Only messages, which have a place of their
    /// own, go without a trace.
    pub(crate) fn apply<'c>(
        &mut self,
        change: &'c Change,
        shared: &mut HashMap<usize, u64>,
        pending: &mut Vec<Pending<'c>>,
    ) {
        let last = self.apply_but_last(change, shared, pending);
        pending.extend(last);
    }

    fn apply_but_last<'c>(
        &mut self,
        change: &'c Change,
        shared: &mut HashMap<usize, u64>,
        pending: &mut Vec<Pending<'c>>,
    ) -> Option<Pending<'c>> {
        match change {
            Change::Head(session, head) => {
                let session = session.0.get();
                self.last_session = self.last_session.max(session);
                let image = self.sessions.entry(session).or_default();
                self.live.remove(std::mem::take(&mut image.head_spot));
                image.head = Some((**head).clone());
                Some(Pending::Head(session))
            }
            Change::WillGone(session, serial) => {
                let session = session.0.get();
                let image = self.sessions.get_mut(&session)?;
                image.head.as_mut()?.will.take_if(|will| will.serial == *serial)?;
                self.live.remove(std::mem::take(&mut image.head_spot));
                Some(Pending::Head(session))
            }
            Change::End(session) => {
                let session = session.0.get();
                self.end(session)?;
                Some(Pending::Delta(Record::End { session }))
            }
            Change::Subscribe(session, filter, subscription) => {
                let session = session.0.get();
                let subscriptions = &mut self.sessions.get_mut(&session)?.subscriptions;
                let old = subscriptions.insert(filter.clone(), (*subscription, Spot::default()));
                self.live.remove(old.map(|(_, spot)| spot).unwrap_or_default());
                Some(Pending::Subscription(session, filter))
            }
            Change::Unsubscribe(session, filter) => {
                let session = session.0.get();
                let (_, spot) = self.sessions.get_mut(&session)?.subscriptions.remove(filter)?;
                self.live.remove(spot);
                Some(Pending::Delta(Record::Unsubscribe { session, filter }))
            }
            Change::Enqueue { session, place, hop, message } => {
                let session = session.0.get();
                if !self.sessions.contains_key(&session) {
                    return None;
                }
                let body = self.share(message, shared);
                self.put_entry(session, *place, EntryImage::new(body, hop));
                if let Some(ids) = &hop.subscription_ids {
                    self.sessions.get_mut(&session)?.ids.insert(*place, ids.clone());
                }
                Some(Pending::Entry(session, *place))
            }
            Change::Drop { session, place } => {
                self.dissolve_at(session.0.get(), *place);
                self.done(session.0.get(), *place)
            }
            Change::EnqueueBatch { session, batch } => self.enqueue_batch(session.0.get(), batch, shared),
            Change::Sent { session, place, packet_id, count } => {
                self.sent(session.0.get(), *place, packet_id.get(), *count)
            }
            Change::Pubrec(session, packet_id) => self.pubrec(session.0.get(), packet_id.get()),
            Change::Settled { session, packet_id, count } => {
                self.settled(session.0.get(), packet_id.get(), *count, pending);
                None
            }
            Change::Received(session, packet_id) => {
                let (session, packet_id) = (session.0.get(), packet_id.get());
                let old = self.sessions.get_mut(&session)?.received.insert(packet_id, Spot::default());
                self.live.remove(old.unwrap_or_default());
                Some(Pending::Received(session, packet_id))
            }
            Change::Released(session, packet_id) => {
                let (session, packet_id) = (session.0.get(), packet_id.get());
                let spot = self.sessions.get_mut(&session)?.received.remove(&packet_id)?;
                self.live.remove(spot);
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
                    spot: Spot::default(),
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

    /// All that is new of a batch stands in a row: places, and numbers of bodies.
    fn enqueue_batch<'c>(
        &mut self,
        session: u64,
        batch: &'c Batch,
        shared: &mut HashMap<usize, u64>,
    ) -> Option<Pending<'c>> {
        let count = u64::from(batch.messages());
        let known = shared.get(&batch.address()).copied();
        let first_body = known.unwrap_or(self.last_body + 1);
        if known.is_none() {
            self.last_body += count;
            shared.insert(batch.address(), first_body);
        }
        if self.enqueue_run(session, batch, first_body, known.is_none()) {
            return Some(Pending::Batch(session, batch, first_body));
        }
        self.dissolve(first_body);
        let image = self.sessions.get_mut(&session)?;
        let hop = Hop::new(batch.qos());
        for step in 0..count {
            // What another receiver had of it may have gone already.
            self.bodies
                .find_or_insert(first_body + step, || BodyImage { at: FRESH, ..BodyImage::default() })
                .refs += 1;
            let old = image.entries.insert(batch.place() + step, EntryImage::new(first_body + step, &hop));
            debug_assert!(old.is_none(), "no place is given twice");
        }
        self.messages += count;
        Some(Pending::Batch(session, batch, first_body))
    }

    fn sent<'c>(&mut self, session: u64, place: u64, packet_id: u16, count: u16) -> Option<Pending<'c>> {
        if let Some(is_written) = self.send_run(session, place, packet_id, count) {
            let order = self.sessions.get(&session)?.last_order + 1 - u64::from(count);
            let record = Record::Sent { session, place, packet_id, order, count };
            return is_written.then_some(Pending::Delta(record));
        }
        (0..u64::from(count)).for_each(|step| self.dissolve_at(session, place + step));
        let image = self.sessions.get_mut(&session)?;
        let order = image.last_order + 1;
        let mut is_written = false;
        for step in 0..count {
            let (place, wide) = (place + u64::from(step), u64::from(step));
            let entry = image.mark_sent(place, packet_id.wrapping_add(step), order + wide);
            is_written |= entry.is_some_and(|entry| entry.at != 0);
        }
        let record = Record::Sent { session, place, packet_id, order, count };
        is_written.then_some(Pending::Delta(record))
    }

    /// Messages are done; those that stand anywhere are written off, places in a row with one record.
    fn settled(&mut self, session: u64, packet_id: u16, count: u16, pending: &mut Vec<Pending<'_>>) {
        let (mut packet_id, mut left) = (packet_id, count);
        while left > 0 {
            let in_run = self.settle_run(session, packet_id, left);
            let (count, written) = match in_run {
                Some((count, place, true)) => (count, Some(Record::Done { session, place, count })),
                Some((count, ..)) => (count, None),
                None => {
                    let next = self.sessions.get(&session).and_then(|image| image.next_run(packet_id));
                    let alone = next.map_or(left, |next| left.min(next - packet_id));
                    let ids = (packet_id..=u16::MAX).take(alone.into());
                    self.settled_alone(session, ids, pending);
                    (alone, None)
                }
            };
            pending.extend(written.map(Pending::Delta));
            left -= count;
            packet_id = packet_id.saturating_add(count);
        }
    }

    fn settled_alone(
        &mut self,
        session: u64,
        ids: impl Iterator<Item = u16>,
        pending: &mut Vec<Pending<'_>>,
    ) {
        let Some(image) = self.sessions.get_mut(&session) else { return };
        let mut row: Option<Record<'static>> = None;
        for id in ids {
            let Some(InFlight { place, .. }) = image.in_flight.remove(&id) else { continue };
            let Some(entry) = image.entries.remove(place) else { continue };
            if !image.ids.is_empty() {
                image.ids.remove(&place);
            }
            self.messages = self.messages.saturating_sub(1);
            self.live.remove(entry.spot());
            self.bodies.release(&mut self.live, entry.body);
            if entry.at != 0 {
                let done = Record::Done { session, place, count: 1 };
                let longer = row.and_then(|row| row.joined(&done));
                let before = row.replace(longer.unwrap_or(done));
                pending.extend(before.filter(|_| longer.is_none()).map(Pending::Delta));
            }
        }
        pending.extend(row.map(Pending::Delta));
    }

    fn pubrec<'c>(&mut self, session: u64, packet_id: u16) -> Option<Pending<'c>> {
        let image = self.sessions.get_mut(&session)?;
        let in_flight = *image.in_flight.get(&packet_id)?;
        if in_flight.released {
            return None;
        }
        let (place, order) = (in_flight.place, image.last_order + 1);
        image.mark_released(place, order)?;
        let record = Record::Pubrec { session, place, order, count: 1 };
        (image.entries.get(place)?.at != 0).then_some(Pending::Delta(record))
    }

    /// An entry is gone. What has to be written, if it stands anywhere.
    fn done<'c>(&mut self, session: u64, place: u64) -> Option<Pending<'c>> {
        let entry = self.remove_entry(session, place)?;
        (entry.at != 0).then_some(Pending::Delta(Record::Done { session, place, count: 1 }))
    }

    fn remove_entry(&mut self, session: u64, place: u64) -> Option<EntryImage> {
        let image = self.sessions.get_mut(&session)?;
        let entry = image.entries.remove(place)?;
        image.forget(place, &entry);
        self.forget_entry(&entry);
        Some(entry)
    }

    fn forget_entry(&mut self, entry: &EntryImage) {
        self.messages = self.messages.saturating_sub(1);
        self.live.remove(entry.spot());
        self.release_body(entry.body);
    }

    fn put_entry(&mut self, session: u64, place: u64, entry: EntryImage) {
        let image = self.sessions.entry(session).or_default();
        self.bodies.find_or_default(entry.body).refs += 1;
        self.messages += 1;
        if let Some(old) = image.entries.insert(place, entry) {
            image.forget(place, &old);
            self.forget_entry(&old);
        }
    }

    /// The body of a message, the same for everybody who gets it out of one write.
    fn share(&mut self, message: &Message, shared: &mut HashMap<usize, u64>) -> u64 {
        if let Some(&id) = shared.get(&message.address())
            && self.bodies.get(id).is_some()
        {
            return id;
        }
        self.last_body += 1;
        let at = FRESH | self.fresh.len() as u64;
        let size_bytes = u32::try_from(message.size_bytes()).unwrap_or(u32::MAX);
        self.bodies.insert(self.last_body, BodyImage { at, size_bytes, ..BodyImage::default() });
        self.fresh.push(Some(message.clone()));
        shared.insert(message.address(), self.last_body);
        self.last_body
    }

    fn release_body(&mut self, id: u64) {
        self.bodies.release(&mut self.live, id);
    }

    /// Ends a session; `None` if it is not known.
    fn end(&mut self, session: u64) -> Option<()> {
        let image = self.sessions.remove(&session)?;
        image.runs.iter().for_each(|run| self.forget_run(run));
        for (_, entry) in image.entries.iter() {
            self.forget_entry(entry);
        }
        let subscriptions = image.subscriptions.values().map(|(_, spot)| *spot);
        let spots = subscriptions.chain(image.received.into_values()).chain([image.head_spot]);
        spots.for_each(|spot| self.live.remove(spot));
        Some(())
    }

    fn is_latest(&self, topic: &str, version: u64) -> bool {
        let kept = self.retained.get(topic).map(|retained| retained.version);
        kept.max(self.cleared_version(topic)).is_none_or(|known| known < version)
    }

    fn cleared_version(&self, topic: &str) -> Option<u64> {
        self.cleared.get(&self.hasher.hash_one(topic)).copied()
    }

    /// Whether a version of a topic, or a later one, has come here and gone.
    pub(crate) fn has_passed(&self, topic: &str, version: u64) -> bool {
        let kept = self.retained.get(topic).is_some_and(|retained| retained.version > version);
        kept || self.cleared_version(topic).is_some_and(|cleared| cleared >= version)
    }

    fn put_retained(&mut self, topic: &str, retained: RetainedImage) {
        self.last_version = self.last_version.max(retained.version);
        self.bodies.find_or_default(retained.body).refs += 1;
        self.cleared.remove(&self.hasher.hash_one(topic));
        let old = match self.retained.get_mut(topic) {
            Some(kept) => Some(std::mem::replace(kept, retained)),
            None => self.retained.insert(topic.into(), retained),
        };
        if let Some(old) = old {
            self.forget_retained(&old);
        }
    }

    fn forget_retained(&mut self, old: &RetainedImage) {
        self.live.remove(old.spot);
        self.release_body(old.body);
    }

    fn clear(&mut self, topic: &str, version: u64) -> Option<()> {
        self.last_version = self.last_version.max(version);
        if self.cleared.len() >= CLEARED_MAX {
            self.cleared.clear(); // what came too late came long ago
        }
        self.cleared.insert(self.hasher.hash_one(topic), version);
        let old = self.retained.remove(topic)?;
        self.forget_retained(&old);
        Some(())
    }
}

impl Places<BodyImage> {
    /// One less needs a body.
    fn release(&mut self, live: &mut Live, id: u64) {
        let Some(body) = self.find_mut(id) else { return };
        body.refs = body.refs.saturating_sub(1);
        if body.refs == 0 {
            live.remove(body.spot());
            self.remove(id);
        }
    }
}

impl SessionImage {
    fn mark_sent(&mut self, place: u64, packet_id: u16, order: u64) -> Option<&EntryImage> {
        let entry = self.entries.find_mut(place)?;
        entry.packet_id = packet_id;
        self.last_order = self.last_order.max(order);
        self.in_flight.insert(packet_id, InFlight { place, order, released: false });
        Some(entry)
    }

    fn mark_released(&mut self, place: u64, order: u64) -> Option<()> {
        let packet_id = self.entries.get(place)?.packet_id;
        self.last_order = self.last_order.max(order);
        let in_flight = self.in_flight.get_mut(&packet_id).filter(|in_flight| in_flight.place == place)?;
        (in_flight.released, in_flight.order) = (true, order);
        Some(())
    }

    /// An entry has gone.
    fn forget(&mut self, place: u64, entry: &EntryImage) {
        if entry.packet_id != 0 && self.in_flight.get(&entry.packet_id).is_some_and(|one| one.place == place)
        {
            self.in_flight.remove(&entry.packet_id);
        }
        if !self.ids.is_empty() {
            self.ids.remove(&place);
        }
    }

    /// What a receiver's copy adds. Which shared subscription chose the session is not kept: a group's key means
    /// nothing, or another group, in the next process.
    pub(crate) fn hop(&self, place: u64) -> Option<Hop> {
        let entry = self.entries.get(place)?;
        Some(Hop {
            retain: entry.retain,
            subscription_ids: self.ids.get(&place).cloned(),
            place,
            ..Hop::new(record::qos(entry.qos))
        })
    }
}

impl EntryImage {
    fn new(body: u64, hop: &Hop) -> Self {
        Self { body, at: 0, bytes: 0, packet_id: 0, qos: hop.qos as u8, retain: hop.retain }
    }

    fn spot(&self) -> Spot {
        Spot { at: self.at, bytes: self.bytes }
    }
}

impl BodyImage {
    /// Where it stands, if it is written.
    pub(crate) fn spot(&self) -> Spot {
        if self.at & FRESH == 0 { Spot { at: self.at, bytes: self.bytes } } else { Spot::default() }
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
