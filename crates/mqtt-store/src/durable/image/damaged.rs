//! What is needed of a segment that was damaged after it had been read: the image still knows most of it.

use super::{Image, Pending, Spot, record};
use crate::durable::image::Frame;
use crate::durable::record::{Decoder, Encoder, Record};
use crate::durable::segments::number_at;

/// Something that stands where it could not be found again.
#[derive(Debug)]
pub(crate) enum Stranded {
    Head(u64),
    Subscription(u64, Box<str>),
    Entry(u64, u64),
    Received(u64, u16),
    Retained(Box<str>),
    Body(u64),
}

impl Image {
    /// All that should stand in a segment. Looks at everything there is.
    pub(crate) fn stranded_in(&mut self, number: u32) -> Vec<Stranded> {
        self.dissolve_all();
        let is_there = |spot: Spot| spot.is_written() && number_at(spot.at) == number;
        let mut found = Vec::new();
        for (&session, image) in &self.sessions {
            found.extend(is_there(image.head_spot).then_some(Stranded::Head(session)));
            let subscriptions = image.subscriptions.iter().filter(|(_, (_, spot))| is_there(*spot));
            found.extend(subscriptions.map(|(filter, _)| Stranded::Subscription(session, filter.clone())));
            let received = image.received.iter().filter(|(_, spot)| is_there(**spot));
            found.extend(received.map(|(packet_id, _)| Stranded::Received(session, *packet_id)));
            let entries = image.entries.iter().filter(|(_, entry)| is_there(entry.spot()));
            found.extend(entries.map(|(place, _)| Stranded::Entry(session, place)));
        }
        let retained = self.retained.iter().filter(|(_, retained)| is_there(retained.spot));
        found.extend(retained.map(|(topic, _)| Stranded::Retained(topic.clone())));
        let bodies = self.bodies.iter().filter(|(_, body)| is_there(body.spot()));
        found.extend(bodies.map(|(id, _)| Stranded::Body(id)));
        found
    }

    /// Forgets where something stood, so that it is written again; `None` for a body, which is not in the image.
    pub(crate) fn lift<'s>(&mut self, stranded: &'s Stranded) -> Option<Pending<'s>> {
        let (spot, pending) = match stranded {
            Stranded::Head(session) => {
                let image = self.sessions.get_mut(session)?;
                (std::mem::take(&mut image.head_spot), Pending::Head(*session))
            }
            Stranded::Subscription(session, filter) => {
                let (_, spot) = self.sessions.get_mut(session)?.subscriptions.get_mut(filter)?;
                (std::mem::take(spot), Pending::Subscription(*session, filter))
            }
            Stranded::Entry(session, place) => {
                let entry = self.sessions.get_mut(session)?.entries.find_mut(*place)?;
                let spot = entry.spot();
                (entry.at, entry.bytes) = (0, 0);
                (spot, Pending::Entry(*session, *place))
            }
            Stranded::Received(session, packet_id) => {
                let spot = self.sessions.get_mut(session)?.received.get_mut(packet_id)?;
                (std::mem::take(spot), Pending::Received(*session, *packet_id))
            }
            Stranded::Retained(topic) => {
                let spot = &mut self.retained.get_mut(topic)?.spot;
                (std::mem::take(spot), Pending::Retained(topic))
            }
            Stranded::Body(_) => return None,
        };
        self.live.remove(spot);
        Some(pending)
    }

    /// Writes a record for a body that is lost, which nobody takes for one: whoever asks for it counts it as damaged.
    pub(crate) fn write_lost(&mut self, id: u64, frame: &mut Frame) {
        let Some(image) = self.bodies.get(id) else { return };
        let lost = record::Body::lost(id, image.expires_at_ms);
        let mut bytes = Vec::new();
        Encoder(&mut bytes).record(&Record::Body(lost));
        let right = Decoder::checked_body(&bytes, id).ok().and_then(|body| body.checksum);
        self.write_body_again(&record::Body { checksum: right.map(|checksum| !checksum), ..lost }, frame);
    }
}
