//! What the standard calls the Session State (section 4.1): all that outlives a connection.

use hashbrown::HashMap;
use mqtt_codec::{PacketId, SubscriptionOptions};

use crate::Delivery;
use crate::inbound::Inbound;
use crate::outbound::Outbound;

/// One subscription of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// What the SUBSCRIBE asked for.
    pub options: SubscriptionOptions,
    /// Subscription Identifier, 1 to 268,435,455.
    pub identifier: Option<u32>,
}

/// Subscriptions and unfinished QoS 1 and QoS 2 exchanges of one client.
///
/// A value that moves: into a [`Protocol`](crate::Protocol) while a connection exists, into storage while
/// none does, and from one connection to the next when a client is taken over.
///
/// ```
/// use mqtt_codec::{QoS, SubscriptionOptions};
/// use mqtt_session::{Session, Subscription};
///
/// let mut session = Session::new();
/// let options = SubscriptionOptions { qos: QoS::AtLeastOnce, ..SubscriptionOptions::default() };
/// let subscription = Subscription { options, identifier: Some(7) };
/// assert_eq!(session.subscribe("greenhouse/#", subscription), None);
/// assert_eq!(session.subscription("greenhouse/#"), Some(subscription));
/// assert_eq!(session.unacknowledged_len(), 0);
/// ```
#[derive(Debug, Default)]
pub struct Session {
    pub(crate) outbound: Outbound,
    pub(crate) inbound: Inbound,
    subscriptions: HashMap<Box<str>, Subscription>,
}

impl Session {
    /// An empty session.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces the subscription with exactly this filter text ([MQTT-3.8.4-3]). Returns the one
    /// it replaced.
    pub fn subscribe(&mut self, filter: &str, subscription: Subscription) -> Option<Subscription> {
        self.subscriptions.insert(filter.into(), subscription)
    }

    /// Removes the subscription with exactly this filter text ([MQTT-3.10.4-1]).
    pub fn unsubscribe(&mut self, filter: &str) -> Option<Subscription> {
        self.subscriptions.remove(filter)
    }

    /// The subscription with exactly this filter text.
    #[must_use]
    pub fn subscription(&self, filter: &str) -> Option<Subscription> {
        self.subscriptions.get(filter).copied()
    }

    /// All subscriptions, in no order.
    pub fn subscriptions(&self) -> impl ExactSizeIterator<Item = (&str, Subscription)> {
        self.subscriptions.iter().map(|(filter, subscription)| (&**filter, *subscription))
    }

    /// Messages that were sent and not acknowledged to the end.
    #[must_use]
    pub fn unacknowledged_len(&self) -> usize {
        self.outbound.len()
    }

    /// QoS 2 messages that were received and not released.
    #[must_use]
    pub fn unreleased_len(&self) -> usize {
        self.inbound.len()
    }

    /// Whether a QoS 2 message is under way in either direction, so that both sides have to remember its identifier.
    #[must_use]
    pub fn has_exactly_once_under_way(&self) -> bool {
        self.inbound.len() > 0 || self.outbound.has_exactly_once()
    }

    /// Takes a message back that was sent and not acknowledged to the end before the session was stored. Calls
    /// come in the order of sending, or of the PUBRECs for those that were released.
    pub fn restore_sent(&mut self, packet_id: PacketId, delivery: Delivery, released: bool) {
        self.outbound.restore(packet_id, delivery, released);
    }

    /// Takes the identifier of a QoS 2 message back that was received and not released.
    pub fn restore_received(&mut self, packet_id: PacketId) {
        self.inbound.restore(packet_id);
    }

    /// Says of the messages that were [taken back](Self::restore_sent) which shared subscription chose the session, by
    /// their topics; 0 for none.
    pub fn name_shares(&mut self, share_of: &dyn Fn(&str) -> u64) {
        self.outbound.name_shares(share_of);
    }

    /// Ends the session and gives back what the client never acknowledged, in the order of sending.
    #[must_use]
    pub fn into_unacknowledged(self) -> Vec<Delivery> {
        self.outbound.into_unacknowledged()
    }
}
