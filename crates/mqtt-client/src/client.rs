//! The handle that applications hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mqtt_codec::{PropertiesBuf, QoS, ReasonCode, SubscriptionOptions};
use mqtt_session::message::{expiry, forwarded};
use mqtt_session::{Delivery, Hop, Message, NO_PUBLISHER};
use mqtt_topic::{TopicFilter, TopicName};
use tokio::sync::{mpsc, oneshot, watch};

use crate::command::{Command, Outgoing, SubscribeRequest};
use crate::driver;
use crate::request::Requests;
use crate::{ClientError, ConnectError, Options, Publication, Subscription, Welcome};

/// A connected client. Clones are handles to the same one; it ends when the last handle has gone, or with
/// [`disconnect`](Self::disconnect).
///
/// ```no_run
/// use mqtt_client::{Client, Options, Publication, QoS, ReasonCode};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let (client, _) = Client::connect(Options::new("tcp://127.0.0.1:1883".parse()?)).await?;
/// let mut jobs = client.subscribe_one("jobs/+", QoS::AtLeastOnce).await?;
/// client.publish(Publication::new("jobs/7", "open").qos(QoS::AtLeastOnce)).await?;
/// let job = jobs.recv().await.ok_or("the client has ended")?;
/// println!("{}: {}", job.topic, job.text());
/// client.disconnect(ReasonCode::NORMAL_DISCONNECTION).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Status>,
    dropped: Arc<AtomicU64>,
    pub(crate) requests: Arc<Requests>,
}

/// How the connection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Connected; whether the server still had the session.
    Connected {
        /// Session Present of the CONNACK.
        session_present: bool,
    },
    /// The connection was lost; the client tries again.
    Reconnecting {
        /// Attempts since the loss.
        attempts: u32,
        /// Why it was lost, or why the latest attempt failed.
        cause: String,
    },
    /// The client has ended and will not connect again.
    Ended {
        /// Why.
        cause: String,
    },
}

/// The acknowledgement of a message, to be awaited or not.
#[derive(Debug)]
pub struct Acknowledgement(oneshot::Receiver<Result<ReasonCode, ClientError>>);

impl Acknowledgement {
    /// What the server answered: at QoS 1 the PUBACK's reason, at QoS 2 that of the PUBCOMP (or of a PUBREC
    /// that refused). At QoS 0 success, as soon as the message is on its way.
    ///
    /// # Errors
    /// It could not be sent, or the client ended before the answer.
    pub async fn wait(self) -> Result<ReasonCode, ClientError> {
        self.0.await.unwrap_or(Err(ClientError::Closed))
    }
}

impl Client {
    /// Connects. Returns when the server has admitted the client.
    ///
    /// # Errors
    /// The first attempt failed; reconnecting begins only after a connection that was established.
    pub async fn connect(options: Options) -> Result<(Self, Welcome), ConnectError> {
        let started = driver::start(options).await?;
        let driver::Started { commands, status, dropped, welcome } = started;
        let requests = Arc::new(Requests::new(&welcome));
        Ok((Self { commands, status, dropped, requests }, welcome))
    }

    /// Hands a message over and returns its acknowledgement, which may be awaited later. Waits only while
    /// too many messages wait to be sent. Above QoS 0 the message survives a loss of the connection.
    ///
    /// # Errors
    /// The topic is not valid, or the client has ended.
    pub async fn publish_nowait(&self, publication: Publication) -> Result<Acknowledgement, ClientError> {
        let delivery = into_delivery(&publication)?;
        let (answer, answered) = oneshot::channel();
        self.send(Command::Publish(Outgoing { delivery, answer })).await?;
        Ok(Acknowledgement(answered))
    }

    /// Publishes and waits for the acknowledgement.
    ///
    /// # Errors
    /// As [`publish_nowait`](Self::publish_nowait) and [`Acknowledgement::wait`].
    pub async fn publish(&self, publication: Publication) -> Result<ReasonCode, ClientError> {
        self.publish_nowait(publication).await?.wait().await
    }

    /// Subscribes with one SUBSCRIBE. Returns the stream of all messages that match any of the filters, and
    /// the server's answer for each. The subscription is made again when the server has lost the session. While the client
    /// connects again the request waits for the next connection.
    ///
    /// # Errors
    /// A filter is not valid, the client ended before the answer, [`ClientError::SessionLost`] if the connection is lost
    /// before it, or [`ClientError::BufferFull`] if 64 requests wait for a connection already.
    pub async fn subscribe(
        &self,
        filters: &[(&str, SubscriptionOptions)],
        properties: PropertiesBuf,
    ) -> Result<(Subscription, Vec<ReasonCode>), ClientError> {
        for (filter, _) in filters {
            TopicFilter::parse(*filter).map_err(|_| ClientError::InvalidTopic)?;
        }
        let filters = filters.iter().map(|(filter, options)| ((*filter).to_owned(), *options)).collect();
        let (answer, answered) = oneshot::channel();
        self.send(Command::Subscribe(SubscribeRequest { filters, properties, answer })).await?;
        answered.await.unwrap_or(Err(ClientError::Closed))
    }

