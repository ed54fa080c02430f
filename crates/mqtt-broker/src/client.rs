//! One client as the program sees it: what it is, and what can be done with it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mqtt_codec::{
    DecodeError, EncodeError, Framing, Packet, QoS, ReasonCode, SubscribeFiltersBuf, SubscriptionOptions,
    UnsubscribeFiltersBuf, Version, decode, encode, frame,
};
use mqtt_codec::{PacketId, Properties, Subscribe, Unsubscribe};
use mqtt_session::{PACKET_BYTES_MAX, Refusal, Subscription, Violation};
use parking_lot::Mutex;

use crate::clients::Order;
use crate::connection::{Dialogue, Injected, Injection, Refused, act_on};
use crate::core::Core;

/// A handle to the client with one identifier, made by [`Broker::client`](crate::Broker::client). The client may be
/// connected, away with a session that is kept, or not known at all; each call finds out anew.
#[derive(Clone, Debug)]
pub struct Client {
    core: Arc<Core>,
    client_id: Arc<str>,
}

/// A client in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientEntry {
    /// Client identifier.
    pub client_id: Arc<str>,
    /// Whether it is connected; if not, its session is kept.
    pub online: bool,
}

/// What the broker knows of a client.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ClientDetails {
    /// Client identifier.
    pub client_id: Arc<str>,
    /// Whether it is connected. If not, what only a connection has is `None` or 0.
    pub online: bool,
    /// User name.
    pub username: Option<Arc<str>>,
    /// Where it comes from.
    pub address: Option<SocketAddr>,
    /// Name of the listener it came through.
    pub listener: Option<Arc<str>>,
    /// Protocol version.
    pub version: Option<Version>,
    /// Seconds of its Keep Alive; 0 for none.
    pub keep_alive_s: u16,
    /// Seconds that its session is kept without a connection, counted from the end of the connection or, if it is
    /// away, from now; `u32::MAX` for ever.
    pub session_expiry_s: u32,
    /// Filters that it is subscribed with.
    pub subscriptions: Vec<(String, Subscription)>,
    /// Messages that wait for it.
    pub queued_messages: usize,
    /// Bytes that wait for it.
    pub queued_bytes: usize,
    /// Messages that were sent to it and not acknowledged to the end.
    pub inflight: usize,
    /// QoS 2 messages that it sent and has not released.
    pub unreleased: usize,
    /// Messages to it that were discarded, for any reason.
    pub dropped: u64,
    /// What is published if it goes without a word.
    pub will: Option<WillDetails>,
}

/// A will that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WillDetails {
    /// Topic name.
    pub topic: String,
    /// Quality of service.
    pub qos: QoS,
    /// Whether it will be retained.
    pub retain: bool,
    /// Seconds of its Will Delay Interval.
    pub delay_interval_s: u32,
}

/// There is neither a connection nor a session with this client identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownClient;

/// How a packet is injected.
#[derive(Clone, Copy, Debug, Default)]
pub struct InjectOptions {
    past_access: bool,
    make_up: Option<u32>,
}

/// What a packet led to: the packets that the client would have been sent in answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    bytes: Vec<u8>,
    version: Version,
}

/// Why a packet was not accepted. Nothing was done for it, and the client it was for is not harmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InjectError {
    /// There is neither a connection nor a session with this client identifier.
    UnknownClient,
    /// The packet's parts do not make a packet.
    NotEncodable(EncodeError),
    /// The bytes are no packet, or more than one.
    Malformed(DecodeError),
    /// A client that sends this would be disconnected with this reason.
    Violation(Violation),
}

impl InjectOptions {
    /// Neither access rules nor topic restrictions apply to the packet.
    #[must_use]
    pub fn past_access(mut self) -> Self {
        self.past_access = true;
        self
    }

    /// A client that is not known is made up for the packet. Its session is kept for so many seconds afterwards; with
    /// 0 it ends at once, and its subscriptions with it.
    #[must_use]
    pub fn make_up(mut self, session_expiry_s: u32) -> Self {
        self.make_up = Some(session_expiry_s);
        self
    }
}

impl Client {
    pub(crate) fn new(core: Arc<Core>, client_id: &str) -> Self {
        Self { core, client_id: client_id.into() }
    }

