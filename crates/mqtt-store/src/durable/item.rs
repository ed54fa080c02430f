//! What a store holds, item by item: the shape in which it leaves one store and enters another.

use mqtt_codec::{PacketId, QoS};
use mqtt_session::Subscription;

use crate::SessionHead;

/// One thing that a store holds. Messages and sessions are numbered; other items refer to them, and come later.
#[derive(Clone, Debug)]
pub enum Item<'a> {
    /// A message, once however many refer to it.
    Message {
        /// How others refer to it.
        number: u64,
        /// What it says.
        message: MessageItem<'a>,
    },
    /// A message that is retained on its topic.
    Retained {
        /// The topic, which is the message's.
        topic: &'a str,
        /// Number of the message.
        message: u64,
        /// The quality of service that it was published with.
        qos: QoS,
        /// Who published it, as [`Source::to_text`](crate::Source::to_text) says it; empty for nobody.
        publisher: &'a str,
    },
    /// A session.
    Session {
        /// How others refer to it.
        number: u64,
        /// Its client, its expiry, its will.
        head: &'a SessionHead,
    },
    /// A subscription of a session.
    Subscription {
        /// Number of the session.
        session: u64,
        /// Topic filter.
        filter: &'a str,
        /// Options and identifier.
        subscription: Subscription,
    },
    /// A QoS 2 message of the client that was received and not released yet.
    Received {
        /// Number of the session.
        session: u64,
        /// The client's packet identifier.
        packet_id: PacketId,
    },
    /// A message that was sent to the client and not acknowledged; those of one session come in the order in which
    /// they have to be sent again.
    InFlight {
        /// Number of the session.
        session: u64,
        /// The client's part in the message.
        copy: CopyItem<'a>,
        /// The broker's packet identifier.
        packet_id: PacketId,
        /// Whether the client has it, so that PUBREL is what has to be sent.
        released: bool,
    },
    /// A message that waits for the client; those of one session come in their order.
    Queued {
        /// Number of the session.
        session: u64,
        /// The client's part in the message.
        copy: CopyItem<'a>,
    },
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageItem<'a> {
    /// Where it was published.
    pub topic: &'a str,
    /// The properties that are forwarded, as on the wire.
    pub properties: &'a [u8],
    /// The application's bytes.
    pub payload: &'a [u8],
    /// Milliseconds since 1970 at which it expires; `None` for never.
    pub expires_at_ms: Option<u64>,
}

/// One session's part in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyItem<'a> {
    /// Number of the message.
    pub message: u64,
    /// Quality of service towards the client.
    pub qos: QoS,
    /// The RETAIN flag that the client sees.
    pub retain: bool,
    /// Identifiers of the subscriptions that matched.
    pub subscription_ids: &'a [u32],
}
