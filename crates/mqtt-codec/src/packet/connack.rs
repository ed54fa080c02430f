use nom::number::complete::u8 as byte;

use super::{
    Body, check_properties, check_reason, checked_reason, fixed_first_byte, properties, write_properties,
};
use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::wire::{self, Parsed, Sink};
use crate::{PacketType, Properties, PropertyPlace, ReasonCode, Version};

/// CONNACK: the answer to CONNECT (MQTT 5 section 3.2).
///
/// Before MQTT 5 the reason travels as a return code. [`ReasonCode`]s without a close relative among the return codes 1 to 5
/// cannot be encoded there; the connection is closed without a CONNACK then `[MQTT3-3.2.2-6]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Connack<'a> {
    /// Whether the server resumes a stored session. MQTT 3.1 cannot tell: `false` when decoded, dropped when encoded.
    pub session_present: bool,
    /// Success or why the connection is refused.
    pub reason: ReasonCode,
    /// Empty before MQTT 5.
    pub properties: Properties<'a>,
}

/// Return codes 1 to 5 of MQTT 3.1 and 3.1.1 with the reasons that each of them stands for, the closest one first.
const RETURN_CODES: [(u8, &[ReasonCode]); 5] = [
    (1, &[ReasonCode::UnsupportedProtocolVersion]),
    (2, &[ReasonCode::ClientIdentifierNotValid]),
    (
        3,
        &[
            ReasonCode::ServerUnavailable,
            ReasonCode::ServerBusy,
            ReasonCode::UseAnotherServer,
            ReasonCode::ServerMoved,
            ReasonCode::QuotaExceeded,
            ReasonCode::ConnectionRateExceeded,
            ReasonCode::UnspecifiedError,
            ReasonCode::ImplementationSpecificError,
        ],
    ),
    (4, &[ReasonCode::BadUserNameOrPassword]),
    (5, &[ReasonCode::NotAuthorized, ReasonCode::Banned, ReasonCode::BadAuthenticationMethod]),
];

fn return_code(reason: ReasonCode) -> Option<u8> {
    if reason == ReasonCode::Success {
        return Some(0);
    }
    RETURN_CODES.iter().find(|(_, reasons)| reasons.contains(&reason)).map(|(code, _)| *code)
}

fn reason_of_return_code(code: u8) -> Result<ReasonCode, DecodeError> {
    if code == 0 {
        return Ok(ReasonCode::Success);
    }
    let row = RETURN_CODES.iter().find(|(number, _)| *number == code);
    row.map(|(_, reasons)| reasons[0]).ok_or(DecodeErrorKind::UnknownReasonCode.into())
}

/// Reads the body.
pub(crate) fn connack(version: Version, input: &[u8]) -> Parsed<'_, Connack<'_>> {
    let (input, flags) = byte(input)?;
    if flags & !1 != 0 && version.checks_reserved_bits() {
        return wire::fail(DecodeErrorKind::ConnackReservedFlags); // [MQTT-3.2.2-1]
    }
    let session_present = flags & 1 == 1 && version.has_session_present();
    let (input, number) = byte(input)?;
    let reason = if version.has_reason_codes() {
        checked_reason(PacketType::Connack, number)? // [MQTT-3.2.2-8]
    } else {
        reason_of_return_code(number)?
    };
    if session_present && reason != ReasonCode::Success {
        return wire::fail(DecodeErrorKind::SessionPresentWithError); // [MQTT-3.2.2-6]
    }
    let (input, properties) = properties(PropertyPlace::Connack, version, input)?;
    Ok((input, Connack { session_present, reason, properties }))
}

impl Body for Connack<'_> {
    fn first_byte(&self) -> u8 {
        fixed_first_byte(PacketType::Connack)
    }

    fn check(&self, version: Version) -> Result<(), EncodeError> {
        check_reason(self.reason, PacketType::Connack)?; // [MQTT-3.2.2-8]
        if !version.has_reason_codes() && return_code(self.reason).is_none() {
            return Err(EncodeError::ReasonCode(self.reason)); // [MQTT3-3.2.2-6]
        }
        if self.session_present && self.reason != ReasonCode::Success {
            return Err(EncodeError::SessionPresentWithError); // [MQTT-3.2.2-6]
        }
        check_properties(&self.properties, PropertyPlace::Connack, version)
    }

    fn write<S: Sink>(&self, version: Version, sink: &mut S) {
        sink.u8(u8::from(self.session_present && version.has_session_present()));
        let number = if version.has_reason_codes() { None } else { return_code(self.reason) };
        sink.u8(number.unwrap_or(self.reason as u8));
        write_properties(&self.properties, version, sink);
    }
}
