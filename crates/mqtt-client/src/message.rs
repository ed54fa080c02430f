//! Messages as an application sees them.

use mqtt_codec::{PropertiesBuf, Property, QoS};

/// A message to publish. All MQTT 5 properties of a PUBLISH can be set but Topic Alias and Subscription
/// Identifier, which belong to the connection.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Topic name.
    pub topic: String,
    /// The application's bytes.
    pub payload: Vec<u8>,
    /// Quality of service.
    pub qos: QoS,
    /// Whether the server keeps it for later subscribers.
    pub retain: bool,
    /// MQTT 5 properties; ignored by servers of 3.x.
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

    /// To be kept by the server for later subscribers.
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

/// A message that arrived.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Topic name.
    pub topic: String,
    /// The application's bytes.
    pub payload: Vec<u8>,
    /// Quality of service of this delivery.
    pub qos: QoS,
    /// Whether the server had kept it from before the subscription (or, with Retain As Published, what the
    /// publisher set).
    pub retain: bool,
    /// Whether the server may have delivered it before.
    pub dup: bool,
    /// Packet identifier of this delivery; 0 at QoS 0.
    pub packet_id: u16,
    /// All MQTT 5 properties, subscription identifiers included.
    pub properties: PropertiesBuf,
}
