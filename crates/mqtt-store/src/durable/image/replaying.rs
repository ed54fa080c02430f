//! From records to the image, when a store is opened.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use mqtt_session::{Message, Subscription};
use mqtt_topic::{TopicFilter, TopicName};

use super::{At, EntryImage, Image, InFlight, RetainedImage, Spot, options_of};
use crate::Source;
use crate::durable::record::{self, Record};
use crate::durable::wills;
use crate::journal::SessionHead;

impl Image {
    /// Takes a record over that was read back. Bodies that nobody refers to stay until [`settle`](Self::settle):
    /// who refers to them may come later.
    pub(crate) fn replay(&mut self, record: &Record<'_>, spot: Spot) {
        match *record {
            Record::Body(body) => self.replay_body(&body, spot),
            Record::Entry(entry) => self.replay_entry(&entry, spot),
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
            Record::Head(head) => self.replay_head(&head, spot),
            Record::End { session } => {
                self.end(session);
            }
            Record::Subscribe { session, filter, options, identifier } => {
                let options = options_of(options);
                let identifier = Some(identifier).filter(|identifier| *identifier > 0);
                let image = self.sessions.entry(session).or_default();
                image.subscriptions.insert(filter.into(), (Subscription { options, identifier }, spot));
            }
            Record::Unsubscribe { session, filter } => {
                self.sessions.entry(session).or_default().subscriptions.remove(filter);
            }
            Record::Received { session, packet_id } => {
                self.sessions.entry(session).or_default().received.insert(packet_id, spot);
            }
            Record::Released { session, packet_id, count } => {
                let received = &mut self.sessions.entry(session).or_default().received;
                for step in 0..count {
                    received.remove(&packet_id.wrapping_add(step));
                }
            }
            Record::Retained { topic, version, body, qos, publisher } => {
                self.bodies.find_or_default(body).refs += 1; // held until the end of the replay
                let publisher = Some(publisher).filter(|publisher| !publisher.is_empty());
                let publisher = publisher
                    .map(|text| self.publishers.get_or_insert_with(text, |text| text.into()).clone());
                self.put_retained(topic, RetainedImage { body, version, qos, publisher, spot });
            }
            Record::Cleared { topic, version } => {
                self.clear(topic, version);
            }
            Record::Bodies(bodies) => {
                for item in bodies.items() {
                    let bytes = u32::try_from(item.bytes.len()).unwrap_or(u32::MAX);
                    let spot = Spot { at: spot.at + u64::from(item.offset), bytes };
                    // One that is damaged is told of when it is read.
                    let body = item.checked().unwrap_or(record::Body::lost(item.id, 0));
                    self.replay_body(&body, spot);
                }
            }
            Record::Entries(entries) => {
                let bytes = record::row_bytes(spot.bytes, entries.count);
                for (step, place) in (0..).zip(entries.places()) {
                    let bytes = record::share_of(bytes, entries.count, step..step + 1);
                    self.replay_entry(&entries.entry(step, place), Spot { at: spot.at, bytes });
                }
            }
        }
    }

    fn replay_body(&mut self, body: &record::Body<'_>, spot: Spot) {
        self.last_body = self.last_body.max(body.id);
        let image = self.bodies.find_or_default(body.id);
        let parts_bytes = body.topic.len() + body.properties.len() + body.payload.len();
        (image.at, image.bytes) = (spot.at, spot.bytes);
        image.size_bytes = u32::try_from(Message::size_bytes_of(parts_bytes)).unwrap_or(u32::MAX);
        image.expires_at_ms = body.expires_at_ms;
    }

    fn replay_entry(&mut self, entry: &record::Entry<'_>, spot: Spot) {
        let (session, place) = (entry.session, entry.place);
        self.bodies.find_or_default(entry.body).refs += 1; // held until the end of the replay
        self.put_entry(session, place, EntryImage::read(entry, spot.at, spot.bytes));
        let image = self.sessions.entry(session).or_default();
        if !entry.ids.is_empty() {
            let ids = entry.ids.as_chunks().0.iter().map(|id| u32::from_le_bytes(*id)).collect();
            image.ids.insert(place, ids);
        }
        if entry.packet_id != 0 {
            let (order, released) = (entry.order, entry.released);
            image.in_flight.insert(entry.packet_id, InFlight { place, order, released });
            image.last_order = image.last_order.max(order);
        }
    }

