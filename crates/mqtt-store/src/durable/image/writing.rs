//! From the image to records: what a change needs, and what a segment that goes leaves behind.

use mqtt_codec::Publish;
use mqtt_session::{Batch, Layout, Message};

use super::{At, BodyImage, EntryImage, FRESH, Image, InFlight, Pending, Run, Spot, options_byte};
use crate::durable::record::{self, Encoder, Head, Record};
use crate::durable::wall::Wall;
use crate::durable::wills;

/// Records that are being collected for one write.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    /// Where the first byte will stand.
    pub(crate) origin: At,
    /// The last record and where it begins, if it may stand for more in a row.
    last: Option<(usize, Record<'static>)>,
}

impl Image {
    /// Appends a record to a frame, unless what it stands for is gone or written already.
    pub(crate) fn write(&mut self, pending: &Pending<'_>, frame: &mut Frame, wall: &Wall) {
        match *pending {
            Pending::Delta(record) if self.is_outdated(&record) => {}
            Pending::Delta(record) => frame.append_delta(&record),
            Pending::Body(body) => self.write_body_again(&body, frame),
            Pending::Lost(id) => self.write_lost(id, frame),
            Pending::Head(session) => self.write_head(session, frame),
            Pending::Subscription(session, filter) => self.write_subscription(session, filter, frame),
            Pending::Entry(session, place) => self.write_entry(session, place, frame, wall),
            Pending::Batch(session, batch, first_body) => self.write_batch(session, batch, first_body, frame),
            Pending::Received(session, packet_id) => {
                let image = self.sessions.get_mut(&session);
                if let Some(spot) = image.and_then(|image| image.received.get_mut(&packet_id))
                    && !spot.is_written()
                {
                    *spot = frame.append(&Record::Received { session, packet_id });
                    self.live.add(*spot);
                }
            }
            Pending::Retained(topic) => self.write_retained(topic, frame, wall),
        }
    }

    /// Whether a record says nothing any more: what it says the end of has come back in the same write, where its own
    /// record says all, or what it tells of has gone.
    fn is_outdated(&self, end: &Record<'_>) -> bool {
        let session = |session: u64| self.sessions.get(&session);
        match *end {
            Record::Unsubscribe { session: id, filter } => {
                session(id).is_some_and(|image| image.subscriptions.contains_key(filter))
            }
            Record::Released { session: id, packet_id, .. } => {
                session(id).is_some_and(|image| image.received.contains_key(&packet_id))
            }
            Record::Cleared { topic, .. } => self.retained.contains_key(topic),
            Record::Sent { session: id, place, count, .. }
            | Record::Pubrec { session: id, place, count, .. } => {
                let mut places = place..place.saturating_add(count.into());
                session(id).is_none_or(|image| places.all(|place| !image.holds(place)))
            }
            _ => false,
        }
    }

    /// All that was pending is written, or not needed any more.
    pub(crate) fn forget_fresh(&mut self) {
        self.fresh.clear();
    }

    fn write_head(&mut self, session: u64, frame: &mut Frame) {
        let Some(image) = self.sessions.get_mut(&session) else { return };
        let Some(head) = image.head.as_ref().filter(|_| !image.head_spot.is_written()) else { return };
        image.head_spot = frame.append(&Record::Head(Head {
            session,
            client_id: &head.client_id,
            owner: &head.owner.as_ref().map(|owner| owner.to_text()).unwrap_or_default(),
            session_expiry_s: head.session_expiry_s,
            away_since_ms: head.away_since_ms.unwrap_or(0),
            will: head.will.as_ref().map(wills::record),
        }));
        self.live.add(image.head_spot);
    }

    fn write_subscription(&mut self, session: u64, filter: &str, frame: &mut Frame) {
        let Some(image) = self.sessions.get_mut(&session) else { return };
        let Some((subscription, spot)) = image.subscriptions.get_mut(filter) else { return };
        if spot.is_written() {
            return;
        }
        let options = options_byte(subscription.options);
        let identifier = subscription.identifier.unwrap_or(0);
        *spot = frame.append(&Record::Subscribe { session, filter, options, identifier });
        self.live.add(*spot);
    }

    fn write_body(&mut self, id: u64, frame: &mut Frame, wall: &Wall) {
        let Some(body) = self.bodies.find_mut(id).filter(|body| body.at & FRESH != 0) else { return };
        let fresh =
            usize::try_from(body.at & !FRESH).ok().and_then(|index| self.fresh.get_mut(index)?.take());
        let message = fresh.expect("a body that is not written is among the fresh ones");
        body.expires_at_ms = message.expires_at().map_or(0, |at| wall.to_ms(at).max(1));
        let spot = frame.append(&Record::Body(record::Body {
            id,
            expires_at_ms: body.expires_at_ms,
            topic: message.topic(),
            properties: message.properties().as_bytes(),
            payload: message.payload(),
            checksum: None,
        }));
        (body.at, body.bytes) = (spot.at, spot.bytes);
        self.live.add(spot);
    }

