//! One connection joined with its session: what arrives.

use std::sync::Arc;
use std::time::Instant;

use mqtt_codec::{
    Ack, Auth, Connack, Connect, Disconnect, Packet, PacketId, PacketType, PlainAck, PropertiesBuf, Publish,
    QoS, ReasonCode, Suback, Subscribe, Unsuback, Unsubscribe, Version,
};
use mqtt_topic::{Mountpoint, TopicFilter, TopicName};

use crate::alias::{AliasesIn, AliasesOut};
use crate::outbound::{InFlight, Pubrec};
use crate::publish::InboundPublish;
use crate::{Delivery, KeepAlive, Opening, OurLimits, Policy, Session, TheirLimits, Violation, WillMessage};

/// Which side of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Broker,
    Client,
}

/// What a peer may ask of a broker beyond its limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offers {
    pub(crate) maximum_qos: QoS,
    pub(crate) retain: bool,
    pub(crate) wildcards: bool,
    pub(crate) subscription_identifiers: bool,
    pub(crate) shared: bool,
}

/// The protocol after a successful handshake, without I/O and without a clock.
///
/// Packets go in through [`receive`](Self::receive); packets to send are appended, encoded, to the
/// buffer that each sending method takes.
///
/// ```
/// use std::time::Instant;
/// use mqtt_codec::{Connect, Packet, Properties, ReasonCode, Version, decode};
/// use mqtt_session::{Opening, Policy, Protocol, Received, Session};
///
/// let connect = Connect {
///     version: Version::V5,
///     clean_start: true,
///     keep_alive_s: 60,
///     properties: Properties::EMPTY,
///     client_id: "thermometer",
///     will: None,
///     username: None,
///     password: None,
/// };
/// let (policy, now) = (Policy::default(), Instant::now());
/// let mut opening = Opening::accept(&connect, &policy, || "chosen".into())?;
/// let mut protocol = Protocol::broker(&mut opening, &policy, Session::new(), now);
/// let mut out = Vec::new();
/// let packet = decode(b"\x32\x06\0\x01t\0\x07\0", Version::V5)?; // PUBLISH to `t` at QoS 1, identifier 7
/// let Received::Publish(publish) = protocol.receive(packet, now, &mut out)? else { panic!("it was one") };
/// let ticket = publish.ticket();
/// protocol.answer_publish(ticket, ReasonCode::Success, &mut out); // once it was routed and stored
/// assert!(matches!(decode(&out, Version::V5)?, Packet::Puback(ack) if ack.packet_id.get() == 7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Protocol {
    role: Role,
    pub(crate) version: Version,
    pub(crate) ours: OurLimits,
    pub(crate) theirs: TheirLimits,
    pub(crate) offers: Offers,
    /// QoS 1 and QoS 2 messages that may be under way towards the peer.
    pub(crate) window: u16,
    pub(crate) session: Session,
    pub(crate) aliases_in: AliasesIn,
    pub(crate) aliases_out: AliasesOut,
    pub(crate) scratch: PropertiesBuf,
    /// What is taken off the topics that the peer is sent.
    pub(crate) mountpoint: Option<Arc<Mountpoint>>,
    keep_alive: KeepAlive,
    session_expiry_s: u32,
    /// The longest that a DISCONNECT may ask for.
    session_expiry_max_s: u32,
    will: Option<Box<WillMessage>>,
    authentication_method: Option<Box<str>>,
}

