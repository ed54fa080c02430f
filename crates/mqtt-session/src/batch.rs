//! Messages encoded once for all receivers that would get the very same bytes, but for packet identifiers.

use bytes::Bytes;
use core::ops::Range;
use mqtt_codec::{
    Framing, Packet, PacketId, PlainPublish, Properties, Publish, QoS, Version, decode, encode, frame,
};
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

/// Some messages of one publisher, in their order, encoded for one layout and one quality of service. Cloning it counts
/// a reference.
#[derive(Clone, Debug)]
pub struct Batch {
    body: Bytes,
    /// Which part of the body this is: a receiver may have taken some messages already.
    range: Range<u32>,
    layout: Layout,
    qos: QoS,
    messages: u32,
    payload_bytes: u32,
    longest_bytes: u32,
    publisher: u64,
    /// Where the first message stands in a durable store, those behind it next to it; 0 if it is not kept.
    place: u64,
}

/// Collects messages into a [`Batch`].
///
/// ```
/// use mqtt_codec::{PlainPublish, QoS, Version};
/// use mqtt_session::{BatchBuilder, InboundPublish, Layout, is_batchable};
/// use mqtt_topic::TopicName;
///
/// let frame = b"\x30\x07\0\x01t\0abc"; // PUBLISH to `t`, no properties
/// let plain = PlainPublish::read(frame, "t", Version::V5).expect("plain");
/// let publish = InboundPublish::plain(&plain, TopicName::parse("t")?);
/// assert!(is_batchable(&publish));
/// let mut builder = BatchBuilder::new(Layout::of(Version::V3_1_1), QoS::AtMostOnce);
/// builder.push(&publish);
/// builder.push(&publish);
/// let batch = builder.finish(0).expect("two messages");
/// assert_eq!((batch.messages(), batch.payload_bytes()), (2, 6));
/// assert_eq!(batch.bytes(), [b"\x30\x06\0\x01tabc".as_slice(); 2].concat());
/// # Ok::<(), mqtt_topic::TopicError>(())
/// ```
#[derive(Debug)]
pub struct BatchBuilder {
    bytes: Vec<u8>,
    layout: Layout,
    qos: QoS,
    messages: u32,
    payload_bytes: u32,
    longest_bytes: u32,
}

/// Takes part in a batch until the receiver's own is known.
const NO_PACKET_ID: PacketId = PacketId::MIN;

/// Whether a message may go into a batch: nothing about it differs between receivers of one layout and quality of
/// service, apart from packet identifiers.
#[must_use]
pub fn is_batchable(publish: &InboundPublish<'_>) -> bool {
    !publish.retain && publish.expires_at.is_none() && all_forwarded(publish.properties)
}

impl BatchBuilder {
    /// Collects for one layout and one quality of service.
    #[must_use]
    pub const fn new(layout: Layout, qos: QoS) -> Self {
        Self { bytes: Vec::new(), layout, qos, messages: 0, payload_bytes: 0, longest_bytes: 0 }
    }

    /// Appends a message that [`is_batchable`]. All messages of a batch have less than 2 GiB.
    pub fn push(&mut self, publish: &InboundPublish<'_>) {
        let packet = Packet::Publish(Publish {
            dup: false, // [MQTT-3.3.1-3]
            qos: self.qos,
            retain: false, // [MQTT-3.3.1-12]
            topic: publish.topic.as_str(),
            packet_id: (self.qos > QoS::AtMostOnce).then_some(NO_PACKET_ID),
            properties: publish.properties,
            payload: publish.payload,
        });
        let encoded = encode(&packet, self.layout.version(), &mut self.bytes);
        let bytes = encoded.expect("a message that arrived without an alias fits into a packet again");
        self.longest_bytes = self.longest_bytes.max(as_u32(bytes));
        self.payload_bytes += as_u32(publish.payload.len());
        self.messages += 1;
    }

    /// Appends a message as it arrived in this layout, if that is what it would be encoded to; otherwise as
    /// [`push`](Self::push).
    pub fn push_plain(&mut self, frame_bytes: &[u8], layout: Layout, publish: &InboundPublish<'_>) {
        if (layout, publish.qos) != (self.layout, self.qos) {
            return self.push(publish);
        }
        self.bytes.extend_from_slice(frame_bytes);
        self.longest_bytes = self.longest_bytes.max(as_u32(frame_bytes.len()));
        self.payload_bytes += as_u32(publish.payload.len());
        self.messages += 1;
    }

    /// Collects into this buffer, which is emptied. Nothing was collected before.
    #[must_use]
    pub fn into_buffer(self, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { bytes: buffer, ..self }
    }

    /// The layout that it collects for.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The quality of service that it collects for.
    #[must_use]
    pub fn qos(&self) -> QoS {
        self.qos
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

    /// The batch, unless nothing was collected. The builder is empty again and holds no memory.
    pub fn finish(&mut self, publisher: u64) -> Option<Batch> {
        self.finish_with(publisher, Bytes::from)
    }

    /// The same; `share` makes what is shared of the buffer, byte for byte.
    pub fn finish_with(&mut self, publisher: u64, share: impl FnOnce(Vec<u8>) -> Bytes) -> Option<Batch> {
        if self.messages == 0 {
            return None;
        }
        let empty = Self::new(self.layout, self.qos);
        let Self { bytes, layout, qos, messages, payload_bytes, longest_bytes } =
            core::mem::replace(self, empty);
        let range = 0..as_u32(bytes.len());
        let body = share(bytes);
        assert_eq!(body.len(), range.end as usize, "nothing is added or left out");
        Some(Batch { body, range, layout, qos, messages, payload_bytes, longest_bytes, publisher, place: 0 })
    }
}

impl Batch {
    /// The same messages, standing in a durable store from this place on.
    #[must_use]
    pub fn at_place(&self, place: u64) -> Self {
        Self { place, ..self.clone() }
    }

