//! Who may connect, publish and subscribe: the interface that decides.

use core::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use mqtt_codec::{QoS, ReasonCode, Version};
use mqtt_session::Refusal;
use mqtt_topic::{TopicFilter, TopicName};

/// What a client shows when it connects.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// Client identifier, as sent or as assigned.
    pub client_id: &'a str,
    /// Protocol version.
    pub version: Version,
    /// Where it comes from; `None` for a stream that an embedder attached without an address.
    pub address: Option<SocketAddr>,
    /// User name, if it gave one.
    pub username: Option<&'a str>,
    /// Password, if it gave one.
    pub password: Option<&'a [u8]>,
    /// Whether its listener admits clients that show nothing.
    pub anonymous_allowed: bool,
}

/// A client that was admitted.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Client identifier.
    pub client_id: Arc<str>,
    /// User name it was admitted under.
    pub username: Option<Arc<str>>,
    /// Where it comes from.
    pub address: Option<SocketAddr>,
}

/// Decides on logins and topics. Called on the connections' own tasks, so it must not block.
pub trait Access: fmt::Debug + Send + Sync + 'static {
    /// Admits a client, or says why not: the reason goes into the CONNACK.
    ///
    /// # Errors
    /// The reason of the refusal, such as [`ReasonCode::BadUserNameOrPassword`], perhaps with a text or
    /// with another server to go to.
    fn authenticate(&self, login: &Login<'_>) -> Result<(), Refusal>;

    /// Whether a client may publish to a topic. Asked once for each topic of a connection while nothing
    /// changes, so the answer must not depend on the single message.
    fn may_publish(&self, client: &Identity, topic: TopicName<&str>) -> bool {
        let _ = (client, topic);
        true
    }

    /// Whether a client may subscribe with a filter.
    fn may_subscribe(&self, client: &Identity, filter: &TopicFilter<&str>, qos: QoS) -> bool {
        let _ = (client, filter, qos);
        true
    }
}

/// Admits whoever comes through a listener that allows anonymous clients, and nobody else.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnonymousOnly;

impl Access for AnonymousOnly {
    fn authenticate(&self, login: &Login<'_>) -> Result<(), Refusal> {
        if login.anonymous_allowed { Ok(()) } else { Err(ReasonCode::NotAuthorized.into()) }
    }
}