/// What the layer above has to do for a packet that arrived.
///
/// A message may borrow the alias table of its [`Protocol`] (`'a`); everything else borrows the frame
/// (`'f`) alone, so the protocol can be used while it is looked at.
#[derive(Debug, PartialEq)]
pub enum Received<'a, 'f> {
    /// Nothing: it was answered here if it needed an answer.
    Nothing,
    /// Route this message, then call [`Protocol::answer_publish`] with its
    /// [`ticket`](InboundPublish::ticket).
    Publish(InboundPublish<'a>),
    /// Decide on each filter, then call [`Protocol::send_suback`]. Every filter is well formed.
    Subscribe(Subscribe<'f>),
    /// Remove each filter, then call [`Protocol::send_unsuback`]. Every filter is well formed.
    Unsubscribe(Unsubscribe<'f>),
    /// Go on with the authentication exchange (section 4.12.1). The method is the one of the CONNECT.
    Auth(Auth<'f>),
    /// The peer leaves. Whether a will is due is known to [`Protocol::finish`].
    Disconnect(Disconnect<'f>),
    /// The peer has acknowledged a message to the end, or refused it.
    Completed(Completed),
    /// The peer answered a SUBSCRIBE of ours.
    Suback(Suback<'f>),
    /// The peer answered an UNSUBSCRIBE of ours.
    Unsuback(Unsuback<'f>),
    /// The peer answered a PINGREQ of ours.
    Pingresp,
}

/// The end of one QoS 1 or QoS 2 message that we sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Completed {
    /// The identifier, free again.
    pub packet_id: PacketId,
    /// What the peer said about it.
    pub reason: ReasonCode,
    /// The message, unless it was given up already when the peer took it over (QoS 2), or was one of a batch and
    /// was not refused.
    pub delivery: Option<Delivery>,
}

/// What is left when a connection has ended.
#[derive(Debug)]
pub struct Finished {
    /// The state that outlives it.
    pub session: Session,
    /// Seconds that it shall be kept; 0 ends it now, `u32::MAX` keeps it for ever.
    pub session_expiry_s: u32,
    /// The will, unless the peer took it back with its DISCONNECT.
    pub will: Option<WillMessage>,
}

impl Protocol {
    /// The broker's side, after `opening` was accepted under `policy`.
    #[must_use]
    pub fn broker(opening: &mut Opening, policy: &Policy, session: Session, now: Instant) -> Self {
        let theirs = opening.theirs;
        let ours = OurLimits {
            topic_alias_maximum: aliases_in(opening.version, policy.ours.topic_alias_maximum),
            ..policy.ours
        };
        Self {
            role: Role::Broker,
            version: opening.version,
            ours,
            theirs,
            offers: Offers {
                maximum_qos: policy.maximum_qos,
                retain: policy.retain_available,
                wildcards: policy.wildcard_subscription_available,
                subscription_identifiers: policy.subscription_identifiers_available,
                shared: policy.shared_subscription_available,
            },
            window: theirs.receive_maximum.min(policy.inflight_max).get(),
            session,
            aliases_in: AliasesIn::new(ours.topic_alias_maximum),
            aliases_out: AliasesOut::new(theirs.topic_alias_maximum.min(policy.topic_alias_assign_max)),
            scratch: PropertiesBuf::new(),
            mountpoint: None,
            keep_alive: KeepAlive::new(opening.keep_alive_s, now),
            session_expiry_s: opening.session_expiry_s,
            session_expiry_max_s: if opening.session_expiry_changed {
                opening.session_expiry_s
            } else {
                policy.session_expiry_max_s
            },
            will: opening.will.take().map(Box::new),
            authentication_method: opening.authentication_method.clone(),
        }
    }

    /// The client's side, after the server answered `connect` with a successful `connack`.
    ///
    /// `ours` must be what `connect` announced. `inflight_max` bounds the send window on top of the
    /// server's Receive Maximum.
    ///
    /// # Errors
    /// The CONNACK contradicts the CONNECT: session present though nothing was kept ([MQTT-3.2.2-4]).
    pub fn client(
        connect: &Connect<'_>,
        connack: &Connack<'_>,
        ours: OurLimits,
        inflight_max: core::num::NonZeroU16,
        session: Session,
        now: Instant,
    ) -> Result<Self, Violation> {
        if connack.session_present && connect.clean_start {
            return Err(Violation::protocol_error("MQTT-3.2.2-4"));
        }
        let properties = connack.properties;
        let theirs = TheirLimits::of_broker(connack);
        // [MQTT-3.2.2-21]: the server's Keep Alive replaces ours.
        let keep_alive_s = properties.server_keep_alive_s().unwrap_or(connect.keep_alive_s);
        let asked_expiry_s = match connect.version {
            Version::V5 => connect.properties.session_expiry_interval_s().unwrap_or(0),
            _ if connect.clean_start => 0, // [MQTT3-3.1.2-6]
            _ => u32::MAX,
        };
        Ok(Self {
            role: Role::Client,
            version: connect.version,
            ours: OurLimits {
                topic_alias_maximum: aliases_in(connect.version, ours.topic_alias_maximum),
                ..ours
            },
            theirs,
            offers: Offers {
                maximum_qos: QoS::ExactlyOnce,
                retain: true,
                wildcards: true,
                subscription_identifiers: true,
                shared: true,
            },
            window: theirs.receive_maximum.min(inflight_max).get(),
            session,
            aliases_in: AliasesIn::new(aliases_in(connect.version, ours.topic_alias_maximum)),
            aliases_out: AliasesOut::new(theirs.topic_alias_maximum),
            scratch: PropertiesBuf::new(),
            mountpoint: None,
            keep_alive: KeepAlive::new(keep_alive_s, now),
            session_expiry_s: properties.session_expiry_interval_s().unwrap_or(asked_expiry_s),
            session_expiry_max_s: u32::MAX,
            will: None,
            authentication_method: connect.properties.authentication_method().map(Into::into),
        })
    }

    /// Shows the peer only what lies below a mountpoint, under the names that it has there. What the peer sends is left
    /// alone: see [`Mounting`](crate::Mounting).
    pub fn show_below(&mut self, mountpoint: Option<Arc<Mountpoint>>) {
        self.mountpoint = mountpoint;
    }

    /// Takes one packet of the peer. Answers that need nobody's decision are appended to `out`.
    ///
    /// # Errors
    /// The peer broke a rule: send a DISCONNECT with the reason where the version has one, and close.
    pub fn receive<'a, 'f: 'a>(
        &'a mut self,
        packet: Packet<'f>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Received<'a, 'f>, Violation> {
        self.note_heard(now);
        match packet {
            Packet::Publish(publish) => self.receive_publish(publish, now, out),
            Packet::Puback(ack) => self.receive_puback(&ack),
            Packet::Pubrec(ack) => Ok(self.receive_pubrec(&ack, out)),
            Packet::Pubrel(ack) => Ok(self.receive_pubrel(&ack, out)),
            Packet::Pubcomp(ack) => self.receive_pubcomp(&ack),
            Packet::Disconnect(disconnect) => self.receive_disconnect(disconnect),
            Packet::Auth(auth) => self.receive_auth(auth),
            packet if self.role == Role::Broker => self.receive_request(packet, out),
            packet => self.receive_response(packet),
        }
    }

    fn receive_request<'a, 'f>(
        &mut self,
        packet: Packet<'f>,
        out: &mut Vec<u8>,
    ) -> Result<Received<'a, 'f>, Violation> {
        match packet {
            Packet::Subscribe(subscribe) => {
                self.check_subscribe(&subscribe)?;
                Ok(Received::Subscribe(subscribe))
            }
            Packet::Unsubscribe(unsubscribe) => {
                for filter in unsubscribe.filters.iter() {
                    parse_filter(filter)?;
                }
                Ok(Received::Unsubscribe(unsubscribe))
            }
            Packet::Pingreq => {
                self.send(&Packet::Pingresp, out); // [MQTT-3.12.4-1]
                Ok(Received::Nothing)
            }
            Packet::Connect(_) => Err(Violation::protocol_error("MQTT-3.1.0-2")),
            _ => Err(Violation::protocol_error("2.1.2")),
        }
    }

    fn receive_response<'a, 'f>(&mut self, packet: Packet<'f>) -> Result<Received<'a, 'f>, Violation> {
        let expected = |expected: bool| {
            if expected { Ok(()) } else { Err(Violation::protocol_error("MQTT-2.2.1-6")) }
        };
        match packet {
            Packet::Suback(suback) => {
                let state = self.session.outbound.state(suback.packet_id);
                expected(state == Some(&InFlight::AwaitingSuback))?;
                self.session.outbound.finish(suback.packet_id);
                Ok(Received::Suback(suback))
            }
            Packet::Unsuback(unsuback) => {
                let state = self.session.outbound.state(unsuback.packet_id);
                expected(state == Some(&InFlight::AwaitingUnsuback))?;
                self.session.outbound.finish(unsuback.packet_id);
                Ok(Received::Unsuback(unsuback))
            }
            Packet::Pingresp => Ok(Received::Pingresp),
            _ => Err(Violation::protocol_error("2.1.2")),
        }
    }

    fn receive_publish<'a, 'f: 'a>(
        &'a mut self,
        publish: Publish<'f>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Received<'a, 'f>, Violation> {
        self.check_publish(&publish)?;
        // First the topic: a repeated PUBLISH names its alias anew though it is not passed on again.
        let topic = name_topic(&mut self.aliases_in, &publish)?;
        let inbound = InboundPublish::new(&publish, topic, now);
        if let Some(packet_id) = publish.packet_id
            && !arrive(&mut self.session, self.version, &self.ours, packet_id, publish.qos, out)?
        {
            return Ok(Received::Nothing);
        }
        Ok(Received::Publish(inbound))
    }

    /// A PUBLISH above QoS 0 with this identifier arrived. Whether it is new; if not, it has been answered.
    pub(crate) fn arrive(
        &mut self,
        packet_id: PacketId,
        qos: QoS,
        out: &mut Vec<u8>,
    ) -> Result<bool, Violation> {
        arrive(&mut self.session, self.version, &self.ours, packet_id, qos, out)
    }

    pub(crate) fn check_offers(&self, qos: QoS, retain: bool) -> Result<(), Violation> {
        if qos > self.offers.maximum_qos {
            return Err(Violation::new(ReasonCode::QoSNotSupported, "MQTT-3.2.2-11"));
        }
        if retain && !self.offers.retain {
            return Err(Violation::new(ReasonCode::RetainNotSupported, "MQTT-3.2.2-14"));
        }
        Ok(())
    }

    fn check_publish(&self, publish: &Publish<'_>) -> Result<(), Violation> {
        self.check_offers(publish.qos, publish.retain)?;
        if publish.properties.is_empty() {
            return Ok(());
        }
        if self.role == Role::Broker && publish.properties.subscription_identifiers().next().is_some() {
            return Err(Violation::protocol_error("MQTT-3.3.4-6"));
        }
        match publish.properties.response_topic().map(TopicName::parse) {
            Some(Err(_)) => Err(Violation::protocol_error("MQTT-3.3.2-14")),
            _ => Ok(()),
        }
    }

    fn check_subscribe(&self, subscribe: &Subscribe<'_>) -> Result<(), Violation> {
        let identified = subscribe.properties.subscription_identifiers().next().is_some();
        if identified && !self.offers.subscription_identifiers {
            let reason = ReasonCode::SubscriptionIdentifiersNotSupported;
            return Err(Violation::new(reason, "3.2.2.3.12"));
        }
        for entry in subscribe.filters.iter() {
            let filter = parse_filter(entry.filter)?;
            if filter.share_name().is_some() && entry.options.no_local {
                return Err(Violation::protocol_error("MQTT-3.8.3-4"));
            }
        }
        Ok(())
    }

    /// Why a well-formed filter is refused in the SUBACK by what this server supports; `None` to admit.
    #[must_use]
    pub fn refuse_filter<S: AsRef<str>>(&self, filter: &TopicFilter<S>) -> Option<ReasonCode> {
        if filter.share_name().is_some() && !self.offers.shared {
            return Some(ReasonCode::SharedSubscriptionsNotSupported);
        }
        (filter.has_wildcards() && !self.offers.wildcards)
            .then_some(ReasonCode::WildcardSubscriptionsNotSupported)
    }

    fn receive_puback<'a, 'f>(&mut self, ack: &Ack<'_>) -> Result<Received<'a, 'f>, Violation> {
        let outbound = &mut self.session.outbound;
        if !ack.reason.is_error() && outbound.puback_next(ack.packet_id) {
            return Ok(completed(ack, None));
        }
        outbound.take_apart(ack.packet_id);
        match outbound.state(ack.packet_id) {
            Some(InFlight::AwaitingPuback(_)) => Ok(self.complete(ack)),
            // Answered twice, or after we gave it up: there is nothing left to do.
            None => Ok(Received::Nothing),
            Some(_) => Err(Violation::protocol_error("MQTT-4.3.2-2")),
        }
    }

    fn receive_pubcomp<'a, 'f>(&mut self, ack: &Ack<'_>) -> Result<Received<'a, 'f>, Violation> {
        let outbound = &mut self.session.outbound;
        if !ack.reason.is_error() && outbound.pubcomp_next(ack.packet_id) {
            return Ok(completed(ack, None));
        }
        outbound.take_apart(ack.packet_id);
        match outbound.state(ack.packet_id) {
            Some(InFlight::AwaitingPubcomp) => Ok(self.complete(ack)),
            None => Ok(Received::Nothing),
            Some(_) => Err(Violation::protocol_error("MQTT-4.3.3-5")),
        }
    }

    fn complete<'a, 'f>(&mut self, ack: &Ack<'_>) -> Received<'a, 'f> {
        let delivery = self.session.outbound.finish(ack.packet_id);
        completed(ack, delivery)
    }

    fn receive_pubrec<'a, 'f>(&mut self, ack: &Ack<'_>, out: &mut Vec<u8>) -> Received<'a, 'f> {
        let outbound = &mut self.session.outbound;
        if !ack.reason.is_error() && outbound.pubrec_next(ack.packet_id) {
            self.send_ack(PacketType::Pubrel, ack.packet_id, ReasonCode::Success, out); // [MQTT-4.3.3-4]
            return Received::Nothing;
        }
        outbound.take_apart(ack.packet_id);
        match outbound.pubrec(ack.packet_id, ack.reason.is_error()) {
            Pubrec::Release => {
                self.send_ack(PacketType::Pubrel, ack.packet_id, ReasonCode::Success, out); // [MQTT-4.3.3-4]
                Received::Nothing
            }
            Pubrec::Unknown if ack.reason.is_error() => Received::Nothing,
            Pubrec::Unknown => {
                self.send_ack(PacketType::Pubrel, ack.packet_id, ReasonCode::PacketIdentifierNotFound, out);
                Received::Nothing
            }
            Pubrec::Refused(delivery) => completed(ack, Some(delivery)),
        }
    }

    fn receive_pubrel<'a, 'f>(&mut self, ack: &Ack<'_>, out: &mut Vec<u8>) -> Received<'a, 'f> {
        let known = self.session.inbound.release(ack.packet_id);
        let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
        self.send_ack(PacketType::Pubcomp, ack.packet_id, reason, out); // [MQTT-4.3.3-11]
        Received::Nothing
    }

    fn receive_disconnect<'a, 'f>(
        &mut self,
        disconnect: Disconnect<'f>,
    ) -> Result<Received<'a, 'f>, Violation> {
        if self.role == Role::Client && self.version < Version::V5 {
            return Err(Violation::protocol_error("2.1.2")); // Before MQTT 5 it is the client's alone.
        }
        if let Some(interval_s) = disconnect.properties.session_expiry_interval_s() {
            if self.role == Role::Client {
                return Err(Violation::protocol_error("MQTT-3.14.2-2"));
            }
            // Who asked for more than was granted may not know it.
            if self.session_expiry_s == 0 && interval_s > 0 && self.session_expiry_max_s > 0 {
                return Err(Violation::protocol_error("3.14.2.2.2"));
            }
            self.session_expiry_s = interval_s.min(self.session_expiry_max_s);
        }
        if disconnect.reason == ReasonCode::NORMAL_DISCONNECTION {
            self.will = None; // [MQTT-3.14.4-3], [MQTT-3.1.2-10]
        }
        Ok(Received::Disconnect(disconnect))
    }

    fn receive_auth<'a, 'f>(&mut self, auth: Auth<'f>) -> Result<Received<'a, 'f>, Violation> {
        // [MQTT-4.12.0-7]: without a method in the CONNECT there is no AUTH; [MQTT-4.12.1-1]: it stays the same.
        let method = self.authentication_method.as_deref();
        if method.is_none() || auth.properties.authentication_method() != method {
            return Err(Violation::protocol_error("MQTT-4.12.1-1"));
        }
        // Table 3-11: success is the server's to say, and beginning anew the client's.
        let not_theirs = match self.role {
            Role::Broker => ReasonCode::Success,
            Role::Client => ReasonCode::ReAuthenticate,
        };
        if auth.reason == not_theirs {
            return Err(Violation::protocol_error("MQTT-3.15.2-1"));
        }
        Ok(Received::Auth(auth))
    }

    /// The peer's protocol version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// What we accept from the peer.
    #[must_use]
    pub fn ours(&self) -> &OurLimits {
        &self.ours
    }

    /// What the peer accepts from us.
    #[must_use]
    pub fn theirs(&self) -> &TheirLimits {
        &self.theirs
    }

    /// Subscriptions and unfinished exchanges.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The session, to add and remove subscriptions.
    pub fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The method of enhanced authentication that the CONNECT named.
    #[must_use]
    pub fn authentication_method(&self) -> Option<&str> {
        self.authentication_method.as_deref()
    }

    /// Watches the peer's silence.
    #[must_use]
    pub fn keep_alive(&self) -> &KeepAlive {
        &self.keep_alive
    }

    /// The peer sent something.
    pub(crate) fn note_heard(&mut self, now: Instant) {
        self.keep_alive.heard(now);
    }

    /// We do not read at the moment, so silence means nothing: count it from now on.
    pub fn excuse_silence(&mut self, now: Instant) {
        self.keep_alive.heard(now);
    }

    /// Seconds that the session will be kept after the connection.
    #[must_use]
    pub fn session_expiry_s(&self) -> u32 {
        self.session_expiry_s
    }

    /// The will, unless the peer has none or took it back.
    #[must_use]
    pub fn will(&self) -> Option<&WillMessage> {
        self.will.as_deref()
    }

    /// The session ends with the connection, whatever the peer asked for.
    pub fn expire_with_connection(&mut self) {
        self.session_expiry_s = 0;
    }

    /// Ends the connection. The will is still there unless the peer left with reason 0.
    #[must_use]
    pub fn finish(mut self) -> Finished {
        // What is kept or handed over knows no batches: they pin memory, and belong to one connection.
        self.session.outbound.take_all_apart();
        Finished {
            session: self.session,
            session_expiry_s: self.session_expiry_s,
            will: self.will.map(|will| *will),
        }
    }
}

/// As [`Protocol::arrive`], while the alias table is borrowed.
fn arrive(
    session: &mut Session,
    version: Version,
    ours: &OurLimits,
    packet_id: PacketId,
    qos: QoS,
    out: &mut Vec<u8>,
) -> Result<bool, Violation> {
    // 3.x has no Receive Maximum; its identifiers bound what can be under way.
    let maximum = (version == Version::V5).then_some(ours.receive_maximum);
    let is_new = session.inbound.arrive(packet_id, qos == QoS::ExactlyOnce, maximum)?;
    if !is_new {
        // [MQTT-4.3.3-10]; four bytes fit every client that could be admitted.
        out.extend(PlainAck { packet_type: PacketType::Pubrec, packet_id }.bytes());
    }
    Ok(is_new)
}

fn completed<'a, 'f>(ack: &Ack<'_>, delivery: Option<Delivery>) -> Received<'a, 'f> {
    Received::Completed(Completed { packet_id: ack.packet_id, reason: ack.reason, delivery })
}

/// The topic of a PUBLISH, whether by name or by alias.
fn name_topic<'a>(
    aliases: &'a mut AliasesIn,
    publish: &Publish<'a>,
) -> Result<TopicName<&'a str>, Violation> {
    let topic = match publish.topic {
        "" => None,
        text => Some(
            TopicName::parse(text)
                .map_err(|_| Violation::new(ReasonCode::TopicNameInvalid, "MQTT-3.3.2-2"))?,
        ),
    };
    match (publish.properties.topic_alias(), topic) {
        (Some(alias), topic) => aliases.resolve(alias.get(), topic),
        (None, Some(topic)) => Ok(topic),
        (None, None) => Err(Violation::protocol_error("MQTT-4.7.3-1")),
    }
}

fn aliases_in(version: Version, maximum: u16) -> u16 {
    if version == Version::V5 { maximum } else { 0 }
}

fn parse_filter(text: &str) -> Result<TopicFilter<&str>, Violation> {
    TopicFilter::parse(text).map_err(|error| Violation::new(ReasonCode::TopicFilterInvalid, error.clause()))
}