    /// Its identifier.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Whether it is connected; `None` if it is not known.
    #[must_use]
    pub fn is_online(&self) -> Option<bool> {
        self.core.clients.is_online(&self.client_id)
    }

    /// What the broker knows of it.
    ///
    /// # Errors
    /// It is not known.
    pub async fn details(&self) -> Result<ClientDetails, UnknownClient> {
        act_on(&self.core, &self.client_id, None, describe).await.ok_or(UnknownClient)
    }

    /// Disconnects it with a reason, a text and perhaps another server to go to (section 4.11). Its will is published,
    /// and its session kept, as for any end that the client did not ask for.
    ///
    /// # Errors
    /// It is not connected.
    pub fn disconnect(&self, reason: impl Into<Refusal>) -> Result<(), UnknownClient> {
        let handle = self.core.clients.find(&self.client_id).ok_or(UnknownClient)?;
        handle.order(Order::Disconnect(reason.into()));
        Ok(())
    }

    /// Ends its session now: what waits for it is given to others or counted as dropped, and its will is published. If
    /// it is connected it is told [`ReasonCode::AdministrativeAction`] and disconnected.
    ///
    /// # Errors
    /// It is not known.
    pub async fn expire(&self) -> Result<(), UnknownClient> {
        let core = &self.core;
        if let Some(away) = core.clients.remove_away(&self.client_id) {
            core.metrics.sessions_expired.add(1);
            core.end_away(&away);
            return Ok(());
        }
        let expire = |dialogue: &mut Dialogue, _| {
            dialogue.protocol.expire_with_connection();
            dialogue.handle.order(Order::Disconnect(ReasonCode::AdministrativeAction.into()));
        };
        act_on(core, &self.client_id, None, expire).await.ok_or(UnknownClient)
    }

    /// Subscribes for it, past access rules, as if it had sent a SUBSCRIBE. Returns what its SUBACK would say.
    ///
    /// # Errors
    /// It is not known, or the filter is not valid.
    pub async fn subscribe(
        &self,
        filter: &str,
        options: SubscriptionOptions,
    ) -> Result<ReasonCode, InjectError> {
        let mut filters = SubscribeFiltersBuf::new();
        filters.push(filter, options).map_err(InjectError::NotEncodable)?;
        let (packet_id, properties) = (PacketId::MIN, Properties::EMPTY);
        let packet = Packet::Subscribe(Subscribe { packet_id, properties, filters: filters.as_filters() });
        self.ask(&packet).await
    }

    /// Unsubscribes for it. Returns what its UNSUBACK would say.
    ///
    /// # Errors
    /// It is not known, or the filter is not valid.
    pub async fn unsubscribe(&self, filter: &str) -> Result<ReasonCode, InjectError> {
        let mut filters = UnsubscribeFiltersBuf::new();
        filters.push(filter).map_err(InjectError::NotEncodable)?;
        let (packet_id, properties) = (PacketId::MIN, Properties::EMPTY);
        let packet =
            Packet::Unsubscribe(Unsubscribe { packet_id, properties, filters: filters.as_filters() });
        self.ask(&packet).await
    }

    async fn ask(&self, packet: &Packet<'_>) -> Result<ReasonCode, InjectError> {
        let answers = self.inject(packet, InjectOptions::default().past_access()).await?;
        let reason = answers.packets().find_map(|packet| match packet {
            Packet::Suback(suback) => suback.reasons.iter().next(),
            Packet::Unsuback(unsuback) => unsuback.reasons.iter().next(),
            _ => None,
        });
        Ok(reason.unwrap_or(ReasonCode::Success)) // an UNSUBACK of 3.x has no reasons
    }

    /// Hands a packet to the broker as if this client had sent it: on its own task if it is connected, to its kept
    /// session if it is away. Validation, session state and access are those of the wire, and the answers come back
    /// here instead of going to the client. A DISCONNECT ends its connection, or what is left of its absence, in the
    /// client's own words; a CONNECT, as in any connection, is a violation.
    ///
    /// A client that is away is treated as one of the highest version that the broker admits.
    ///
    /// # Errors
    /// The client is not known, or a client that sends this would be disconnected.
    pub async fn inject(&self, packet: &Packet<'_>, options: InjectOptions) -> Result<Answers, InjectError> {
        let mut bytes = Vec::new();
        encode(packet, Version::V5, &mut bytes).map_err(InjectError::NotEncodable)?;
        self.inject_frame(bytes.into(), Some(Version::V5), options).await
    }

