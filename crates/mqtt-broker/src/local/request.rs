//! A request and its response (section 4.10).

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{LocalClient, LocalError, LocalMessage, Publication, Shared, Subscribe};
use mqtt_codec::{QoS, ReasonCode};

impl LocalClient {
    /// Publishes a request and waits for the first response with its Correlation Data.
    ///
    /// A Response Topic or Correlation Data that `publication` already has is used; what is missing is chosen so
    /// that nobody else has it. The responder needs the right to publish to the response topic, which is
    /// `response/` (or what [`Policy::response_information`](mqtt_session::Policy::response_information) says), the
    /// client identifier and a number.
    ///
    /// # Errors
    /// No response came in this time; nobody subscribed to the topic
    /// ([`LocalError::Refused`] with [`ReasonCode::NoMatchingSubscribers`]); or any error of subscribing and publishing.
    pub async fn request(
        &self,
        publication: Publication,
        timeout: Duration,
    ) -> Result<LocalMessage, LocalError> {
        let number = self.shared.requests.fetch_add(1, Ordering::Relaxed);
        let given = publication.properties.as_properties();
        let topic = given.response_topic().map_or_else(|| self.shared.response_topic(number), str::to_owned);
        let correlation =
            given.correlation_data().map_or_else(|| number.to_be_bytes().to_vec(), <[u8]>::to_vec);
        let expecting = publication.expecting(&topic, &correlation);
        let mut publication = expecting.map_err(|_| LocalError::InvalidProperties)?;
        publication.qos = publication.qos.max(QoS::AtLeastOnce);
        let mut responses = self.subscribe(Subscribe::to(&*topic).qos(QoS::AtLeastOnce)).await?;
        let published = self.publish_now(publication)?;
        if published.reason == ReasonCode::NoMatchingSubscribers {
            return Err(LocalError::Refused(published.reason));
        }
        let response = async {
            while let Some(response) = responses.recv().await {
                if response.properties().correlation_data() == Some(&correlation) {
                    return Ok(response);
                }
            }
            Err(LocalError::Stopped)
        };
        tokio::time::timeout(timeout, response).await.unwrap_or(Err(LocalError::TimedOut))
    }

    /// Answers a request: publishes `payload` to its Response Topic with its Correlation Data.
    ///
    /// # Errors
    /// The request names no response topic ([`LocalError::InvalidTopic`]), or any error of publishing.
    pub async fn respond(
        &self,
        request: &LocalMessage,
        payload: impl Into<Vec<u8>>,
    ) -> Result<(), LocalError> {
        let response =
            Publication::responding(request.properties(), payload).ok_or(LocalError::InvalidTopic)?;
        let response = response.qos(request.qos());
        self.publish(response).await.map(drop)
    }
}

impl Shared {
    fn response_topic(&self, number: u64) -> String {
        let start = self.core.settings.policy.response_information.as_deref().unwrap_or("response");
        format!("{start}/{}/{number}", self.identity.client_id)
    }
}
