//! The interface between the broker and what keeps its state.

use core::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Instant;

use mqtt_codec::QoS;
use mqtt_session::{Message, Session};
use mqtt_topic::{TopicFilter, TopicName};

use crate::durable::RetainedTicket;
use crate::{Journal, Queue, QueueLimits, SessionHead, SessionId, Transaction};

/// A message kept for those who subscribe later (section 3.3.1.3).
#[derive(Clone, Debug, PartialEq)]
pub struct Retained {
    /// The message. Its expiry applies while it is kept.
    pub message: Message,
    /// The quality of service that it was published with.
    pub qos: QoS,
    /// Who published it, so that it can be withheld once they may not do so any more. `None`: nobody whom access
    /// rules are about, or nobody knows.
    pub source: Option<Arc<Source>>,
}

/// Who published a retained message.
///
/// ```
/// use mqtt_store::Source;
/// # let source = Source { client_id: "c".into(), username: None, address: None, listener: "l".into() };
/// let text = source.to_text();
/// assert_eq!(Source::from_text(&text), Some(source));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Client identifier.
    pub client_id: Box<str>,
    /// User name; `None` for an anonymous client.
    pub username: Option<Box<str>>,
    /// The listener it came through.
    pub listener: Box<str>,
    /// Where it came from.
    pub address: Option<IpAddr>,
}

impl Source {
    /// As one text, for a store: MQTT's strings never hold U+0000, which separates the parts.
    #[must_use]
    pub fn to_text(&self) -> String {
        let username = self.username.as_deref().map(|name| format!("={name}")).unwrap_or_default();
        let address = self.address.map(|address| address.to_string()).unwrap_or_default();
        [&*self.client_id, &username, &*self.listener, &address].join("\0")
    }

    /// What [`to_text`](Self::to_text) wrote; `None` if it did not.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('\0').collect();
        let [client_id, username, listener, address] = parts[..] else { return None };
        Some(Self {
            client_id: client_id.into(),
            username: username.strip_prefix('=').map(Into::into),
            listener: listener.into(),
            address: address.parse().ok(),
        })
    }
}

/// The session of a client that is away.
#[derive(Debug)]
pub struct Parked {
    /// Its subscriptions and unfinished exchanges.
    pub session: Session,
    /// When it ends; `None` for never.
    pub ends_at: Option<Instant>,
    /// The user it belongs to; `None` for an anonymous client.
    pub owner: Option<Box<str>>,
}

/// A session that was kept over a restart.
#[derive(Debug)]
pub struct Recovered {
    /// Its name in the store.
    pub id: SessionId,
    /// Its client, its expiry, its will.
    pub head: SessionHead,
    /// Its subscriptions and unfinished exchanges.
    pub session: Session,
    /// What waits for it.
    pub queue: Box<dyn Queue>,
}

/// What became of a message that was to be retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetainOutcome {
    /// It is the first on its topic.
    Added,
    /// It took the place of another ([MQTT-3.3.1-5]).
    Replaced,
    /// It was empty: what was there has gone ([MQTT-3.3.1-6]).
    Cleared,
    /// It was empty, and nothing was there.
    NothingToClear,
}

/// The most that may be retained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetainedLimits {
    /// Messages.
    pub messages_max: usize,
    /// Bytes, counted as [`Message::size_bytes`].
    pub bytes_max: usize,
}

impl Default for RetainedLimits {
    fn default() -> Self {
        Self { messages_max: 5_000_000, bytes_max: 4 << 30 }
    }
}

/// How much is retained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetainedTotals {
    /// Messages.
    pub messages: usize,
    /// Bytes, counted as [`Message::size_bytes`].
    pub bytes: usize,
}

/// A part of the retained messages that match a filter.
#[derive(Debug, Default)]
pub struct RetainedPage {
    /// The messages, in the store's own fixed order. There may be fewer than asked for, even none, although
    /// more are left: a store does not search for long without a pause.
    pub messages: Vec<Retained>,
    /// Where to go on; `None` when nothing is left. It need not be the topic of a message.
    pub next: Option<TopicName<Box<str>>>,
}

/// Why the store could not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// A stated limit on messages or bytes is reached.
    Full,
    /// The medium failed.
    Unavailable,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the store is full",
            Self::Unavailable => "the store is unavailable",
        })
    }
}

impl std::error::Error for StoreError {}

