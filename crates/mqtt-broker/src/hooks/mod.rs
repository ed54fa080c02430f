//! Hooks: code of the program that is asked and told about what happens in its broker.

mod chain;
mod events;
mod left_out;
mod sense;

use std::any::Any;
use std::fmt;
use std::time::Duration;

use mqtt_codec::{Packet, Publish, QoS, ReasonCode, SubscriptionOptions};
use mqtt_session::{DropReason, InboundPublish, Message, Opening, Refusal};

use crate::access::{Identity, Login};
use crate::{Answer, Broker, MetricsSnapshot, Peer, Publication};
pub(crate) use chain::{Chain, Objection, PacketRuling, Ruling, rewrite};
pub use events::Events;
pub(crate) use sense::refusal_for;

/// Code that is asked and told about what happens in a broker. Every method but [`interests`](Self::interests) has a
/// default that changes nothing, and is called only if its event is among the interests: an absent one costs a branch.
///
/// Several hooks form a chain, in the order of [`Builder::hook`](crate::Builder::hook): each sees what those before it
/// made of something, and the first that refuses ends the question. Hooks come before the
/// [`Access`](crate::Access) rules, which they do not replace.
///
/// All methods but those that return an [`Answer`] are called on the connections' own tasks: they must not block. An
/// answer that takes longer than [`FailureRule::deadline`] and a method that panics count as what
/// [`failure_rule`](Self::failure_rule) says; a notification that panics is logged. No other connection waits.
///
/// ```
/// use mqtt_broker::{Events, Hooks, Identity, InboundPublish, PublishVerdict};
///
/// #[derive(Debug)]
/// struct NoSecrets;
///
/// impl Hooks for NoSecrets {
///     fn interests(&self) -> Events {
///         Events::PUBLISH
///     }
///
///     fn publish(&self, _: &Identity, publish: &InboundPublish<'_>) -> PublishVerdict {
///         let secret = publish.payload.starts_with(b"secret");
///         if secret { PublishVerdict::Swallow } else { PublishVerdict::Pass }
///     }
/// }
/// ```
pub trait Hooks: Any + fmt::Debug + Send + Sync {
    /// The events that this hook wants. Asked once, when the broker is put together. Of the events that come with each
    /// message or packet, those whose methods it leaves out cost nothing after the first one.
    fn interests(&self) -> Events;

    /// What counts when a question is not answered in time or a method panics.
    fn failure_rule(&self) -> FailureRule {
        FailureRule::default()
    }

    /// What a store had kept is back, before anybody can connect. Called once at each start, with zeros where nothing
    /// was kept.
    fn restored(&self, restored: &Restored) {
        let _ = restored;
    }

    /// The broker listens. A hook that keeps the handle should give it up in [`stopped`](Self::stopped).
    fn started(&self, broker: &Broker) {
        let _ = broker;
    }

    /// The broker has stopped; all connections have ended.
    fn stopped(&self) {}

    /// The `$SYS` tree has been published.
    fn tick(&self, figures: &MetricsSnapshot) {
        let _ = figures;
    }

    /// A connection came in and has said nothing. Whether it may go on; if not, it is closed without a word.
    fn connection_accepted(&self, peer: &Peer) -> bool {
        let _ = peer;
        true
    }

    /// Whether a client is who it says. The first hook with an opinion decides; if none has, the
    /// [`Access`](crate::Access) rules do.
    fn authenticate<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Authentication> {
        let _ = login;
        Box::pin(std::future::ready(Authentication::NoOpinion))
    }

