//! The fifteen control packets, one file for each kind of body: its type, how it is read, how it is written.

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod filters;
mod publish;
mod reasons;
mod suback;
mod subscribe;

pub use ack::Ack;
pub use auth::Auth;
pub use connack::Connack;
pub use connect::{Connect, Will, connect_version};
pub use disconnect::Disconnect;
pub use filters::{
    RetainHandling, SubscribeFilter, SubscribeFilters, SubscribeFiltersBuf, SubscribeFiltersIter,
    SubscriptionOptions, UnsubscribeFilters, UnsubscribeFiltersBuf, UnsubscribeFiltersIter,
};
pub use publish::Publish;
pub use reasons::{ReasonCodes, ReasonCodesBuf, ReasonCodesIter};
pub use suback::{Suback, Unsuback};
pub use subscribe::{Subscribe, Unsubscribe};

pub(crate) use ack::{TypedAck, ack};
pub(crate) use auth::auth;
pub(crate) use connack::connack;
pub(crate) use connect::connect;
pub(crate) use disconnect::disconnect;
pub(crate) use publish::publish;
pub(crate) use suback::{suback, unsuback};
pub(crate) use subscribe::{subscribe, unsubscribe};

use nom::bytes::complete::take;
use nom::number::complete::u8 as byte;

use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::wire::{self, Parsed, Sink};
use crate::{PacketType, Properties, PropertyPlace, ReasonCode, Version};

/// A control packet of any version, in the terms of MQTT 5. It borrows its texts, payload and lists from the frame that it
/// was decoded from, or from whatever a sender has at hand.
///
/// Whether the peer may send this packet, and may send it now, is for a session to say.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each variant is the standard's own packet name; its body's type explains it")]
pub enum Packet<'a> {
    Connect(Connect<'a>),
    Connack(Connack<'a>),
    Publish(Publish<'a>),
    Puback(Ack<'a>),
    Pubrec(Ack<'a>),
    Pubrel(Ack<'a>),
    Pubcomp(Ack<'a>),
    Subscribe(Subscribe<'a>),
    Suback(Suback<'a>),
    Unsubscribe(Unsubscribe<'a>),
    Unsuback(Unsuback<'a>),
    Pingreq,
    Pingresp,
    Disconnect(Disconnect<'a>),
    Auth(Auth<'a>),
}

impl Packet<'_> {
    /// The number in the high half of the first byte.
    #[must_use]
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::Connack(_) => PacketType::Connack,
            Self::Publish(_) => PacketType::Publish,
            Self::Puback(_) => PacketType::Puback,
            Self::Pubrec(_) => PacketType::Pubrec,
            Self::Pubrel(_) => PacketType::Pubrel,
            Self::Pubcomp(_) => PacketType::Pubcomp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::Suback(_) => PacketType::Suback,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::Unsuback(_) => PacketType::Unsuback,
            Self::Pingreq => PacketType::Pingreq,
            Self::Pingresp => PacketType::Pingresp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }
}

/// What the encoder needs of a packet's body.
pub(crate) trait Body {
    /// Type and flags.
    fn first_byte(&self) -> u8;

    /// Whether the standard and the version allow these values together.
    fn check(&self, version: Version) -> Result<(), EncodeError>;

    /// Everything after the fixed header. Only called when [`check`](Self::check) succeeded.
    fn write<S: Sink>(&self, version: Version, sink: &mut S);
}

/// The first byte of a packet whose flags the standard prescribes (MQTT 5 section 2.1.3).
pub(crate) const fn fixed_first_byte(packet: PacketType) -> u8 {
    let flags = match packet {
        PacketType::Pubrel | PacketType::Subscribe | PacketType::Unsubscribe => 0b0010, // [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1]
        _ => 0,
    };
    (packet as u8) << 4 | flags // [MQTT-2.1.3-1]
}

/// A property block after its length, or no bytes at all where the version has no properties.
#[inline]
fn properties(place: PropertyPlace, version: Version, input: &[u8]) -> Parsed<'_, Properties<'_>> {
    if !version.has_properties() {
        return Ok((input, Properties::EMPTY));
    }
    let (input, len) = wire::variable_integer(input)?;
    let (input, block) = take(len)(input)?;
    if block.is_empty() {
        Ok((input, Properties::EMPTY))
    } else {
        Ok((input, Properties::parse(block, place)?))
    }
}

#[inline]
fn check_properties(
    properties: &Properties<'_>,
    place: PropertyPlace,
    version: Version,
) -> Result<(), EncodeError> {
    if version.has_properties() { properties.check_place(place) } else { Ok(()) }
}

#[inline]
fn write_properties<S: Sink>(properties: &Properties<'_>, version: Version, sink: &mut S) {
    if version.has_properties() {
        sink.variable_integer(properties.as_bytes().len() as u32);
        sink.bytes(properties.as_bytes());
    }
}

/// One reason code that such a packet may carry.
#[inline]
fn reason_code(packet: PacketType, input: &[u8]) -> Parsed<'_, ReasonCode> {
    let (input, number) = byte(input)?;
    Ok((input, checked_reason(packet, number)?))
}

#[inline]
fn checked_reason(packet: PacketType, number: u8) -> Result<ReasonCode, DecodeError> {
    let reason = ReasonCode::from_number(number).ok_or(DecodeErrorKind::UnknownReasonCode)?;
    if reason.allowed_in(packet) {
        Ok(reason)
    } else {
        Err(DecodeError::in_packet(DecodeErrorKind::ReasonCodeNotAllowed, packet))
    }
}

fn check_reason(reason: ReasonCode, packet: PacketType) -> Result<(), EncodeError> {
    if reason.allowed_in(packet) { Ok(()) } else { Err(EncodeError::ReasonCode(reason)) }
}

impl From<DecodeErrorKind> for nom::Err<DecodeError> {
    fn from(kind: DecodeErrorKind) -> Self {
        Self::Failure(kind.into())
    }
}

impl From<DecodeError> for nom::Err<DecodeError> {
    fn from(error: DecodeError) -> Self {
        Self::Failure(error)
    }
}
