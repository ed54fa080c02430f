//! What goes to the client: repetitions first, then retained messages, then what waits in its outbox.

use std::time::Instant;

use mqtt_codec::QoS;
use mqtt_session::{Batch, Delivery, DropReason};
use mqtt_store::Retained;
use mqtt_transport::{CHAIN_BYTES_MIN, FrameWriter};

use super::WRITE_BYTES_HIGH;
use super::dialogue::Dialogue;
use super::replay::Next;
use crate::hooks::Events;
use crate::outbox::Taken;

impl Dialogue {
    /// Encodes some of what waits. Whether there may be more: something was encoded or, being too large or
    /// too old, left out.
    pub(super) fn fill(&mut self, now: Instant, writer: &mut FrameWriter) -> bool {
        let out = writer.buffer();
        let filled_from = out.len();
        if self.protocol.is_resending() {
            let dropped = self.protocol.continue_resending(now, out);
            self.count_undeliverable(dropped);
            self.tell_sent(out, filled_from, Events::RESENT);
            if out.len() > filled_from {
                self.outbox.note_progress(now);
                self.tally.count_sent(&out[filled_from..], self.protocol.version());
            }
            if self.protocol.is_resending() {
                let resent = out.len() > filled_from;
                self.show(out, filled_from);
                return resent; // the window is closed: everything else waits behind
            }
        }
        let sent_from = out.len();
        let under_way =
            self.core.hooks.wants(Events::SENT).then(|| self.protocol.session().unacknowledged_len());
        let taken = self.fill_from_replays(now, out) && self.fill_from_outbox(now, writer);
        let out = writer.buffer();
        if under_way.is_some_and(|before| self.protocol.session().unacknowledged_len() > before) {
            self.tell_sent(out, sent_from, Events::SENT);
        }
        let filled = taken || out.len() > filled_from;
        self.show(out, filled_from);
        filled
    }

    pub(super) fn count_undeliverable(&self, dropped: Vec<(Delivery, DropReason)>) {
        for (delivery, reason) in dropped {
            self.core.dropped(reason, &self.outbox, &delivery);
        }
    }

    /// Sends retained messages. Whether all have been sent.
    fn fill_from_replays(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        while let Some(replay) = self.replays.first_mut() {
            let may = |retained: &Retained, qos| self.core.may_replay(&self.identity, retained, qos);
            let outbox = &self.outbox;
            let next = replay.peek(&*self.core.store, outbox.key, &may, now, &|| outbox.waker());
            let mut delivery = match next {
                Ok(Next::Message(delivery)) => delivery,
                Ok(Next::Pause) => {
                    self.pausing = true;
                    return false;
                }
                Ok(Next::Wait) => return false,
                Ok(Next::End) => {
                    self.replays.pop_first();
                    continue;
                }
                Err(error) => {
                    tracing::error!(client_id = &*self.identity.client_id, %error, "retained messages cannot be read");
                    self.replays.pop_first();
                    continue;
                }
            };
            let no_window = delivery.hop.qos > QoS::AtMostOnce && self.protocol.window_free() == 0;
            if no_window || out.len() >= WRITE_BYTES_HIGH {
                return false;
            }
            replay.advance();
            if self.core.hooks.wants(Events::RETAINED_REPLAYED) {
                self.core.tell_replayed(&self.identity.client_id, &delivery);
            }
            self.keep_replayed(&mut delivery);
            self.send(delivery, now, out);
            self.outbox.note_progress(now);
        }
        true
    }

    /// A retained message that was sent above QoS 0 is part of the session until it is acknowledged (section 4.1), and
    /// both sides must mean the same by its identifier, also after a kill. While nothing can be stored it is only sent.
    fn keep_replayed(&mut self, delivery: &mut Delivery) {
        let is_kept = self.outbox.kept.is_some() && delivery.hop.qos > QoS::AtMostOnce;
        if is_kept && self.core.keeps_now() {
            let transaction = &mut self.keeping.get_or_insert_default().transaction;
            self.outbox.keep_sent(delivery, transaction);
        }
    }