    pub(super) fn write_body_again(&mut self, body: &record::Body<'_>, frame: &mut Frame) {
        let Some(image) = self.bodies.find_mut(body.id) else { return };
        self.live.remove(image.spot());
        let spot = frame.append(&Record::Body(*body));
        (image.at, image.bytes) = (spot.at, spot.bytes);
        self.live.add(spot);
    }

    fn write_entry(&mut self, session: u64, place: u64, frame: &mut Frame, wall: &Wall) {
        let entry = self.sessions.get(&session).and_then(|image| image.entries.get(place));
        let Some(body) = entry.filter(|entry| entry.at == 0).map(|entry| entry.body) else { return };
        self.write_body(body, frame, wall);
        self.write_entry_alone(session, place, frame);
    }

    /// What is left of it in runs that are not written.
    fn write_runs(&mut self, session: u64, batch: &Batch, key: u64, frame: &mut Frame) {
        let Some(image) = self.sessions.get_mut(&session) else { return };
        let Some(bodies) = self.body_runs.get_mut(&key) else { return };
        let from = image.run_from(batch.place());
        let mut runs = image.runs.range_mut(from..).take_while(|run| run.key == key).peekable();
        let Some(first) = runs.peek() else { return };
        if !bodies.spot.is_written() {
            // What others have of it may begin further in front.
            let skipped = if bodies.receivers.len() == 1 { first.body - key } else { 0 };
            let skipped = u32::try_from(skipped).expect("a batch is short");
            bodies.first = key + u64::from(skipped);
            let with_properties = batch.layout() == Layout::WithProperties;
            let packets = batch.packets().skip(skipped as usize);
            let count = batch.messages() - skipped;
            (bodies.spot, bodies.offsets) =
                frame.append_bodies(bodies.first, count, with_properties, packets);
            self.live.add(bodies.spot);
        }
        for run in runs {
            let Run { place, count, body, packet_id, order, .. } = *run;
            let entries = record::Entries { session, place, body, count, packet_id, order };
            let spot = frame.append(&Record::Entries(entries));
            (run.at, run.bytes) = (spot.at, record::row_bytes(spot.bytes, count));
            self.live.add(run.spot());
        }
    }

    /// Those of its messages that have not gone by now.
    fn write_batch(&mut self, session: u64, batch: &Batch, first_body: u64, frame: &mut Frame) {
        if self.body_runs.contains_key(&first_body) {
            return self.write_runs(session, batch, first_body, frame);
        }
        let Some(image) = self.sessions.get_mut(&session) else { return };
        for (step, publish) in (0..).zip(batch.publications()) {
            let (place, id) = (batch.place() + step, first_body + step);
            let Some(entry) = image.entries.find_mut(place).filter(|entry| entry.at == 0) else { continue };
            if let Some(body) = self.bodies.find_mut(id).filter(|body| body.at & FRESH != 0) {
                let spot = body.write(id, &publish, frame);
                self.live.add(spot);
            }
            let in_flight = image.in_flight.get(&entry.packet_id).filter(|_| entry.packet_id != 0);
            // A batch is for nobody who has subscription identifiers.
            let spot = entry.write(session, place, in_flight, &[], frame);
            self.live.add(spot);
        }
    }

    fn write_entry_alone(&mut self, session: u64, place: u64, frame: &mut Frame) {
        let image = self.sessions.get_mut(&session).expect("it was here");
        let ids = image.ids.get(&place).into_iter().flat_map(|ids| ids.iter());
        let ids: Vec<u8> = ids.flat_map(|id| id.to_le_bytes()).collect();
        let entry = image.entries.find_mut(place).expect("it was here");
        let in_flight = image.in_flight.get(&entry.packet_id);
        let spot = entry.write(session, place, in_flight, &ids, frame);
        self.live.add(spot);
    }

    fn write_retained(&mut self, topic: &str, frame: &mut Frame, wall: &Wall) {
        let retained = self.retained.get(topic).filter(|retained| !retained.spot.is_written());
        let Some(body) = retained.map(|retained| retained.body) else { return };
        self.write_body(body, frame, wall);
        let retained = self.retained.get_mut(topic).expect("it was here");
        let publisher = retained.publisher.as_deref().unwrap_or_default();
        let (version, qos) = (retained.version, retained.qos);
        retained.spot = frame.append(&Record::Retained { topic, version, body, qos, publisher });
        self.live.add(retained.spot);
    }