    /// A client that was authenticated wants to come in. May change its Keep Alive, session expiry, limits, user name
    /// and will; a client identifier that is changed is set back.
    ///
    /// # Errors
    /// What the CONNACK says instead.
    fn connect<'a>(&'a self, client: &'a Peer, opening: &'a mut Opening) -> Answer<'a, Result<(), Refusal>> {
        let _ = (client, opening);
        Box::pin(std::future::ready(Ok(())))
    }

    /// A client was admitted; `session_present` says whether it has its earlier session.
    fn session_established(&self, client: &Identity, session_present: bool) {
        let _ = (client, session_present);
    }

    /// A new connection takes a client's session from an earlier one.
    fn session_taken_over(&self, client_id: &str) {
        let _ = client_id;
    }

    /// A client is away and its session is kept.
    fn session_parked(&self, client_id: &str) {
        let _ = client_id;
    }

    /// A session has ended: with its connection, because its time was over, or for a new one.
    fn session_ended(&self, client_id: &str) {
        let _ = client_id;
    }

    /// A connection has ended.
    fn disconnected(&self, client: &Identity, cause: DisconnectCause) {
        let _ = (client, cause);
    }

    /// A client that was admitted sent a packet, or one was injected under its name. May ignore or replace it, or end the connection.
    fn packet_received(&self, client: &Identity, packet: &Packet<'_>) -> PacketVerdict {
        let _ = (client, packet);
        left_out::note::<Self>(Events::PACKET_RECEIVED);
        PacketVerdict::Pass
    }

    /// A packet is about to be written to a client that was admitted, from its CONNACK to the broker's own DISCONNECT.
    /// While a hook wants this event, each packet is decoded again. May replace it. Ignoring one that the client has to
    /// acknowledge leaves it unacknowledged until the client comes back.
    fn packet_sending(&self, client: &Identity, packet: &Packet<'_>) -> PacketVerdict {
        let _ = (client, packet);
        left_out::note::<Self>(Events::PACKET_SENDING);
        PacketVerdict::Pass
    }

    /// A client wants to subscribe with a filter. The session keeps what the hooks make of it, so
    /// [`unsubscribe`](Self::unsubscribe) should change a filter in the same way. May change the filter and the options.
    ///
    /// # Errors
    /// What the SUBACK says instead.
    fn subscribe(
        &self,
        client: &Identity,
        filter: &mut String,
        options: &mut SubscriptionOptions,
    ) -> Result<(), ReasonCode> {
        let _ = (client, filter, options);
        Ok(())
    }

    /// As [`subscribe`](Self::subscribe), for an answer that takes time: asked when that one has passed in all hooks,
    /// filter by filter. Until it is there nothing more is read from this client; nobody else waits. What a hook changed
    /// before it refused, panicked or came too late is forgotten.
    ///
    /// # Errors
    /// What the SUBACK says instead.
    fn review_subscribe<'a>(
        &'a self,
        client: &'a Identity,
        filter: &'a mut String,
        options: &'a mut SubscriptionOptions,
    ) -> Answer<'a, Result<(), ReasonCode>> {
        let _ = (client, filter, options);
        left_out::note::<Self>(Events::REVIEW_SUBSCRIBE);
        Box::pin(std::future::ready(Ok(())))
    }

    /// A client has subscribed.
    fn subscribed(&self, client: &Identity, filter: &str, options: SubscriptionOptions) {
        let _ = (client, filter, options);
    }

    /// A client wants to end a subscription. May change the filter.
    ///
    /// # Errors
    /// What the UNSUBACK says instead.
    fn unsubscribe(&self, client: &Identity, filter: &mut String) -> Result<(), ReasonCode> {
        let _ = (client, filter);
        Ok(())
    }

    /// A client has ended a subscription.
    fn unsubscribed(&self, client: &Identity, filter: &str) {
        let _ = (client, filter);
    }

    /// A client publishes, be it connected or inside the program ([`LocalClient`](crate::LocalClient), unless it was
    /// made [past all hooks](crate::LocalOptions::past_hooks)). Wills and `$SYS` are not asked about. May rewrite the
    /// message, take it without passing it on, or refuse it.
    fn publish(&self, client: &Identity, publish: &InboundPublish<'_>) -> PublishVerdict {
        let _ = (client, publish);
        left_out::note::<Self>(Events::PUBLISH);
        PublishVerdict::Pass
    }

    /// As [`publish`](Self::publish), for an answer that takes time: asked when that one has passed in all hooks. Until
    /// it is there the message is not acknowledged and nothing more is read from this client; nobody else waits. Each
    /// message is copied for it.
    fn review_publish<'a>(
        &'a self,
        client: &'a Identity,
        publication: &'a Publication,
    ) -> Answer<'a, PublishVerdict> {
        let _ = (client, publication);
        left_out::note::<Self>(Events::REVIEW_PUBLISH);
        Box::pin(std::future::ready(PublishVerdict::Pass))
    }

    /// A client's message was taken; `reason` is what its acknowledgement says.
    fn published(&self, client: &Identity, publish: &InboundPublish<'_>, reason: ReasonCode) {
        let _ = (client, publish, reason);
        left_out::note::<Self>(Events::PUBLISHED);
    }

    /// Which member of a shared subscription gets a message: its place in `members` (client identifiers), or `None` to
    /// leave it to the strategy. A place beyond the end counts as `None`.
    fn select_member(&self, topic: &str, members: &[&str]) -> Option<usize> {
        let _ = (topic, members);
        left_out::note::<Self>(Events::SELECT_MEMBER);
        None
    }

    /// A message was discarded.
    fn dropped(&self, reason: DropReason, client_id: &str, topic: &str, qos: QoS) {
        let _ = (reason, client_id, topic, qos);
        left_out::note::<Self>(Events::DROPPED);
    }

    /// A message was retained, or (with an empty payload) one was cleared.
    fn retained(&self, message: &Message) {
        let _ = message;
        left_out::note::<Self>(Events::RETAINED);
    }

    /// The retained message of this topic has expired and was removed, up to a second later.
    fn retained_expired(&self, topic: &str) {
        let _ = topic;
    }

    /// A retained message was sent for a new subscription.
    fn retained_replayed(&self, client_id: &str, message: &Message, qos: QoS) {
        let _ = (client_id, message, qos);
        left_out::note::<Self>(Events::RETAINED_REPLAYED);
    }

    /// A message above QoS 0 was written to a client for the first time. While a hook wants this event, what is sent is
    /// decoded again.
    fn sent(&self, client: &Identity, publish: &Publish<'_>) {
        let _ = (client, publish);
        left_out::note::<Self>(Events::SENT);
    }

    /// A PUBLISH or PUBREL was repeated for a client that came back ([MQTT-4.4.0-1]).
    fn resent(&self, client: &Identity, packet: &Packet<'_>) {
        let _ = (client, packet);
        left_out::note::<Self>(Events::RESENT);
    }

    /// Messages above QoS 0 wait for a client that has as many under way as it takes, its Receive Maximum or all
    /// 65,535 packet identifiers: they are sent when it acknowledges. Told once, until the client has made room.
    fn packet_ids_exhausted(&self, client: &Identity, inflight: usize) {
        let _ = (client, inflight);
        left_out::note::<Self>(Events::PACKET_IDS_EXHAUSTED);
    }

    /// A client has acknowledged the message with this packet identifier to the end, or refused it.
    fn acknowledged(&self, client: &Identity, packet_id: u16, reason: ReasonCode) {
        let _ = (client, packet_id, reason);
        left_out::note::<Self>(Events::ACKNOWLEDGED);
    }

    /// A will is due. May rewrite it; `false` withholds it.
    fn will(&self, client_id: &str, will: &mut Publication) -> bool {
        let _ = (client_id, will);
        true
    }

    /// A will was published.
    fn will_sent(&self, client_id: &str, message: &Message) {
        let _ = (client_id, message);
    }
}

