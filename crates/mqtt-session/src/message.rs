//! What travels end to end, and what belongs to one hop.

use core::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt_codec::{Properties, PropertiesBuf, Property, QoS};
use mqtt_topic::TopicName;

/// An application message: topic, payload and the properties that a server passes on unaltered.
///
/// Immutable. Made with one allocation, and cloning it only counts a reference, so a fan-out to any
/// number of receivers copies nothing.
///
/// ```
/// use mqtt_codec::Properties;
/// use mqtt_session::{Message, NO_PUBLISHER};
/// use mqtt_topic::TopicName;
///
/// let topic = TopicName::parse("a/b")?;
/// let message = Message::new(topic, Properties::EMPTY, b"payload", NO_PUBLISHER, None);
/// assert_eq!((message.topic(), message.payload()), ("a/b", &b"payload"[..]));
/// # Ok::<(), mqtt_topic::TopicError>(())
/// ```
#[derive(Clone)]
pub struct Message {
    /// Topic, then the forwarded property block, then the payload.
    body: Arc<[u8]>,
    topic_bytes: u16,
    properties_bytes: u32,
    publisher: u64,
    expires_at: Option<Instant>,
}

/// The publisher of messages that no session published, such as `$SYS` topics.
pub const NO_PUBLISHER: u64 = 0;

impl Message {
    /// Joins the parts into one message.
    ///
    /// `properties` must hold only what is forwarded ([`forwarded`] makes such a block). `publisher`
    /// is the key of the publishing session, which No Local compares; [`NO_PUBLISHER`] where there
    /// is none.
    #[must_use]
    pub fn new(
        topic: TopicName<&str>,
        properties: Properties<'_>,
        payload: &[u8],
        publisher: u64,
        expires_at: Option<Instant>,
    ) -> Self {
        let topic = topic.as_str().as_bytes();
        let properties = properties.as_bytes();
        let properties_end = topic.len() + properties.len();
        let total = properties_end + payload.len();
        let mut body: Arc<[u8]> = std::iter::repeat_n(0, total).collect();
        let bytes = Arc::get_mut(&mut body).expect("a new Arc has one owner");
        bytes[..topic.len()].copy_from_slice(topic);
        bytes[topic.len()..properties_end].copy_from_slice(properties);
        bytes[properties_end..].copy_from_slice(payload);
        Self {
            body,
            topic_bytes: u16::try_from(topic.len()).expect("a topic name has at most 65,535 bytes"),
            properties_bytes: u32::try_from(properties.len()).expect("a packet is smaller than 2^32"),
            publisher,
            expires_at,
        }
    }

    /// Stands for a message whose body is elsewhere, in a store: it has its size and expiry, an empty topic, no
    /// properties and no payload, and must not be sent. Allocates nothing.
    #[must_use]
    pub fn absent(size_bytes: u32, expires_at: Option<Instant>) -> Self {
        let publisher = NO_PUBLISHER;
        Self { body: Arc::default(), topic_bytes: 0, properties_bytes: size_bytes, publisher, expires_at }
    }

    /// Whether the body is elsewhere: a topic name is never empty ([MQTT-4.7.3-1]).
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.topic_bytes == 0
    }

    /// The text of the topic name.
    #[must_use]
    pub fn topic(&self) -> &str {
        core::str::from_utf8(&self.body[..usize::from(self.topic_bytes)]).expect("copied from a topic name")
    }

    /// The forwarded properties, in the order in which the publisher sent them.
    #[must_use]
    pub fn properties(&self) -> Properties<'_> {
        Properties::from_validated(&self.body[usize::from(self.topic_bytes)..self.payload_from()])
    }

    /// The application's bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.body[self.payload_from()..]
    }

    fn payload_from(&self) -> usize {
        match self.topic_bytes {
            0 => 0,
            topic_bytes => usize::from(topic_bytes) + self.properties_bytes as usize,
        }
    }

    /// Key of the session that published this, or [`NO_PUBLISHER`].
    #[must_use]
    pub fn publisher(&self) -> u64 {
        self.publisher
    }

    /// When the Message Expiry Interval has passed (section 3.3.2.3.3); `None` for never.
    #[must_use]
    pub fn expires_at(&self) -> Option<Instant> {
        self.expires_at
    }

    /// Whether the Message Expiry Interval has passed.
    #[must_use]
    pub fn is_expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// Whole seconds left to live, rounded up; `None` for unlimited.
    #[must_use]
    pub fn remaining_s(&self, now: Instant) -> Option<u32> {
        let left = self.expires_at?.saturating_duration_since(now);
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        Some(u32::try_from(seconds).unwrap_or(u32::MAX))
    }

    /// The same for all clones of a message, and for no other message as long as one of them lives.
    #[must_use]
    pub fn address(&self) -> usize {
        self.body.as_ptr().addr()
    }

    /// Bytes that this message holds, for budgets. Shared by all its clones.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self.topic_bytes {
            0 => self.properties_bytes as usize,
            _ => self.body.len() + size_of::<Self>(),
        }
    }

    /// What [`size_bytes`](Self::size_bytes) is for a message of these parts.
    #[must_use]
    pub const fn size_bytes_of(parts_bytes: usize) -> usize {
        parts_bytes + size_of::<Self>()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic())
            .field("payload_bytes", &self.payload().len())
            .field("publisher", &self.publisher)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.body == other.body
            && self.topic_bytes == other.topic_bytes
            && self.expires_at == other.expires_at
    }
}

