//! A request and its response (section 4.10).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mqtt_codec::{QoS, ReasonCode};

use crate::{Client, ClientError, Incoming, Publication, Welcome};

/// Where a client expects responses.
#[derive(Debug)]
pub(crate) struct Requests {
    /// Where its response topics start: what the server said, or a place of its own.
    start: String,
    sent: AtomicU64,
}

impl Requests {
    pub(crate) fn new(welcome: &Welcome) -> Self {
        let said = welcome.properties.as_properties().response_information();
        let start = said.map_or_else(|| format!("response/{}", welcome.client_id), str::to_owned);
        Self { start, sent: AtomicU64::new(0) }
    }
}

impl Client {
    /// Publishes a request and waits for the first response with its Correlation Data (MQTT 5).
    ///
    /// A Response Topic or Correlation Data that `publication` already has is used; what is missing is chosen so that
    /// nobody else has it. The client needs the right to subscribe to the response topic, and the responder to publish to it:
    /// it is what the server said (Response Information), or `response/` and the client identifier, and a number.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use mqtt_client::{Client, Publication};
    ///
    /// # async fn run(client: Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let response = client.request(Publication::new("square", "12"), Duration::from_secs(5)).await?;
    /// println!("{}", response.text());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// No response came in this time; nobody subscribed to the topic ([`ClientError::Refused`] with
    /// [`ReasonCode::NoMatchingSubscribers`], above QoS 0, from servers that tell); or any error of subscribing and publishing.
    pub async fn request(
        &self,
        publication: Publication,
        timeout: Duration,
    ) -> Result<Incoming, ClientError> {
        let number = self.requests.sent.fetch_add(1, Ordering::Relaxed);
        let given = publication.properties.as_properties();
        let own_topic = || format!("{}/{number}", self.requests.start);
        let topic = given.response_topic().map_or_else(own_topic, str::to_owned);
        let correlation =
            given.correlation_data().map_or_else(|| number.to_be_bytes().to_vec(), <[u8]>::to_vec);
        let publication =
            publication.expecting(&topic, &correlation).map_err(|_| ClientError::NotEncodable)?;
        let response = async {
            let mut responses = self.subscribe_one(&topic, QoS::AtLeastOnce).await?;
            let reason = self.publish(publication).await?;
            if reason.is_error() || reason == ReasonCode::NoMatchingSubscribers {
                return Err(ClientError::Refused(reason));
            }
            loop {
                let response = responses.recv().await.ok_or(ClientError::Closed)?;
                if response.properties.as_properties().correlation_data() == Some(&correlation) {
                    return Ok(response);
                }
            }
        };
        tokio::time::timeout(timeout, response).await.unwrap_or(Err(ClientError::TimedOut))
    }

    /// Answers a request: publishes `payload` to its Response Topic with its Correlation Data, at its quality of service.
    ///
    /// # Errors
    /// The request names no response topic ([`ClientError::InvalidTopic`]), or any error of publishing.
    pub async fn respond(
        &self,
        request: &Incoming,
        payload: impl Into<Vec<u8>>,
    ) -> Result<ReasonCode, ClientError> {
        let response = Publication::responding(request.properties.as_properties(), payload);
        self.publish(response.ok_or(ClientError::InvalidTopic)?.qos(request.qos)).await
    }
}
