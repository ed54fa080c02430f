//! One admitted client: its protocol state and its part in routing.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use mqtt_codec::{Auth, Framing, Packet, PacketId, QoS, ReasonCode, Version, decode, frame};
use mqtt_session::{
    Completed, DropReason, Exchange, PACKET_BYTES_MAX, Protocol, Received, Step, Ticket, Violation,
};

use super::End;
use super::hooked::{self, Handled};
use super::publisher::{Publisher, publisher};
use super::rate::Meter;
use super::replay::Replays;
use super::reviewing::Review;
use crate::access::Identity;
use crate::clients::Handle;
use crate::core::Core;
use crate::gate::Seat;
use crate::hooks::{Events, Hooks};
use crate::keeping::Keeping;
use crate::outbox::{Outbox, Taken};

pub(crate) struct Dialogue {
    pub(super) core: Arc<Core>,
    pub(crate) protocol: Protocol,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) handle: Arc<Handle>,
    pub(crate) identity: Arc<Identity>,
    /// Made with the first message, since many clients only subscribe.
    pub(super) publisher: Option<Box<Publisher>>,
    /// Outboxes of slow receivers: nothing is read from this client until they have room.
    pub(super) waiting_for: Vec<Arc<Outbox>>,
    /// When the slowest of them counts as stalled.
    pub(super) stall_deadline: Option<Instant>,
    /// Retained messages still to be sent for new subscriptions.
    pub(super) replays: Replays,
    /// Whether a search for retained messages goes on after everybody else had a turn.
    pub(super) pausing: bool,
    /// A re-authentication that is under way.
    pub(super) exchange: Option<Box<dyn Exchange>>,
    /// Scratch for what is taken from the outbox; empty between turns.
    pub(super) batch: Vec<Taken>,
    pub(super) tally: Tally,
    /// Messages in the outbox that came before its owner's rights were last looked at.
    pub(super) unchecked: usize,
    /// Whether the hooks know that messages wait for acknowledgements.
    pub(super) is_exhausted: bool,
    /// Only for those clients that have any.
    pub(super) bounds: Option<Box<Bounds>>,
    /// What has to be stored; made when there is something.
    pub(super) keeping: Option<Box<Keeping>>,
    pub(super) end: Option<End>,
    /// A question to hooks that take their time.
    pub(super) review: Option<Box<Review>>,
}

/// What is limited for one client.
#[derive(Debug)]
pub(super) struct Bounds {
    /// When the connection ends at the latest, and with what reason.
    pub(super) ends_at: Option<(Instant, ReasonCode)>,
    pub(super) meter: Option<Meter>,
    /// Its place among the connections of its user.
    pub(super) seat: Option<Seat>,
}

impl Bounds {
    /// `None` if nothing is limited.
    pub(super) fn boxed(self) -> Option<Box<Self>> {
        let any = self.ends_at.is_some() || self.meter.is_some() || self.seat.is_some();
        any.then(|| Box::new(self))
    }

    /// When reading may go on, if it may not now.
    pub(super) fn pause(&self, now: Instant) -> Option<Instant> {
        self.meter.as_ref()?.pause(now)
    }
}

/// What this connection has counted since it last told the broker.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) bytes_received: u64,
    pub(super) bytes_sent: u64,
    pub(super) packets_received: u64,
    pub(super) packets_sent: u64,
    pub(super) publish_received: u64,
    pub(super) publish_sent: u64,
    pub(super) publish_bytes_received: u64,
    pub(super) publish_bytes_sent: u64,
}

impl Tally {
    /// Counts packets that the protocol wrote by itself, such as repetitions.
    pub(super) fn count_sent(&mut self, mut packets: &[u8], version: Version) {
        while let Ok(Framing::Complete { frame_len, .. }) = frame(packets, PACKET_BYTES_MAX) {
            let (packet, rest) = packets.split_at(frame_len);
            packets = rest;
            self.packets_sent += 1;
            if let Ok(Packet::Publish(publish)) = decode(packet, version) {
                self.publish_sent += 1;
                self.publish_bytes_sent += publish.payload.len() as u64;
            }
        }
    }
}