/// Keeps what must outlive a connection.
///
/// All methods may be called from any thread and return quickly; an implementation that writes to a disk
/// hands the work to a thread of its own.
///
/// ```
/// use std::time::{Duration, Instant};
/// use mqtt_codec::{Properties, QoS};
/// use mqtt_session::{Message, NO_PUBLISHER};
/// use mqtt_store::{MemoryStore, Retained, RetainedLimits, Store};
/// use mqtt_topic::TopicName;
///
/// /// Retains a text for a minute, whatever the store is.
/// fn keep(store: &dyn Store, topic: &str, text: &str, now: Instant) -> Result<(), Box<dyn std::error::Error>> {
///     let end = Some(now + Duration::from_secs(60));
///     let message = Message::new(TopicName::parse(topic)?, Properties::EMPTY, text.as_bytes(), NO_PUBLISHER, end);
///     store.retain(Retained { message, qos: QoS::AtMostOnce, source: None })?;
///     Ok(())
/// }
///
/// let (store, now) = (MemoryStore::new(RetainedLimits::default()), Instant::now());
/// keep(&store, "lamp", "on", now)?;
/// assert_eq!(store.retained_totals().messages, 1);
/// assert_eq!(store.expire_retained(now + Duration::from_secs(60)), ["lamp".into()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Keeps a message for its topic, or clears the topic if the payload is empty ([MQTT-3.3.1-7]).
    ///
    /// # Errors
    /// There is no room, or the medium failed: nothing has changed.
    fn retain(&self, retained: Retained) -> Result<RetainOutcome, StoreError>;

    /// As [`retain`](Self::retain), and notes in the transaction what has to be stored for it.
    ///
    /// # Errors
    /// Those of `retain`.
    fn retain_in(
        &self,
        retained: Retained,
        _publisher: Option<&Arc<str>>,
        _transaction: &mut Transaction,
    ) -> Result<RetainOutcome, StoreError> {
        self.retain(retained)
    }

    /// The retained messages that match, `messages_max` (above 0) at most, strictly after the topic `after`.
    /// Messages that have expired are left out.
    ///
    /// # Errors
    /// The medium failed.
    fn scan_retained(
        &self,
        filter: &TopicFilter<&str>,
        after: Option<&TopicName<Box<str>>>,
        messages_max: usize,
        now: Instant,
    ) -> Result<RetainedPage, StoreError>;

    /// As [`scan_retained`](Self::scan_retained), without waiting for a medium: `waker` makes what is woken when it is
    /// worth to ask again, with the same ticket and arguments.
    ///
    /// # Errors
    /// The medium failed.
    fn poll_retained(
        &self,
        _ticket: &mut Option<RetainedTicket>,
        filter: &TopicFilter<&str>,
        after: Option<&TopicName<Box<str>>>,
        messages_max: usize,
        now: Instant,
        _waker: &dyn Fn() -> Waker,
    ) -> Poll<Result<RetainedPage, StoreError>> {
        Poll::Ready(self.scan_retained(filter, after, messages_max, now))
    }

    /// How much is retained now.
    fn retained_totals(&self) -> RetainedTotals;

    /// Removes retained messages that have expired: the names of their topics. Some may be left if there were many, since
    /// nobody waits for long. Costs next to nothing where none has, so that it can be called often.
    fn expire_retained(&self, now: Instant) -> Vec<Box<str>>;

    /// When the next retained message expires; `None` if none ever does.
    fn next_retained_expiry(&self) -> Option<Instant>;

    /// A queue for the messages of one client's session. It lives as long as the session.
    ///
    /// # Errors
    /// The medium failed.
    fn open_queue(&self, client_id: &str, limits: QueueLimits) -> Result<Box<dyn Queue>, StoreError>;

    /// A queue for the messages of a session that outlives its connections.
    ///
    /// # Errors
    /// The medium failed.
    fn open_kept_queue(&self, client_id: &str, limits: QueueLimits) -> Result<Box<dyn Queue>, StoreError> {
        self.open_queue(client_id, limits)
    }

    /// A name for a session of which nothing but its head is kept, for the sake of its will; `None` if nothing
    /// outlives the process.
    fn new_session_id(&self) -> Option<SessionId> {
        None
    }

    /// Where changes are stored; `None` if nothing outlives the process.
    fn journal(&self) -> Option<&dyn Journal> {
        None
    }

    /// The sessions that were kept over a restart, once.
    fn take_recovered(&self) -> Vec<Recovered> {
        Vec::new()
    }

    /// Keeps the session of a client that went away.
    ///
    /// # Errors
    /// The medium failed; the session is lost to its client, who will be told so with session present 0.
    fn park(&self, client_id: &str, parked: Parked) -> Result<(), StoreError>;

    /// Gives a parked session back, for its client that returned or because it ends now.
    ///
    /// # Errors
    /// The medium failed.
    fn unpark(&self, client_id: &str) -> Result<Option<Parked>, StoreError>;

    /// Sessions that are parked.
    fn parked_len(&self) -> usize;
}
