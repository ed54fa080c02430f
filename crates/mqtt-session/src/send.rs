//! One connection joined with its session: what leaves.

use std::time::Instant;

use bytes::{BufMut, Bytes};
use mqtt_codec::{
    Ack, Auth, Disconnect, Packet, PacketId, PacketType, PlainAck, Properties, PropertiesBuf, Property,
    Publish, QoS, ReasonCode, ReasonCodes, Suback, Subscribe, SubscribeFilters, Unsuback, Unsubscribe,
    UnsubscribeFilters, Version, encode, encoded_len,
};

use crate::alias::{AliasUse, Naming};
use crate::batch::number;
use crate::mounting::show_response_topic;
use crate::outbound::InFlight;
use crate::publish::Ticket;
use crate::{Batch, Delivery, DropReason, Layout, PACKET_BYTES_MAX, Protocol};

impl Protocol {
    /// How many more new QoS 1 and QoS 2 messages the peer takes now ([MQTT-3.3.4-9], [MQTT-4.9.0-2]), as far as
    /// there are packet identifiers for them.
    #[must_use]
    pub fn window_free(&self) -> u16 {
        self.window_open().min(self.session.outbound.ids_free())
    }

    /// The same for messages that have their identifier already.
    fn window_open(&self) -> u16 {
        self.window.saturating_sub(self.session.outbound.window_used())
    }

    /// Starts sending on a new connection: PUBRELs at once, then unacknowledged messages as far as the
    /// window allows, in their order and with DUP set ([MQTT-4.4.0-1], [MQTT-3.3.1-1]).
    ///
    /// Returns the messages that can never be sent to this peer, with the reason.
    pub fn resume(&mut self, now: Instant, out: &mut Vec<u8>) -> Vec<(Delivery, DropReason)> {
        self.session.inbound.reconnect();
        for id in self.session.outbound.reconnect() {
            self.send_ack(PacketType::Pubrel, id, ReasonCode::Success, out);
        }
        self.continue_resending(now, out)
    }

    /// Whether messages of an earlier connection still wait for the window; new ones must wait behind
    /// them. Call [`continue_resending`](Self::continue_resending) when the window has opened.
    #[must_use]
    pub fn is_resending(&self) -> bool {
        self.session.outbound.has_resends()
    }

    /// Sends again what waits, as far as the window allows. Returns what can never be sent.
    pub fn continue_resending(&mut self, now: Instant, out: &mut Vec<u8>) -> Vec<(Delivery, DropReason)> {
        let mut dropped = Vec::new();
        while self.window_open() > 0
            && let Some((id, delivery)) = self.session.outbound.next_resend()
        {
            // The alias table of the old connection is gone: the topic is sent in full.
            let sent = self.write_below(&delivery, Some(id), true, Naming::Topic, now, out);
            if let Err(reason) = sent {
                self.session.outbound.finish(id);
                dropped.push((delivery, reason));
            }
        }
        dropped
    }

