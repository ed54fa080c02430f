//! Builders for the packets of a test. They own what they are given and write it in any version.
//!
//! What a version cannot say, such as a property in 3.1.1, is left out by the encoder.

use std::num::{NonZeroU16, NonZeroU32};

use mqtt_codec::{
    Ack, Auth, Connect, Disconnect, Packet, PacketId, PropertiesBuf, Property, Publish, QoS, ReasonCode,
    RetainHandling, Subscribe, SubscribeFiltersBuf, SubscriptionOptions, Unsubscribe, UnsubscribeFiltersBuf,
    Version, Will,
};

use crate::ToWire;

macro_rules! with_property {
    () => {
        /// Adds a property after those that are there already.
        ///
        /// # Panics
        /// The property is too large to be encoded.
        #[must_use]
        pub fn property(mut self, property: Property<'_>) -> Self {
            self.properties.push(&property).expect("the property can be encoded");
            self
        }

        /// Adds a user property.
        #[must_use]
        pub fn user_property(self, name: &str, value: &str) -> Self {
            self.property(Property::UserProperty(name, value))
        }
    };
}

/// A CONNECT of version 5.0 with Clean Start 1 and no keep-alive.
#[must_use]
pub fn connect(client_id: &str) -> ConnectBuilder {
    ConnectBuilder {
        version: Version::V5,
        clean_start: true,
        keep_alive_s: 0,
        client_id: client_id.to_owned(),
        will: None,
        username: None,
        password: None,
        properties: PropertiesBuf::new(),
    }
}

/// A CONNECT in the making.
#[derive(Clone, Debug)]
pub struct ConnectBuilder {
    version: Version,
    clean_start: bool,
    keep_alive_s: u16,
    client_id: String,
    will: Option<WillBuilder>,
    username: Option<String>,
    password: Option<Vec<u8>>,
    properties: PropertiesBuf,
}

impl ConnectBuilder {
    with_property!();

    /// Protocol version of this connection.
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Clean Start (5.0) or Clean Session (3.x).
    #[must_use]
    pub fn clean(mut self, clean_start: bool) -> Self {
        self.clean_start = clean_start;
        self
    }

    /// Keep Alive in seconds; 0 for none.
    #[must_use]
    pub fn keep_alive_s(mut self, seconds: u16) -> Self {
        self.keep_alive_s = seconds;
        self
    }

    /// The will.
    #[must_use]
    pub fn will(mut self, will: WillBuilder) -> Self {
        self.will = Some(will);
        self
    }

    /// User name.
    #[must_use]
    pub fn username(mut self, name: &str) -> Self {
        self.username = Some(name.to_owned());
        self
    }

    /// Password.
    #[must_use]
    pub fn password(mut self, password: impl AsRef<[u8]>) -> Self {
        self.password = Some(password.as_ref().to_vec());
        self
    }

    /// Session Expiry Interval in seconds.
    #[must_use]
    pub fn session_expiry_s(self, seconds: u32) -> Self {
        self.property(Property::SessionExpiryInterval(seconds))
    }

    /// Receive Maximum: messages above QoS 0 that may be under way towards this client.
    ///
    /// # Panics
    /// It is 0, which the standard forbids; use [`raw()`](crate::raw()) for that.
    #[must_use]
    pub fn receive_maximum(self, messages: u16) -> Self {
        self.property(Property::ReceiveMaximum(NonZeroU16::new(messages).expect("above 0")))
    }

    /// Maximum Packet Size in bytes.
    ///
    /// # Panics
    /// It is 0, which the standard forbids; use [`raw()`](crate::raw()) for that.
    #[must_use]
    pub fn maximum_packet_size(self, bytes: u32) -> Self {
        self.property(Property::MaximumPacketSize(NonZeroU32::new(bytes).expect("above 0")))
    }

    /// Topic Alias Maximum: the highest alias that may be sent to this client.
    #[must_use]
    pub fn topic_alias_maximum(self, highest: u16) -> Self {
        self.property(Property::TopicAliasMaximum(highest))
    }
}

