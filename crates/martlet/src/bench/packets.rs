//! Packets that are encoded once and patched for each message, and the few that are read by hand.

use std::ops::Range;

use mqtt_codec::{
    Connect, Disconnect, EncodeError, Packet, PacketId, Properties, PropertiesBuf, Property, Publish, QoS,
    Subscribe, SubscribeFiltersBuf, SubscriptionOptions, Version, encode,
};

use super::stamp::{SEQUENCE_AT, STAMP_BYTES, Stamp};

/// Bytes that a batch should not exceed, unless one packet does: about what one read of a broker takes.
const BATCH_BYTES: usize = 64 * 1024;

/// Copies of one PUBLISH in a row, of which only packet identifier, sequence number and time still change.
#[derive(Debug)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    packet_len: usize,
    /// Where in a packet the packet identifier is; above QoS 0.
    id_at: Option<usize>,
    stamp_at: usize,
}

/// What all messages of one publisher have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Template<'a> {
    pub(super) topic: &'a str,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    /// In a [`Batch`] at least [`STAMP_BYTES`].
    pub(super) payload_bytes: usize,
    pub(super) publisher: u32,
    pub(super) version: Version,
}

impl Batch {
    /// Room for as many packets as are worth one write, at most `packets_max`.
    ///
    /// # Errors
    /// A topic or payload that no packet can hold.
    pub(super) fn new(template: &Template<'_>, packets_max: usize) -> Result<Self, EncodeError> {
        let packet = publish(template, 0, PacketId::MIN)?;
        let packet_len = packet.len();
        let stamp_at = packet_len - template.payload_bytes;
        let properties = usize::from(template.version == Version::V5);
        let id_at = (template.qos != QoS::AtMostOnce).then(|| stamp_at - properties - 2);
        let packets = (BATCH_BYTES / packet_len).clamp(1, packets_max.max(1));
        Ok(Self { bytes: packet.repeat(packets), packet_len, id_at, stamp_at })
    }

    /// How many packets fit.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.len() / self.packet_len
    }

    /// Makes the first `count` packets the messages from `sequence` on, all leaving at `sent_ns`.
    #[inline]
    pub(super) fn fill(&mut self, count: usize, sequence: u32, sent_ns: u64) -> Range<usize> {
        let at = self.stamp_at + SEQUENCE_AT;
        let packets = self.bytes.chunks_exact_mut(self.packet_len).take(count);
        for (ahead, packet) in packets.enumerate() {
            let changing: &mut [u8; STAMP_BYTES - SEQUENCE_AT] =
                packet[at..].first_chunk_mut().expect("the payload holds a stamp");
            changing[..4].copy_from_slice(&sequence.wrapping_add(ahead as u32).to_le_bytes());
            changing[4..].copy_from_slice(&sent_ns.to_le_bytes());
        }
        0..count * self.packet_len
    }

    /// Gives one of the packets its own time of departure.
    pub(super) fn set_sent_ns(&mut self, packet: usize, sent_ns: u64) {
        let at = packet * self.packet_len + self.stamp_at + STAMP_BYTES - 8;
        self.bytes[at..at + 8].copy_from_slice(&sent_ns.to_le_bytes());
    }

    /// Gives one of the packets its identifier; above QoS 0 each needs one.
    #[inline]
    pub(super) fn set_id(&mut self, packet: usize, id: PacketId) {
        let at = packet * self.packet_len + self.id_at.expect("above QoS 0");
        self.bytes[at..at + 2].copy_from_slice(&id.get().to_be_bytes());
    }

    /// The bytes of a range that [`Batch::fill`] gave, or of a part of it.
    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }
}

/// One PUBLISH, stamped with this sequence number as far as its payload has room; the identifier is for QoS 1 and 2.
///
/// # Errors
/// A topic or payload that no packet can hold.
pub(super) fn publish(template: &Template<'_>, sequence: u32, id: PacketId) -> Result<Vec<u8>, EncodeError> {
    let mut payload = Stamp { publisher: template.publisher, sequence, sent_ns: 0 }.to_bytes().to_vec();
    payload.resize(template.payload_bytes, b'.');
    let packet = Publish {
        dup: false,
        qos: template.qos,
        retain: template.retain,
        topic: template.topic,
        packet_id: (template.qos != QoS::AtMostOnce).then_some(id),
        properties: Properties::EMPTY,
        payload: &payload,
    };
    encoded(&Packet::Publish(packet), template.version)
}

/// CONNECT of a client without will whose session outlives it for so many seconds; before MQTT 5 for ever, unless that is 0.
///
/// # Errors
/// An identifier, user name or password that is too long.
pub(super) fn connect(
    version: Version,
    client_id: &str,
    keep_alive_s: u16,
    session_expiry_s: u32,
    login: Option<(&str, Option<&str>)>,
) -> Result<Vec<u8>, EncodeError> {
    let mut properties = PropertiesBuf::new();
    if session_expiry_s > 0 && version == Version::V5 {
        properties.push(&Property::SessionExpiryInterval(session_expiry_s))?;
    }
    let packet = Connect {
        version,
        clean_start: session_expiry_s == 0,
        keep_alive_s,
        properties: properties.as_properties(),
        client_id,
        will: None,
        username: login.map(|(name, _)| name),
        password: login.and_then(|(_, password)| password).map(str::as_bytes),
    };
    encoded(&Packet::Connect(packet), version)
}

