//! Packets like those before them, recognised by a few comparisons instead of being taken apart: messages that go on
//! with the publisher's run, and acknowledgements that come in turn. Most of a busy connection's packets are of these.

use std::sync::Arc;
use std::time::Instant;

use mqtt_codec::{PlainAck, PlainPublish, QoS, ReasonCode};
use mqtt_session::{InboundPublish, Layout, Ticket, Violation};
use mqtt_topic::TopicName;

use super::dialogue::Dialogue;
use super::hooked::{self, Handled};
use super::publisher::Arrived;
use crate::hooks::Events;

/// Hooks that want these are told at the places where packets are taken apart.
const PACKETS: Events = Events::PACKET_RECEIVED.or(Events::ACKNOWLEDGED);
const PUBLICATIONS: Events = Events::PUBLISH.or(Events::REVIEW_PUBLISH).or(Events::PUBLISHED);

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
        if self.core.hooks.wants_any(PACKETS) {
            return None;
        }
        match PlainAck::read(frame) {
            Some(ack) => self.repeat_ack(ack, now, out).then_some(Ok(())),
            None => self.repeat_publish(frame, now, out),
        }
    }

    fn repeat_ack(&mut self, ack: PlainAck, now: Instant, out: &mut Vec<u8>) -> bool {
        // What a store has to know is noted where every acknowledgement is.
        self.outbox.kept.is_none() && self.protocol.receive_plain_ack(ack, now, out)
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
        let publish = PlainPublish::read(frame, publisher.topic_in_batches()?, version)?;
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
        if self.core.hooks.wants_any(PUBLICATIONS) {
            return Some(self.ask_and_go_on(arrived, &publish, ticket, now, out));
        }
        publisher.go_on_with_plain(arrived, &publish, now);
        self.protocol.answer_publish(ticket, ReasonCode::Success, out);
        Some(Ok(()))
    }

    fn ask_and_go_on(
        &mut self,
        arrived: Arrived<'_>,
        publish: &PlainPublish<'_>,
        ticket: Ticket,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        let publisher = self.publisher.as_mut().expect("it has just been looked at");
        let topic = Arc::clone(publisher.topic_in_batches().expect("it has just been looked at"));
        let publish = InboundPublish::plain(publish, TopicName::assume_valid(&*topic));
        match hooked::publish(&self.core, &self.identity, publisher, &publish, Some(arrived), now) {
            Handled::Answered(reason) => self.acknowledge(ticket, reason, out)?,
            Handled::UnderReview(review) => self.review = Some(review),
        }
        Ok(())
    }
}
