use super::filters::{SubscribeFilters, UnsubscribeFilters, subscribe_filters, unsubscribe_filters};
use super::{Body, check_properties, fixed_first_byte, properties, write_properties};
use crate::error::EncodeError;
use crate::wire::{self, Parsed, Sink};
use crate::{PacketId, PacketType, Properties, PropertyPlace, Version};

/// SUBSCRIBE: asks for what matches some topic filters (MQTT 5 section 3.8).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Subscribe<'a> {
    /// Comes back in SUBACK.
    pub packet_id: PacketId,
    /// Empty before MQTT 5.
    pub properties: Properties<'a>,
    /// At least one.
    pub filters: SubscribeFilters<'a>,
}

/// UNSUBSCRIBE: ends subscriptions (MQTT 5 section 3.10).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unsubscribe<'a> {
    /// Comes back in UNSUBACK.
    pub packet_id: PacketId,
    /// Empty before MQTT 5.
    pub properties: Properties<'a>,
    /// At least one.
    pub filters: UnsubscribeFilters<'a>,
}

/// Reads the body of a SUBSCRIBE.
pub(crate) fn subscribe(version: Version, input: &[u8]) -> Parsed<'_, Subscribe<'_>> {
    let (input, packet_id) = wire::packet_id(input)?;
    let (input, properties) = properties(PropertyPlace::Subscribe, version, input)?;
    let (input, filters) = subscribe_filters(version, input)?;
    Ok((input, Subscribe { packet_id, properties, filters }))
}

/// Reads the body of an UNSUBSCRIBE.
pub(crate) fn unsubscribe(version: Version, input: &[u8]) -> Parsed<'_, Unsubscribe<'_>> {
    let (input, packet_id) = wire::packet_id(input)?;
    let (input, properties) = properties(PropertyPlace::Unsubscribe, version, input)?;
    let (input, filters) = unsubscribe_filters(input)?;
    Ok((input, Unsubscribe { packet_id, properties, filters }))
}

impl Body for Subscribe<'_> {
    fn first_byte(&self) -> u8 {
        fixed_first_byte(PacketType::Subscribe)
    }

    fn check(&self, version: Version) -> Result<(), EncodeError> {
        if self.filters.is_empty() {
            return Err(EncodeError::NothingListed); // [MQTT-3.8.3-2]
        }
        check_properties(&self.properties, PropertyPlace::Subscribe, version)
    }

    fn write<S: Sink>(&self, version: Version, sink: &mut S) {
        sink.u16(self.packet_id.get());
        write_properties(&self.properties, version, sink);
        self.filters.write(version, sink);
    }
}

impl Body for Unsubscribe<'_> {
    fn first_byte(&self) -> u8 {
        fixed_first_byte(PacketType::Unsubscribe)
    }

    fn check(&self, version: Version) -> Result<(), EncodeError> {
        if self.filters.is_empty() {
            return Err(EncodeError::NothingListed); // [MQTT-3.10.3-2]
        }
        check_properties(&self.properties, PropertyPlace::Unsubscribe, version)
    }

    fn write<S: Sink>(&self, version: Version, sink: &mut S) {
        sink.u16(self.packet_id.get());
        write_properties(&self.properties, version, sink);
        sink.bytes(self.filters.as_bytes());
    }
}
