//! The short way for packets like those before them; what it does is what [`Protocol::receive`] does.

use std::time::Instant;

use mqtt_codec::{PacketType, PlainAck, PlainPublish, ReasonCode};

use crate::publish::Ticket;
use crate::{Protocol, Violation};

impl Protocol {
    /// Takes a PUBLISH on a topic name that is valid. The ticket is for [`answer_publish`](Self::answer_publish);
    /// `None` if it repeats a message that was taken over before: it is answered then, and not routed again.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    #[inline]
    pub fn receive_plain(
        &mut self,
        publish: &PlainPublish<'_>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<Ticket>, Violation> {
        self.note_heard(now);
        self.check_offers(publish.qos, false)?;
        let Some(packet_id) = publish.packet_id else { return Ok(Some(Ticket { answer: None })) };
        let is_new = self.arrive(packet_id, publish.qos, out)?;
        Ok(is_new.then_some(Ticket { answer: Some((packet_id, publish.qos)) }))
    }

    /// Takes an acknowledgement if it is the one that comes next; if not, nothing has been done.
    #[inline]
    pub fn receive_plain_ack(&mut self, ack: PlainAck, now: Instant, out: &mut Vec<u8>) -> bool {
        let PlainAck { packet_type, packet_id } = ack;
        let outbound = &mut self.session.outbound;
        let is_next = match packet_type {
            PacketType::Puback => outbound.puback_next(packet_id),
            PacketType::Pubcomp => outbound.pubcomp_next(packet_id),
            PacketType::Pubrec if outbound.pubrec_next(packet_id) => {
                self.send_ack(PacketType::Pubrel, packet_id, ReasonCode::Success, out); // [MQTT-4.3.3-4]
                true
            }
            PacketType::Pubrel if self.session.inbound.release(packet_id) => {
                self.send_ack(PacketType::Pubcomp, packet_id, ReasonCode::Success, out); // [MQTT-4.3.3-11]
                true
            }
            _ => false,
        };
        if is_next {
            self.note_heard(now);
        }
        is_next
    }
}