    /// The messages on these topics that the server sends without having been asked by this client: for subscriptions of a
    /// session that goes on, or that the server or an operator has made for it. Sends nothing, and dropping it unsubscribes
    /// nothing. Messages that a subscription of this client is named for (MQTT 5) go there only.
    ///
    /// # Errors
    /// The filter is not valid, or the client has ended.
    pub async fn listen(&self, filter: &str) -> Result<Subscription, ClientError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Listen { filter: filter.to_owned(), answer }).await?;
        answered.await.unwrap_or(Err(ClientError::Closed))
    }

    /// Subscribes one filter at one quality of service.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe), and if the server refuses.
    pub async fn subscribe_one(&self, filter: &str, qos: QoS) -> Result<Subscription, ClientError> {
        let options = SubscriptionOptions { qos, ..SubscriptionOptions::default() };
        let (subscription, answers) = self.subscribe(&[(filter, options)], PropertiesBuf::new()).await?;
        match answers.into_iter().find(|reason| reason.is_error()) {
            Some(reason) => Err(ClientError::Refused(reason)),
            None => Ok(subscription),
        }
    }

    /// Ends subscriptions; returns the server's answer for each filter (none from 3.x servers). While the client connects
    /// again the request waits for the next connection.
    ///
    /// # Errors
    /// The client ended before the answer, [`ClientError::SessionLost`] if the connection is lost before it, or
    /// [`ClientError::BufferFull`] if 64 requests wait for a connection already.
    pub async fn unsubscribe(
        &self,
        filters: &[&str],
        properties: PropertiesBuf,
    ) -> Result<Vec<ReasonCode>, ClientError> {
        let filters = filters.iter().map(|filter| (*filter).to_owned()).collect();
        let (answer, answered) = oneshot::channel();
        self.send(Command::Unsubscribe { filters, properties, answer }).await?;
        answered.await.unwrap_or(Err(ClientError::Closed))
    }

    /// Proves itself anew, on the connection that is there (section 4.12.1): before a token ends, for example.
    ///
    /// # Errors
    /// [`ClientError::NotAuthenticated`] if no method was chosen or the server cannot show that it is the right one,
    /// [`ClientError::Refused`] if the server ends the connection over it, [`ClientError::SessionLost`] if the connection
    /// is lost or another exchange is under way.
    pub async fn reauthenticate(&self) -> Result<(), ClientError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Reauthenticate { answer }).await?;
        answered.await.unwrap_or(Err(ClientError::Closed))
    }

    /// Messages at QoS 0 that were dropped because a subscription was full while an answer of the server was awaited, and
    /// those that nobody had subscribed to.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Sends what waits, then a DISCONNECT, and ends the client.
    ///
    /// # Errors
    /// It has ended already.
    pub async fn disconnect(&self, reason: ReasonCode) -> Result<(), ClientError> {
        self.disconnect_with(reason, PropertiesBuf::new()).await
    }

    /// As [`disconnect`](Self::disconnect), with properties such as another Session Expiry Interval.
    ///
    /// # Errors
    /// It has ended already.
    pub async fn disconnect_with(
        &self,
        reason: ReasonCode,
        properties: PropertiesBuf,
    ) -> Result<(), ClientError> {
        let (answer, answered) = oneshot::channel();
        self.send(Command::Disconnect { reason, properties, answer }).await?;
        answered.await.unwrap_or(Err(ClientError::Closed))
    }

    /// How the connection stands, now and from now on.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    async fn send(&self, command: Command) -> Result<(), ClientError> {
        self.commands.send(command).await.map_err(|_| ClientError::Closed)
    }
}

fn into_delivery(publication: &Publication) -> Result<Delivery, ClientError> {
    publication.check()?;
    let topic = TopicName::parse(publication.topic.as_str()).map_err(|_| ClientError::InvalidTopic)?;
    let given = publication.properties.as_properties();
    let mut properties = PropertiesBuf::new();
    forwarded(given, &mut properties);
    let now = tokio::time::Instant::now().into_std();
    let expires_at = expiry(given.message_expiry_interval_s(), now);
    let message =
        Message::new(topic, properties.as_properties(), &publication.payload, NO_PUBLISHER, expires_at);
    let hop = Hop { retain: publication.retain, ..Hop::new(publication.qos) };
    Ok(Delivery { hop, message })
}
