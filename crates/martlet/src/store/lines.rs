//! The lines of an export: one JSON object each, described in docs/storage.md. Each says its kind first.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mqtt_codec::{PacketId, Properties, PropertiesBuf, Property, QoS, RetainHandling, SubscriptionOptions};
use mqtt_session::{Subscription, WillMessage};
use mqtt_store::durable::{CopyItem, Item, MessageItem};
use mqtt_store::{SessionHead, Source};
use mqtt_topic::TopicName;
use serde::{Deserialize, Serialize};

/// The version of these lines that is written and read.
pub(super) const VERSION: u32 = 1;

/// One line.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Line<'a> {
    /// The first.
    MartletExport {
        version: u32,
    },
    #[serde(borrow)]
    Message(MessageLine<'a>),
    #[serde(borrow)]
    Retained(RetainedLine<'a>),
    Session(SessionLine),
    #[serde(borrow)]
    Subscription(SubscriptionLine<'a>),
    Received {
        session: u64,
        packet_id: u16,
    },
    InFlight(InFlightLine),
    Queued(QueuedLine),
    /// The last, with the number of lines before it: without it, something is missing.
    End {
        lines: u64,
    },
}

/// Bytes: a text where they are one.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Bytes {
    Text(String),
    Base64(String),
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageLine<'a> {
    number: u64,
    #[serde(borrow)]
    topic: Cow<'a, str>,
    payload: Bytes,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    properties: Vec<PropertyValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<u64>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetainedLine<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    message: u64,
    qos: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    publisher: Option<ClientLine>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SessionLine {
    number: u64,
    client_id: String,
    /// `None` for no end.
    session_expiry_s: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    away_since_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<ClientLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    will: Option<WillLine>,
}

/// A client as access rules see it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientLine {
    client_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    listener: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<std::net::IpAddr>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WillLine {
    topic: String,
    payload: Bytes,
    qos: u8,
    retain: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    properties: Vec<PropertyValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_expiry_s: Option<u32>,
    delay_s: u32,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubscriptionLine<'a> {
    session: u64,
    #[serde(borrow)]
    filter: Cow<'a, str>,
    qos: u8,
    no_local: bool,
    retain_as_published: bool,
    retain_handling: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identifier: Option<u32>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QueuedLine {
    session: u64,
    message: u64,
    qos: u8,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    retain: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    subscription_ids: Vec<u32>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InFlightLine {
    session: u64,
    message: u64,
    packet_id: u16,
    qos: u8,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    retain: bool,
    /// Whether PUBREL is what has to be sent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    released: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    subscription_ids: Vec<u32>,
}

/// A property that travels with a message; their order is kept.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum PropertyValue {
    PayloadFormatIndicator(u8),
    ContentType(String),
    ResponseTopic(String),
    CorrelationData(Bytes),
    User(String, String),
}

impl Bytes {
    fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(bytes)),
        }
    }

    fn decode(&self) -> Result<Cow<'_, [u8]>, String> {
        match self {
            Self::Text(text) => Ok(text.as_bytes().into()),
            Self::Base64(text) => {
                STANDARD.decode(text).map(Cow::Owned).map_err(|error| format!("base64: {error}"))
            }
        }
    }
}

impl<'a> Line<'a> {
    /// The line that stands for an item.
    ///
    /// # Errors
    /// A message holds a property that does not travel with messages.
    pub(super) fn of(item: &Item<'a>) -> Result<Self, String> {
        Ok(match *item {
            Item::Message { number, message } => Self::Message(MessageLine {
                number,
                topic: message.topic.into(),
                payload: Bytes::of(message.payload),
                properties: property_values(Properties::from_validated(message.properties))?,
                expires_at_ms: message.expires_at_ms,
            }),
            Item::Retained { topic, message, qos, publisher } => Self::Retained(RetainedLine {
                topic: topic.into(),
                message,
                qos: qos as u8,
                publisher: Source::from_text(publisher).map(|source| ClientLine::of(&source)),
            }),
            Item::Session { number, head } => Self::Session(SessionLine::of(number, head)?),
            Item::Subscription { session, filter, subscription } => {
                Self::Subscription(SubscriptionLine::of(session, filter, subscription))
            }
            Item::Received { session, packet_id } => Self::Received { session, packet_id: packet_id.get() },
            Item::InFlight { session, copy, packet_id, released } => Self::InFlight(InFlightLine {
                session,
                message: copy.message,
                packet_id: packet_id.get(),
                qos: copy.qos as u8,
                retain: copy.retain,
                released,
                subscription_ids: copy.subscription_ids.to_vec(),
            }),
            Item::Queued { session, copy } => Self::Queued(QueuedLine {
                session,
                message: copy.message,
                qos: copy.qos as u8,
                retain: copy.retain,
                subscription_ids: copy.subscription_ids.to_vec(),
            }),
        })
    }

