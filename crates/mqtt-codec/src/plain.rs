//! The packets that most traffic consists of, recognised by comparing bytes: a PUBLISH on a topic that is known already,
//! and acknowledgements that say nothing but success. What is not recognised is for [`decode`](crate::decode).

use crate::{PacketId, PacketType, QoS, Version};

/// A PUBLISH without DUP, RETAIN and properties.
///
/// ```
/// use mqtt_codec::{PlainPublish, QoS, Version};
///
/// let publish = PlainPublish::read(b"\x30\x05\x00\x01thi", "t", Version::V3_1_1).expect("a plain one");
/// assert_eq!((publish.qos, publish.payload), (QoS::AtMostOnce, &b"hi"[..]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlainPublish<'a> {
    /// Level of this one delivery.
    pub qos: QoS,
    /// Present exactly above QoS 0.
    pub packet_id: Option<PacketId>,
    /// The application's bytes.
    pub payload: &'a [u8],
}

impl<'a> PlainPublish<'a> {
    /// Reads one whole packet, as [`frame`](crate::frame) measures it, if it is a plain PUBLISH on `topic`, a name that
    /// was decoded before. `None` says nothing about the packet: [`decode`](crate::decode) has to look at it.
    ///
    /// ```
    /// use mqtt_codec::{PlainPublish, Version};
    ///
    /// let frame = b"\x30\x05\x00\x01thi";
    /// assert_eq!(PlainPublish::read(frame, "t", Version::V3_1_1).map(|publish| publish.payload), Some(&b"hi"[..]));
    /// assert_eq!(PlainPublish::read(frame, "other", Version::V3_1_1), None);
    /// ```
    #[must_use]
    #[inline]
    pub fn read(frame_bytes: &'a [u8], topic: &str, version: Version) -> Option<Self> {
        let (&first, rest) = frame_bytes.split_first()?;
        if first & !QOS_BITS != (PacketType::Publish as u8) << 4 {
            return None;
        }
        let qos = QoS::from_bits(first >> 1 & 0b11)?;
        let rest = body(rest)?.strip_prefix(u16::try_from(topic.len()).ok()?.to_be_bytes().as_slice())?;
        let rest = rest.strip_prefix(topic.as_bytes())?;
        let (packet_id, rest) = match qos {
            QoS::AtMostOnce => (None, rest),
            _ => {
                let (id, rest) = rest.split_first_chunk()?;
                (Some(PacketId::new(u16::from_be_bytes(*id))?), rest)
            }
        };
        let payload = if version.has_properties() { rest.strip_prefix(&[0])? } else { rest };
        (!topic.is_empty()).then_some(Self { qos, packet_id, payload })
    }
}

/// A PUBACK, PUBREC, PUBREL or PUBCOMP that says success and nothing else: the same four bytes in every version.
///
/// ```
/// use mqtt_codec::{PacketType, PlainAck};
///
/// let ack = PlainAck::read(&[0x40, 2, 0, 7]).expect("a plain PUBACK");
/// assert_eq!((ack.packet_type, ack.packet_id.get()), (PacketType::Puback, 7));
/// assert_eq!(ack.bytes(), [0x40, 2, 0, 7]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainAck {
    /// Which of the four it is.
    pub packet_type: PacketType,
    /// The identifier of the PUBLISH that started the exchange.
    pub packet_id: PacketId,
}

impl PlainAck {
    /// Reads one whole packet, as [`frame`](crate::frame) measures it, if it is a plain acknowledgement.
    #[must_use]
    #[inline]
    pub fn read(frame_bytes: &[u8]) -> Option<Self> {
        let &[first, 2, high, low] = frame_bytes else { return None };
        let packet_type = match first {
            0x40 => PacketType::Puback,
            0x50 => PacketType::Pubrec,
            0x62 => PacketType::Pubrel, // [MQTT-3.6.1-1]
            0x70 => PacketType::Pubcomp,
            _ => return None,
        };
        Some(Self { packet_type, packet_id: PacketId::new(u16::from_be_bytes([high, low]))? })
    }

    /// The whole packet.
    #[must_use]
    #[inline]
    pub fn bytes(self) -> [u8; 4] {
        let flags = if self.packet_type == PacketType::Pubrel { 0b0010 } else { 0 };
        let [high, low] = self.packet_id.get().to_be_bytes();
        [(self.packet_type as u8) << 4 | flags, 2, high, low]
    }
}

/// The bits of the quality of service in the first byte of a PUBLISH.
const QOS_BITS: u8 = 0b0110;

/// What follows the remaining length, which [`frame`](crate::frame) has checked.
#[inline]
fn body(rest: &[u8]) -> Option<&[u8]> {
    let last = rest.iter().take(4).position(|byte| *byte < 0x80)?;
    rest.get(last + 1..)
}