    /// Where the first message stands in a durable store; 0 if it is not kept.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.place
    }

    /// The same for all clones of a batch, and for no other batch as long as one of them lives.
    #[must_use]
    pub fn address(&self) -> usize {
        self.bytes().as_ptr().addr()
    }

    /// The encoded packets, one after the other. Above QoS 0 their packet identifiers are still to be
    /// numbered.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.body[self.range.start as usize..self.range.end as usize]
    }

    /// The same, counted by reference.
    pub(crate) fn share(&self) -> Bytes {
        self.body.slice(self.range.start as usize..self.range.end as usize)
    }

    /// Who can be sent these bytes.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The quality of service of all its messages.
    #[must_use]
    pub fn qos(&self) -> QoS {
        self.qos
    }

    /// How many messages it holds.
    #[must_use]
    pub fn messages(&self) -> u32 {
        self.messages
    }

    /// Bytes of all payloads.
    #[must_use]
    pub fn payload_bytes(&self) -> u64 {
        self.payload_bytes.into()
    }

    /// Bytes of the longest packet, or of one that was taken off already.
    #[must_use]
    pub fn longest_bytes(&self) -> usize {
        self.longest_bytes as usize
    }

    /// Bytes that a queue is charged with: at least as many as its messages would be charged one by one, if they can
    /// come to lie in a queue.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let each = if self.qos == QoS::AtMostOnce { 0 } else { size_of::<Delivery>() };
        self.bytes().len() + size_of::<Self>() + self.messages as usize * each
    }

    /// Takes the first `messages` off, which must be fewer than there are.
    #[must_use]
    pub fn split_front(&mut self, messages: u32) -> Self {
        assert!(messages < self.messages, "something is left");
        let mut front = self.clone();
        front.messages = messages;
        front.payload_bytes = 0;
        let mut bytes = 0;
        for packet in frames(self.bytes()).take(messages as usize) {
            bytes += as_u32(packet.len());
            front.payload_bytes += as_u32(self.read(packet).map_or(0, |publish| publish.payload.len()));
        }
        front.range.end = front.range.start + bytes;
        self.range.start = front.range.end;
        self.messages -= messages;
        self.payload_bytes -= front.payload_bytes;
        self.place += if self.place > 0 { messages.into() } else { 0 };
        front
    }

    /// The messages one by one, for receivers that need their own bytes, and for whoever counts them.
    pub fn deliveries(&self) -> impl Iterator<Item = Delivery> + '_ {
        let places = (self.place..).map(|place| if self.place > 0 { place } else { 0 });
        self.publications().zip(places).map(|(publish, place)| {
            let topic = TopicName::assume_valid(publish.topic);
            let message = Message::new(topic, publish.properties, publish.payload, self.publisher, None);
            Delivery { hop: Hop { place, ..Hop::new(self.qos) }, message }
        })
    }

    /// The messages one by one, as they are encoded; their packet identifiers mean nothing.
    pub fn publications(&self) -> impl Iterator<Item = Publish<'_>> {
        // Mostly the topic is that of the message before.
        let mut topic = "";
        frames(self.bytes()).filter_map(move |packet| {
            let publish = plain(packet, topic, self.layout.version()).or_else(|| self.read(packet))?;
            topic = publish.topic;
            Some(publish)
        })
    }

    /// The packets one by one, as they are encoded; their packet identifiers mean nothing.
    pub fn packets(&self) -> impl Iterator<Item = &[u8]> {
        frames(self.bytes())
    }

    fn read<'a>(&self, packet: &'a [u8]) -> Option<Publish<'a>> {
        match decode(packet, self.layout.version()) {
            Ok(Packet::Publish(publish)) => Some(publish),
            _ => None,
        }
    }
}

fn plain<'a>(packet: &'a [u8], topic: &'a str, version: Version) -> Option<Publish<'a>> {
    let PlainPublish { qos, packet_id, payload } = PlainPublish::read(packet, topic, version)?;
    let properties = Properties::EMPTY;
    Some(Publish { dup: false, qos, retain: false, topic, packet_id, properties, payload })
}

/// Gives the packets of a batch above QoS 0 identifiers in a row.
pub(crate) fn number(mut packets: &mut [u8], first: PacketId) {
    let mut id = first.get();
    while let Ok(Framing::Complete { header_len, frame_len }) = frame(packets, PACKET_BYTES_MAX) {
        let (packet, rest) = packets.split_at_mut(frame_len);
        let topic_bytes = u16::from_be_bytes([packet[header_len], packet[header_len + 1]]);
        let at = header_len + 2 + usize::from(topic_bytes);
        packet[at..at + 2].copy_from_slice(&id.to_be_bytes());
        id = id.wrapping_add(1);
        packets = rest;
    }
}

/// Cuts encoded packets apart.
fn frames(mut packets: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let Ok(Framing::Complete { frame_len, .. }) = frame(packets, PACKET_BYTES_MAX) else { return None };
        let (packet, rest) = packets.split_at(frame_len);
        packets = rest;
        Some(packet)
    })
}

fn as_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a batch is handed over long before it has 4 GiB")
}
