//! Messages as a local client gets them, and what became of those that it published.

use mqtt_codec::{Properties, QoS, ReasonCode};
use mqtt_session::{Delivery, Message};

/// What became of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// What a connected client would have been told: [`ReasonCode::Success`], or
    /// [`ReasonCode::NoMatchingSubscribers`] above QoS 0 if nobody subscribed.
    pub reason: ReasonCode,
    /// Whether any subscription on this node matched.
    pub matched: bool,
}

/// A message that a local subscription got.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalMessage {
    delivery: Delivery,
}

impl LocalMessage {
    pub(crate) fn new(delivery: Delivery) -> Self {
        Self { delivery }
    }

    /// Topic name.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.delivery.message.topic()
    }

    /// The application's bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.delivery.message.payload()
    }

    /// The payload as text, with U+FFFD for whatever is not UTF-8.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.payload())
    }

    /// Quality of service of this delivery.
    #[must_use]
    pub fn qos(&self) -> QoS {
        self.delivery.hop.qos
    }

    /// Whether it was kept from before the subscription (or, with Retain As Published, what the publisher set).
    #[must_use]
    pub fn retain(&self) -> bool {
        self.delivery.hop.retain
    }

    /// The properties that the publisher set, such as Content Type or User Property.
    #[must_use]
    pub fn properties(&self) -> Properties<'_> {
        self.delivery.message.properties()
    }

    /// The identifier of the subscription, if it has one.
    #[must_use]
    pub fn subscription_identifier(&self) -> Option<u32> {
        self.delivery.hop.subscription_ids.as_deref()?.first().copied()
    }

    /// The message itself, which all its receivers share.
    #[must_use]
    pub fn message(&self) -> &Message {
        &self.delivery.message
    }
}
