use super::{
    Body, check_properties, check_reason, fixed_first_byte, properties, reason_code, write_properties,
};
use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::wire::{self, Parsed, Sink};
use crate::{PacketType, Properties, PropertyPlace, ReasonCode, Version};

/// AUTH: one step of enhanced authentication (MQTT 5 section 3.15); unknown before MQTT 5.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Auth<'a> {
    /// Success, continue, or authenticate again.
    pub reason: ReasonCode,
    /// With the authentication method, unless the packet is a bare success.
    pub properties: Properties<'a>,
}

impl Auth<'_> {
    /// The method may only be missing where the whole body is (section 3.15.2.2.2).
    fn lacks_method(&self) -> bool {
        let bare = self.reason == ReasonCode::Success && self.properties.is_empty();
        !bare && self.properties.authentication_method().is_none()
    }
}

/// Reads the body, which is either missing or whole (section 3.15.2.1).
pub(crate) fn auth(version: Version, input: &[u8]) -> Parsed<'_, Auth<'_>> {
    if !version.has_auth() {
        return wire::fail(DecodeErrorKind::PacketTypeNotInVersion);
    }
    if input.is_empty() {
        return Ok((input, Auth { reason: ReasonCode::Success, properties: Properties::EMPTY }));
    }
    let (input, reason) = reason_code(PacketType::Auth, input)?;
    let (input, properties) = properties(PropertyPlace::Auth, version, input)?;
    let auth = Auth { reason, properties };
    if auth.lacks_method() {
        return wire::fail(DecodeError::in_packet(
            DecodeErrorKind::AuthenticationMethodMissing,
            PacketType::Auth,
        ));
    }
    Ok((input, auth))
}

impl Body for Auth<'_> {
    fn first_byte(&self) -> u8 {
        fixed_first_byte(PacketType::Auth)
    }

    fn check(&self, version: Version) -> Result<(), EncodeError> {
        if !version.has_auth() {
            return Err(EncodeError::PacketTypeNotInVersion);
        }
        check_reason(self.reason, PacketType::Auth)?; // [MQTT-3.15.2-1]
        if self.lacks_method() {
            return Err(EncodeError::AuthenticationMethodMissing);
        }
        check_properties(&self.properties, PropertyPlace::Auth, version)
    }

    fn write<S: Sink>(&self, version: Version, sink: &mut S) {
        if self.reason == ReasonCode::Success && self.properties.is_empty() {
            return;
        }
        sink.u8(self.reason as u8);
        write_properties(&self.properties, version, sink);
    }
}