impl Dialogue {
    /// Handles one frame. Breaks when nothing more may be handled now.
    pub(super) fn on_frame(&mut self, frame: &[u8], now: Instant, out: &mut Vec<u8>) -> ControlFlow<()> {
        self.tally.packets_received += 1;
        let answered_from = out.len();
        let repeated = self.repeat(frame, now, out);
        let handled = repeated.unwrap_or_else(|| self.handle_frame(frame, now, out));
        if let Err(violation) = handled {
            self.end_with(End::Violation(violation));
        }
        self.tally.packets_sent += u64::from(out.len() > answered_from);
        self.go_on(out, answered_from, now)
    }

    fn handle_frame(&mut self, frame: &[u8], now: Instant, out: &mut Vec<u8>) -> Result<(), Violation> {
        let packet = decode(frame, self.protocol.version())?;
        if let Packet::Publish(_) = &packet
            && let Some(meter) = self.bounds.as_mut().and_then(|bounds| bounds.meter.as_mut())
        {
            meter.count(frame.len(), now);
        }
        if self.core.hooks.wants(Events::PACKET_RECEIVED) {
            return self.handle_inspected(packet, now, out);
        }
        self.handle_packet(packet, now, out)
    }

    /// As [`handle_packet`](Self::handle_packet), for packets that did not come straight from the wire.
    #[inline(never)]
    pub(super) fn handle_packet_apart(
        &mut self,
        packet: Packet<'_>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        self.handle_packet(packet, now, out)
    }

    #[inline(always)]
    fn handle_packet(
        &mut self,
        packet: Packet<'_>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        let version = self.protocol.version();
        if let Packet::Publish(publish) = &packet {
            self.tally.publish_received += 1;
            self.tally.publish_bytes_received += publish.payload.len() as u64;
        }
        if self.outbox.kept.is_some() {
            self.note_acknowledgement(&packet);
        }
        match self.protocol.receive(packet, now, out)? {
            Received::Publish(publish) => {
                let (core, identity) = (&self.core, &self.identity);
                let publisher = publisher(&mut self.publisher, core, identity, &self.outbox, version);
                let ticket = publish.ticket();
                match hooked::publish(core, identity, publisher, &publish, now) {
                    Handled::Answered(reason) => self.acknowledge(ticket, reason, out)?,
                    Handled::UnderReview(review) => self.review = Some(review),
                }
            }
            Received::Completed(completed) => self.on_completed(&completed),
            Received::Subscribe(subscribe) => self.on_subscribe(&subscribe, out),
            Received::Unsubscribe(unsubscribe) => self.on_unsubscribe(&unsubscribe, out),
            Received::Auth(auth) => self.on_auth(&auth, out)?,
            Received::Disconnect(_) => self.end_with(End::PeerLeft),
            // The last three answer packets that a broker never sends; the protocol refuses them before.
            Received::Nothing | Received::Suback(_) | Received::Unsuback(_) | Received::Pingresp => {}
        }
        Ok(())
    }

    /// Answers a message that was handed over or refused, and notes what has to be stored of it.
    #[inline(always)]
    pub(super) fn acknowledge(
        &mut self,
        ticket: Ticket,
        reason: ReasonCode,
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        if let Some(publisher) = &mut self.publisher {
            if publisher.is_unstored && self.protocol.version() < Version::V5 && ticket.awaits().is_some() {
                // What an acknowledgement before MQTT 5 says is that the message is kept [MQTT3-3.3.5-2].
                return Err(Violation::new(reason, "3.3.5"));
            }
            if self.core.is_durable {
                let transaction = &mut publisher.touched.transaction;
                let awaits_pubrel =
                    |(_, qos): &(PacketId, QoS)| *qos == QoS::ExactlyOnce && !reason.is_error();
                let received = ticket.awaits().filter(awaits_pubrel).zip(self.outbox.kept);
                if received.is_some() || !transaction.is_empty() {
                    let keeping = self.keeping.get_or_insert_default();
                    keeping.transaction.append(transaction);
                    if let Some(((packet_id, _), session)) = received {
                        keeping.transaction.received(session, packet_id);
                    }
                }
            }
        }
        self.protocol.answer_publish(ticket, reason, out);
        Ok(())
    }

