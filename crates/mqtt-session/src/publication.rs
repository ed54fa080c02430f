//! A message as an application publishes it.

use mqtt_codec::{PropertiesBuf, Property, QoS};

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
