//! The tools' use of the MQTT client.

use mqtt_client::{
    Acknowledgement, Backoff, Client, ClientError, ConnectError, Incoming, Options, Publication, Status,
    Subscription, Will,
};
use mqtt_codec::{PropertiesBuf, PropertyId, ReasonCode, SubscriptionOptions};
use mqtt_transport::Connector;
use tokio::sync::watch;
use tracing::{debug, warn};

use super::options::ConnectionOptions;
use crate::exit::{Exit, Failure};

/// A connection to the broker with at most one subscription.
#[derive(Debug)]
pub(crate) struct Link {
    client: Client,
    subscription: Option<Subscription>,
    disconnect_properties: PropertiesBuf,
}

/// What becomes of a connection that breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenLost {
    /// It is made again, as often as it takes.
    ConnectAgain,
    /// The tool ends.
    End,
}

/// A message that is not acknowledged yet.
#[derive(Debug)]
pub(crate) struct Pending {
    acknowledgement: Acknowledgement,
    status: watch::Receiver<Status>,
}

impl Pending {
    /// The broker's answer; success at QoS 0.
    ///
    /// # Errors
    /// There will be none.
    pub(crate) async fn acknowledged(self) -> Result<ReasonCode, Failure> {
        self.acknowledgement.wait().await.map_err(|error| failure(error, &self.status))
    }
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// Nobody is there, or the broker refuses.
    pub(crate) async fn open(options: ConnectionOptions, when_lost: WhenLost) -> Result<Self, Failure> {
        let disconnect_properties = options.disconnect_properties.clone();
        let url = options.url.clone();
        let connector = Connector::new(url.clone(), &options.connect);
        let connector = connector.map_err(|error| Failure::usage(format_args!("{url}: {error}")))?;
        let connected = Client::connect(client_options(connector, options, when_lost)).await;
        let (client, welcome) = connected.map_err(|error| match error {
            ConnectError::Refused { .. } => refused(error),
            _ => Failure::failed(format_args!("{url}: {error}")),
        })?;
        debug!(client_id = welcome.client_id, session_present = welcome.session_present, %url, "connected");
        tokio::spawn(tell_changes(client.status()));
        Ok(Self { client, subscription: None, disconnect_properties })
    }

    /// Hands a message over; waits only while too many wait before it.
    ///
    /// # Errors
    /// The client has ended.
    pub(crate) async fn publish(&self, message: Publication) -> Result<Pending, Failure> {
        let status = self.client.status();
        debug!(topic = message.topic, bytes = message.payload.len(), "publishing");
        match self.client.publish_nowait(message).await {
            Ok(acknowledgement) => Ok(Pending { acknowledgement, status }),
            Err(error) => Err(failure(error, &status)),
        }
    }

    /// Subscribes; the broker's answer for each filter.
    ///
    /// # Errors
    /// The client has ended, or the packet would be too large.
    pub(crate) async fn subscribe(
        &mut self,
        filters: &[String],
        options: SubscriptionOptions,
        properties: &PropertiesBuf,
    ) -> Result<Vec<ReasonCode>, Failure> {
        let filters: Vec<(&str, SubscriptionOptions)> =
            filters.iter().map(|filter| (filter.as_str(), options)).collect();
        let subscribed = self.client.subscribe(&filters, properties.clone()).await;
        let (subscription, answers) = subscribed.map_err(|error| self.failure(error))?;
        debug!(?answers, "subscribed");
        self.subscription = Some(subscription);
        Ok(answers)
    }

    /// Ends subscriptions of the session.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub(crate) async fn unsubscribe(
        &self,
        filters: &[String],
        properties: &PropertiesBuf,
    ) -> Result<(), Failure> {
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        let unsubscribed = self.client.unsubscribe(&filters, properties.clone()).await;
        let answers = unsubscribed.map_err(|error| self.failure(error))?;
        debug!(?answers, "unsubscribed");
        Ok(())
    }

    /// The next message of the subscription.
    ///
    /// # Errors
    /// There will be no more.
    pub(crate) async fn next(&mut self) -> Result<Incoming, Failure> {
        let subscription = self.subscription.as_mut().expect("only those who subscribed wait for messages");
        match subscription.recv().await {
            Some(incoming) => Ok(incoming),
            None => Err(self.failure(ClientError::Closed)),
        }
    }

    /// Says goodbye. The subscription is let go afterwards, since that would end it in the session as well.
    pub(crate) async fn close(self) {
        let Self { client, subscription, disconnect_properties } = self;
        // A client that has ended already has nothing left to say.
        let _ = client.disconnect_with(ReasonCode::NORMAL_DISCONNECTION, disconnect_properties).await;
        drop(subscription);
    }

    fn failure(&self, error: ClientError) -> Failure {
        failure(error, &self.client.status())
    }
}

/// Tells people what happens to a connection.
async fn tell_changes(mut status: watch::Receiver<Status>) {
    while status.changed().await.is_ok() {
        match &*status.borrow_and_update() {
            Status::Connected { session_present } => debug!(session_present, "connected"),
            Status::Reconnecting { attempts: 0, cause } => warn!("{cause}; connecting again"),
            Status::Reconnecting { attempts, cause } => debug!(attempts, cause, "not connected"),
            Status::Ended { cause } => debug!(cause, "ended"),
        }
    }
}

/// A client that has ended knows why.
fn failure(error: ClientError, status: &watch::Receiver<Status>) -> Failure {
    match &*status.borrow() {
        Status::Ended { cause } if error == ClientError::Closed => Failure::failed(cause),
        _ => Failure::failed(error),
    }
}

fn refused(error: ConnectError) -> Failure {
    let ConnectError::Refused { reason, server_reference, .. } = &error else {
        return Failure::failed(error);
    };
    let reference = server_reference.as_ref().map(|server| format!("; use {server} instead"));
    let message = format!("error: the connection was {error}{}", reference.unwrap_or_default());
    Failure { exit: Exit::Refused(*reason), message }
}

fn client_options(connector: Connector, given: ConnectionOptions, when_lost: WhenLost) -> Options {
    let mut options = Options::with_connector(connector);
    let properties = given.connect_properties.as_properties();
    options.version = given.version;
    options.client_id = given.client_id;
    options.clean_start = given.clean_start;
    options.keep_alive_s = given.keep_alive_s;
    options.username = given.username;
    options.password = given.password;
    options.will = given.will.map(|will| Will {
        topic: will.topic,
        payload: will.payload,
        qos: will.qos,
        retain: will.retain,
        properties: will.properties,
    });
    options.session_expiry_s = properties.session_expiry_interval_s().unwrap_or(0);
    let limits = &mut options.limits;
    limits.receive_maximum = properties.receive_maximum().unwrap_or(limits.receive_maximum);
    limits.topic_alias_maximum = properties.topic_alias_maximum().unwrap_or(limits.topic_alias_maximum);
    if let Some(bytes) = properties.maximum_packet_size() {
        limits.maximum_packet_size_bytes = bytes.get();
    }
    options.properties.extend_where(properties, |id| !is_own_option(id));
    options.reconnect = (when_lost == WhenLost::ConnectAgain).then(Backoff::default);
    options
}

/// Properties that the client sends because of its own options.
fn is_own_option(id: PropertyId) -> bool {
    matches!(
        id,
        PropertyId::SessionExpiryInterval
            | PropertyId::ReceiveMaximum
            | PropertyId::TopicAliasMaximum
            | PropertyId::MaximumPacketSize
    )
}
