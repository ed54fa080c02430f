//! What a client below a mountpoint calls its topics, and what everybody else does.
//!
//! Behind the connection there are whole names only: routing, access rules, retained messages, queues and what is under
//! way never see what the client says. So a session may move, and a message in a queue suits every receiver.

use std::sync::Arc;

use mqtt_codec::{Properties, PropertiesBuf, Property};
use mqtt_topic::{Mountpoint, TopicName, Unmountable};

use crate::{InboundPublish, PACKET_BYTES_MAX};

/// Gives the messages of one client their whole names. Holds what differs from what arrived, and is used again for each
/// message.
///
/// ```
/// use std::sync::Arc;
/// use mqtt_codec::{PlainPublish, Version};
/// use mqtt_session::{InboundPublish, Mounting};
/// use mqtt_topic::{Mountpoint, TopicName};
///
/// let plain = PlainPublish::read(b"\x30\x04\0\x01t\0", "t", Version::V5).expect("plain");
/// let publish = InboundPublish::plain(&plain, TopicName::parse("t").expect("a name"));
/// let mut mounting = Mounting::new(Arc::new(Mountpoint::parse("house 7/").expect("a prefix")));
/// assert_eq!(mounting.mount(&publish).expect("it fits").topic.as_str(), "house 7/t");
/// ```
#[derive(Debug)]
pub struct Mounting {
    mountpoint: Arc<Mountpoint>,
    topic: String,
    properties: PropertiesBuf,
}

/// Bytes of a PUBLISH besides its topic, its properties and its payload, at most.
const OTHER_BYTES_MAX: usize = 16;

impl Mounting {
    /// For the client of one mountpoint.
    #[must_use]
    pub fn new(mountpoint: Arc<Mountpoint>) -> Self {
        Self { mountpoint, topic: String::new(), properties: PropertiesBuf::new() }
    }

    /// The message as everybody else knows it. Its answer belongs to the one that arrived.
    ///
    /// # Errors
    /// The topic or the response topic has no place below the mountpoint, or the message would become larger than any
    /// packet.
    pub fn mount<'a>(&'a mut self, publish: &InboundPublish<'a>) -> Result<InboundPublish<'a>, Unmountable> {
        let topic = self.mountpoint.mount_name(publish.topic, &mut self.topic)?;
        let mut properties = publish.properties;
        if !properties.is_empty() && properties.response_topic().is_some() {
            self.properties.clear();
            mount_response_topic(properties, &self.mountpoint, &mut self.properties)?;
            properties = self.properties.as_properties();
        }
        let bytes = topic.as_str().len() + properties.as_bytes().len() + publish.payload.len();
        if bytes + OTHER_BYTES_MAX > PACKET_BYTES_MAX as usize {
            return Err(Unmountable::TooLong);
        }
        let mut mounted = publish.clone();
        (mounted.topic, mounted.properties) = (topic, properties);
        Ok(mounted)
    }
}

/// Copies a block; its response topic, if it has one, gets its whole name: an answer must find the way to it from
/// anywhere.
pub(crate) fn mount_response_topic(
    properties: Properties<'_>,
    mountpoint: &Mountpoint,
    into: &mut PropertiesBuf,
) -> Result<(), Unmountable> {
    let mut whole = String::new();
    for property in properties.iter() {
        match property {
            Property::ResponseTopic(topic) => {
                // It was checked as a topic name when it arrived.
                let topic = mountpoint.mount_name(TopicName::assume_valid(topic), &mut whole)?;
                push(into, &Property::ResponseTopic(topic.as_str()));
            }
            property => push(into, &property),
        }
    }
    Ok(())
}

/// Copies a block for a client below a mountpoint, with its name of the response topic. One that it has no name for is
/// left out: what it sent there would go elsewhere.
pub(crate) fn show_response_topic(
    properties: Properties<'_>,
    mountpoint: &Mountpoint,
    into: &mut PropertiesBuf,
) {
    for property in properties.iter() {
        match property {
            Property::ResponseTopic(topic) => {
                if let Some(shown) = mountpoint.shown(topic) {
                    push(into, &Property::ResponseTopic(shown));
                }
            }
            property => push(into, &property),
        }
    }
}

fn push(into: &mut PropertiesBuf, property: &Property<'_>) {
    into.push(property).expect("a property that was decoded can be encoded");
}
