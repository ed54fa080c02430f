//! How a link is set up, and what is sent over it.

use core::num::{NonZeroU16, NonZeroU32};
use std::time::Instant;

use mqtt_codec::{
    Connect, Framing, Packet, Properties, PropertiesBuf, Property, QoS, Version, encode, frame,
};
use mqtt_session::{Delivery, Hop, Message, NO_PUBLISHER, OurLimits, PACKET_BYTES_MAX, Policy};
use mqtt_topic::TopicName;

/// What both ends ask for when they connect.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) version: Version,
    pub(crate) policy: Policy,
    /// What the client announces.
    pub(crate) limits: OurLimits,
    /// The client's own bound for its send window.
    pub(crate) inflight_max: NonZeroU16,
    pub(crate) clean_start: bool,
    pub(crate) keep_alive_s: u16,
    pub(crate) session_expiry_s: u32,
}

impl Setup {
    /// A session that is kept, no topic aliases, wide windows.
    pub(crate) fn of(version: Version) -> Self {
        let policy = Policy {
            ours: OurLimits::default(),
            inflight_max: NonZeroU16::MAX,
            topic_alias_assign_max: 0,
            ..Policy::default()
        };
        Self {
            version,
            policy,
            limits: OurLimits::default(),
            inflight_max: NonZeroU16::MAX,
            clean_start: false,
            keep_alive_s: 60,
            session_expiry_s: u32::MAX,
        }
    }

    /// Receive Maximum of both ends.
    pub(crate) fn receive_maximum(mut self, messages: u16) -> Self {
        let messages = NonZeroU16::new(messages).expect("not zero");
        self.policy.ours.receive_maximum = messages;
        self.limits.receive_maximum = messages;
        if self.version < Version::V5 {
            // Cannot be announced: each end bounds its own window.
            self.policy.inflight_max = messages;
            self.inflight_max = messages;
        }
        self
    }

    /// Topic Alias Maximum of both ends.
    pub(crate) fn topic_aliases(mut self, maximum: u16) -> Self {
        self.policy.ours.topic_alias_maximum = maximum;
        self.policy.topic_alias_assign_max = maximum;
        self.limits.topic_alias_maximum = maximum;
        self
    }

    pub(crate) fn write_connect(&self, out: &mut Vec<u8>) {
        let properties = connect_properties(self);
        let connect = Connect {
            version: self.version,
            clean_start: self.clean_start,
            keep_alive_s: self.keep_alive_s,
            properties: properties.as_properties(),
            client_id: "c",
            will: None,
            username: None,
            password: None,
        };
        encode(&Packet::Connect(connect), self.version, out).expect("a CONNECT can be encoded");
    }
}

pub(crate) fn connect_properties(setup: &Setup) -> PropertiesBuf {
    let mut properties = PropertiesBuf::new();
    if setup.version < Version::V5 {
        return properties;
    }
    let mut push = |property| properties.push(&property).expect("in range");
    push(Property::SessionExpiryInterval(setup.session_expiry_s));
    push(Property::ReceiveMaximum(setup.limits.receive_maximum));
    push(Property::TopicAliasMaximum(setup.limits.topic_alias_maximum));
    if let Some(bytes) = NonZeroU32::new(setup.limits.maximum_packet_size_bytes)
        && bytes.get() < PACKET_BYTES_MAX
    {
        push(Property::MaximumPacketSize(bytes));
    }
    properties
}

pub(crate) fn message(topic: &str, payload: &[u8], expires_at: Option<Instant>) -> Message {
    let topic = TopicName::parse(topic).expect("a topic name");
    Message::new(topic, Properties::EMPTY, payload, NO_PUBLISHER, expires_at)
}

pub(crate) fn delivery(topic: &str, payload: &[u8], qos: QoS) -> Delivery {
    Delivery { hop: Hop::new(qos), message: message(topic, payload, None) }
}

/// Messages whose payloads count from `first`, all at one QoS and on one topic.
pub(crate) fn numbered(qos: QoS, numbers: core::ops::Range<u32>) -> impl Iterator<Item = Delivery> {
    numbers.map(move |number| delivery("t", &number.to_be_bytes(), qos))
}

/// The frames in a buffer.
pub(crate) fn split(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let Ok(Framing::Complete { frame_len, .. }) = frame(bytes, PACKET_BYTES_MAX) else {
            panic!("no complete frame in {bytes:?}")
        };
        frames.push(bytes[..frame_len].to_vec());
        bytes = &bytes[frame_len..];
    }
    frames
}
