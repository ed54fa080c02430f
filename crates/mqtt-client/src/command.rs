//! What a handle asks of the driver.

use mqtt_codec::{PropertiesBuf, ReasonCode, SubscriptionOptions};
use mqtt_session::Delivery;
use tokio::sync::oneshot;

use crate::{ClientError, Subscription};

/// Where an answer goes.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, ClientError>>;

/// Answers; whoever does not wait for it has dropped the other end.
pub(crate) fn tell<T>(answer: Answer<T>, result: Result<T, ClientError>) {
    answer.send(result).ok();
}

#[derive(Debug)]
pub(crate) enum Command {
    Publish(Outgoing),
    Subscribe(SubscribeRequest),
    Listen { filter: String, answer: Answer<Subscription> },
    Unsubscribe { filters: Vec<String>, properties: PropertiesBuf, answer: Answer<Vec<ReasonCode>> },
    Reauthenticate { answer: Answer<()> },
    Disconnect { reason: ReasonCode, properties: PropertiesBuf, answer: Answer<()> },
}

/// A message and who waits for its acknowledgement.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) delivery: Delivery,
    pub(crate) answer: Answer<ReasonCode>,
}

#[derive(Debug)]
pub(crate) struct SubscribeRequest {
    pub(crate) filters: Vec<(String, SubscriptionOptions)>,
    pub(crate) properties: PropertiesBuf,
    pub(crate) answer: Answer<(Subscription, Vec<ReasonCode>)>,
}
