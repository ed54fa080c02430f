use super::{
    Body, check_properties, check_reason, fixed_first_byte, properties, reason_code, write_properties,
};
use crate::error::EncodeError;
use crate::wire::{self, Parsed, Sink};
use crate::{PacketId, PacketType, Properties, PropertyPlace, ReasonCode, Version};

/// The body that PUBACK, PUBREC, PUBREL and PUBCOMP share (MQTT 5 sections 3.4 to 3.7).
///
/// ```
/// use mqtt_codec::{Ack, Packet, PacketId, Version, encode};
///
/// let id = PacketId::new(7).expect("not 0");
/// let mut out = Vec::new();
/// encode(&Packet::Puback(Ack::success(id)), Version::V5, &mut out)?;
/// assert_eq!(out, [0x40, 2, 0, 7]);
/// # Ok::<(), mqtt_codec::EncodeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ack<'a> {
    /// The identifier of the PUBLISH that started the exchange.
    pub packet_id: PacketId,
    /// Always [`ReasonCode::Success`] before MQTT 5, whatever is encoded.
    pub reason: ReasonCode,
    /// Empty before MQTT 5.
    pub properties: Properties<'a>,
}

impl Ack<'_> {
    /// Success without properties, the common case.
    #[must_use]
    pub const fn success(packet_id: PacketId) -> Self {
        Self { packet_id, reason: ReasonCode::Success, properties: Properties::EMPTY }
    }
}

/// An acknowledgement with the packet type that gives it its meaning.
pub(crate) struct TypedAck<'p, 'a> {
    pub(crate) packet: PacketType,
    pub(crate) ack: &'p Ack<'a>,
}

impl TypedAck<'_, '_> {
    fn place(&self) -> PropertyPlace {
        ack_place(self.packet)
    }
}

fn ack_place(packet: PacketType) -> PropertyPlace {
    match packet {
        PacketType::Pubrec => PropertyPlace::Pubrec,
        PacketType::Pubrel => PropertyPlace::Pubrel,
        PacketType::Pubcomp => PropertyPlace::Pubcomp,
        _ => PropertyPlace::Puback,
    }
}

/// Reads the body: after the identifier the reason may be missing, and after the reason the properties (section 3.4.2.1).
pub(crate) fn ack(packet: PacketType, version: Version, input: &[u8]) -> Parsed<'_, Ack<'_>> {
    let (input, packet_id) = wire::packet_id(input)?;
    let mut ack = Ack::success(packet_id);
    if input.is_empty() || !version.has_reason_codes() {
        return Ok((input, ack));
    }
    let (input, reason) = reason_code(packet, input)?;
    ack.reason = reason;
    if input.is_empty() {
        return Ok((input, ack));
    }
    let (input, properties) = properties(ack_place(packet), version, input)?;
    ack.properties = properties;
    Ok((input, ack))
}

impl Body for TypedAck<'_, '_> {
    #[inline]
    fn first_byte(&self) -> u8 {
        fixed_first_byte(self.packet)
    }

    #[inline]
    fn check(&self, version: Version) -> Result<(), EncodeError> {
        check_reason(self.ack.reason, self.packet)?;
        check_properties(&self.ack.properties, self.place(), version)
    }

    #[inline]
    fn write<S: Sink>(&self, version: Version, sink: &mut S) {
        let Ack { packet_id, reason, properties } = self.ack;
        sink.u16(packet_id.get());
        if !version.has_reason_codes() || *reason == ReasonCode::Success && properties.is_empty() {
            return;
        }
        sink.u8(*reason as u8);
        if !properties.is_empty() {
            write_properties(properties, version, sink);
        }
    }
}
