use core::num::{NonZeroU16, NonZeroU32};

use nom::Parser;
use nom::combinator::{map, map_res};
use nom::number::complete::{be_u16, be_u32, u8 as byte};

use super::{PropertyId, PropertyType};
use crate::QoS;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::wire::{self, Parsed};

/// One property with its value. Names that end in a unit say so; each variant links to the standard through its
/// [`PropertyId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Property<'a> {
    /// `true`: the payload is text in UTF-8; `false`: unspecified bytes.
    PayloadFormatIndicator(bool),
    /// Seconds that the message remains of interest.
    MessageExpiryInterval(u32),
    /// What the payload is, for instance a MIME type.
    ContentType(&'a str),
    /// Topic name that a response should go to.
    ResponseTopic(&'a str),
    /// Bytes by which the requester recognises the response.
    CorrelationData(&'a [u8]),
    /// Number of a subscription, from 1 to 268,435,455.
    SubscriptionIdentifier(u32),
    /// Seconds that the session outlives its connection; `u32::MAX` never ends.
    SessionExpiryInterval(u32),
    /// The client identifier that the server chose.
    AssignedClientIdentifier(&'a str),
    /// Seconds that replace the keep alive of CONNECT.
    ServerKeepAlive(u16),
    /// Name of the enhanced authentication method.
    AuthenticationMethod(&'a str),
    /// Data of that method.
    AuthenticationData(&'a [u8]),
    /// Whether reason strings and user properties may come with failures.
    RequestProblemInformation(bool),
    /// Seconds between the end of the connection and the publication of the will.
    WillDelayInterval(u32),
    /// Whether CONNACK should carry response information.
    RequestResponseInformation(bool),
    /// Basis for the client's response topics.
    ResponseInformation(&'a str),
    /// Another server to use.
    ServerReference(&'a str),
    /// Text for diagnosis, not to be parsed.
    ReasonString(&'a str),
    /// How many QoS 1 and 2 publications the sender of this handles at once.
    ReceiveMaximum(NonZeroU16),
    /// Highest topic alias that the sender of this accepts; 0 means none.
    TopicAliasMaximum(u16),
    /// Number that stands for the topic name on this connection.
    TopicAlias(NonZeroU16),
    /// Highest level the server accepts: [`QoS::AtMostOnce`] or [`QoS::AtLeastOnce`].
    MaximumQoS(QoS),
    /// Whether the server keeps retained messages.
    RetainAvailable(bool),
    /// Name and value with a meaning of the application's own.
    UserProperty(&'a str, &'a str),
    /// Largest packet in bytes, header included, that the sender of this accepts.
    MaximumPacketSize(NonZeroU32),
    /// Whether the server accepts wildcards in topic filters.
    WildcardSubscriptionAvailable(bool),
    /// Whether the server accepts subscription identifiers.
    SubscriptionIdentifiersAvailable(bool),
    /// Whether the server accepts shared subscriptions.
    SharedSubscriptionAvailable(bool),
}

/// A value by its shape alone: what the nine parsers and the one writer deal in.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Flag(bool),
    U16(u16),
    U32(u32),
    Variable(u32),
    Text(&'a str),
    Binary(&'a [u8]),
    Pair(&'a str, &'a str),
}

impl<'a> Property<'a> {
    /// Which property this is.
    #[must_use]
    pub fn id(&self) -> PropertyId {
        self.parts().0
    }

    /// Identifier and bare value, for the writer.
    pub(super) fn parts(&self) -> (PropertyId, Value<'a>) {
        use PropertyId as Id;
        match *self {
            Self::PayloadFormatIndicator(v) => (Id::PayloadFormatIndicator, Value::Flag(v)),
            Self::MessageExpiryInterval(v) => (Id::MessageExpiryInterval, Value::U32(v)),
            Self::ContentType(v) => (Id::ContentType, Value::Text(v)),
            Self::ResponseTopic(v) => (Id::ResponseTopic, Value::Text(v)),
            Self::CorrelationData(v) => (Id::CorrelationData, Value::Binary(v)),
            Self::SubscriptionIdentifier(v) => (Id::SubscriptionIdentifier, Value::Variable(v)),
            Self::SessionExpiryInterval(v) => (Id::SessionExpiryInterval, Value::U32(v)),
            Self::AssignedClientIdentifier(v) => (Id::AssignedClientIdentifier, Value::Text(v)),
            Self::ServerKeepAlive(v) => (Id::ServerKeepAlive, Value::U16(v)),
            Self::AuthenticationMethod(v) => (Id::AuthenticationMethod, Value::Text(v)),
            Self::AuthenticationData(v) => (Id::AuthenticationData, Value::Binary(v)),
            Self::RequestProblemInformation(v) => (Id::RequestProblemInformation, Value::Flag(v)),
            Self::WillDelayInterval(v) => (Id::WillDelayInterval, Value::U32(v)),
            Self::RequestResponseInformation(v) => (Id::RequestResponseInformation, Value::Flag(v)),
            Self::ResponseInformation(v) => (Id::ResponseInformation, Value::Text(v)),
            Self::ServerReference(v) => (Id::ServerReference, Value::Text(v)),
            Self::ReasonString(v) => (Id::ReasonString, Value::Text(v)),
            Self::ReceiveMaximum(v) => (Id::ReceiveMaximum, Value::U16(v.into())),
            Self::TopicAliasMaximum(v) => (Id::TopicAliasMaximum, Value::U16(v)),
            Self::TopicAlias(v) => (Id::TopicAlias, Value::U16(v.into())),
            Self::MaximumQoS(v) => (Id::MaximumQoS, Value::Flag(v == QoS::AtLeastOnce)),
            Self::RetainAvailable(v) => (Id::RetainAvailable, Value::Flag(v)),
            Self::UserProperty(name, value) => (Id::UserProperty, Value::Pair(name, value)),
            Self::MaximumPacketSize(v) => (Id::MaximumPacketSize, Value::U32(v.into())),
            Self::WildcardSubscriptionAvailable(v) => (Id::WildcardSubscriptionAvailable, Value::Flag(v)),
            Self::SubscriptionIdentifiersAvailable(v) => {
                (Id::SubscriptionIdentifiersAvailable, Value::Flag(v))
            }
            Self::SharedSubscriptionAvailable(v) => (Id::SharedSubscriptionAvailable, Value::Flag(v)),
        }
    }

    /// The property that these two make; `None` when the value has another shape than the table gives to the identifier.
    fn from_parts(id: PropertyId, value: Value<'a>) -> Option<Self> {
        use PropertyId as Id;
        Some(match (id, value) {
            (Id::PayloadFormatIndicator, Value::Flag(v)) => Self::PayloadFormatIndicator(v),
            (Id::MessageExpiryInterval, Value::U32(v)) => Self::MessageExpiryInterval(v),
            (Id::ContentType, Value::Text(v)) => Self::ContentType(v),
            (Id::ResponseTopic, Value::Text(v)) => Self::ResponseTopic(v),
            (Id::CorrelationData, Value::Binary(v)) => Self::CorrelationData(v),
            (Id::SubscriptionIdentifier, Value::Variable(v)) => Self::SubscriptionIdentifier(v),
            (Id::SessionExpiryInterval, Value::U32(v)) => Self::SessionExpiryInterval(v),
            (Id::AssignedClientIdentifier, Value::Text(v)) => Self::AssignedClientIdentifier(v),
            (Id::ServerKeepAlive, Value::U16(v)) => Self::ServerKeepAlive(v),
            (Id::AuthenticationMethod, Value::Text(v)) => Self::AuthenticationMethod(v),
            (Id::AuthenticationData, Value::Binary(v)) => Self::AuthenticationData(v),
            (Id::RequestProblemInformation, Value::Flag(v)) => Self::RequestProblemInformation(v),
            (Id::WillDelayInterval, Value::U32(v)) => Self::WillDelayInterval(v),
            (Id::RequestResponseInformation, Value::Flag(v)) => Self::RequestResponseInformation(v),
            (Id::ResponseInformation, Value::Text(v)) => Self::ResponseInformation(v),
            (Id::ServerReference, Value::Text(v)) => Self::ServerReference(v),
            (Id::ReasonString, Value::Text(v)) => Self::ReasonString(v),
            (Id::ReceiveMaximum, Value::U16(v)) => Self::ReceiveMaximum(NonZeroU16::new(v)?),
            (Id::TopicAliasMaximum, Value::U16(v)) => Self::TopicAliasMaximum(v),
            (Id::TopicAlias, Value::U16(v)) => Self::TopicAlias(NonZeroU16::new(v)?),
            (Id::MaximumQoS, Value::Flag(v)) => {
                Self::MaximumQoS(if v { QoS::AtLeastOnce } else { QoS::AtMostOnce })
            }
            (Id::RetainAvailable, Value::Flag(v)) => Self::RetainAvailable(v),
            (Id::UserProperty, Value::Pair(name, value)) => Self::UserProperty(name, value),
            (Id::MaximumPacketSize, Value::U32(v)) => Self::MaximumPacketSize(NonZeroU32::new(v)?),
            (Id::WildcardSubscriptionAvailable, Value::Flag(v)) => Self::WildcardSubscriptionAvailable(v),
            (Id::SubscriptionIdentifiersAvailable, Value::Flag(v)) => {
                Self::SubscriptionIdentifiersAvailable(v)
            }
            (Id::SharedSubscriptionAvailable, Value::Flag(v)) => Self::SharedSubscriptionAvailable(v),
            _ => return None,
        })
    }
}

/// Reads the value that belongs to `id`, without its identifier.
#[inline]
pub(super) fn property_value<'a>(id: PropertyId, input: &'a [u8]) -> Parsed<'a, Property<'a>> {
    let (rest, value) = bare_value(id, input)?;
    match Property::from_parts(id, value) {
        Some(property) => Ok((rest, property)),
        None => wire::fail(out_of_range(id)),
    }
}

fn bare_value(id: PropertyId, input: &[u8]) -> Parsed<'_, Value<'_>> {
    match id.row().value {
        PropertyType::Flag => map_res(byte, |v| flag(id, v)).parse(input),
        PropertyType::TwoByteInteger | PropertyType::TwoByteNonZero => map(be_u16, Value::U16).parse(input),
        PropertyType::FourByteInteger | PropertyType::FourByteNonZero => map(be_u32, Value::U32).parse(input),
        PropertyType::VariableByteNonZero => map_res(wire::variable_integer, |v| {
            if v == 0 { Err(out_of_range(id)) } else { Ok(Value::Variable(v)) }
        })
        .parse(input),
        PropertyType::Utf8String => map(wire::string, Value::Text).parse(input),
        PropertyType::BinaryData => map(wire::binary, Value::Binary).parse(input),
        PropertyType::Utf8StringPair => {
            map((wire::string, wire::string), |(name, value)| Value::Pair(name, value)).parse(input)
        }
    }
}

fn flag<'a>(id: PropertyId, byte: u8) -> Result<Value<'a>, DecodeError> {
    match byte {
        0 => Ok(Value::Flag(false)),
        1 => Ok(Value::Flag(true)),
        _ => Err(out_of_range(id)),
    }
}

/// Zero is the only forbidden number of the integers, and a zero topic alias has a reason code of its own `[MQTT-3.3.2-8]`.
fn out_of_range(id: PropertyId) -> DecodeError {
    match id {
        PropertyId::TopicAlias => DecodeErrorKind::TopicAliasZero.into(),
        _ => DecodeError::of_property(DecodeErrorKind::PropertyValue, id as u8),
    }
}

/// Steps over the value that belongs to `kind` in a block that has been validated before.
#[inline]
pub(super) fn skip_value(kind: PropertyType, input: &[u8]) -> Option<&[u8]> {
    let len = match kind {
        PropertyType::Flag => 1,
        PropertyType::TwoByteInteger | PropertyType::TwoByteNonZero => 2,
        PropertyType::FourByteInteger | PropertyType::FourByteNonZero => 4,
        PropertyType::VariableByteNonZero => return Some(wire::variable_integer(input).ok()?.0),
        PropertyType::Utf8String | PropertyType::BinaryData => return Some(wire::binary(input).ok()?.0),
        PropertyType::Utf8StringPair => return Some(wire::binary(wire::binary(input).ok()?.0).ok()?.0),
    };
    input.get(len..)
}
