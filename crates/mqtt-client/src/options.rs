//! How to connect.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mqtt_codec::{PropertiesBuf, QoS, Version};
use mqtt_session::{AliasUse, OurLimits, Publication};
use mqtt_transport::{Connection, Connector, Url, connect};

use crate::Authenticator;

/// A connection on its way.
pub(crate) type Dialing = Pin<Box<dyn Future<Output = io::Result<Connection>> + Send>>;

/// Opens the byte stream of each connection.
#[derive(Clone)]
pub(crate) struct Dialer(Arc<dyn Fn() -> Dialing + Send + Sync>);

impl Dialer {
    pub(crate) fn dial(&self) -> Dialing {
        (self.0)()
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialer")
    }
}

/// What a client says when it connects, and how it behaves afterwards. The fields may be set directly.
///
/// ```
/// use mqtt_client::{Options, Overflow};
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let options = Options::new("tcp://127.0.0.1:1883".parse()?)
///     .client_id("greenhouse-7")
///     .login("greenhouse", "secret")
///     .resume(3_600) // seconds that the session outlives a connection
///     .buffer(1_000, 1 << 20, Overflow::DropOldest);
/// # let _ = options;
/// # Ok(()) }
/// # run().unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(crate) dialer: Dialer,
    /// Protocol version; 5.0 unless set.
    pub version: Version,
    /// Client identifier; empty lets the server choose (not in 3.1).
    pub client_id: String,
    /// Whether the first connection begins with an empty session. In 3.x this is Clean Session.
    pub clean_start: bool,
    /// Seconds without traffic after which a PINGREQ is sent; 0 for never.
    pub keep_alive_s: u16,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<Vec<u8>>,
    /// What the server publishes if this client goes without a DISCONNECT.
    pub will: Option<Will>,
    /// Seconds that the server keeps the session without a connection (MQTT 5).
    pub session_expiry_s: u32,
    /// What the server may send; announced in MQTT 5.
    pub limits: OurLimits,
    /// Further properties of the CONNECT, such as User Property.
    pub properties: PropertiesBuf,
    /// Time for opening the stream and for the CONNACK.
    pub connect_timeout: Duration,
    /// How to connect again after a loss; `None` ends the client instead.
    pub reconnect: Option<Backoff>,
    /// Messages that may wait to be sent, connected or not.
    pub outgoing_max: usize,
    /// Bytes of messages that may wait to be sent: topic, properties, payload and what it takes to keep them.
    pub outgoing_bytes_max: usize,
    /// What happens to a message for which there is no room.
    pub overflow: Overflow,
    /// Messages that may wait in one subscription; at this number nothing more is read from the server, unless something
    /// is awaited from it: see [`Subscription`](crate::Subscription).
    pub incoming_max: usize,
    /// Which topics of outgoing messages get an alias, as far as the server takes any (MQTT 5). How many the server may
    /// use is [`OurLimits::topic_alias_maximum`].
    pub aliases: AliasUse,
    /// Whether [`Incoming::acknowledge`](crate::Incoming::acknowledge) has to be called for each message above QoS 0.
    /// Otherwise a message is acknowledged when every subscription that it belongs to has it.
    pub acknowledge_manually: bool,
    /// Enhanced authentication (MQTT 5).
    pub authentication: Option<Arc<dyn Authenticator>>,
}

/// What happens to a message when [`Options::outgoing_max`] or [`Options::outgoing_bytes_max`] is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overflow {
    /// The publisher waits until there is room.
    #[default]
    Wait,
    /// It fails with [`ClientError::BufferFull`](crate::ClientError::BufferFull).
    RefuseNewest,
    /// Those that have waited the longest fail with [`ClientError::BufferFull`](crate::ClientError::BufferFull).
    DropOldest,
}

/// A will (section 3.1.2.5).
#[derive(Clone, Debug)]
pub struct Will {
    /// Topic name.
    pub topic: String,
    /// The application's bytes.
    pub payload: Vec<u8>,
    /// Quality of service.
    pub qos: QoS,
    /// Whether it is published as a retained message.
    pub retain: bool,
    /// MQTT 5 properties, Will Delay Interval included.
    pub properties: PropertiesBuf,
}

impl From<Publication> for Will {
    fn from(publication: Publication) -> Self {
        let Publication { topic, payload, qos, retain, properties } = publication;
        Self { topic, payload, qos, retain, properties }
    }
}

/// Growing pauses between attempts to connect, each shortened at random by up to a half, so that many
/// clients do not come back at once.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Before the second attempt; doubled after each failure. The first attempt comes at once, unless the
    /// connection before it did not last either: one that was shorter than `longest` counts as a failure.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), longest: Duration::from_secs(60) }
    }
}

impl Backoff {
    /// The pause before an attempt, counted from 0. `random` is anything evenly spread.
    pub(crate) fn pause(&self, attempt: u32, random: u64) -> Duration {
        if attempt == 0 {
            return Duration::ZERO;
        }
        let factor = 1u32.checked_shl(attempt - 1).unwrap_or(u32::MAX);
        let full = self.first.saturating_mul(factor).min(self.longest);
        let share = u32::try_from(random % 1000).expect("below 1000");
        full - full * share / 2000
    }
}

impl Options {
    /// The method of enhanced authentication, in a version that has it.
    pub(crate) fn authenticator(&self) -> Option<&Arc<dyn Authenticator>> {
        self.authentication.as_ref().filter(|_| self.version == Version::V5)
    }