    fn replay_head(&mut self, head: &record::Head<'_>, spot: Spot) {
        self.last_session = self.last_session.max(head.session);
        let image = self.sessions.entry(head.session).or_default();
        image.head_spot = spot;
        image.head = Some(SessionHead {
            client_id: head.client_id.into(),
            owner: Source::from_text(head.owner).map(Arc::new),
            session_expiry_s: head.session_expiry_s,
            away_since_ms: Some(head.away_since_ms).filter(|ms| *ms > 0),
            will: head.will.as_ref().and_then(wills::read),
        });
        if let Some(will) = head.will.filter(|will| TopicName::parse(will.topic).is_err()) {
            let (topic, client_id) = (will.topic, head.client_id);
            self.impossible
                .push(format!("{topic:?}, the topic of the will of client {client_id:?}, is none"));
        }
    }

    /// After a replay: forgets what nobody refers to, and counts what is needed. What cannot be used, in sentences:
    /// messages whose bodies are missing, and topics that are none.
    pub(crate) fn settle(&mut self) -> Vec<String> {
        let mut missing = std::mem::take(&mut self.impossible);
        self.sessions.retain(|_, image| image.head.is_some()); // only remains of what has ended
        (self.cleared, self.publishers) = (HashMap::new(), HashSet::new());
        self.bodies.iter_mut().for_each(|body| body.refs = 0);
        let bodies = &mut self.bodies;
        let mut refer = |id: u64| match bodies.find_mut(id) {
            Some(body) if body.at != 0 => {
                body.refs += 1;
                true
            }
            _ => false,
        };
        for image in self.sessions.values_mut() {
            let client_id = image.head.as_ref().map_or("", |head| &*head.client_id).to_owned();
            image.entries.retain(|place, entry| {
                let found = refer(entry.body);
                if !found {
                    missing.push(format!("message {place} of client {client_id:?} has no body"));
                }
                found
            });
            image.subscriptions.retain(|filter, _| {
                let is_filter = TopicFilter::parse(&**filter).is_ok();
                if !is_filter {
                    missing.push(format!("{filter:?}, a subscription of client {client_id:?}, is no filter"));
                }
                is_filter
            });
            let entries = &image.entries;
            image.in_flight.retain(|_, in_flight| entries.get(in_flight.place).is_some());
            image.ids.retain(|place, _| entries.get(*place).is_some());
        }
        self.retained.retain(|topic, retained| {
            if TopicName::parse(&**topic).is_err() {
                missing.push(format!("{topic:?}, the topic of a retained message, is none"));
                return false;
            }
            let found = refer(retained.body);
            if !found {
                missing.push(format!("the retained message of {topic:?} has no body"));
            }
            found
        });
        self.bodies.retain(|_, body| body.refs > 0);
        self.messages = self.sessions.values().map(|image| image.entries.len() as u64).sum();
        self.count_live();
        missing
    }

    fn count_live(&mut self) {
        self.live = super::Live::default();
        let live = &mut self.live;
        self.bodies.iter().for_each(|(_, body)| live.add(body.spot()));
        self.retained.values().for_each(|retained| live.add(retained.spot));
        for image in self.sessions.values() {
            live.add(image.head_spot);
            image.subscriptions.values().for_each(|(_, spot)| live.add(*spot));
            image.received.values().for_each(|spot| live.add(*spot));
            image.entries.iter().for_each(|(_, entry)| live.add(entry.spot()));
        }
    }
}

impl EntryImage {
    fn read(entry: &record::Entry<'_>, at: At, bytes: u32) -> Self {
        let (packet_id, qos) = (entry.packet_id, entry.qos);
        Self { body: entry.body, at, bytes, packet_id, qos, retain: entry.retain }
    }
}
