//! The will: what a server publishes for a client that went without a word (section 3.1.2.5).

use std::time::Instant;

use mqtt_codec::{Properties, PropertiesBuf, QoS, ReasonCode, Will};
use mqtt_topic::{Mountpoint, TopicName, Unmountable};

use crate::message::{Message, expiry, forwarded};
use crate::mounting::mount_response_topic;
use crate::{Policy, Violation};

/// A will that was accepted with a CONNECT.
///
/// ```
/// use mqtt_codec::{Properties, QoS, ReasonCode, Will};
/// use mqtt_session::{Policy, WillMessage};
///
/// let topic = "greenhouse/1/state";
/// let will = Will { qos: QoS::AtLeastOnce, retain: true, properties: Properties::EMPTY, topic, payload: b"gone" };
/// let accepted = WillMessage::accept(&will, &Policy::default())?;
/// assert_eq!((accepted.qos, accepted.delay_interval_s), (QoS::AtLeastOnce, 0));
/// let refused = WillMessage::accept(&Will { topic: "greenhouse/+", ..will }, &Policy::default());
/// assert_eq!(refused.unwrap_err().reason, ReasonCode::TopicNameInvalid);
/// # Ok::<(), mqtt_session::Violation>(())
/// ```
#[derive(Clone, Debug)]
pub struct WillMessage {
    topic: TopicName<Box<str>>,
    payload: Box<[u8]>,
    properties: PropertiesBuf,
    message_expiry_interval_s: Option<u32>,
    /// Quality of service of its publication ([MQTT-3.1.2-12] allows 0 to 2).
    pub qos: QoS,
    /// Whether it is published as a retained message ([MQTT-3.1.2-14], [MQTT-3.1.2-15]).
    pub retain: bool,
    /// Seconds between the loss of the connection and the publication ([MQTT-3.1.3-9]).
    pub delay_interval_s: u32,
    /// Tells the wills of one session apart, for whoever stores them; 0 until they are told apart.
    pub serial: u64,
}

impl WillMessage {
    /// Checks the will of a CONNECT against what the server supports.
    ///
    /// # Errors
    /// The topic or the response topic is no topic name, or the QoS or RETAIN flag is not supported ([MQTT-3.2.2-12],
    /// [MQTT-3.2.2-13]).
    pub fn accept(will: &Will<'_>, policy: &Policy) -> Result<Self, Violation> {
        let topic = TopicName::parse(will.topic)
            .map_err(|_| Violation::new(ReasonCode::TopicNameInvalid, "MQTT-3.1.3-11"))?;
        if will.qos > policy.maximum_qos {
            return Err(Violation::new(ReasonCode::QoSNotSupported, "MQTT-3.2.2-12"));
        }
        if will.retain && !policy.retain_available {
            return Err(Violation::new(ReasonCode::RetainNotSupported, "MQTT-3.2.2-13"));
        }
        if let Some(Err(_)) = will.properties.response_topic().map(TopicName::parse) {
            return Err(Violation::protocol_error("MQTT-3.3.2-14"));
        }
        let mut properties = PropertiesBuf::new();
        forwarded(will.properties, &mut properties);
        Ok(Self {
            topic: topic.to_boxed(),
            payload: will.payload.into(),
            properties,
            message_expiry_interval_s: will.properties.message_expiry_interval_s(),
            qos: will.qos,
            retain: will.retain,
            delay_interval_s: will.properties.will_delay_interval_s().unwrap_or(0),
            serial: 0,
        })
    }

    /// Puts a will together again that was accepted before. `properties` hold only what is forwarded.
    #[must_use]
    pub fn restore(
        topic: TopicName<&str>,
        payload: &[u8],
        properties: Properties<'_>,
        message_expiry_interval_s: Option<u32>,
        (qos, retain): (QoS, bool),
        delay_interval_s: u32,
    ) -> Self {
        let mut block = PropertiesBuf::new();
        block.extend_from(properties);
        Self {
            topic: topic.to_boxed(),
            payload: payload.into(),
            properties: block,
            message_expiry_interval_s,
            qos,
            retain,
            delay_interval_s,
            serial: 0,
        }
    }

    /// The same will where the client of a mountpoint means it to be.
    ///
    /// # Errors
    /// Its topic or response topic has no place there.
    pub fn mounted(self, mountpoint: &Mountpoint) -> Result<Self, Unmountable> {
        let (mut topic, mut properties) = (String::new(), PropertiesBuf::new());
        mountpoint.mount_name(self.topic.as_ref(), &mut topic)?;
        mount_response_topic(self.properties.as_properties(), mountpoint, &mut properties)?;
        let topic = TopicName::assume_valid(topic.into_boxed_str());
        Ok(Self { topic, properties, ..self })
    }

    /// The text of the topic where it will be published.
    #[must_use]
    pub fn topic_text(&self) -> &str {
        self.topic.as_str()
    }

    /// The application's bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The properties that are forwarded.
    #[must_use]
    pub fn properties(&self) -> Properties<'_> {
        self.properties.as_properties()
    }

    /// Message Expiry Interval of its publication.
    #[must_use]
    pub fn message_expiry_interval_s(&self) -> Option<u32> {
        self.message_expiry_interval_s
    }

    /// Where it will be published.
    #[must_use]
    pub fn topic(&self) -> TopicName<&str> {
        self.topic.as_ref()
    }

    /// The message to publish now. Its expiry interval starts now.
    #[must_use]
    pub fn message(&self, publisher: u64, now: Instant) -> Message {
        let expires_at = expiry(self.message_expiry_interval_s, now);
        Message::new(
            self.topic.as_ref(),
            self.properties.as_properties(),
            &self.payload,
            publisher,
            expires_at,
        )
    }
}
