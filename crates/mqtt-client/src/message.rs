//! Messages as an application gets them.

use std::sync::Arc;

use mqtt_codec::{PropertiesBuf, QoS, ReasonCode};

use crate::acknowledgements::Pending;

/// A message that arrived.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Topic name.
    pub topic: String,
    /// The application's bytes.
    pub payload: Vec<u8>,
    /// Quality of service of this delivery.
    pub qos: QoS,
    /// Whether the server had kept it from before the subscription (or, with Retain As Published, what the
    /// publisher set).
    pub retain: bool,
    /// Whether the server may have delivered it before.
    pub dup: bool,
    /// Packet identifier of this delivery; 0 at QoS 0.
    pub packet_id: u16,
    /// All MQTT 5 properties, subscription identifiers included.
    pub properties: PropertiesBuf,
    pub(crate) pending: Option<Arc<Pending>>,
}

impl Incoming {
    /// Acknowledges the message, if the client leaves that to the application
    /// ([`Options::acknowledge_manually`](crate::Options::acknowledge_manually)); otherwise nothing happens. The answer
    /// leaves after those of all messages before it.
    ///
    /// A message that came with several subscriptions is acknowledged once. One that is dropped without it stays
    /// unacknowledged: the server sends it again on the next connection of this session, and counts it against the
    /// Receive Maximum until then.
    pub fn acknowledge(&self) {
        self.acknowledge_with(ReasonCode::Success);
    }

    /// The same with a reason, such as an error by which the server knows that the message was refused (MQTT 5).
    pub fn acknowledge_with(&self, reason: ReasonCode) {
        if let Some(pending) = &self.pending {
            pending.answer(reason);
        }
    }

    /// The payload as text, with U+FFFD for whatever is not UTF-8.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.payload)
    }
}
