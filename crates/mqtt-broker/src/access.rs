//! Who may connect, publish and subscribe: the interface that decides.

use core::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use mqtt_codec::{QoS, ReasonCode, Version};
use mqtt_session::Refusal;
use mqtt_topic::{TopicFilter, TopicName};
use mqtt_transport::Certificate;

use crate::listening::ListenerRules;

/// What a client shows when it connects.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// Client identifier, as sent or as assigned.
    pub client_id: &'a str,
    /// Protocol version.
    pub version: Version,
    /// Where it comes from; `None` for a stream that an embedder attached without an address.
    pub address: Option<SocketAddr>,
    /// The listener it came through, with the rules for its clients.
    pub listener: &'a ListenerRules,
    /// The certificate that it proved to own.
    pub certificate: Option<&'a Certificate>,
    /// User name: that of the certificate if the listener takes names from there, else what the CONNECT says.
    pub username: Option<&'a str>,
    /// Whether the user name is that of the certificate, so that no password is needed to believe it.
    pub username_proven: bool,
    /// Password, if it gave one.
    pub password: Option<&'a [u8]>,
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
    /// The listener it came through.
    pub listener: Arc<ListenerRules>,
    /// The certificate that it proved to own.
    pub certificate: Option<Arc<Certificate>>,
    /// Whether no access rule and no topic restriction applies to it: true of the program's own clients, and of
    /// packets that are injected past access. Nobody who connects is privileged.
    pub privileged: bool,
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

/// Admits whoever comes through a listener that allows anonymous clients or shows a certificate that gives it a user name,
/// and nobody else.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnonymousOnly;

impl Access for AnonymousOnly {
    fn authenticate(&self, login: &Login<'_>) -> Result<(), Refusal> {
        let admitted = login.listener.allow_anonymous || login.username_proven;
        if admitted { Ok(()) } else { Err(ReasonCode::NotAuthorized.into()) }
    }
}
