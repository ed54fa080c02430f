use super::reasons::{ReasonCodes, reason_codes};
use super::{Body, check_properties, fixed_first_byte, properties, write_properties};
use crate::error::EncodeError;
use crate::wire::{self, Parsed, Sink};
use crate::{PacketId, PacketType, Properties, PropertyPlace, Version};

/// SUBACK: one answer for each filter of a SUBSCRIBE (MQTT 5 section 3.9).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suback<'a> {
    /// That of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// Empty before MQTT 5.
    pub properties: Properties<'a>,
    /// In the order of the filters. Before MQTT 5 every failure is encoded as 0x80.
    pub reasons: ReasonCodes<'a>,
}

/// UNSUBACK: one answer for each filter of an UNSUBSCRIBE (MQTT 5 section 3.11).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unsuback<'a> {
    /// That of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// Empty before MQTT 5.
    pub properties: Properties<'a>,
    /// In the order of the filters. Before MQTT 5 empty when decoded, dropped when encoded.
    pub reasons: ReasonCodes<'a>,
}

/// Reads the body of a SUBACK.
pub(crate) fn suback(version: Version, input: &[u8]) -> Parsed<'_, Suback<'_>> {
    let (input, packet_id) = wire::packet_id(input)?;
    let (input, properties) = properties(PropertyPlace::Suback, version, input)?;
    let (input, reasons) = reason_codes(PacketType::Suback, version, input)?; // [MQTT-3.9.3-2]
    Ok((input, Suback { packet_id, properties, reasons }))
}

/// Reads the body of an UNSUBACK.
pub(crate) fn unsuback(version: Version, input: &[u8]) -> Parsed<'_, Unsuback<'_>> {
    let (input, packet_id) = wire::packet_id(input)?;
    if !version.has_reason_codes() {
        return Ok((
            input,
            Unsuback { packet_id, properties: Properties::EMPTY, reasons: ReasonCodes::EMPTY },
        ));
    }
    let (input, properties) = properties(PropertyPlace::Unsuback, version, input)?;
    let (input, reasons) = reason_codes(PacketType::Unsuback, version, input)?; // [MQTT-3.11.3-2]
    Ok((input, Unsuback { packet_id, properties, reasons }))
}

impl Body for Suback<'_> {
    fn first_byte(&self) -> u8 {
        fixed_first_byte(PacketType::Suback)
    }

    fn check(&self, version: Version) -> Result<(), EncodeError> {
        self.reasons.check(PacketType::Suback)?;
        check_properties(&self.properties, PropertyPlace::Suback, version)
    }

    fn write<S: Sink>(&self, version: Version, sink: &mut S) {
        sink.u16(self.packet_id.get());
        write_properties(&self.properties, version, sink);
        self.reasons.write(version, sink);
    }
}

impl Body for Unsuback<'_> {
    fn first_byte(&self) -> u8 {
        fixed_first_byte(PacketType::Unsuback)
    }

    fn check(&self, version: Version) -> Result<(), EncodeError> {
        if version.has_reason_codes() {
            self.reasons.check(PacketType::Unsuback)?;
        }
        check_properties(&self.properties, PropertyPlace::Unsuback, version)
    }

    fn write<S: Sink>(&self, version: Version, sink: &mut S) {
        sink.u16(self.packet_id.get());
        if version.has_reason_codes() {
            write_properties(&self.properties, version, sink);
            self.reasons.write(version, sink);
        }
    }
}
