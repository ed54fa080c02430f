//! Messages as a local client publishes and gets them.

use mqtt_codec::{Properties, PropertiesBuf, Property, QoS, ReasonCode};
use mqtt_session::{Delivery, InboundPublish, Message};

/// A message to publish. All properties of a PUBLISH can be set but Topic Alias and Subscription Identifier, which
/// belong to a connection and are left out.
///
/// ```
/// use mqtt_broker::Publication;
/// use mqtt_codec::{Property, QoS};
///
/// let reading = Publication::new("greenhouse/7/temperature", "21.5")
///     .qos(QoS::AtLeastOnce)
///     .retain()
///     .property(&Property::MessageExpiryInterval(60));
/// # let _ = reading;
/// ```
#[derive(Clone, Debug)]
pub struct Publication {
    /// Topic name.
    pub topic: String,
    /// The application's bytes.
    pub payload: Vec<u8>,
    /// Quality of service; each receiver gets it at this one or at its own, whichever is lower.
    pub qos: QoS,
    /// Whether the broker keeps it for later subscribers.
    pub retain: bool,
    /// MQTT 5 properties; receivers of 3.x do not get them.
    pub properties: PropertiesBuf,
}

impl Publication {
    /// A QoS 0 message without properties.
    pub fn new(topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            qos: QoS::AtMostOnce,
            retain: false,
            properties: PropertiesBuf::new(),
        }
    }

    /// With this quality of service.
    #[must_use]
    pub fn qos(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
    }

    /// To be kept for later subscribers; with an empty payload: clears what is kept.
    #[must_use]
    pub fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    /// With one more property.
    ///
    /// # Panics
    /// The property cannot be encoded: a text longer than 65,535 bytes or with U+0000.
    #[must_use]
    pub fn property(mut self, property: &Property<'_>) -> Self {
        self.properties.push(property).expect("a property that can be encoded");
        self
    }
}

impl From<&InboundPublish<'_>> for Publication {
    /// A copy, to be changed and published in the message's place.
    fn from(publish: &InboundPublish<'_>) -> Self {
        let mut properties = PropertiesBuf::new();
        properties.extend_from(publish.properties);
        let (qos, retain) = (publish.qos, publish.retain);
        Self { qos, retain, properties, ..Self::new(publish.topic.as_str(), publish.payload) }
    }
}

/// What became of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// What a connected client would have been told: [`ReasonCode::Success`], or
    /// [`ReasonCode::NoMatchingSubscribers`] above QoS 0 if nobody subscribed.
    pub reason: ReasonCode,
    /// Whether any subscription on this node matched.
    pub matched: bool,
}

/// A message that a local subscription got.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalMessage {
    delivery: Delivery,
}

impl LocalMessage {
    pub(crate) fn new(delivery: Delivery) -> Self {
        Self { delivery }
    }

    /// Topic name.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.delivery.message.topic()
    }

    /// The application's bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.delivery.message.payload()
    }

    /// The payload as text, with U+FFFD for whatever is not UTF-8.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.payload())
    }

    /// Quality of service of this delivery.
    #[must_use]
    pub fn qos(&self) -> QoS {
        self.delivery.hop.qos
    }

    /// Whether it was kept from before the subscription (or, with Retain As Published, what the publisher set).
    #[must_use]
    pub fn retain(&self) -> bool {
        self.delivery.hop.retain
    }

    /// The properties that the publisher set, such as Content Type or User Property.
    #[must_use]
    pub fn properties(&self) -> Properties<'_> {
        self.delivery.message.properties()
    }

    /// The identifier of the subscription, if it has one.
    #[must_use]
    pub fn subscription_identifier(&self) -> Option<u32> {
        self.delivery.hop.subscription_ids.as_deref()?.first().copied()
    }

    /// The message itself, which all its receivers share.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.delivery.message
    }
}
