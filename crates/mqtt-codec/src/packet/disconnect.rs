use super::{
    Body, check_properties, check_reason, fixed_first_byte, properties, reason_code, write_properties,
};
use crate::error::EncodeError;
use crate::wire::{Parsed, Sink};
use crate::{PacketType, Properties, PropertyPlace, ReasonCode, Version};

/// DISCONNECT: the last packet of a connection (MQTT 5 section 3.14). Before MQTT 5 it has no body, so that encoding drops
/// reason and properties.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disconnect<'a> {
    /// Why the connection ends; always [`ReasonCode::NORMAL_DISCONNECTION`] before MQTT 5.
    pub reason: ReasonCode,
    /// Empty before MQTT 5.
    pub properties: Properties<'a>,
}

impl Default for Disconnect<'_> {
    fn default() -> Self {
        Self { reason: ReasonCode::NORMAL_DISCONNECTION, properties: Properties::EMPTY }
    }
}

/// Reads the body, from whose end first the properties and then the reason may be missing (section 3.14.2.1).
pub(crate) fn disconnect(version: Version, input: &[u8]) -> Parsed<'_, Disconnect<'_>> {
    let mut disconnect = Disconnect::default();
    if input.is_empty() || !version.has_reason_codes() {
        return Ok((input, disconnect));
    }
    let (input, reason) = reason_code(PacketType::Disconnect, input)?;
    disconnect.reason = reason;
    if input.is_empty() {
        return Ok((input, disconnect));
    }
    let (input, properties) = properties(PropertyPlace::Disconnect, version, input)?;
    disconnect.properties = properties;
    Ok((input, disconnect))
}

impl Body for Disconnect<'_> {
    fn first_byte(&self) -> u8 {
        fixed_first_byte(PacketType::Disconnect)
    }

    fn check(&self, version: Version) -> Result<(), EncodeError> {
        check_reason(self.reason, PacketType::Disconnect)?; // [MQTT-3.14.2-1]
        check_properties(&self.properties, PropertyPlace::Disconnect, version)
    }

    fn write<S: Sink>(&self, version: Version, sink: &mut S) {
        let Self { reason, properties } = self;
        if !version.has_reason_codes() || *reason == ReasonCode::NORMAL_DISCONNECTION && properties.is_empty()
        {
            return;
        }
        sink.u8(*reason as u8);
        if !properties.is_empty() {
            write_properties(properties, version, sink);
        }
    }
}
