//! Who may connect, publish and subscribe: the interface that decides.

use core::fmt;
use std::any::Any;
use std::future::ready;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use mqtt_access::consult::Consulted;
use mqtt_codec::{QoS, ReasonCode, Version};
use mqtt_session::{AuthenticationMethod, Refusal, Rights};
use mqtt_store::Source;
use mqtt_topic::{Mountpoint, TopicFilter, TopicName};
use mqtt_transport::Certificate;

use crate::consulting::Question;
use crate::listening::ListenerRules;
use crate::peers::Answer;

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
    /// Whether the user name is that of the certificate or of an exchange of enhanced authentication, so that no password
    /// is needed to believe it.
    pub username_proven: bool,
    /// The method of enhanced authentication that it has passed.
    pub method: Option<&'a str>,
    /// Password, if it gave one.
    pub password: Option<&'a [u8]>,
}

/// A client that was admitted.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Client identifier.
    pub client_id: Arc<str>,
    /// User name it was admitted under: one that was proved, or that its listener lets it claim.
    pub username: Option<Arc<str>>,
    /// Where it comes from.
    pub address: Option<SocketAddr>,
    /// The listener it came through.
    pub listener: Arc<ListenerRules>,
    /// The certificate that it proved to own.
    pub certificate: Option<Arc<Certificate>>,
    /// The part of the topic tree that it takes for the whole. Everything else here, as in hooks and access rules, knows
    /// whole topics only.
    pub mountpoint: Option<Arc<Mountpoint>>,
    /// Whether no access rule and no topic restriction applies to it: true of the program's own clients, and of
    /// packets that are injected past access. Nobody who connects is privileged.
    pub privileged: bool,
    /// What the [`Access`] that admitted it wants to remember of it.
    pub details: Option<Arc<dyn Details>>,
}

/// Anything that an [`Access`] keeps with a client that it admitted. Found again with [`Identity::details`].
///
/// ```
/// use std::sync::Arc;
/// use mqtt_broker::{Grant, Identity};
///
/// /// What a login found out.
/// #[derive(Debug)]
/// struct Department(u32);
///
/// let grant = Grant { details: Some(Arc::new(Department(7))), ..Grant::named(Some("ada")) };
///
/// /// Later, when the client wants something.
/// fn is_in(client: &Identity, number: u32) -> bool {
///     client.details::<Department>().is_some_and(|department| department.0 == number)
/// }
/// # let _ = (grant, is_in);
/// ```
pub trait Details: Any + fmt::Debug + Send + Sync {}

impl<T: Any + fmt::Debug + Send + Sync> Details for T {}

/// The [`Identity::details`] of a client that is known from the store only: what its login brought along is not kept, so an
/// [`Access`] may want to be generous. What waits for the client is judged again when it comes back.
#[derive(Clone, Copy, Debug)]
pub struct Remembered;

impl Identity {
    /// The details, if they are of this type.
    #[must_use]
    pub fn details<T: Details>(&self) -> Option<&T> {
        let details: &dyn Any = &**self.details.as_ref()?;
        details.downcast_ref()
    }
}

/// Under what conditions a client is admitted.
///
/// ```
/// use std::time::{Duration, Instant};
/// use mqtt_broker::Grant;
///
/// // Disconnected with reason 0x87 in an hour.
/// let end = Instant::now() + Duration::from_secs(3_600);
/// let grant = Grant { expires_at: Some(end), ..Grant::named(Some("ada")) };
/// assert_eq!(grant.username.as_deref(), Some("ada"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Grant {
    /// The user name it has from now on; `None` for an anonymous client, whatever its CONNECT says.
    pub username: Option<Arc<str>>,
    /// When the login ends: the client is disconnected then, with reason 0x87.
    pub expires_at: Option<Instant>,
    /// What to remember; see [`Identity::details`].
    pub details: Option<Arc<dyn Details>>,
}

impl Grant {
    /// Admits a client under this name, without an end.
    #[must_use]
    pub fn named(username: Option<&str>) -> Self {
        Self { username: username.map(Into::into), ..Self::default() }
    }
}

