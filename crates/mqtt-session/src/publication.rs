//! A message as an application publishes it.

use core::fmt;

use mqtt_codec::{
    EncodeError, Packet, PacketId, Properties, PropertiesBuf, Property, PropertyId, Publish, QoS, Version,
    encoded_len,
};
use mqtt_topic::TopicName;

use crate::InboundPublish;

/// A message to publish. All properties of a PUBLISH can be set but Topic Alias and Subscription Identifier, which
/// belong to a connection and are left out.
///
/// ```
/// use mqtt_codec::{Property, QoS};
/// use mqtt_session::Publication;
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
    /// Whether the server keeps it for later subscribers.
    pub retain: bool,
    /// MQTT 5 properties; receivers of 3.x do not get them.
    pub properties: PropertiesBuf,
}

/// Why a message cannot be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpublishable {
    /// The topic is no topic name: empty, with a wildcard or U+0000, or longer than 65,535 bytes.
    Topic,
    /// The Response Topic is none ([MQTT-3.3.2-14]).
    ResponseTopic,
    /// No PUBLISH can say it: a property of other packets, one that may stand only once, too many bytes.
    Packet(EncodeError),
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

    /// As a request whose responses are expected on this topic with this Correlation Data (section 4.10).
    ///
    /// # Errors
    /// They cannot be encoded.
    pub fn expecting(mut self, response_topic: &str, correlation: &[u8]) -> Result<Self, EncodeError> {
        let mut properties = PropertiesBuf::new();
        let replaced = |id| matches!(id, PropertyId::ResponseTopic | PropertyId::CorrelationData);
        properties.extend_where(self.properties.as_properties(), |id| !replaced(id));
        properties.push(&Property::ResponseTopic(response_topic))?;
        properties.push(&Property::CorrelationData(correlation))?;
        self.properties = properties;
        Ok(self)
    }

    /// The response to a request with these properties; `None` if it asks for none.
    ///
    /// ```
    /// use mqtt_session::Publication;
    ///
    /// let request = Publication::new("square", "3").expecting("answers/7", b"1")?;
    /// let response = Publication::responding(request.properties.as_properties(), "9").expect("it asks");
    /// assert_eq!(response.topic, "answers/7");
    /// assert_eq!(response.properties.as_properties().correlation_data(), Some(&b"1"[..]));
    /// # Ok::<(), mqtt_codec::EncodeError>(())
    /// ```
    #[must_use]
    pub fn responding(request: Properties<'_>, payload: impl Into<Vec<u8>>) -> Option<Self> {
        let mut response = Self::new(request.response_topic()?, payload);
        response.properties.extend_where(request, |id| id == PropertyId::CorrelationData);
        Some(response)
    }

    /// Whether a PUBLISH can say it.
    ///
    /// # Errors
    /// What is wrong with it.
    ///
    /// ```
    /// use mqtt_session::{Publication, Unpublishable};
    ///
    /// assert_eq!(Publication::new("a/b", "x").check(), Ok(()));
    /// assert_eq!(Publication::new("a/+", "x").check(), Err(Unpublishable::Topic));
    /// ```
    pub fn check(&self) -> Result<(), Unpublishable> {
        TopicName::parse(self.topic.as_str()).map_err(|_| Unpublishable::Topic)?;
        let properties = self.properties.as_properties();
        if let Some(Err(_)) = properties.response_topic().map(TopicName::parse) {
            return Err(Unpublishable::ResponseTopic);
        }
        let packet = Packet::Publish(Publish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: self.retain,
            topic: &self.topic,
            packet_id: Some(PacketId::MIN),
            properties,
            payload: &self.payload,
        });
        encoded_len(&packet, Version::V5).map(drop).map_err(Unpublishable::Packet)
    }
}

impl fmt::Display for Unpublishable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic => f.write_str("not a topic name"),
            Self::ResponseTopic => f.write_str("the response topic is no topic name"),
            Self::Packet(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Unpublishable {}

impl From<&InboundPublish<'_>> for Publication {
    /// A copy, to be changed and published in the message's place.
    fn from(publish: &InboundPublish<'_>) -> Self {
        let mut properties = PropertiesBuf::new();
        properties.extend_from(publish.properties);
        let (qos, retain) = (publish.qos, publish.retain);
        Self { qos, retain, properties, ..Self::new(publish.topic.as_str(), publish.payload) }
    }
}
