//! A PUBLISH that arrived, with its topic known.

use std::time::Instant;

use mqtt_codec::{PacketId, PlainPublish, Properties, PropertiesBuf, Publish, QoS};
use mqtt_topic::TopicName;

use crate::message::{Message, all_forwarded, expiry, forwarded};

/// A message from the peer. Borrows the frame it came in, or the alias table for its topic.
///
/// ```
/// use std::time::Instant;
/// use mqtt_codec::{Properties, QoS};
/// use mqtt_session::InboundPublish;
/// use mqtt_topic::TopicName;
///
/// let topic = TopicName::parse("a/b")?;
/// let (qos, properties) = (QoS::AtLeastOnce, Properties::EMPTY);
/// let publish = InboundPublish::without_packet(topic, qos, false, b"payload", properties, Instant::now());
/// assert_eq!((publish.topic.as_str(), publish.packet_id()), ("a/b", None));
/// # Ok::<(), mqtt_topic::TopicError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct InboundPublish<'a> {
    /// Where it was published; an alias is resolved already.
    pub topic: TopicName<&'a str>,
    /// The publisher's quality of service.
    pub qos: QoS,
    /// The RETAIN flag.
    pub retain: bool,
    /// The DUP flag, which says nothing about the message itself ([MQTT-3.3.1-3]).
    pub dup: bool,
    /// The application's bytes.
    pub payload: &'a [u8],
    /// All properties, also those of this hop.
    pub properties: Properties<'a>,
    /// When its Message Expiry Interval has passed.
    pub expires_at: Option<Instant>,
    packet_id: Option<PacketId>,
}

/// Names the PUBLISH that an answer belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "a PUBLISH above QoS 0 needs its answer"]
pub struct Ticket {
    pub(crate) answer: Option<(PacketId, QoS)>,
}

impl Ticket {
    /// Packet identifier and quality of service of what is to be answered; `None` at QoS 0.
    #[must_use]
    pub fn awaits(&self) -> Option<(PacketId, QoS)> {
        self.answer
    }
}

impl<'a> InboundPublish<'a> {
    pub(crate) fn new(publish: &Publish<'a>, topic: TopicName<&'a str>, now: Instant) -> Self {
        let interval_s =
            if publish.properties.is_empty() { None } else { publish.properties.message_expiry_interval_s() };
        Self {
            topic,
            qos: publish.qos,
            retain: publish.retain,
            dup: publish.dup,
            payload: publish.payload,
            properties: publish.properties,
            expires_at: expiry(interval_s, now),
            packet_id: publish.packet_id,
        }
    }

    /// A message that no packet brought: one of the program that the broker runs in.
    #[must_use]
    pub fn without_packet(
        topic: TopicName<&'a str>,
        qos: QoS,
        retain: bool,
        payload: &'a [u8],
        properties: Properties<'a>,
        now: Instant,
    ) -> Self {
        let expires_at = expiry(properties.message_expiry_interval_s(), now);
        Self { topic, qos, retain, dup: false, payload, properties, expires_at, packet_id: None }
    }

    /// A PUBLISH that was recognised by its topic.
    #[must_use]
    #[inline]
    pub fn plain(publish: &PlainPublish<'a>, topic: TopicName<&'a str>) -> Self {
        let PlainPublish { qos, packet_id, payload } = *publish;
        let properties = Properties::EMPTY;
        Self { topic, qos, retain: false, dup: false, payload, properties, expires_at: None, packet_id }
    }

    /// Packet identifier; `None` at QoS 0, and for a message that no packet brought.
    #[must_use]
    pub fn packet_id(&self) -> Option<PacketId> {
        self.packet_id
    }

    /// What [`Protocol::answer_publish`](crate::Protocol::answer_publish) needs.
    pub fn ticket(&self) -> Ticket {
        Ticket { answer: self.packet_id.map(|id| (id, self.qos)) }
    }

    /// The message to route, detached from the frame.
    #[must_use]
    pub fn message(&self, publisher: u64) -> Message {
        if all_forwarded(self.properties) {
            return Message::new(self.topic, self.properties, self.payload, publisher, self.expires_at);
        }
        let mut properties = PropertiesBuf::new();
        forwarded(self.properties, &mut properties);
        Message::new(self.topic, properties.as_properties(), self.payload, publisher, self.expires_at)
    }
}