    /// Hands the item that this line stands for to `put`; `None` for a line that stands for none.
    ///
    /// # Errors
    /// A value that no item can have, or the error of `put`.
    pub(super) fn put(&self, put: impl FnOnce(&Item<'_>) -> Result<(), String>) -> Result<(), String> {
        match self {
            Self::MartletExport { .. } | Self::End { .. } => Err("it stands in the wrong place".to_owned()),
            Self::Message(line) => {
                let (payload, properties) = (line.payload.decode()?, block(&line.properties)?);
                let message = MessageItem {
                    topic: &line.topic,
                    properties: properties.as_properties().as_bytes(),
                    payload: &payload,
                    expires_at_ms: line.expires_at_ms,
                };
                put(&Item::Message { number: line.number, message })
            }
            Self::Retained(line) => {
                let publisher = line.publisher.as_ref().map(|client| client.source().to_text());
                let (topic, publisher) = (&*line.topic, publisher.as_deref().unwrap_or_default());
                put(&Item::Retained { topic, message: line.message, qos: qos(line.qos)?, publisher })
            }
            Self::Session(line) => put(&Item::Session { number: line.number, head: &line.head()? }),
            Self::Subscription(line) => {
                let (session, filter) = (line.session, &*line.filter);
                put(&Item::Subscription { session, filter, subscription: line.subscription()? })
            }
            Self::Received { session, packet_id } => {
                put(&Item::Received { session: *session, packet_id: identifier(*packet_id)? })
            }
            Self::InFlight(line) => {
                let subscription_ids = &line.subscription_ids;
                let (qos, packet_id) = (qos(line.qos)?, identifier(line.packet_id)?);
                let copy = CopyItem { message: line.message, qos, retain: line.retain, subscription_ids };
                put(&Item::InFlight { session: line.session, copy, packet_id, released: line.released })
            }
            Self::Queued(line) => {
                let (qos, subscription_ids) = (qos(line.qos)?, &line.subscription_ids);
                let copy = CopyItem { message: line.message, qos, retain: line.retain, subscription_ids };
                put(&Item::Queued { session: line.session, copy })
            }
        }
    }
}

impl ClientLine {
    fn of(source: &Source) -> Self {
        Self {
            client_id: source.client_id.to_string(),
            username: source.username.as_deref().map(str::to_owned),
            listener: source.listener.to_string(),
            address: source.address,
        }
    }

    fn source(&self) -> Source {
        Source {
            client_id: (&*self.client_id).into(),
            username: self.username.as_deref().map(Into::into),
            listener: (&*self.listener).into(),
            address: self.address,
        }
    }
}

impl SessionLine {
    fn of(number: u64, head: &SessionHead) -> Result<Self, String> {
        Ok(Self {
            number,
            client_id: head.client_id.to_string(),
            session_expiry_s: Some(head.session_expiry_s).filter(|seconds| *seconds != u32::MAX),
            away_since_ms: head.away_since_ms,
            owner: head.owner.as_deref().map(ClientLine::of),
            will: head.will.as_ref().map(WillLine::of).transpose()?,
        })
    }

    fn head(&self) -> Result<SessionHead, String> {
        Ok(SessionHead {
            client_id: (&*self.client_id).into(),
            owner: self.owner.as_ref().map(|owner| owner.source().into()),
            session_expiry_s: self.session_expiry_s.unwrap_or(u32::MAX),
            away_since_ms: self.away_since_ms,
            will: self.will.as_ref().map(WillLine::will).transpose()?,
        })
    }
}

impl WillLine {
    fn of(will: &WillMessage) -> Result<Self, String> {
        Ok(Self {
            topic: will.topic_text().to_owned(),
            payload: Bytes::of(will.payload()),
            qos: will.qos as u8,
            retain: will.retain,
            properties: property_values(will.properties())?,
            message_expiry_s: will.message_expiry_interval_s(),
            delay_s: will.delay_interval_s,
        })
    }