    /// Connects to an address, such as `tcp://host:port` or `ws://host:port/path`. With an encrypted one, the server's
    /// certificate must come from an authority that the system trusts; for others see [`Options::with_connector`].
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self::with_streams(move || {
            let url = url.clone();
            async move { connect(&url).await }
        })
    }

    /// Connects as a [`Connector`] does, which knows authorities, a certificate to show, and more.
    #[must_use]
    pub fn with_connector(connector: Connector) -> Self {
        let connector = Arc::new(connector);
        Self::with_streams(move || {
            let connector = connector.clone();
            async move { connector.connect().await }
        })
    }

    /// Connects through pipes that are there at once, such as those into a broker in the same program. `open` makes one for
    /// each connection.
    ///
    /// ```
    /// use mqtt_broker::{Broker, Peer};
    /// use mqtt_client::{Client, Options};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = Broker::builder().start().await?;
    /// let dialled = broker.clone();
    /// let (client, _) = Client::connect(Options::in_memory(move || dialled.dial(Peer::anonymous()))).await?;
    /// # drop(client); broker.shutdown().await; Ok(()) }
    /// ```
    #[must_use]
    pub fn in_memory<S: Into<Connection>>(open: impl Fn() -> S + Send + Sync + 'static) -> Self {
        Self::with_streams(move || std::future::ready(Ok(open().into())))
    }

    /// Connects through streams that `open` makes, one for each connection: a tunnel, TLS, whatever reads and writes.
    ///
    /// ```
    /// use mqtt_client::{Connection, Options};
    /// use tokio::net::TcpStream;
    ///
    /// let options = Options::with_streams(async || {
    ///     let stream = TcpStream::connect("127.0.0.1:1883").await?;
    ///     Ok(Connection::boxed(stream))
    /// });
    /// # let _ = options;
    /// ```
    #[must_use]
    pub fn with_streams<F>(open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Connection>> + Send + 'static,
    {
        Self {
            dialer: Dialer(Arc::new(move || Box::pin(open()))),
            version: Version::V5,
            client_id: String::new(),
            clean_start: true,
            keep_alive_s: 60,
            username: None,
            password: None,
            will: None,
            session_expiry_s: 0,
            limits: OurLimits::default(),
            properties: PropertiesBuf::new(),
            connect_timeout: Duration::from_secs(10),
            reconnect: Some(Backoff::default()),
            outgoing_max: 1000,
            outgoing_bytes_max: 16 << 20,
            overflow: Overflow::Wait,
            incoming_max: 1000,
            aliases: AliasUse::FirstCome,
            acknowledge_manually: false,
            authentication: None,
        }
    }

    /// Sets the client identifier.
    #[must_use]
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self
    }

    /// Sets the protocol version.
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// Keeps the session on the server for `expiry_s` seconds after a connection, and resumes one that is
    /// there already.
    #[must_use]
    pub fn resume(mut self, expiry_s: u32) -> Self {
        self.clean_start = false;
        self.session_expiry_s = expiry_s;
        self
    }

    /// Sets what the server publishes if this client goes without a DISCONNECT.
    ///
    /// ```
    /// use mqtt_client::{Options, Property, Publication, QoS};
    ///
    /// # fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let will = Publication::new("pumps/3/state", "lost").qos(QoS::AtLeastOnce).retain();
    /// let will = will.property(&Property::WillDelayInterval(30)); // seconds
    /// let options = Options::new("tcp://127.0.0.1:1883".parse()?).will(will);
    /// # let _ = options; Ok(()) }
    /// # run().unwrap();
    /// ```
    #[must_use]
    pub fn will(mut self, will: impl Into<Will>) -> Self {
        self.will = Some(will.into());
        self
    }

    /// Sets the pauses between attempts to connect again; `None` ends the client after a loss.
    #[must_use]
    pub fn reconnect(mut self, backoff: impl Into<Option<Backoff>>) -> Self {
        self.reconnect = backoff.into();
        self
    }

    /// Proves itself with a method of enhanced authentication (MQTT 5).
    #[must_use]
    pub fn authentication(mut self, authenticator: impl Authenticator + 'static) -> Self {
        self.authentication = Some(Arc::new(authenticator));
        self
    }

    /// Leaves the acknowledgement of each message to the application.
    #[must_use]
    pub fn acknowledge_manually(mut self) -> Self {
        self.acknowledge_manually = true;
        self
    }

    /// Sets how much may wait to be sent, and what happens then.
    #[must_use]
    pub fn buffer(mut self, messages_max: usize, bytes_max: usize, overflow: Overflow) -> Self {
        (self.outgoing_max, self.outgoing_bytes_max, self.overflow) = (messages_max, bytes_max, overflow);
        self
    }

    /// Sets user name and password.
    #[must_use]
    pub fn login(mut self, username: impl Into<String>, password: impl Into<Vec<u8>>) -> Self {
        self.username = Some(username.into());
        self.password = Some(password.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_are_at_most_halved() {
        let backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(10) };
        for (attempt, seconds) in [(0, 0), (1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (40, 10)] {
            let full = Duration::from_secs(seconds);
            assert_eq!(backoff.pause(attempt, 0), full);
            let shortest = backoff.pause(attempt, 999);
            assert!(shortest >= full / 2 && shortest <= full);
        }
    }
}