/// When a Message Expiry Interval that starts now ends.
#[must_use]
pub fn expiry(interval_s: Option<u32>, now: Instant) -> Option<Instant> {
    now.checked_add(Duration::from_secs(u64::from(interval_s?)))
}

/// Copies the properties of a PUBLISH or a will that a server must pass on
/// ([MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-20]) in their order
/// ([MQTT-3.3.2-18]). What belongs to one hop (alias, subscription identifiers) and the two intervals
/// stay behind.
pub fn forwarded(properties: Properties<'_>, into: &mut PropertiesBuf) {
    for property in properties.iter().filter(is_forwarded) {
        into.push(&property).expect("a property that was decoded can be encoded");
    }
}

/// Whether every property of the block is passed on, so that the block can be used as it is.
#[must_use]
pub fn all_forwarded(properties: Properties<'_>) -> bool {
    properties.is_empty() || properties.iter().all(|property| is_forwarded(&property))
}

fn is_forwarded(property: &Property<'_>) -> bool {
    !matches!(
        property,
        Property::TopicAlias(_)
            | Property::SubscriptionIdentifier(_)
            | Property::MessageExpiryInterval(_)
            | Property::WillDelayInterval(_)
    )
}

/// What belongs to one hop: made fresh for each receiver.
///
/// ```
/// use mqtt_codec::{Properties, QoS};
/// use mqtt_session::{Delivery, Hop, Message, NO_PUBLISHER};
/// use mqtt_topic::TopicName;
///
/// let topic = TopicName::parse("greenhouse/1")?;
/// let message = Message::new(topic, Properties::EMPTY, b"21.5", NO_PUBLISHER, None);
/// let hop = Hop { retain: true, ..Hop::new(QoS::AtLeastOnce) };
/// let delivery = Delivery { message, hop }; // the message is shared, the hop is this receiver's
/// assert_eq!(delivery.message.payload(), b"21.5");
/// # Ok::<(), mqtt_topic::TopicError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Hop {
    /// Quality of service towards this receiver.
    pub qos: QoS,
    /// The RETAIN flag that this receiver sees ([MQTT-3.3.1-8], [MQTT-3.3.1-12], [MQTT-3.3.1-13]).
    pub retain: bool,
    /// Identifiers of all subscriptions that matched ([MQTT-3.3.4-3], [MQTT-3.3.4-4]).
    pub subscription_ids: Option<Arc<[u32]>>,
    /// Key of the shared subscription that chose this receiver, so that another member can be chosen
    /// when this one leaves; 0 for an ordinary subscription.
    pub share: u64,
    /// Where the delivery stands in a durable store, among those of its session; 0 if it is not kept.
    pub place: u64,
}

impl Hop {
    /// A hop with nothing but a quality of service.
    #[must_use]
    pub const fn new(qos: QoS) -> Self {
        Self { qos, retain: false, subscription_ids: None, share: 0, place: 0 }
    }
}

/// One message on its way to one receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// What this receiver's copy adds.
    pub hop: Hop,
    /// What all receivers share.
    pub message: Message,
}

impl Delivery {
    /// Bytes that this delivery is charged with in a queue.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.message.size_bytes() + size_of::<Hop>()
    }
}