impl ToWire for ConnectBuilder {
    fn to_wire(&self, _: Version) -> Vec<u8> {
        let connect = Connect {
            version: self.version,
            clean_start: self.clean_start,
            keep_alive_s: self.keep_alive_s,
            properties: self.properties.as_properties(),
            client_id: &self.client_id,
            will: self.will.as_ref().map(WillBuilder::borrowed),
            username: self.username.as_deref(),
            password: self.password.as_deref(),
        };
        Packet::Connect(connect).to_wire(self.version)
    }

    fn decides_version(&self) -> Option<Version> {
        Some(self.version)
    }
}

/// A will of QoS 0 that is not retained.
#[must_use]
pub fn will(topic: &str, payload: impl AsRef<[u8]>) -> WillBuilder {
    WillBuilder {
        qos: QoS::AtMostOnce,
        retain: false,
        topic: topic.to_owned(),
        payload: payload.as_ref().to_vec(),
        properties: PropertiesBuf::new(),
    }
}

/// A will in the making.
#[derive(Clone, Debug)]
pub struct WillBuilder {
    qos: QoS,
    retain: bool,
    topic: String,
    payload: Vec<u8>,
    properties: PropertiesBuf,
}

impl WillBuilder {
    with_property!();

    /// Quality of service.
    #[must_use]
    pub fn qos(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
    }

    /// Publishes the will as a retained message.
    #[must_use]
    pub fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// Will Delay Interval in seconds.
    #[must_use]
    pub fn delay_s(self, seconds: u32) -> Self {
        self.property(Property::WillDelayInterval(seconds))
    }

    fn borrowed(&self) -> Will<'_> {
        Will {
            qos: self.qos,
            retain: self.retain,
            properties: self.properties.as_properties(),
            topic: &self.topic,
            payload: &self.payload,
        }
    }
}

/// A PUBLISH of QoS 0 with an empty payload.
#[must_use]
pub fn publish(topic: &str) -> PublishBuilder {
    PublishBuilder {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: topic.to_owned(),
        packet_id: None,
        payload: Vec::new(),
        properties: PropertiesBuf::new(),
    }
}

/// A PUBLISH in the making.
#[derive(Clone, Debug)]
pub struct PublishBuilder {
    dup: bool,
    qos: QoS,
    retain: bool,
    topic: String,
    packet_id: Option<PacketId>,
    payload: Vec<u8>,
    properties: PropertiesBuf,
}

impl PublishBuilder {
    with_property!();

    /// Application data.
    #[must_use]
    pub fn payload(mut self, payload: impl AsRef<[u8]>) -> Self {
        self.payload = payload.as_ref().to_vec();
        self
    }

    /// QoS 1 with this packet identifier, which must not be 0.
    #[must_use]
    pub fn qos1(self, packet_id: u16) -> Self {
        self.qos(QoS::AtLeastOnce, packet_id)
    }

    /// QoS 2 with this packet identifier, which must not be 0.
    #[must_use]
    pub fn qos2(self, packet_id: u16) -> Self {
        self.qos(QoS::ExactlyOnce, packet_id)
    }

    /// Any quality of service; the packet identifier is ignored at QoS 0.
    #[must_use]
    pub fn qos(mut self, qos: QoS, packet_id: u16) -> Self {
        self.qos = qos;
        self.packet_id = (qos != QoS::AtMostOnce).then(|| id(packet_id));
        self
    }

    /// Sets RETAIN.
    #[must_use]
    pub fn retained(mut self) -> Self {
        self.retain = true;
        self
    }

    /// Sets DUP.
    #[must_use]
    pub fn dup(mut self) -> Self {
        self.dup = true;
        self
    }

    /// Topic Alias.
    ///
    /// # Panics
    /// It is 0, which the standard forbids; use [`raw()`](crate::raw()) for that.
    #[must_use]
    pub fn alias(self, alias: u16) -> Self {
        self.property(Property::TopicAlias(NonZeroU16::new(alias).expect("above 0")))
    }

    /// Message Expiry Interval in seconds.
    #[must_use]
    pub fn expiry_s(self, seconds: u32) -> Self {
        self.property(Property::MessageExpiryInterval(seconds))
    }
}

impl PublishBuilder {
    pub(crate) fn hop(&self) -> (QoS, u16) {
        (self.qos, self.packet_id.map_or(0, PacketId::get))
    }
}