/// What a store had kept over a start of the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// Sessions, all of clients that are away now.
    pub sessions: usize,
    /// Their subscriptions.
    pub subscriptions: usize,
    /// Messages that wait in their queues.
    pub queued_messages: usize,
    /// Messages that were sent to them and not acknowledged to the end.
    pub inflight: usize,
    /// Retained messages.
    pub retained_messages: usize,
    /// Bytes of the retained messages.
    pub retained_bytes: usize,
}

/// What counts when a hook does not answer in time or panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureRule {
    /// Time for an answer.
    pub deadline: Duration,
    /// Whether the question then counts as refused (fail closed, the default) or as if the hook were not there (fail
    /// open).
    pub refuse: bool,
}

impl Default for FailureRule {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(5), refuse: true }
    }
}

/// What a hook says of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Ask the next one.
    NoOpinion,
    /// It is who it says.
    Admit,
    /// It is not, and is told this.
    Refuse(Refusal),
}

/// What a hook says of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PacketVerdict {
    /// Go on with it.
    #[default]
    Pass,
    /// Go on with this packet instead, encoded as [`Version::V5`](mqtt_codec::Version::V5). Bytes that are no packet
    /// count as a failure of the hook.
    Replace(Vec<u8>),
    /// As if it had not been there.
    Ignore,
    /// End the connection with this reason. Of a packet that is about to be sent: as [`Ignore`](Self::Ignore).
    Reject(ReasonCode),
}

/// What a hook says of a message.
#[derive(Clone, Debug, Default)]
pub enum PublishVerdict {
    /// Go on with it.
    #[default]
    Pass,
    /// Go on with this one instead; its quality of service stays as it is. A topic that is none counts as a failure of the hook.
    Rewrite(Box<Publication>),
    /// Acknowledge it, and pass it on to nobody.
    Swallow,
    /// Refuse it with this reason; it is counted as dropped.
    Reject(ReasonCode),
}

impl PublishVerdict {
    /// Go on with this message instead.
    #[must_use]
    pub fn rewrite(publication: Publication) -> Self {
        Self::Rewrite(Box::new(publication))
    }
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisconnectCause {
    /// The client said DISCONNECT.
    ClientLeft,
    /// The stream ended or failed.
    Lost,
    /// The client broke a rule, and was told this.
    Violation(ReasonCode),
    /// Nothing was heard for one and a half Keep Alive intervals.
    KeepAliveTimeout,
    /// A new connection took the session over.
    TakenOver,
    /// The program or an operator decided so.
    Ordered(ReasonCode),
    /// The broker stops.
    Shutdown,
    /// The connection's task panicked.
    Panicked,
}