    /// What has to be written again before the segment with this record may go.
    pub(crate) fn save<'c>(&mut self, record: &Record<'c>, at: At, pending: &mut Vec<Pending<'c>>) {
        if let Record::Bodies(_) | Record::Entries(_) = record {
            self.dissolve_recorded(record, at);
            self.save_row(record, at, pending);
        } else {
            pending.extend(self.save_one(record, at));
        }
    }

    fn save_one<'c>(&mut self, record: &Record<'c>, at: At) -> Option<Pending<'c>> {
        let live = &mut self.live;
        let mut lift = |spot: &mut Spot| {
            let here = spot.at == at;
            live.remove(if here { std::mem::take(spot) } else { Spot::default() });
            here
        };
        match *record {
            Record::Body(body) => (self.bodies.get(body.id)?.at == at).then_some(Pending::Body(body)),
            Record::Entry(record::Entry { session, place, .. }) => {
                let entry = self.sessions.get_mut(&session)?.entries.find_mut(place)?;
                let mut spot = entry.spot();
                lift(&mut spot).then(|| (entry.at, entry.bytes) = (0, 0))?;
                Some(Pending::Entry(session, place))
            }
            Record::Head(Head { session, .. }) => {
                lift(&mut self.sessions.get_mut(&session)?.head_spot).then_some(Pending::Head(session))
            }
            Record::Subscribe { session, filter, .. } => {
                let (_, spot) = self.sessions.get_mut(&session)?.subscriptions.get_mut(filter)?;
                lift(spot).then_some(Pending::Subscription(session, filter))
            }
            Record::Received { session, packet_id } => {
                let spot = self.sessions.get_mut(&session)?.received.get_mut(&packet_id)?;
                lift(spot).then_some(Pending::Received(session, packet_id))
            }
            Record::Retained { topic, .. } => {
                lift(&mut self.retained.get_mut(topic)?.spot).then_some(Pending::Retained(topic))
            }
            _ => None,
        }
    }
}

impl BodyImage {
    fn write(&mut self, id: u64, publish: &Publish<'_>, frame: &mut Frame) -> Spot {
        let (topic, properties, payload) = (publish.topic, publish.properties.as_bytes(), publish.payload);
        let size_bytes = Message::size_bytes_of(topic.len() + properties.len() + payload.len());
        let record = record::Body { id, expires_at_ms: 0, topic, properties, payload, checksum: None };
        let spot = frame.append(&Record::Body(record));
        (self.at, self.bytes) = (spot.at, spot.bytes);
        self.size_bytes = u32::try_from(size_bytes).unwrap_or(u32::MAX);
        spot
    }
}

impl EntryImage {
    fn write(
        &mut self,
        session: u64,
        place: u64,
        in_flight: Option<&InFlight>,
        ids: &[u8],
        frame: &mut Frame,
    ) -> Spot {
        let in_flight = in_flight.filter(|one| one.place == place);
        let spot = frame.append(&Record::Entry(record::Entry {
            session,
            place,
            body: self.body,
            qos: self.qos,
            retain: self.retain,
            ids,
            packet_id: in_flight.map_or(0, |_| self.packet_id),
            released: in_flight.is_some_and(|one| one.released),
            order: in_flight.map_or(0, |one| one.order),
        }));
        (self.at, self.bytes) = (spot.at, spot.bytes);
        spot
    }
}

impl Frame {
    /// An empty frame behind its head.
    pub(crate) fn new(head_bytes: usize, origin: At) -> Self {
        Self { bytes: vec![0; head_bytes], origin, last: None }
    }

    /// Where the next record will stand.
    fn here(&self) -> At {
        self.origin + self.bytes.len() as u64
    }

    pub(crate) fn append(&mut self, record: &Record<'_>) -> Spot {
        self.last = None;
        let at = self.here();
        Encoder(&mut self.bytes).record(record);
        Spot { at, bytes: u32::try_from(self.here() - at).expect("a frame is short") }
    }

    /// Appends the bodies of a batch. Where each of them begins in the record, and where the last ends.
    fn append_bodies<'p>(
        &mut self,
        first: u64,
        count: u32,
        with_properties: bool,
        packets: impl Iterator<Item = &'p [u8]>,
    ) -> (Spot, Vec<u32>) {
        self.last = None;
        let at = self.here();
        let offsets = Encoder(&mut self.bytes).bodies(first, count, with_properties, packets);
        (Spot { at, bytes: u32::try_from(self.here() - at).expect("a frame is short") }, offsets)
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