    /// Whether anything was taken from the outbox.
    fn fill_from_outbox(&mut self, now: Instant, writer: &mut FrameWriter) -> bool {
        let window = self.protocol.window_free();
        let mut batch = std::mem::take(&mut self.batch);
        self.outbox.take(window, WRITE_BYTES_HIGH, &self.core.outbox_limits, now, &mut batch);
        let taken = !batch.is_empty();
        if self.core.hooks.wants(Events::PACKET_IDS_EXHAUSTED) {
            self.tell_exhausted(window);
        }
        for taken in batch.drain(..) {
            match taken {
                _ if self.unchecked > 0 && !self.may_get(&taken) => {}
                Taken::One(delivery) => self.send(delivery, now, writer.buffer()),
                Taken::Many(batch) => self.send_batch(&batch, now, writer),
            }
        }
        // An idle connection holds no buffer.
        if batch.capacity() <= BATCH_SPARE {
            self.batch = batch;
        }
        taken
    }

    /// Whether the client may get something that has waited since before its rights may have changed; counted if not.
    fn may_get(&mut self, taken: &Taken) -> bool {
        let mut may = true;
        let mut check = |delivery: &Delivery| {
            let hop = &delivery.hop;
            if !self.core.may_still_get(&self.identity, delivery.message.topic(), hop.qos, hop.retain) {
                self.core.dropped(DropReason::ReceiveNotAuthorized, &self.outbox, delivery);
                may = false;
            }
        };
        let messages = match taken {
            Taken::One(delivery) => {
                check(delivery);
                1
            }
            Taken::Many(batch) => {
                // They are all on one topic.
                batch.deliveries().for_each(|delivery| check(&delivery));
                batch.messages() as usize
            }
        };
        self.unchecked = self.unchecked.saturating_sub(messages);
        may
    }

    fn send_batch(&mut self, batch: &Batch, now: Instant, writer: &mut FrameWriter) {
        if self.chain_batch(batch, writer) || self.write_batch(batch, writer.buffer()) {
            self.tally.packets_sent += u64::from(batch.messages());
            self.tally.publish_sent += u64::from(batch.messages());
            self.tally.publish_bytes_sent += batch.payload_bytes();
        } else {
            batch.deliveries().for_each(|delivery| self.send(delivery, now, writer.buffer()));
        }
    }

    /// Writes a batch, and notes what has to be stored of it. Whether it suits the client.
    fn write_batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> bool {
        let (Some(session), true) = (self.outbox.kept, batch.place() > 0) else {
            return self.protocol.deliver_batch(batch, out);
        };
        let Some(first) = self.protocol.deliver_numbered(batch, out) else { return false };
        let transaction = &mut self.keeping.get_or_insert_default().transaction;
        transaction.sent_batch(session, batch, first);
        if batch.qos() == QoS::ExactlyOnce {
            transaction.require(self.core.settings.durability.strictest());
        }
        true
    }

    /// Lets the bytes of a long batch leave from where they are. Whether that is possible.
    fn chain_batch(&self, batch: &Batch, writer: &mut FrameWriter) -> bool {
        let chains = batch.bytes().len() >= CHAIN_BYTES_MIN && !self.core.hooks.wants(Events::PACKET_SENDING);
        let shared = if chains { self.protocol.share_batch(batch) } else { None };
        shared.map(|bytes| writer.chain(bytes)).is_some()
    }

    fn send(&mut self, delivery: Delivery, now: Instant, out: &mut Vec<u8>) {
        if delivery.message.is_absent() {
            return self.core.dropped(DropReason::Unreadable, &self.outbox, &delivery);
        }
        let payload_bytes = delivery.message.payload().len() as u64;
        let receipt = (delivery.hop.qos, delivery.message.clone());
        let place = delivery.hop.place;
        match self.protocol.deliver(delivery, now, out) {
            Ok(packet_id) => {
                if let (Some(session), Some(packet_id)) = (self.outbox.kept, packet_id)
                    && place > 0
                {
                    let transaction = &mut self.keeping.get_or_insert_default().transaction;
                    transaction.sent(session, place, packet_id, receipt.0);
                    if receipt.0 == QoS::ExactlyOnce {
                        transaction.require(self.core.settings.durability.strictest());
                    }
                }
                self.tally.packets_sent += 1;
                self.tally.publish_sent += 1;
                self.tally.publish_bytes_sent += payload_bytes;
            }
            Err(reason) => {
                let (qos, message) = receipt;
                self.core.drops.record(&self.core.metrics, reason, &self.outbox, message.topic(), qos);
                self.core.forget(&self.outbox, place);
            }
        }
    }
}

/// Room for this many deliveries is kept between bursts.
const BATCH_SPARE: usize = 64;
