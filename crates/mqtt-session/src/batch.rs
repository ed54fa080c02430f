//! QoS 0 messages encoded once for all receivers that would get the very same bytes.

use bytes::Bytes;
use mqtt_codec::{Framing, Packet, Publish, QoS, Version, decode, encode, frame};
use mqtt_topic::TopicName;

use crate::message::{Delivery, Hop, Message, all_forwarded};
use crate::{InboundPublish, PACKET_BYTES_MAX};

/// How a PUBLISH is laid out: with properties or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// MQTT 3.1 and 3.1.1.
    Plain,
    /// MQTT 5.0.
    WithProperties,
}

impl Layout {
    /// The layout of a version.
    #[must_use]
    pub fn of(version: Version) -> Self {
        if version == Version::V5 { Self::WithProperties } else { Self::Plain }
    }

    fn version(self) -> Version {
        match self {
            Self::Plain => Version::V3_1_1,
            Self::WithProperties => Version::V5,
        }
    }
}

/// Some QoS 0 messages of one publisher, in their order, encoded for one layout. Cloning it counts a
/// reference.
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Bytes,
    layout: Layout,
    messages: u32,
    payload_bytes: u64,
    longest_bytes: usize,
    publisher: u64,
}

/// Collects messages into a [`Batch`].
#[derive(Debug)]
pub struct BatchBuilder {
    bytes: Vec<u8>,
    layout: Layout,
    messages: u32,
    payload_bytes: u64,
    longest_bytes: usize,
}

/// Whether a message may go into a batch: nothing about it differs between receivers of one layout.
#[must_use]
pub fn is_batchable(publish: &InboundPublish<'_>) -> bool {
    publish.qos == QoS::AtMostOnce
        && !publish.retain
        && publish.expires_at.is_none()
        && all_forwarded(publish.properties)
}

impl BatchBuilder {
    /// Collects for one layout.
    #[must_use]
    pub const fn new(layout: Layout) -> Self {
        Self { bytes: Vec::new(), layout, messages: 0, payload_bytes: 0, longest_bytes: 0 }
    }

    /// Appends a message that [`is_batchable`].
    pub fn push(&mut self, publish: &InboundPublish<'_>) {
        let packet = Packet::Publish(Publish {
            dup: false, // [MQTT-3.3.1-3]
            qos: QoS::AtMostOnce,
            retain: false, // [MQTT-3.3.1-12]
            topic: publish.topic.as_str(),
            packet_id: None,
            properties: publish.properties,
            payload: publish.payload,
        });
        let encoded = encode(&packet, self.layout.version(), &mut self.bytes);
        let bytes = encoded.expect("a message that arrived without an alias fits into a packet again");
        self.longest_bytes = self.longest_bytes.max(bytes);
        self.payload_bytes += publish.payload.len() as u64;
        self.messages += 1;
    }

    /// The layout that it collects for.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Messages collected so far.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.messages as usize
    }

    /// Bytes collected so far.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The batch, unless nothing was collected. The builder is empty again.
    pub fn finish(&mut self, publisher: u64) -> Option<Batch> {
        if self.messages == 0 {
            return None;
        }
        let next = Self { bytes: Vec::with_capacity(self.bytes.len()), ..Self::new(self.layout) };
        let Self { bytes, layout, messages, payload_bytes, longest_bytes } = std::mem::replace(self, next);
        Some(Batch { bytes: bytes.into(), layout, messages, payload_bytes, longest_bytes, publisher })
    }

    /// Gives the memory back.
    pub fn release(&mut self) {
        self.bytes = Vec::new();
    }
}

impl Batch {
    /// The encoded packets, one after the other.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Who can be sent these bytes.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// How many messages it holds.
    #[must_use]
    pub fn messages(&self) -> u32 {
        self.messages
    }

    /// Bytes of all payloads.
    #[must_use]
    pub fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// Bytes of the longest packet.
    #[must_use]
    pub fn longest_bytes(&self) -> usize {
        self.longest_bytes
    }

    /// Bytes that a queue is charged with.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }

    /// The messages one by one, for receivers that need their own bytes, and for whoever counts them.
    pub fn deliveries(&self) -> impl Iterator<Item = Delivery> + '_ {
        let mut rest = self.bytes();
        std::iter::from_fn(move || {
            let Ok(Framing::Complete { frame_len, .. }) = frame(rest, PACKET_BYTES_MAX) else { return None };
            let (packet, after) = rest.split_at(frame_len);
            rest = after;
            let Ok(Packet::Publish(publish)) = decode(packet, self.layout.version()) else { return None };
            let topic = TopicName::assume_valid(publish.topic);
            let message = Message::new(topic, publish.properties, publish.payload, self.publisher, None);
            Some(Delivery { hop: Hop::new(QoS::AtMostOnce), message })
        })
    }
}
