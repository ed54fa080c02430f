use bytes::BufMut;
use nom::Parser;
use nom::combinator::cond;

use super::{Body, check_properties, properties, write_properties};
use crate::encode;
use crate::error::{DecodeErrorKind, EncodeError};
use crate::wire::{self, Parsed, Sink};
use crate::{PacketId, PacketType, Properties, PropertyPlace, QoS, Version};

/// PUBLISH: an application message on one connection (MQTT 5 section 3.3).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Publish<'a> {
    /// Whether this repeats an earlier attempt; never at QoS 0.
    pub dup: bool,
    /// Level of this one delivery.
    pub qos: QoS,
    /// From a client: store the message. From a server: it was stored, or retain as published applies.
    pub retain: bool,
    /// Topic name, not yet checked for wildcards; empty when a topic alias stands for it.
    pub topic: &'a str,
    /// Present exactly above QoS 0.
    pub packet_id: Option<PacketId>,
    /// Empty before MQTT 5.
    pub properties: Properties<'a>,
    /// The application's bytes.
    pub payload: &'a [u8],
}

impl Publish<'_> {
    /// Writes the packet up to its payload, which the caller sends after it from where it lies. The remaining length counts
    /// the payload. Returns the number of bytes written.
    ///
    /// # Errors
    /// As [`encode`](crate::encode); nothing has been written then.
    pub fn encode_head<B: BufMut>(&self, version: Version, out: &mut B) -> Result<usize, EncodeError> {
        encode::head(self, version, self.payload.len(), out)
    }

    fn flags(&self) -> u8 {
        u8::from(self.dup) << 3 | (self.qos as u8) << 1 | u8::from(self.retain)
    }

    /// Whether the receiver can tell the topic, by name or by alias (MQTT 5 section 3.3.2.1).
    fn has_topic(&self, version: Version) -> bool {
        !self.topic.is_empty() || version.has_properties() && self.properties.topic_alias().is_some()
    }
}

impl Body for Publish<'_> {
    #[inline]
    fn first_byte(&self) -> u8 {
        (PacketType::Publish as u8) << 4 | self.flags()
    }

    #[inline]
    fn check(&self, version: Version) -> Result<(), EncodeError> {
        if (self.qos == QoS::AtMostOnce) == self.packet_id.is_some() {
            return Err(EncodeError::PacketIdPresence); // [MQTT-2.2.1-2] [MQTT-2.2.1-3]
        }
        if self.dup && self.qos == QoS::AtMostOnce {
            return Err(EncodeError::DupAtQoS0); // [MQTT-3.3.1-2]
        }
        if !self.has_topic(version) {
            return Err(EncodeError::TopicNameMissing);
        }
        check_properties(&self.properties, PropertyPlace::Publish, version)
    }

    #[inline]
    fn write<S: Sink>(&self, version: Version, sink: &mut S) {
        sink.string(self.topic);
        if let Some(id) = self.packet_id {
            sink.u16(id.get());
        }
        write_properties(&self.properties, version, sink);
    }
}

/// Reads the body. The flags have been checked with the frame: not QoS 3, not DUP at QoS 0.
#[inline]
pub(crate) fn publish(first: u8, version: Version, input: &[u8]) -> Parsed<'_, Publish<'_>> {
    let Some(qos) = QoS::from_bits(first >> 1 & 0b11) else {
        return wire::fail(DecodeErrorKind::PublishQoS3); // [MQTT-3.3.1-4]
    };
    let (input, topic) = wire::string(input)?;
    let (input, packet_id) = cond(qos != QoS::AtMostOnce, wire::packet_id).parse(input)?; // [MQTT-2.2.1-2]
    let (payload, properties) = properties(PropertyPlace::Publish, version, input)?;
    let publish = Publish {
        dup: first & 1 << 3 != 0,
        qos,
        retain: first & 1 != 0,
        topic,
        packet_id,
        properties,
        payload,
    };
    if !publish.has_topic(version) {
        return wire::fail(DecodeErrorKind::TopicNameMissing); // [MQTT-4.7.3-1]
    }
    Ok((&[], publish))
}