    /// As [`inject`](Self::inject), with the bytes of one packet in the client's own version.
    ///
    /// # Errors
    /// As [`inject`](Self::inject), or the bytes are no packet.
    pub async fn inject_bytes(&self, packet: &[u8], options: InjectOptions) -> Result<Answers, InjectError> {
        self.inject_frame(packet.into(), None, options).await
    }

    async fn inject_frame(
        &self,
        frame: Arc<[u8]>,
        version: Option<Version>,
        options: InjectOptions,
    ) -> Result<Answers, InjectError> {
        let InjectOptions { past_access, make_up } = options;
        let injection = Injection { frame, version, past_access };
        let work = move |dialogue: &mut Dialogue, now: Instant| dialogue.inject(&injection, now);
        let injected = act_on(&self.core, &self.client_id, make_up, work).await;
        let answered = match injected.ok_or(InjectError::UnknownClient)? {
            Injected::Answered(answered) => answered,
            Injected::UnderReview(review) => {
                let reviewed = Arc::new(Mutex::new(Some(review.answer().await)));
                let work = move |dialogue: &mut Dialogue, now: Instant| {
                    let reviewed = reviewed.lock().take().expect("a session is acted on once");
                    dialogue.inject_reviewed(reviewed, past_access, now)
                };
                let answered = act_on(&self.core, &self.client_id, make_up, work).await;
                answered.ok_or(InjectError::UnknownClient)?
            }
        };
        match answered {
            Ok((bytes, version)) => Ok(Answers { bytes, version }),
            Err(Refused::Malformed(error)) => Err(InjectError::Malformed(error)),
            Err(Refused::Violation(violation)) => Err(InjectError::Violation(violation)),
        }
    }
}

fn describe(dialogue: &mut Dialogue, _: Instant) -> ClientDetails {
    let Dialogue { protocol, outbox, identity, .. } = dialogue;
    let online = outbox.is_online();
    let session = protocol.session();
    let (queued_messages, queued_bytes) = outbox.waiting();
    ClientDetails {
        client_id: outbox.client_id.clone(),
        online,
        username: identity.username.clone(),
        address: identity.address,
        listener: online.then(|| identity.listener.name.clone()),
        version: online.then(|| protocol.version()),
        keep_alive_s: protocol.keep_alive().interval_s(),
        session_expiry_s: protocol.session_expiry_s(),
        subscriptions: session.subscriptions().map(|(filter, asked)| (filter.to_owned(), asked)).collect(),
        queued_messages,
        queued_bytes,
        inflight: session.unacknowledged_len(),
        unreleased: session.unreleased_len(),
        dropped: outbox.dropped.load(Ordering::Relaxed),
        will: protocol.will().map(|will| WillDetails {
            topic: will.topic().as_str().to_owned(),
            qos: will.qos,
            retain: will.retain,
            delay_interval_s: will.delay_interval_s,
        }),
    }
}

impl ClientDetails {
    /// Time that the session is kept without a connection; `None` for ever.
    #[must_use]
    pub fn session_expiry(&self) -> Option<Duration> {
        (self.session_expiry_s != u32::MAX).then(|| Duration::from_secs(self.session_expiry_s.into()))
    }
}

impl Answers {
    /// The packets, in their order.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'_>> {
        let mut rest = &*self.bytes;
        std::iter::from_fn(move || {
            let Ok(Framing::Complete { frame_len, .. }) = frame(rest, PACKET_BYTES_MAX) else { return None };
            let (packet, after) = rest.split_at(frame_len);
            rest = after;
            decode(packet, self.version).ok()
        })
    }

    /// The packets as the client would have got them.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The version in which they are encoded.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }
}

impl fmt::Display for UnknownClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no client and no session with this identifier")
    }
}

impl std::error::Error for UnknownClient {}

impl fmt::Display for InjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownClient => UnknownClient.fmt(f),
            Self::NotEncodable(error) => write!(f, "not a packet: {error}"),
            Self::Malformed(error) => write!(f, "malformed: {error}"),
            Self::Violation(violation) => write!(f, "against the protocol: {violation}"),
        }
    }
}

impl std::error::Error for InjectError {}