    fn will(&self) -> Result<WillMessage, String> {
        let topic = TopicName::parse(&*self.topic);
        let topic = topic.map_err(|_| format!("the will's topic {:?} is no topic name", self.topic))?;
        let (properties, flags) = (block(&self.properties)?, (qos(self.qos)?, self.retain));
        let (payload, properties) = (self.payload.decode()?, properties.as_properties());
        Ok(WillMessage::restore(topic, &payload, properties, self.message_expiry_s, flags, self.delay_s))
    }
}

impl<'a> SubscriptionLine<'a> {
    fn of(session: u64, filter: &'a str, subscription: Subscription) -> Self {
        let Subscription { options, identifier } = subscription;
        Self {
            session,
            filter: filter.into(),
            qos: options.qos as u8,
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            retain_handling: match options.retain_handling {
                RetainHandling::SendAtSubscribe => 0,
                RetainHandling::SendIfNew => 1,
                RetainHandling::DoNotSend => 2,
            },
            identifier,
        }
    }

    fn subscription(&self) -> Result<Subscription, String> {
        let retain_handling = match self.retain_handling {
            0 => RetainHandling::SendAtSubscribe,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            other => return Err(format!("retain_handling is {other}; it can be 0, 1 or 2")),
        };
        if self.identifier.is_some_and(|identifier| !(1..=268_435_455).contains(&identifier)) {
            return Err("identifier must be from 1 to 268435455".to_owned());
        }
        let (no_local, retain_as_published) = (self.no_local, self.retain_as_published);
        let options =
            SubscriptionOptions { qos: qos(self.qos)?, no_local, retain_as_published, retain_handling };
        Ok(Subscription { options, identifier: self.identifier })
    }
}

fn qos(number: u8) -> Result<QoS, String> {
    match number {
        0 => Ok(QoS::AtMostOnce),
        1 => Ok(QoS::AtLeastOnce),
        2 => Ok(QoS::ExactlyOnce),
        other => Err(format!("qos is {other}; it can be 0, 1 or 2")),
    }
}

fn identifier(number: u16) -> Result<PacketId, String> {
    PacketId::new(number).ok_or_else(|| "packet_id must not be 0".to_owned())
}

fn property_values(properties: Properties<'_>) -> Result<Vec<PropertyValue>, String> {
    let value = |property| {
        Ok(match property {
            Property::PayloadFormatIndicator(text) => PropertyValue::PayloadFormatIndicator(text.into()),
            Property::ContentType(text) => PropertyValue::ContentType(text.to_owned()),
            Property::ResponseTopic(text) => PropertyValue::ResponseTopic(text.to_owned()),
            Property::CorrelationData(data) => PropertyValue::CorrelationData(Bytes::of(data)),
            Property::UserProperty(name, value) => PropertyValue::User(name.to_owned(), value.to_owned()),
            other => return Err(format!("a message has a property that does not travel: {other:?}")),
        })
    };
    properties.iter().map(value).collect()
}

fn block(values: &[PropertyValue]) -> Result<PropertiesBuf, String> {
    let mut block = PropertiesBuf::new();
    for value in values {
        let data;
        let property = match value {
            PropertyValue::PayloadFormatIndicator(number @ 0..=1) => {
                Property::PayloadFormatIndicator(*number == 1)
            }
            PropertyValue::PayloadFormatIndicator(_) => {
                return Err("payload_format_indicator can be 0 or 1".to_owned());
            }
            PropertyValue::ContentType(text) => Property::ContentType(text),
            PropertyValue::ResponseTopic(text) => Property::ResponseTopic(text),
            PropertyValue::CorrelationData(bytes) => {
                data = bytes.decode()?;
                Property::CorrelationData(&data)
            }
            PropertyValue::User(name, value) => Property::UserProperty(name, value),
        };
        block.push(&property).map_err(|error| error.to_string())?;
    }
    Ok(block)
}
