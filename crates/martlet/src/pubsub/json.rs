//! A message as a JSON object, with the member names of mosquitto's tools.

use std::collections::BTreeMap;

use mqtt_codec::{Properties, Property};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::format::strftime;
use super::render::{Received, hex};

/// How the payload becomes part of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// As a string; as `payload_hex` if it is no UTF-8, so that nothing is lost.
    Text,
    /// As the JSON that it is.
    Json,
}

/// The payload was asked for as JSON, and is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoJson {
    topic: String,
}

impl std::fmt::Display for NoJson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the payload of a message on {} is not valid JSON", self.topic)
    }
}

/// The members in the order in which they are printed.
#[derive(serde::Serialize)]
struct Object<'a> {
    tst: String,
    topic: &'a str,
    qos: u8,
    retain: u8,
    payloadlen: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    mid: Option<u16>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    properties: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "payload")]
    payload_json: Option<&'a RawValue>,
}

/// Appends the object to `out`.
///
/// # Errors
/// The payload should be JSON and is not.
pub(crate) fn write(
    message: &Received<'_>,
    payload: Payload,
    pretty: bool,
    out: &mut Vec<u8>,
) -> Result<(), NoJson> {
    let no_json = || NoJson { topic: message.topic.to_owned() };
    let text = std::str::from_utf8(message.payload).ok();
    let as_text = payload == Payload::Text;
    let payload_json = match text {
        _ if as_text => None,
        None => return Err(no_json()),
        Some(text) => Some(serde_json::from_str(text).map_err(|_| no_json())?),
    };
    let object = Object {
        tst: strftime("%Y-%m-%dT%H:%M:%S.%6f%z", &message.at).expect("a valid format"),
        topic: message.topic,
        qos: message.qos as u8,
        retain: message.retain.into(),
        payloadlen: message.payload.len(),
        mid: Some(message.packet_id).filter(|id| *id != 0),
        properties: properties(&message.properties),
        payload: text.filter(|_| as_text),
        payload_hex: text.is_none().then(|| hex(message.payload)),
        payload_json,
    };
    let written =
        if pretty { serde_json::to_writer_pretty(out, &object) } else { serde_json::to_writer(out, &object) };
    written.expect("strings and numbers can be written to memory");
    Ok(())
}

fn properties(properties: &Properties<'_>) -> Map<String, Value> {
    let mut members = Map::new();
    let mut of_user = BTreeMap::<&str, Vec<&str>>::new();
    let mut subscriptions = Vec::new();
    for property in properties.iter() {
        let (name, value) = match property {
            Property::UserProperty(name, value) => {
                of_user.entry(name).or_default().push(value);
                continue;
            }
            Property::SubscriptionIdentifier(id) => {
                subscriptions.push(id);
                continue;
            }
            Property::CorrelationData(data) => match std::str::from_utf8(data) {
                Ok(text) => ("correlation-data", json!(text)),
                Err(_) => ("correlation-data-hex", json!(hex(data))),
            },
            Property::PayloadFormatIndicator(utf8) => ("payload-format-indicator", json!(u8::from(utf8))),
            Property::MessageExpiryInterval(seconds) => ("message-expiry-interval", json!(seconds)),
            Property::ContentType(text) => ("content-type", json!(text)),
            Property::ResponseTopic(text) => ("response-topic", json!(text)),
            Property::TopicAlias(alias) => ("topic-alias", json!(alias)),
            // A PUBLISH has no other properties.
            _ => continue,
        };
        members.insert(name.to_owned(), value);
    }
    if !of_user.is_empty() {
        let pairs = of_user.into_iter().map(|(name, values)| (name.to_owned(), one_or_all(values)));
        members.insert("user-properties".to_owned(), Value::Object(pairs.collect()));
    }
    if !subscriptions.is_empty() {
        members.insert("subscription-identifier".to_owned(), one_or_all(subscriptions));
    }
    members
}

/// A value alone stands for itself, several become a list: no name is repeated in an object.
fn one_or_all<T: Into<Value>>(mut values: Vec<T>) -> Value {
    if values.len() == 1 { values.remove(0).into() } else { values.into() }
}

#[cfg(test)]
mod tests {
    use mqtt_codec::PropertiesBuf;

    use super::super::render::tests;
    use super::*;

    fn check(payload: &[u8], properties: &PropertiesBuf, how: Payload, expected: &str) {
        let mut out = Vec::new();
        write(&tests::message(payload, properties), how, false, &mut out).expect("JSON");
        assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
    }

    const HEAD: &str =
        r#"{"tst":"2026-11-23T03:41:05.858201+0100","topic":"a/b","qos":1,"retain":1,"payloadlen":"#;

    #[test]
    fn a_payload_is_a_string_or_hexadecimal() {
        let none = PropertiesBuf::new();
        check(b"say \"hi\"", &none, Payload::Text, &format!(r#"{HEAD}8,"mid":9,"payload":"say \"hi\""}}"#));
        check(b"", &none, Payload::Text, &format!(r#"{HEAD}0,"mid":9,"payload":""}}"#));
        check(b"\xff\x01", &none, Payload::Text, &format!(r#"{HEAD}2,"mid":9,"payload_hex":"ff01"}}"#));
    }

    #[test]
    fn a_json_payload_stays_as_it_is() {
        let none = PropertiesBuf::new();
        let payload = br#"{"n": 12345678901234567890.50, "a":[1, 2]}"#;
        let text = std::str::from_utf8(payload).expect("UTF-8");
        check(payload, &none, Payload::Json, &format!(r#"{HEAD}42,"mid":9,"payload":{text}}}"#));
    }

    #[test]
    fn a_payload_that_is_no_json_is_an_error() {
        let none = PropertiesBuf::new();
        for payload in [&b"{"[..], b"", b"\xff", b"1 2"] {
            let written = write(&tests::message(payload, &none), Payload::Json, false, &mut Vec::new());
            let message = written.expect_err("no JSON").to_string();
            assert_eq!(message, "the payload of a message on a/b is not valid JSON");
        }
    }

    #[test]
    fn every_property_is_there_and_none_is_lost_by_its_name() {
        let expected = concat!(
            r#""properties":{"content-type":"text","correlation-data":"abc","message-expiry-interval":266,"#,
            r#""payload-format-indicator":1,"response-topic":"r/t","subscription-identifier":[5,7],"#,
            r#""user-properties":{"k":["v","w"]}},"payload":"x"}"#
        );
        check(b"x", &tests::properties(), Payload::Text, &format!(r#"{HEAD}1,"mid":9,{expected}"#));
    }
}