    /// Notes how far the exchanges of a session that is kept have come.
    fn note_acknowledgement(&mut self, packet: &Packet<'_>) {
        let Some(session) = self.outbox.kept else { return };
        let transaction = &mut self.keeping.get_or_insert_default().transaction;
        match packet {
            Packet::Pubrec(ack) if !ack.reason.is_error() => transaction.pubrec(session, ack.packet_id),
            Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubcomp(ack) => {
                transaction.settled(session, ack.packet_id);
            }
            Packet::Pubrel(ack) => transaction.released(session, ack.packet_id),
            _ => {}
        }
        if matches!(packet, Packet::Pubrec(_) | Packet::Pubrel(_)) {
            // Which topic it was about is not remembered.
            transaction.require(self.core.settings.durability.strictest());
        }
    }

    /// Stores what was collected. What was appended to the writer from this place on leaves after that.
    pub(super) fn keep(&mut self, from: u64) {
        if let Some(keeping) = &mut self.keeping {
            keeping.submit(&self.core, from);
        }
    }

    fn on_completed(&mut self, completed: &Completed) {
        let packet_id = completed.packet_id.get();
        let tell = |hook: &dyn Hooks| hook.acknowledged(&self.identity, packet_id, completed.reason);
        self.core.hooks.tell(Events::ACKNOWLEDGED, tell);
        if completed.reason.is_error()
            && let Some(delivery) = &completed.delivery
        {
            // [MQTT-4.8.2-6]: it is not offered to anybody else.
            self.core.dropped(DropReason::RefusedByReceiver, &self.outbox, delivery);
        }
    }

    /// Re-authentication (section 4.12.1).
    fn on_auth(&mut self, auth: &Auth<'_>, out: &mut Vec<u8>) -> Result<(), Violation> {
        let mut exchange = match (auth.reason, self.exchange.take()) {
            (ReasonCode::ReAuthenticate, None) => self.start_exchange()?,
            (ReasonCode::ContinueAuthentication, Some(exchange)) => exchange,
            _ => return Err(Violation::protocol_error("MQTT-4.12.1-1")),
        };
        let address = self.identity.address;
        // As at the first authentication: whoever has failed too often is not looked at, and does not fail again by it.
        if exchange.claimed_username().is_some_and(|name| !self.core.access.may_prove(address, name)) {
            return Err(Violation::new(ReasonCode::ConnectionRateExceeded, "MQTT-4.12.1-2"));
        }
        match exchange.step(auth.properties.authentication_data().unwrap_or_default()) {
            Step::Continue(data) => {
                self.protocol.send_auth(ReasonCode::ContinueAuthentication, Some(&data), out);
                self.exchange = Some(exchange);
            }
            Step::Success(data) => {
                let other =
                    exchange.username().is_some_and(|name| self.identity.username.as_deref() != Some(name));
                if other {
                    return Err(Violation::new(ReasonCode::NotAuthorized, "MQTT-4.12.1-2"));
                }
                self.protocol.send_auth(ReasonCode::Success, data.as_deref(), out);
            }
            Step::Failure(reason) => {
                let claimed = exchange.claimed_username().or(self.identity.username.as_deref());
                self.core.access.exchange_failed(address, claimed);
                return Err(Violation::new(reason, "MQTT-4.12.1-2"));
            }
        }
        Ok(())
    }

    fn start_exchange(&self) -> Result<Box<dyn Exchange>, Violation> {
        let name = self.protocol.authentication_method().unwrap_or_default();
        let method = self.core.method(name, &self.identity.listener);
        let method = method.ok_or(Violation::new(ReasonCode::BadAuthenticationMethod, "MQTT-4.12.0-1"))?;
        Ok(method.start(&self.identity.client_id, self.identity.username.as_deref()))
    }

