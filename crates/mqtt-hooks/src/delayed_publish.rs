use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mqtt_broker::{
    Broker, Events, Hooks, Identity, InboundPublish, LocalOptions, Publication, PublishVerdict, ReasonCode,
    TopicName,
};
use parking_lot::Mutex;

/// Publishes what is sent to `$delayed/SECONDS/TOPIC` to `TOPIC` so many seconds later, with the rights that its client
/// has by then. The client is told [`ReasonCode::TopicNameInvalid`] if the topic is not of that form or the delay too
/// long, and [`ReasonCode::QuotaExceeded`] if too many messages wait. What waits is lost when the broker stops.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use mqtt_broker::Broker;
/// use mqtt_hooks::DelayedPublish;
///
/// // What goes to `$delayed/30/lamp` reaches `lamp` half a minute later.
/// let delayed = DelayedPublish::new(1_000, Duration::from_secs(3_600));
/// let builder = Broker::builder().hook(Arc::new(delayed));
/// # let _ = builder;
/// ```
#[derive(Debug)]
pub struct DelayedPublish {
    messages_max: usize,
    delay_max: Duration,
    waiting: Arc<AtomicUsize>,
    broker: Mutex<Option<Broker>>,
}

impl DelayedPublish {
    /// For so many messages at a time, with a delay of so much at most.
    #[must_use]
    pub fn new(messages_max: usize, delay_max: Duration) -> Self {
        Self { messages_max, delay_max, waiting: Arc::default(), broker: Mutex::default() }
    }

    /// Messages that wait now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn parse<'a>(&self, rest: &'a str) -> Option<(Duration, &'a str)> {
        let (seconds, topic) = rest.split_once('/')?;
        let delay = Duration::from_secs(seconds.parse().ok()?);
        (delay <= self.delay_max && TopicName::parse(topic).is_ok()).then_some((delay, topic))
    }
}

impl Hooks for DelayedPublish {
    fn interests(&self) -> Events {
        Events::STARTED | Events::STOPPED | Events::PUBLISH
    }

    fn started(&self, broker: &Broker) {
        *self.broker.lock() = Some(broker.clone());
    }

    fn stopped(&self) {
        *self.broker.lock() = None;
    }

    fn publish(&self, client: &Identity, publish: &InboundPublish<'_>) -> PublishVerdict {
        let Some(rest) = publish.topic.as_str().strip_prefix("$delayed/") else {
            return PublishVerdict::Pass;
        };
        let Some((delay, topic)) = self.parse(rest) else {
            return PublishVerdict::Reject(ReasonCode::TopicNameInvalid);
        };
        let Some(broker) = self.broker.lock().clone() else { return PublishVerdict::Pass };
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.messages_max {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return PublishVerdict::Reject(ReasonCode::QuotaExceeded);
        }
        let publication = Publication { topic: topic.to_owned(), ..Publication::from(publish) };
        let mut rights = LocalOptions::new(client.client_id.clone());
        if !client.privileged {
            rights = rights.unprivileged();
        }
        if let Some(username) = &client.username {
            rights = rights.username(username.clone());
        }
        if let Some(address) = client.address {
            rights = rights.address(address);
        }
        let waiting = self.waiting.clone();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            waiting.fetch_sub(1, Ordering::Relaxed);
            if let Err(error) = broker.local_as(rights).publish(publication).await {
                tracing::info!(%error, "a delayed message was not published");
            }
        });
        PublishVerdict::Swallow
    }
}