impl ToWire for PublishBuilder {
    fn to_wire(&self, version: Version) -> Vec<u8> {
        let publish = Publish {
            dup: self.dup,
            qos: self.qos,
            retain: self.retain,
            topic: &self.topic,
            packet_id: self.packet_id,
            properties: self.properties.as_properties(),
            payload: &self.payload,
        };
        Packet::Publish(publish).to_wire(version)
    }
}

/// A PUBACK with Success.
#[must_use]
pub fn puback(packet_id: u16) -> AckBuilder {
    AckBuilder::new(AckKind::Puback, packet_id)
}

/// A PUBREC with Success.
#[must_use]
pub fn pubrec(packet_id: u16) -> AckBuilder {
    AckBuilder::new(AckKind::Pubrec, packet_id)
}

/// A PUBREL with Success.
#[must_use]
pub fn pubrel(packet_id: u16) -> AckBuilder {
    AckBuilder::new(AckKind::Pubrel, packet_id)
}

/// A PUBCOMP with Success.
#[must_use]
pub fn pubcomp(packet_id: u16) -> AckBuilder {
    AckBuilder::new(AckKind::Pubcomp, packet_id)
}

#[derive(Clone, Copy, Debug)]
enum AckKind {
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
}

/// An acknowledgement in the making.
#[derive(Clone, Debug)]
pub struct AckBuilder {
    kind: AckKind,
    packet_id: PacketId,
    reason: ReasonCode,
    properties: PropertiesBuf,
}

impl AckBuilder {
    with_property!();

    fn new(kind: AckKind, packet_id: u16) -> Self {
        Self { kind, packet_id: id(packet_id), reason: ReasonCode::Success, properties: PropertiesBuf::new() }
    }

    /// Reason code.
    #[must_use]
    pub fn reason(mut self, reason: ReasonCode) -> Self {
        self.reason = reason;
        self
    }
}

impl ToWire for AckBuilder {
    fn to_wire(&self, version: Version) -> Vec<u8> {
        let ack = Ack {
            packet_id: self.packet_id,
            reason: self.reason,
            properties: self.properties.as_properties(),
        };
        let packet = match self.kind {
            AckKind::Puback => Packet::Puback(ack),
            AckKind::Pubrec => Packet::Pubrec(ack),
            AckKind::Pubrel => Packet::Pubrel(ack),
            AckKind::Pubcomp => Packet::Pubcomp(ack),
        };
        packet.to_wire(version)
    }
}

/// A SUBSCRIBE that needs at least one filter.
#[must_use]
pub fn subscribe(packet_id: u16) -> SubscribeBuilder {
    SubscribeBuilder {
        packet_id: id(packet_id),
        filters: SubscribeFiltersBuf::new(),
        options: SubscriptionOptions::default(),
        pending: None,
        properties: PropertiesBuf::new(),
    }
}

/// A SUBSCRIBE in the making. Options such as [`no_local`](Self::no_local) belong to the filter before them.
#[derive(Clone, Debug)]
pub struct SubscribeBuilder {
    packet_id: PacketId,
    filters: SubscribeFiltersBuf,
    options: SubscriptionOptions,
    pending: Option<String>,
    properties: PropertiesBuf,
}

impl SubscribeBuilder {
    with_property!();

    /// Adds a filter with the QoS asked for.
    #[must_use]
    pub fn filter(mut self, filter: &str, qos: QoS) -> Self {
        self.complete_filter();
        self.pending = Some(filter.to_owned());
        self.options = SubscriptionOptions { qos, ..SubscriptionOptions::default() };
        self
    }

    /// The last filter does not get what this client publishes itself.
    #[must_use]
    pub fn no_local(mut self) -> Self {
        self.options.no_local = true;
        self
    }

    /// The last filter's messages keep the RETAIN flag of their publisher.
    #[must_use]
    pub fn retain_as_published(mut self) -> Self {
        self.options.retain_as_published = true;
        self
    }

    /// What happens to retained messages at the subscribe of the last filter.
    #[must_use]
    pub fn retain_handling(mut self, handling: RetainHandling) -> Self {
        self.options.retain_handling = handling;
        self
    }