/// SUBSCRIBE to one filter, with packet identifier 1.
///
/// # Errors
/// A filter that is too long.
pub(super) fn subscribe(version: Version, filter: &str, qos: QoS) -> Result<Vec<u8>, EncodeError> {
    let mut filters = SubscribeFiltersBuf::default();
    filters.push(filter, SubscriptionOptions { qos, ..SubscriptionOptions::default() })?;
    let packet =
        Subscribe { packet_id: PacketId::MIN, properties: Properties::EMPTY, filters: filters.as_filters() };
    encoded(&Packet::Subscribe(packet), version)
}

/// DISCONNECT without a reason to complain.
pub(super) fn disconnect(version: Version) -> Vec<u8> {
    encoded(&Packet::Disconnect(Disconnect::default()), version).expect("an empty packet can be encoded")
}

/// PINGREQ.
pub(super) const PINGREQ: [u8; 2] = [0xC0, 0];

fn encoded(packet: &Packet<'_>, version: Version) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    encode(packet, version, &mut bytes)?;
    Ok(bytes)
}

/// An acknowledgement without a reason, of the packet type whose first byte is given.
#[inline]
pub(super) fn acknowledgement(first_byte: u8, id: [u8; 2]) -> [u8; 4] {
    [first_byte, 2, id[0], id[1]]
}

/// What a receiver needs of a PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received<'a> {
    pub(super) retain: bool,
    pub(super) topic: &'a [u8],
    /// Present above QoS 0.
    pub(super) id: Option<[u8; 2]>,
    pub(super) payload: &'a [u8],
}

/// Reads a whole PUBLISH frame whose fixed header has been checked; `None` when it is cut short inside.
///
/// Neither the text of the topic nor the properties are checked: this is a load generator, and the time would be missing
/// where it measures.
#[inline]
pub(super) fn received(frame: &[u8], version: Version) -> Option<Received<'_>> {
    let (&first, rest) = frame.split_first()?;
    let (_, rest) = split_integer(rest)?;
    let (topic_len, rest) = rest.split_first_chunk()?;
    let (topic, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*topic_len)))?;
    let (id, rest) = if first & 0b0110 == 0 {
        (None, rest)
    } else {
        let (id, rest) = rest.split_first_chunk()?;
        (Some(*id), rest)
    };
    let payload = if version == Version::V5 {
        let (properties_len, rest) = split_integer(rest)?;
        rest.get(properties_len..)?
    } else {
        rest
    };
    Some(Received { retain: first & 1 != 0, topic, id, payload })
}

/// The variable byte integer at the start, and what follows it.
#[inline]
fn split_integer(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().enumerate().take(4) {
        value |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use mqtt_codec::decode;

    use super::*;

    fn template(qos: QoS, version: Version, payload_bytes: usize) -> Template<'static> {
        Template { topic: "bench/3", qos, retain: false, payload_bytes, publisher: 3, version }
    }

    /// Patched packets are what encoding afresh would have made, and are read by hand as the codec reads them.
    fn check(qos: QoS, version: Version, payload_bytes: usize) {
        let mut batch = Batch::new(&template(qos, version, payload_bytes), 5).expect("it fits");
        let count = batch.capacity().min(5);
        let range = batch.fill(count, u32::MAX, 77);
        batch.set_sent_ns(count - 1, 99);
        let ids: Vec<PacketId> = (0..5).map(|id| PacketId::new(0xFFF0 + id).expect("above 0")).collect();
        if qos != QoS::AtMostOnce {
            (0..count).for_each(|packet| batch.set_id(packet, ids[packet]));
        }
        let bytes = batch.bytes(range);
        for (at, frame) in bytes.chunks_exact(bytes.len() / count).enumerate() {
            let Ok(Packet::Publish(publish)) = decode(frame, version) else { panic!("{frame:?}") };
            let sent_ns = if at == count - 1 { 99 } else { 77 };
            let sequence = u32::MAX.wrapping_add(at as u32);
            assert_eq!(Stamp::read(publish.payload), Some(Stamp { publisher: 3, sequence, sent_ns }));
            assert_eq!((publish.topic, publish.payload.len()), ("bench/3", payload_bytes));
            assert_eq!(publish.packet_id, (qos != QoS::AtMostOnce).then(|| ids[at]));
            let by_hand = received(frame, version).expect("whole");
            assert_eq!((by_hand.topic, by_hand.payload), (publish.topic.as_bytes(), publish.payload));
            assert_eq!(by_hand.id, publish.packet_id.map(|id| id.get().to_be_bytes()));
        }
    }

    #[test]
    fn patched_packets_are_those_that_encoding_would_make() {
        for version in [Version::V3_1, Version::V3_1_1, Version::V5] {
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                for payload_bytes in [STAMP_BYTES, 64, 4096, 100_000, 3_000_000] {
                    check(qos, version, payload_bytes);
                }
            }
        }
    }

    #[test]
    fn a_batch_holds_at_most_one_write_and_at_least_one_packet() {
        let capacity = |payload, max| {
            let template = template(QoS::AtMostOnce, Version::V5, payload);
            Batch::new(&template, max).expect("it fits").capacity()
        };
        assert_eq!(capacity(64, 100), 100);
        assert!((800..900).contains(&capacity(64, 1_000_000)));
        assert_eq!(capacity(1_000_000, 100), 1);
        assert_eq!(capacity(64, 0), 1);
    }

    #[test]
    fn a_frame_that_is_cut_short_inside_is_not_read() {
        let template = template(QoS::AtLeastOnce, Version::V5, STAMP_BYTES);
        let frame = publish(&template, 0, PacketId::MIN).expect("it fits");
        let payload_at = frame.len() - STAMP_BYTES;
        for len in 0..payload_at {
            assert_eq!(received(&frame[..len], Version::V5), None, "{len}");
        }
        assert!(received(&frame, Version::V5).is_some());
    }
}
