//! Packets like those before them, recognised by a few comparisons instead of being taken apart: messages that go on
//! with the publisher's run, and acknowledgements that come in turn. Most of a busy connection's packets are of these.

use std::sync::Arc;
use std::time::Instant;

use mqtt_codec::{PacketType, PlainAck, PlainPublish, QoS, ReasonCode};
use mqtt_session::{InboundPublish, Layout, Ticket, Violation};
use mqtt_topic::TopicName;

use super::dialogue::Dialogue;
use super::hooked::{self, Handled};
use super::publisher::Arrived;
use crate::hooks::{Events, Objection};

const PUBLICATIONS: Events = Events::PUBLISH.or(LATER);
/// What comes after the question that is answered at once.
const LATER: Events = Events::REVIEW_PUBLISH.or(Events::PUBLISHED);

impl Dialogue {
    /// Handles a packet that is like those before it. `None` if it is not, or if somebody wants to see it: then nothing
    /// has been done.
    #[inline]
    pub(super) fn repeat(
        &mut self,
        frame: &[u8],
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Option<Result<(), Violation>> {
        // Hooks that want these are told at the places where packets are taken apart.
        let wanted = self.core.hooks.wanted();
        if wanted.contains(Events::PACKET_RECEIVED) {
            return None;
        }
        match PlainAck::read(frame) {
            Some(_) if wanted.contains(Events::ACKNOWLEDGED) => None,
            Some(ack) => self.repeat_ack(ack, now, out).then_some(Ok(())),
            None => self.repeat_publish(frame, now, out),
        }
    }

    fn repeat_ack(&mut self, ack: PlainAck, now: Instant, out: &mut Vec<u8>) -> bool {
        let Some(session) = self.outbox.kept else { return self.protocol.receive_plain_ack(ack, now, out) };
        // Other acknowledgements are noted, with what has to wait for that, where they are taken apart.
        let is_next = ack.packet_type == PacketType::Puback && self.protocol.receive_plain_ack(ack, now, out);
        if is_next {
            self.keeping.get_or_insert_default().transaction.settled(session, ack.packet_id);
        }
        is_next
    }

    #[inline]
    fn repeat_publish(
        &mut self,
        frame: &[u8],
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Option<Result<(), Violation>> {
        let version = self.protocol.version();
        let publisher = self.publisher.as_mut()?;
        let publish = PlainPublish::read(frame, publisher.topic_in_batches(now)?, version)?;
        let is_stored = publish.qos == QoS::ExactlyOnce && self.outbox.kept.is_some();
        if is_stored || !publisher.goes_on_with(&publish) {
            return None;
        }
        if let Some(meter) = self.bounds.as_mut().and_then(|bounds| bounds.meter.as_mut()) {
            meter.count(frame.len(), now);
        }
        self.tally.publish_received += 1;
        self.tally.publish_bytes_received += publish.payload.len() as u64;
        let ticket = match self.protocol.receive_plain(&publish, now, out) {
            Ok(Some(ticket)) => ticket,
            Ok(None) => return Some(Ok(())),
            Err(violation) => return Some(Err(violation)),
        };
        let arrived = Arrived { frame, layout: Layout::of(version) };
        let wanted = self.core.hooks.wanted();
        if wanted.overlaps(PUBLICATIONS) {
            let objection = publisher.object(&self.core.hooks, &self.identity, &publish);
            if objection.is_some() || wanted.overlaps(LATER) {
                return Some(self.go_on_ruled(arrived, &publish, ticket, objection, now, out));
            }
        }
        publisher.go_on_with_plain(arrived, &publish, now);
        self.protocol.answer_publish(ticket, ReasonCode::Success, out);
        Some(Ok(()))
    }

    /// Goes on with a message of which the hooks have more to say.
    #[cold]
    fn go_on_ruled(
        &mut self,
        arrived: Arrived<'_>,
        publish: &PlainPublish<'_>,
        ticket: Ticket,
        objection: Option<Box<Objection>>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        let (core, identity) = (&self.core, &self.identity);
        let publisher = self.publisher.as_mut().expect("it has just been looked at");
        let topic = Arc::clone(publisher.topic_in_batches(now).expect("it has just been looked at"));
        let publish = InboundPublish::plain(publish, TopicName::assume_valid(&*topic));
        let reason = if objection.is_some() || core.hooks.wants(Events::REVIEW_PUBLISH) {
            match hooked::publish_ruled(core, identity, publisher, &publish, objection, now) {
                Handled::Answered(reason) => reason,
                Handled::UnderReview(review) => {
                    self.review = Some(review);
                    return Ok(());
                }
            }
        } else {
            let reason = publisher.go_on_with(arrived, &publish, now);
            hooked::tell_published(core, identity, &publish, reason);
            reason
        };
        self.acknowledge(ticket, reason, out)
    }
}
