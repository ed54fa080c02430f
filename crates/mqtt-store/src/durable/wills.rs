//! Wills, as records keep them.

use mqtt_codec::Properties;
use mqtt_session::WillMessage;
use mqtt_topic::TopicName;

use super::record::{self, Will};

/// What is written of a will.
pub(crate) fn record(will: &WillMessage) -> Will<'_> {
    Will {
        topic: will.topic_text(),
        payload: will.payload(),
        properties: will.properties().as_bytes(),
        message_expiry: will.message_expiry_interval_s().map_or(0, |seconds| u64::from(seconds) + 1),
        qos: will.qos as u8,
        retain: will.retain,
        delay_interval_s: will.delay_interval_s,
    }
}

/// The will of a record; `None` if its topic is none.
pub(crate) fn read(will: &Will<'_>) -> Option<WillMessage> {
    let topic = TopicName::parse(will.topic).ok()?;
    let expiry_s = will.message_expiry.checked_sub(1).and_then(|seconds| u32::try_from(seconds).ok());
    let properties = Properties::from_validated(will.properties);
    let flags = (record::qos(will.qos), will.retain);
    Some(WillMessage::restore(topic, will.payload, properties, expiry_s, flags, will.delay_interval_s))
}