    /// After a read burst: wakes the receivers once each, and notes whom this client has to wait for.
    /// What was appended to the writer from this place on answers what was received in it.
    pub(super) fn burst_over(&mut self, now: Instant, from: u64) {
        let Some(publisher) = &mut self.publisher else {
            self.keep(from);
            return;
        };
        publisher.hand_over_run(now);
        let transaction = &mut publisher.touched.transaction;
        if !transaction.is_empty() {
            self.keeping.get_or_insert_default().transaction.append(transaction);
        }
        // Stored before anybody is woken, so that the store hears of a message before it hears what became of it.
        if let Some(keeping) = &mut self.keeping {
            keeping.submit(&self.core, from);
        }
        publisher.burst_over(now);
        for outbox in publisher.touched.congested.drain(..) {
            // Its own outbox is emptied by this very task.
            let own = Arc::ptr_eq(&outbox, &self.outbox);
            if !own && !self.waiting_for.iter().any(|other| Arc::ptr_eq(other, &outbox)) {
                self.waiting_for.push(outbox);
            }
        }
    }

    /// Whether the last burst was cut short because what it asked for takes its time. The rest of it is still there.
    pub(super) fn is_burst_heavy(&self) -> bool {
        self.publisher.as_ref().is_some_and(|publisher| publisher.was_heavy)
    }

    /// Whether every receiver that this client feeds has room.
    pub(super) fn may_read(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if self.bounds.as_ref().is_some_and(|bounds| bounds.pause(now).is_some()) {
            return false;
        }
        if self.waiting_for.is_empty() {
            return true;
        }
        let limits = &self.core.outbox_limits;
        let mut deadline = None;
        self.waiting_for
            .retain(|outbox| matches!(outbox.poll_room(cx, limits, now, &mut deadline), Poll::Pending));
        self.stall_deadline = deadline;
        // Others wait for this client in turn, and it is its acknowledgements that make room: they come in
        // the same stream as the messages that have to wait.
        let awaited = self.protocol.window_free() == 0 && self.outbox.is_strained();
        self.waiting_for.is_empty() || awaited
    }

    /// Leaves the slow receivers that this client waits for.
    pub(super) fn stop_waiting(&mut self, waker: &Waker) {
        for outbox in self.waiting_for.drain(..) {
            outbox.stop_waiting(waker);
        }
    }

    /// The next moment at which something is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let silent = self.protocol.keep_alive().deadline();
        let stalled = if self.waiting_for.is_empty() { None } else { self.stall_deadline };
        let paused = self.bounds.as_ref().and_then(|bounds| bounds.pause(self.core.now()));
        let ends_at = self.bounds.as_ref().and_then(|bounds| bounds.ends_at).map(|(at, _)| at);
        [silent, stalled, paused, ends_at].into_iter().flatten().min()
    }

    /// Whether the peer has been silent for one and a half keep-alive intervals ([MQTT-3.1.2-22]).
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        self.protocol.keep_alive().deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Notes why the connection ends; the first reason stands.
    pub(super) fn end_with(&mut self, end: End) {
        self.end.get_or_insert(end);
    }

    /// Adds what was counted here to the broker's counters.
    pub(super) fn count(&mut self) {
        let tally = std::mem::take(&mut self.tally);
        let metrics = &self.core.metrics;
        let pairs = [
            (&metrics.bytes_received, tally.bytes_received),
            (&metrics.bytes_sent, tally.bytes_sent),
            (&metrics.packets_received, tally.packets_received),
            (&metrics.packets_sent, tally.packets_sent),
            (&metrics.publish_received, tally.publish_received),
            (&metrics.publish_sent, tally.publish_sent),
            (&metrics.publish_bytes_received, tally.publish_bytes_received),
            (&metrics.publish_bytes_sent, tally.publish_bytes_sent),
        ];
        for (counter, count) in pairs {
            if count > 0 {
                counter.add(count);
            }
        }
    }
}