    /// Subscription Identifier of the whole packet.
    #[must_use]
    pub fn identifier(self, identifier: u32) -> Self {
        self.property(Property::SubscriptionIdentifier(identifier))
    }

    fn complete_filter(&mut self) {
        if let Some(filter) = self.pending.take() {
            self.filters.push(&filter, self.options).expect("the filter can be encoded");
        }
    }
}

impl ToWire for SubscribeBuilder {
    fn to_wire(&self, version: Version) -> Vec<u8> {
        let mut whole = self.clone();
        whole.complete_filter();
        let subscribe = Subscribe {
            packet_id: whole.packet_id,
            properties: whole.properties.as_properties(),
            filters: whole.filters.as_filters(),
        };
        Packet::Subscribe(subscribe).to_wire(version)
    }
}

/// An UNSUBSCRIBE that needs at least one filter.
#[must_use]
pub fn unsubscribe(packet_id: u16) -> UnsubscribeBuilder {
    UnsubscribeBuilder {
        packet_id: id(packet_id),
        filters: UnsubscribeFiltersBuf::new(),
        properties: PropertiesBuf::new(),
    }
}

/// An UNSUBSCRIBE in the making.
#[derive(Clone, Debug)]
pub struct UnsubscribeBuilder {
    packet_id: PacketId,
    filters: UnsubscribeFiltersBuf,
    properties: PropertiesBuf,
}

impl UnsubscribeBuilder {
    with_property!();

    /// Adds a filter.
    #[must_use]
    pub fn filter(mut self, filter: &str) -> Self {
        self.filters.push(filter).expect("the filter can be encoded");
        self
    }
}

impl ToWire for UnsubscribeBuilder {
    fn to_wire(&self, version: Version) -> Vec<u8> {
        let unsubscribe = Unsubscribe {
            packet_id: self.packet_id,
            properties: self.properties.as_properties(),
            filters: self.filters.as_filters(),
        };
        Packet::Unsubscribe(unsubscribe).to_wire(version)
    }
}

/// A DISCONNECT with this reason; 3.x has none and says only that it leaves.
#[must_use]
pub fn disconnect(reason: ReasonCode) -> DisconnectBuilder {
    DisconnectBuilder { reason, properties: PropertiesBuf::new() }
}

/// A DISCONNECT in the making.
#[derive(Clone, Debug)]
pub struct DisconnectBuilder {
    reason: ReasonCode,
    properties: PropertiesBuf,
}

impl DisconnectBuilder {
    with_property!();

    /// Session Expiry Interval in seconds, in place of that of the CONNECT.
    #[must_use]
    pub fn session_expiry_s(self, seconds: u32) -> Self {
        self.property(Property::SessionExpiryInterval(seconds))
    }
}

impl ToWire for DisconnectBuilder {
    fn to_wire(&self, version: Version) -> Vec<u8> {
        let properties = self.properties.as_properties();
        Packet::Disconnect(Disconnect { reason: self.reason, properties }).to_wire(version)
    }
}

/// An AUTH with this reason.
#[must_use]
pub fn auth(reason: ReasonCode) -> AuthBuilder {
    AuthBuilder { reason, properties: PropertiesBuf::new() }
}

/// An AUTH in the making.
#[derive(Clone, Debug)]
pub struct AuthBuilder {
    reason: ReasonCode,
    properties: PropertiesBuf,
}

impl AuthBuilder {
    with_property!();

    /// Authentication method, and data where there are any.
    #[must_use]
    pub fn method(self, method: &str, data: &[u8]) -> Self {
        let named = self.property(Property::AuthenticationMethod(method));
        if data.is_empty() { named } else { named.property(Property::AuthenticationData(data)) }
    }
}

impl ToWire for AuthBuilder {
    fn to_wire(&self, version: Version) -> Vec<u8> {
        let properties = self.properties.as_properties();
        Packet::Auth(Auth { reason: self.reason, properties }).to_wire(version)
    }
}

/// A PINGREQ.
#[must_use]
pub fn pingreq() -> [u8; 2] {
    [0xC0, 0]
}

fn id(packet_id: u16) -> PacketId {
    PacketId::new(packet_id).expect("a packet identifier is above 0; use raw() for a wrong one")
}