    /// Sends a message. Above QoS 0 the window must be open ([`window_free`](Self::window_free)) and the
    /// packet identifier is returned.
    ///
    /// # Errors
    /// The message expired ([MQTT-3.3.2-5]), is too large for the peer ([MQTT-3.1.2-25]) or has no name below its
    /// mountpoint: it counts as delivered, and nothing was written.
    pub fn deliver(
        &mut self,
        delivery: Delivery,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<PacketId>, DropReason> {
        if delivery.message.is_expired(now) {
            return Err(DropReason::Expired);
        }
        if delivery.hop.qos == QoS::AtMostOnce {
            self.write_named(&delivery, None, now, out)?;
            return Ok(None);
        }
        assert!(self.window_free() > 0, "the caller looks at the window first");
        let id = self.session.outbound.start_publish(delivery.clone());
        if let Err(reason) = self.write_named(&delivery, Some(id), now, out) {
            self.session.outbound.finish(id);
            return Err(reason);
        }
        Ok(Some(id))
    }

    /// Chooses the topics that get an alias towards the peer, as far as it takes any. To be called before anything is
    /// sent.
    pub fn use_aliases(&mut self, alias_use: AliasUse) {
        self.aliases_out.choose(alias_use);
    }

    /// The layout in which this peer can be sent batches; `None` if it needs each message encoded for itself,
    /// because it is given topic aliases or has other names for the topics.
    #[must_use]
    pub fn batch_layout(&self) -> Option<Layout> {
        let suits = !self.aliases_out.is_in_use() && self.mountpoint.is_none();
        suits.then(|| Layout::of(self.version))
    }

    /// The bytes of a batch as they are sent to this peer; `None` if they differ for it.
    #[must_use]
    pub fn share_batch(&self, batch: &Batch) -> Option<Bytes> {
        (batch.qos() == QoS::AtMostOnce && self.takes(batch)).then(|| batch.share())
    }

    fn takes(&self, batch: &Batch) -> bool {
        let fits = batch.longest_bytes() <= self.theirs.maximum_packet_size_bytes as usize; // [MQTT-3.1.2-24]
        fits && self.batch_layout() == Some(batch.layout())
    }

    /// Sends a whole batch. Above QoS 0 the window must be open for all of it. Whether it suits this peer; if not,
    /// nothing was written and its messages must be delivered one by one.
    #[must_use]
    pub fn deliver_batch(&mut self, batch: &Batch, out: &mut Vec<u8>) -> bool {
        if batch.qos() > QoS::AtMostOnce {
            return self.deliver_numbered(batch, out).is_some();
        }
        let takes = self.takes(batch);
        if takes {
            out.extend_from_slice(batch.bytes());
        }
        takes
    }

    /// The same for one above QoS 0: the packet identifier of the first message, whose followers have those behind it.
    #[must_use]
    pub fn deliver_numbered(&mut self, batch: &Batch, out: &mut Vec<u8>) -> Option<PacketId> {
        if !self.takes(batch) {
            return None;
        }
        assert!(batch.messages() <= u32::from(self.window_free()), "the caller looks at the window first");
        let from = out.len();
        let first = self.session.outbound.start_batch(batch)?;
        out.extend_from_slice(batch.bytes());
        number(&mut out[from..], first);
        Some(first)
    }

    /// Writes a PUBLISH and remembers the alias that it defines.
    fn write_named(
        &mut self,
        delivery: &Delivery,
        id: Option<PacketId>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), DropReason> {
        let naming = self.aliases_out.name(delivery.message.topic());
        let defines = if let Naming::Define(alias) = naming { Some(alias) } else { None };
        if self.mountpoint.is_some() {
            self.write_below(delivery, id, false, naming, now, out)?;
        } else {
            self.write_publish(delivery, id, false, naming, now, out)
                .map_err(|TooLarge| DropReason::TooLargeForReceiver)?;
        }
        if let Some(alias) = defines {
            self.aliases_out.define(delivery.message.topic(), alias);
        }
        Ok(())
    }

    fn write_publish(
        &mut self,
        delivery: &Delivery,
        packet_id: Option<PacketId>,
        dup: bool,
        naming: Naming,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), TooLarge> {
        let message = &delivery.message;
        let properties = if self.version == Version::V5 {
            join_properties(&mut self.scratch, delivery, &naming, now)
        } else {
            Properties::EMPTY
        };
        let topic = if matches!(naming, Naming::Alias(_)) { "" } else { message.topic() };
        let packet = Packet::Publish(Publish {
            dup,
            qos: delivery.hop.qos,
            retain: delivery.hop.retain,
            topic,
            packet_id,
            properties,
            payload: message.payload(),
        });
        write(&packet, self.version, self.theirs.maximum_packet_size_bytes, out)
    }

    /// The same under the names that the peer has below its mountpoint, if it has one.
    #[cold]
    fn write_below(
        &mut self,
        delivery: &Delivery,
        packet_id: Option<PacketId>,
        dup: bool,
        naming: Naming,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), DropReason> {
        let too_large = |TooLarge| DropReason::TooLargeForReceiver;
        let Some(mountpoint) = self.mountpoint.clone() else {
            return self.write_publish(delivery, packet_id, dup, naming, now, out).map_err(too_large);
        };
        let shown = mountpoint.shown(delivery.message.topic()).ok_or(DropReason::OutsideMountpoint)?;
        let mut properties = PropertiesBuf::new();
        if self.version == Version::V5 {
            let joined = join_properties(&mut self.scratch, delivery, &naming, now);
            show_response_topic(joined, &mountpoint, &mut properties);
        }
        let packet = Packet::Publish(Publish {
            dup,
            qos: delivery.hop.qos,
            retain: delivery.hop.retain,
            topic: if matches!(naming, Naming::Alias(_)) { "" } else { shown },
            packet_id,
            properties: properties.as_properties(),
            payload: delivery.message.payload(),
        });
        write(&packet, self.version, self.theirs.maximum_packet_size_bytes, out).map_err(too_large)
    }

    /// Answers a PUBLISH that [`receive`](Self::receive) handed out, once the message is safe
    /// ([MQTT-4.3.2-4], [MQTT-4.3.3-8]). Nothing is written for QoS 0.
    pub fn answer_publish(&mut self, ticket: Ticket, reason: ReasonCode, out: &mut Vec<u8>) {
        let Some((id, qos)) = ticket.answer else { return };
        let exactly_once = qos == QoS::ExactlyOnce;
        self.session.inbound.answer(id, exactly_once && !reason.is_error()); // [MQTT-4.3.3-9]
        let kind = if exactly_once { PacketType::Pubrec } else { PacketType::Puback };
        self.send_ack(kind, id, reason, out);
    }

    pub(crate) fn send_ack(
        &mut self,
        packet_type: PacketType,
        packet_id: PacketId,
        reason: ReasonCode,
        out: &mut Vec<u8>,
    ) {
        if reason == ReasonCode::Success {
            // Four bytes fit every client that could be admitted.
            out.extend(PlainAck { packet_type, packet_id }.bytes());
            return;
        }
        let kind = match packet_type {
            PacketType::Puback => Packet::Puback,
            PacketType::Pubrec => Packet::Pubrec,
            PacketType::Pubrel => Packet::Pubrel,
            _ => Packet::Pubcomp,
        };
        // [MQTT-3.1.2-29]: acknowledgements carry a reason code only, so they suit every client.
        self.send(&kind(Ack { packet_id, reason, properties: Properties::EMPTY }), out);
    }

    /// Answers a SUBSCRIBE with one reason per filter, in their order ([MQTT-3.8.4-6], [MQTT-3.9.3-1]).
    pub fn send_suback(&mut self, packet_id: PacketId, reasons: ReasonCodes<'_>, out: &mut Vec<u8>) {
        self.send(&Packet::Suback(Suback { packet_id, properties: Properties::EMPTY, reasons }), out);
    }

    /// Answers an UNSUBSCRIBE with one reason per filter, in their order ([MQTT-3.11.3-1]).
    pub fn send_unsuback(&mut self, packet_id: PacketId, reasons: ReasonCodes<'_>, out: &mut Vec<u8>) {
        self.send(&Packet::Unsuback(Unsuback { packet_id, properties: Properties::EMPTY, reasons }), out);
    }

    /// Sends a SUBSCRIBE; `None` if all packet identifiers are in use or it is too large for the peer.
    pub fn send_subscribe(
        &mut self,
        filters: SubscribeFilters<'_>,
        properties: Properties<'_>,
        out: &mut Vec<u8>,
    ) -> Option<PacketId> {
        let packet_id = self.session.outbound.start_request(InFlight::AwaitingSuback)?;
        let packet = Packet::Subscribe(Subscribe { packet_id, properties, filters });
        self.send_request(packet_id, &packet, out)
    }

    /// Sends an UNSUBSCRIBE; `None` if all packet identifiers are in use or it is too large for the peer.
    pub fn send_unsubscribe(
        &mut self,
        filters: UnsubscribeFilters<'_>,
        properties: Properties<'_>,
        out: &mut Vec<u8>,
    ) -> Option<PacketId> {
        let packet_id = self.session.outbound.start_request(InFlight::AwaitingUnsuback)?;
        let packet = Packet::Unsubscribe(Unsubscribe { packet_id, properties, filters });
        self.send_request(packet_id, &packet, out)
    }

    fn send_request(&mut self, id: PacketId, packet: &Packet<'_>, out: &mut Vec<u8>) -> Option<PacketId> {
        if self.send(packet, out) {
            return Some(id);
        }
        self.session.outbound.finish(id);
        None
    }

    /// Sends a PINGREQ.
    pub fn send_pingreq(&mut self, out: &mut Vec<u8>) {
        self.send(&Packet::Pingreq, out);
    }

    /// Sends a DISCONNECT. A server's says nothing to a 3.x client, which has no such packet
    /// ([MQTT3-3.14.4-1] makes it the client's alone). The text and the reference are left away where they
    /// would make it too large ([MQTT-3.14.2-3], [MQTT-3.14.2-4]).
    pub fn send_disconnect(
        &mut self,
        reason: ReasonCode,
        text: Option<&str>,
        server_reference: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        let mut properties = PropertiesBuf::new();
        if let Some(reference) = server_reference {
            properties.push(&Property::ServerReference(reference)).ok();
        }
        if let Some(text) = text {
            properties.push(&Property::ReasonString(text)).ok();
        }
        self.send_disconnect_with(reason, properties.as_properties(), out);
    }

    /// Sends a DISCONNECT with any properties, or without them where they would make it too large.
    pub fn send_disconnect_with(
        &mut self,
        reason: ReasonCode,
        properties: Properties<'_>,
        out: &mut Vec<u8>,
    ) {
        if !self.send(&Packet::Disconnect(Disconnect { reason, properties }), out) {
            self.send(&Packet::Disconnect(Disconnect { reason, properties: Properties::EMPTY }), out);
        }
    }

    /// Sends an AUTH with the method of the CONNECT ([MQTT-4.12.0-5]).
    pub fn send_auth(&mut self, reason: ReasonCode, data: Option<&[u8]>, out: &mut Vec<u8>) {
        let mut properties = PropertiesBuf::new();
        if let Some(method) = self.authentication_method() {
            properties.push(&Property::AuthenticationMethod(method)).ok();
            if let Some(data) = data {
                properties.push(&Property::AuthenticationData(data)).ok();
            }
        }
        self.send(&Packet::Auth(Auth { reason, properties: properties.as_properties() }), out);
    }

    /// Writes a packet unless it is too large for the peer; whether it was written.
    pub(crate) fn send(&self, packet: &Packet<'_>, out: &mut Vec<u8>) -> bool {
        write(packet, self.version, self.theirs.maximum_packet_size_bytes, out).is_ok()
    }
}

/// A packet is larger than the peer's Maximum Packet Size, or than MQTT allows.
#[derive(Debug)]
pub(crate) struct TooLarge;

/// Writes a packet of at most `bytes_max` bytes, or nothing.
pub(crate) fn write<B: BufMut>(
    packet: &Packet<'_>,
    version: Version,
    bytes_max: u32,
    out: &mut B,
) -> Result<(), TooLarge> {
    if bytes_max < PACKET_BYTES_MAX {
        let bytes = encoded_len(packet, version).map_err(|_| TooLarge)?;
        if bytes > bytes_max as usize {
            return Err(TooLarge); // [MQTT-3.1.2-24], [MQTT-3.2.2-15]
        }
    }
    encode(packet, version, out).map(drop).map_err(|_| TooLarge)
}

/// The properties of this hop, then the forwarded ones; borrowed as they are when the hop adds none.
fn join_properties<'a>(
    scratch: &'a mut PropertiesBuf,
    delivery: &'a Delivery,
    naming: &Naming,
    now: Instant,
) -> Properties<'a> {
    let message = &delivery.message;
    let ids = delivery.hop.subscription_ids.as_deref().unwrap_or_default();
    if *naming == Naming::Topic && message.expires_at().is_none() && ids.is_empty() {
        return message.properties();
    }
    scratch.clear();
    let mut push = |property| scratch.push(&property).expect("a number can always be encoded");
    if let Naming::Define(alias) | Naming::Alias(alias) = naming
        && let Some(alias) = core::num::NonZeroU16::new(*alias)
    {
        push(Property::TopicAlias(alias));
    }
    if let Some(remaining_s) = message.remaining_s(now) {
        push(Property::MessageExpiryInterval(remaining_s)); // [MQTT-3.3.2-6]
    }
    for id in ids {
        push(Property::SubscriptionIdentifier(*id)); // [MQTT-3.3.4-3], [MQTT-3.3.4-4]
    }
    scratch.extend_from(message.properties());
    scratch.as_properties()
}
