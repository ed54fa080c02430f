//! What a peer read, owned so that a test can keep it.

use std::fmt;

use mqtt_codec::{
    Packet, PacketId, PacketType, Properties, PropertiesBuf, QoS, ReasonCode, ReasonCodes, Version, decode,
};

/// One complete packet as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceivedPacket {
    bytes: Vec<u8>,
    version: Version,
}

impl ReceivedPacket {
    pub(crate) fn new(bytes: Vec<u8>, version: Version) -> Self {
        Self { bytes, version }
    }

    /// The packet's bytes, fixed header included.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The packet, decoded.
    ///
    /// # Panics
    /// The other side sent something that is not a packet of this version.
    #[must_use]
    pub fn packet(&self) -> Packet<'_> {
        match decode(&self.bytes, self.version) {
            Ok(packet) => packet,
            Err(error) => panic!("the other side sent a bad packet: {error}: {:02X?}", self.bytes),
        }
    }
}

impl fmt::Debug for ReceivedPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match decode(&self.bytes, self.version) {
            Ok(packet) => write!(f, "{packet:?}"),
            Err(error) => write!(f, "undecodable ({error}) {:02X?}", self.bytes),
        }
    }
}

/// A CONNACK.
#[derive(Clone, Debug)]
pub struct ReceivedConnack {
    /// Whether the server continues a stored session.
    pub session_present: bool,
    /// Success, or why the client is refused; 3.x return codes in their 5.0 form.
    pub reason: ReasonCode,
    properties: PropertiesBuf,
}

/// A PUBLISH.
#[derive(Clone, Debug)]
pub struct ReceivedPublish {
    /// Whether it was sent before.
    pub dup: bool,
    /// Quality of service of this hop.
    pub qos: QoS,
    /// The RETAIN flag.
    pub retain: bool,
    /// Topic name; empty where an alias stands for it.
    pub topic: String,
    /// Packet identifier; 0 where there is none, which is QoS 0.
    pub packet_id: u16,
    /// Application data.
    pub payload: Vec<u8>,
    properties: PropertiesBuf,
}

impl ReceivedPublish {
    /// The payload as text.
    ///
    /// # Panics
    /// It is not UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("the payload is text")
    }
}

/// A PUBACK, PUBREC, PUBREL, PUBCOMP.
#[derive(Clone, Debug)]
pub struct ReceivedAck {
    /// Packet identifier of the message.
    pub packet_id: u16,
    /// Success, or what went wrong.
    pub reason: ReasonCode,
    properties: PropertiesBuf,
}

/// A SUBACK or UNSUBACK.
#[derive(Clone, Debug)]
pub struct ReceivedSuback {
    /// Packet identifier of the request.
    pub packet_id: u16,
    /// One reason code per filter; none in the UNSUBACK of 3.x.
    pub reasons: Vec<ReasonCode>,
    properties: PropertiesBuf,
}

/// A DISCONNECT.
#[derive(Clone, Debug)]
pub struct ReceivedDisconnect {
    /// Why the connection ends.
    pub reason: ReasonCode,
    properties: PropertiesBuf,
}

/// An AUTH.
#[derive(Clone, Debug)]
pub struct ReceivedAuth {
    /// Continue, begin again, or done.
    pub reason: ReasonCode,
    properties: PropertiesBuf,
}

macro_rules! has_properties {
    ($($name:ty),+) => {$(
        impl $name {
            /// The properties, in the order they came; empty in 3.x.
            #[must_use]
            pub fn properties(&self) -> Properties<'_> {
                self.properties.as_properties()
            }
        }
    )+};
}
has_properties!(
    ReceivedConnack,
    ReceivedPublish,
    ReceivedAck,
    ReceivedSuback,
    ReceivedDisconnect,
    ReceivedAuth
);

fn owned(properties: Properties<'_>) -> PropertiesBuf {
    let mut buffer = PropertiesBuf::new();
    buffer.extend_from(properties);
    buffer
}

impl ReceivedConnack {
    pub(crate) fn of(packet: &Packet<'_>) -> Option<Self> {
        let Packet::Connack(connack) = packet else { return None };
        Some(Self {
            session_present: connack.session_present,
            reason: connack.reason,
            properties: owned(connack.properties),
        })
    }
}

impl ReceivedPublish {
    pub(crate) fn of(packet: &Packet<'_>) -> Option<Self> {
        let Packet::Publish(publish) = packet else { return None };
        Some(Self {
            dup: publish.dup,
            qos: publish.qos,
            retain: publish.retain,
            topic: publish.topic.to_owned(),
            packet_id: publish.packet_id.map_or(0, Into::into),
            payload: publish.payload.to_vec(),
            properties: owned(publish.properties),
        })
    }
}

impl ReceivedAck {
    pub(crate) fn of(kind: PacketType, packet: &Packet<'_>) -> Option<Self> {
        let (Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack)) = packet
        else {
            return None;
        };
        let received =
            Self { packet_id: ack.packet_id.get(), reason: ack.reason, properties: owned(ack.properties) };
        (packet.packet_type() == kind).then_some(received)
    }
}

impl ReceivedSuback {
    pub(crate) fn of_suback(packet: &Packet<'_>) -> Option<Self> {
        let Packet::Suback(ack) = packet else { return None };
        Some(Self::new(ack.packet_id, ack.reasons, ack.properties))
    }

    pub(crate) fn of_unsuback(packet: &Packet<'_>) -> Option<Self> {
        let Packet::Unsuback(ack) = packet else { return None };
        Some(Self::new(ack.packet_id, ack.reasons, ack.properties))
    }

    fn new(packet_id: PacketId, reasons: ReasonCodes<'_>, properties: Properties<'_>) -> Self {
        Self { packet_id: packet_id.get(), reasons: reasons.iter().collect(), properties: owned(properties) }
    }
}

impl ReceivedDisconnect {
    pub(crate) fn of(packet: &Packet<'_>) -> Option<Self> {
        let Packet::Disconnect(disconnect) = packet else { return None };
        Some(Self { reason: disconnect.reason, properties: owned(disconnect.properties) })
    }
}

impl ReceivedAuth {
    pub(crate) fn of(packet: &Packet<'_>) -> Option<Self> {
        let Packet::Auth(auth) = packet else { return None };
        Some(Self { reason: auth.reason, properties: owned(auth.properties) })
    }
}