/// Decides on logins and topics.
///
/// Only [`authenticate`](Self::authenticate) may take its time; everything else is called on the connections' own tasks
/// and must not block. After a change that concerns clients that are connected, call
/// [`Broker::access_changed`](crate::Broker::access_changed).
///
/// ```
/// use mqtt_broker::{Access, Answer, Grant, Identity, Login, ReasonCode, Refusal, Rights, TopicName};
///
/// /// One password for everybody, and a topic of its own for each user.
/// #[derive(Debug)]
/// struct House;
///
/// impl Access for House {
///     fn authenticate<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Result<Grant, Refusal>> {
///         Box::pin(async move {
///             match (login.username, login.password) {
///                 (Some(name), Some(b"open sesame")) => Ok(Grant::named(Some(name))),
///                 _ => Err(ReasonCode::BadUserNameOrPassword.into()),
///             }
///         })
///     }
///
///     fn publish_rights(&self, client: &Identity, topic: TopicName<&str>) -> Rights {
///         let own = topic.levels().next() == client.username.as_deref();
///         if own { Rights::ALL } else { Rights::NONE }
///     }
/// }
///
/// let builder = mqtt_broker::Broker::builder().access(std::sync::Arc::new(House));
/// # let _ = builder;
/// ```
pub trait Access: fmt::Debug + Send + Sync + 'static {
    /// Admits a client, or says why not: the reason goes into the CONNACK. It is given up when the connect timeout
    /// has passed.
    ///
    /// # Errors
    /// The reason of the refusal, such as [`ReasonCode::BadUserNameOrPassword`], perhaps with a text or
    /// with another server to go to.
    fn authenticate<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Result<Grant, Refusal>>;

    /// Whether anything is read from this address at all. Asked for each new connection.
    fn may_knock(&self, address: IpAddr) -> bool {
        let _ = address;
        true
    }

    /// A method of enhanced authentication that clients of this listener may use. Those given to the
    /// [`Builder`](crate::Builder) come first.
    fn method(&self, name: &str, listener: &ListenerRules) -> Option<Arc<dyn AuthenticationMethod>> {
        let _ = (name, listener);
        None
    }

    /// Whether a proof that a client is this user is looked at now, in enhanced authentication. If not, the client is
    /// refused with 0x9F, and [`exchange_failed`](Self::exchange_failed) is not called.
    fn may_prove(&self, address: Option<SocketAddr>, username: &str) -> bool {
        let _ = (address, username);
        true
    }

    /// A CONNECT was refused after an exchange of enhanced authentication failed. The user is the one that the client
    /// claimed to be.
    fn exchange_failed(&self, address: Option<SocketAddr>, username: Option<&str>) {
        let _ = (address, username);
    }

    /// Which messages a client may publish to a topic. Asked once for each topic of a connection while nothing
    /// changes.
    fn publish_rights(&self, client: &Identity, topic: TopicName<&str>) -> Rights {
        let _ = (client, topic);
        Rights::ALL
    }

    /// Of those messages that [`publish_rights`](Self::publish_rights) does not allow, the ones that somebody else is to be
    /// [asked](Self::consult) about. Asked once for each topic as well.
    fn open_rights(&self, client: &Identity, topic: TopicName<&str>) -> Rights {
        let _ = (client, topic);
        Rights::NONE
    }

    /// Whether a client may subscribe with a filter.
    fn may_subscribe(&self, client: &Identity, filter: &TopicFilter<&str>, qos: QoS) -> bool {
        let _ = (client, filter, qos);
        true
    }

    /// Whether [`is_open`](Self::is_open) has to be asked at all.
    fn consults(&self) -> bool {
        false
    }

    /// Whether somebody else is to be [asked](Self::consult) about a filter that
    /// [`may_subscribe`](Self::may_subscribe) does not allow.
    fn is_open(&self, client: &Identity, filter: &TopicFilter<&str>, qos: QoS) -> bool {
        let _ = (client, filter, qos);
        false
    }

    /// Asks somebody else what is [open](Self::open_rights), be it a service or a person. Until the answer is there nothing
    /// more is read from this client, and nobody else waits. It must come in time, whatever happens: where it cannot be
    /// had, the answer is [`Unanswered`](crate::Unanswered), the client is refused with 0x83, and the cause is counted.
    ///
    /// A message is asked about when its topic, QoS and RETAIN flag are new for the connection or the last answer holds no
    /// more; a filter whenever it is subscribed to; a will when the client connects, and not again when it is sent.
    fn consult(&self, question: Question) -> Answer<'static, Consulted> {
        let _ = question;
        Box::pin(ready(Consulted { verdict: Ok(false), until: Instant::now() }))
    }

    /// Whether [`receive_rights`](Self::receive_rights) has to be asked at all.
    fn restricts_receiving(&self) -> bool {
        false
    }

    /// Which messages on a topic a client may get, in the quality of service that they reach it in. Asked once for
    /// each topic and receiver of a publishing connection while nothing changes.
    fn receive_rights(&self, client: &Identity, topic: TopicName<&str>) -> Rights {
        let _ = (client, topic);
        Rights::ALL
    }

    /// Whether a retained message may still be handed out, as far as its publisher is concerned.
    fn may_replay(&self, source: &Source, topic: TopicName<&str>, qos: QoS) -> bool {
        let _ = (source, topic, qos);
        true
    }

    /// Whether a client that is connected may stay, asked after a change.
    ///
    /// # Errors
    /// What it is told.
    fn still_admitted(&self, client: &Identity) -> Result<(), Refusal> {
        let _ = client;
        Ok(())
    }
}

/// Admits whoever comes through a listener that allows anonymous clients or shows a certificate that gives it a user name,
/// and nobody else. Names that clients claim are kept and not checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnonymousOnly;

impl Access for AnonymousOnly {
    fn authenticate<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Result<Grant, Refusal>> {
        let admitted = login.listener.allow_anonymous || login.username_proven;
        let answer =
            if admitted { Ok(Grant::named(login.username)) } else { Err(ReasonCode::NotAuthorized.into()) };
        Box::pin(ready(answer))
    }
}
