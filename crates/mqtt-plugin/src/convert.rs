//! Between the broker's types and those of the interface.

use std::net::SocketAddr;

use mqtt_broker::codec::EncodeError;
use mqtt_broker::{
    Identity, InboundPublish, Login, Opening, Peer, Properties, PropertiesBuf, Property, Publication, QoS,
    ReasonCode, Refusal, SubscriptionOptions, TopicName,
};

use crate::binding::exports::martlet::plugin::hooks as guest;
use crate::binding::martlet::plugin::types;
use crate::error::Failure;

/// The reason in place of one that is none.
pub(crate) const NO_REASON: ReasonCode = ReasonCode::ImplementationSpecificError;

fn address(address: Option<SocketAddr>) -> Option<String> {
    address.map(|address| address.to_string())
}

pub(crate) fn client(identity: &Identity) -> guest::Client {
    guest::Client {
        client_id: identity.client_id.to_string(),
        user_name: identity.username.as_deref().map(str::to_owned),
        address: address(identity.address),
        listener: identity.listener.name.to_string(),
    }
}

pub(crate) fn newcomer(peer: &Peer, opening: &Opening) -> guest::Client {
    guest::Client {
        client_id: opening.client_id.to_string(),
        user_name: opening.username.as_deref().map(str::to_owned),
        address: address(peer.address),
        listener: peer.listener.name.to_string(),
    }
}

pub(crate) fn login(login: &Login<'_>) -> guest::Login {
    let client = guest::Client {
        client_id: login.client_id.to_owned(),
        user_name: login.username.map(str::to_owned),
        address: address(login.address),
        listener: login.listener.name.to_string(),
    };
    guest::Login {
        client,
        password: login.password.map(<[u8]>::to_vec),
        user_name_proven: login.username_proven,
        certificate_subject: login.certificate.map(|certificate| certificate.distinguished_name.to_string()),
    }
}

pub(crate) fn qos(qos: QoS) -> types::Qos {
    match qos {
        QoS::AtMostOnce => types::Qos::AtMostOnce,
        QoS::AtLeastOnce => types::Qos::AtLeastOnce,
        QoS::ExactlyOnce => types::Qos::ExactlyOnce,
    }
}

fn our_qos(qos: types::Qos) -> QoS {
    match qos {
        types::Qos::AtMostOnce => QoS::AtMostOnce,
        types::Qos::AtLeastOnce => QoS::AtLeastOnce,
        types::Qos::ExactlyOnce => QoS::ExactlyOnce,
    }
}

pub(crate) fn message(publish: &InboundPublish<'_>) -> guest::Message {
    guest::Message {
        topic: publish.topic.as_str().to_owned(),
        payload: publish.payload.to_vec(),
        qos: qos(publish.qos),
        retain: publish.retain,
        properties: properties(publish.properties),
    }
}

pub(crate) fn will(will: &Publication) -> guest::Message {
    guest::Message {
        topic: will.topic.clone(),
        payload: will.payload.clone(),
        qos: qos(will.qos),
        retain: will.retain,
        properties: properties(will.properties.as_properties()),
    }
}

fn properties(properties: Properties<'_>) -> types::Properties {
    types::Properties {
        payload_is_text: properties.payload_format_is_utf8(),
        message_expiry_interval_s: properties.message_expiry_interval_s(),
        content_type: properties.content_type().map(str::to_owned),
        response_topic: properties.response_topic().map(str::to_owned),
        correlation_data: properties.correlation_data().map(<[u8]>::to_vec),
        user_properties: properties
            .user_properties()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    }
}

/// What a guest made of a message, if it is one. The quality of service stays as it was.
pub(crate) fn publication(message: guest::Message, qos: QoS) -> Result<Publication, Failure> {
    if TopicName::parse(&*message.topic).is_err() {
        return Err(Failure::Nonsense("a topic that is none"));
    }
    let properties =
        block(&message.properties).map_err(|_| Failure::Nonsense("a property that MQTT cannot carry"))?;
    let (topic, payload, retain) = (message.topic, message.payload, message.retain);
    Ok(Publication { topic, payload, qos, retain, properties })
}

fn block(properties: &types::Properties) -> Result<PropertiesBuf, EncodeError> {
    let single = [
        properties.payload_is_text.map(Property::PayloadFormatIndicator),
        properties.message_expiry_interval_s.map(Property::MessageExpiryInterval),
        properties.content_type.as_deref().map(Property::ContentType),
        properties.response_topic.as_deref().map(Property::ResponseTopic),
        properties.correlation_data.as_deref().map(Property::CorrelationData),
    ];
    let users = properties.user_properties.iter().map(|(name, value)| Property::UserProperty(name, value));
    let mut block = PropertiesBuf::new();
    for property in single.into_iter().flatten().chain(users) {
        block.push(&property)?;
    }
    Ok(block)
}

pub(crate) fn subscription(filter: &str, options: SubscriptionOptions) -> guest::Subscription {
    guest::Subscription {
        filter: filter.to_owned(),
        qos: qos(options.qos),
        no_local: options.no_local,
        retain_as_published: options.retain_as_published,
    }
}

/// The options as a guest wants them; what the interface does not know stays.
pub(crate) fn options(
    subscription: &guest::Subscription,
    options: SubscriptionOptions,
) -> SubscriptionOptions {
    SubscriptionOptions {
        qos: our_qos(subscription.qos),
        no_local: subscription.no_local,
        retain_as_published: subscription.retain_as_published,
        ..options
    }
}

pub(crate) fn reason(number: u8) -> ReasonCode {
    ReasonCode::from_number(number).filter(|reason| reason.is_error()).unwrap_or(NO_REASON)
}

pub(crate) fn refusal(refusal: guest::Refusal) -> Refusal {
    Refusal { text: refusal.text.map(Into::into), ..reason(refusal.reason).into() }
}
