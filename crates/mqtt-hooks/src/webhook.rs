//! Events as JSON, in batches, to somebody else.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mqtt_broker::{
    Answer, Broker, DisconnectCause, DropReason, Events, Hooks, Identity, InboundPublish, QoS, ReasonCode,
    SubscriptionOptions,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

/// Takes batches of events: an HTTP service ([`mqtt_http::Client`]), or whatever a program makes of them.
///
/// ```
/// use mqtt_broker::Answer;
/// use mqtt_hooks::Deliver;
///
/// /// Prints each batch instead of sending it.
/// struct Printer;
///
/// impl Deliver for Printer {
///     fn deliver<'a>(&'a self, batch: &'a str) -> Answer<'a, Result<(), String>> {
///         Box::pin(async move {
///             println!("{batch}");
///             Ok(())
///         })
///     }
/// }
/// # let _ = Printer;
/// ```
pub trait Deliver: Send + Sync + 'static {
    /// Delivers a batch, a JSON array of objects. Another one begins only when this has ended.
    ///
    /// # Errors
    /// What went wrong, for the log. The batch is tried again as often as the options say.
    fn deliver<'a>(&'a self, batch: &'a str) -> Answer<'a, Result<(), String>>;
}

impl Deliver for mqtt_http::Client {
    fn deliver<'a>(&'a self, batch: &'a str) -> Answer<'a, Result<(), String>> {
        Box::pin(async move {
            let request = mqtt_http::Request::post("application/json", batch.to_owned());
            let response = self.send(request).await.map_err(|error| error.to_string())?;
            if response.is_success() { Ok(()) } else { Err(format!("status {}", response.status)) }
        })
    }
}

/// How a [`Webhook`] works.
#[derive(Clone, Debug)]
pub struct WebhookOptions {
    /// What is told: of SESSION_ESTABLISHED, DISCONNECTED, SESSION_ENDED, SUBSCRIBED, UNSUBSCRIBED, PUBLISHED,
    /// ACKNOWLEDGED and DROPPED.
    pub events: Events,
    /// Events that may wait; more are dropped and counted.
    pub queue_max: usize,
    /// Events in one batch at most.
    pub batch_max: usize,
    /// How long the first event of a batch waits for more.
    pub batch_time: Duration,
    /// Time for one attempt to deliver a batch.
    pub timeout: Duration,
    /// Attempts for one batch; then its events are dropped and counted.
    pub attempts_max: u32,
    /// Pause after the first failed attempt; doubled after each further one.
    pub pause: Duration,
    /// Bytes of a message's payload that are told.
    pub payload_bytes_max: usize,
}

impl Default for WebhookOptions {
    fn default() -> Self {
        Self {
            events: Events::SESSION_ESTABLISHED | Events::DISCONNECTED | Events::PUBLISHED,
            queue_max: 10_000,
            batch_max: 100,
            batch_time: Duration::from_millis(100),
            timeout: Duration::from_secs(5),
            attempts_max: 3,
            pause: Duration::from_secs(1),
            payload_bytes_max: 64 << 10,
        }
    }
}

/// Tells somebody else what happens, in batches of JSON, without ever holding up the broker: what does not fit into its
/// queue, and what cannot be delivered, is dropped and counted.
///
/// Each event is an object with `event`, `time_ms` (since 1970) and, where they apply, `client_id`, `username`,
/// `address`, `topic`, `qos`, `retain`, `payload` (or `payload_base64`, if it is no UTF-8), `reason`, `cause`, `filter`.
///
/// ```
/// use std::sync::Arc;
/// use mqtt_broker::{Answer, Broker, Events};
/// use mqtt_hooks::{Deliver, Webhook, WebhookOptions};
///
/// # struct Printer;
/// # impl Deliver for Printer {
/// #     fn deliver<'a>(&'a self, _: &'a str) -> Answer<'a, Result<(), String>> { Box::pin(async { Ok(()) }) }
/// # }
/// let options = WebhookOptions { events: Events::DISCONNECTED, ..WebhookOptions::default() };
/// let webhook = Arc::new(Webhook::new(Printer, options));
/// let builder = Broker::builder().hook(webhook.clone());
/// assert_eq!(webhook.dropped(), 0);
/// # let _ = builder;
/// ```
pub struct Webhook {
    options: WebhookOptions,
    events: mpsc::Sender<Value>,
    figures: Arc<Figures>,
    /// Until the broker starts.
    start: Mutex<Option<(Courier, mpsc::Receiver<Value>)>>,
}

/// What became of events.
#[derive(Debug, Default)]
struct Figures {
    queued: AtomicU64,
    delivered: AtomicU64,
    dropped: AtomicU64,
    /// Events that have left the queue, delivered or not.
    done: watch::Sender<u64>,
}

/// The task that delivers.
struct Courier {
    options: WebhookOptions,
    to: Box<dyn Deliver>,
    figures: Arc<Figures>,
}

impl Webhook {
    /// Delivers to somebody.
    #[must_use]
    pub fn new(to: impl Deliver, options: WebhookOptions) -> Self {
        let (events, waiting) = mpsc::channel(options.queue_max.max(1));
        let figures = Arc::new(Figures::default());
        let courier = Courier { options: options.clone(), to: Box::new(to), figures: figures.clone() };
        Self { options, events, figures, start: Mutex::new(Some((courier, waiting))) }
    }

    /// Events that were delivered.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.figures.delivered.load(Ordering::Relaxed)
    }

    /// Events that were not: the queue was full, or no attempt succeeded.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.figures.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything that is queued now has been delivered or given up.
    pub async fn flush(&self) {
        let queued = self.figures.queued.load(Ordering::Relaxed);
        // The sender lives as long as this hook.
        self.figures.done.subscribe().wait_for(|done| *done >= queued).await.ok();
    }

    fn tell(&self, event: &str, mut fields: Value) {
        fields["event"] = event.into();
        fields["time_ms"] = unix_ms().into();
        if self.events.try_send(fields).is_ok() {
            self.figures.queued.fetch_add(1, Ordering::Relaxed);
        } else {
            self.figures.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Courier {
    async fn run(self, mut waiting: mpsc::Receiver<Value>) {
        let mut batch = Vec::new();
        while let Some(first) = waiting.recv().await {
            batch.push(first);
            let full = async {
                while batch.len() < self.options.batch_max {
                    let Some(next) = waiting.recv().await else { break };
                    batch.push(next);
                }
            };
            tokio::time::timeout(self.options.batch_time, full).await.ok();
            let events = batch.len() as u64;
            let text = Value::Array(std::mem::take(&mut batch)).to_string();
            let counter =
                if self.deliver(&text).await { &self.figures.delivered } else { &self.figures.dropped };
            counter.fetch_add(events, Ordering::Relaxed);
            self.figures.done.send_modify(|done| *done += events);
        }
    }

    /// Whether any attempt succeeded.
    async fn deliver(&self, batch: &str) -> bool {
        let mut pause = self.options.pause;
        for attempt in 1..=self.options.attempts_max.max(1) {
            let delivery = tokio::time::timeout(self.options.timeout, self.to.deliver(batch)).await;
            match delivery.unwrap_or_else(|_| Err("no answer in time".into())) {
                Ok(()) => return true,
                Err(error) => tracing::warn!(attempt, error, "a batch of events was not delivered"),
            }
            if attempt < self.options.attempts_max {
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2);
            }
        }
        false
    }
}

impl Hooks for Webhook {
    fn interests(&self) -> Events {
        self.options.events | Events::STARTED
    }

    fn started(&self, _: &Broker) {
        if let Some((courier, waiting)) = self.start.lock().take() {
            tokio::spawn(courier.run(waiting));
        }
    }

    fn session_established(&self, client: &Identity, session_present: bool) {
        let mut fields = of_client(client);
        fields["session_present"] = session_present.into();
        self.tell("session_established", fields);
    }

    fn disconnected(&self, client: &Identity, cause: DisconnectCause) {
        let mut fields = of_client(client);
        fields["cause"] = format!("{cause:?}").into();
        self.tell("disconnected", fields);
    }

    fn session_ended(&self, client_id: &str) {
        self.tell("session_ended", json!({ "client_id": client_id }));
    }

    fn subscribed(&self, client: &Identity, filter: &str, options: SubscriptionOptions) {
        let mut fields = of_client(client);
        fields["filter"] = filter.into();
        fields["qos"] = (options.qos as u8).into();
        self.tell("subscribed", fields);
    }

    fn unsubscribed(&self, client: &Identity, filter: &str) {
        let mut fields = of_client(client);
        fields["filter"] = filter.into();
        self.tell("unsubscribed", fields);
    }

    fn published(&self, client: &Identity, publish: &InboundPublish<'_>, reason: ReasonCode) {
        let mut fields = of_client(client);
        fields["topic"] = publish.topic.as_str().into();
        fields["qos"] = (publish.qos as u8).into();
        fields["retain"] = publish.retain.into();
        fields["reason"] = (reason as u8).into();
        let told = &publish.payload[..publish.payload.len().min(self.options.payload_bytes_max)];
        match std::str::from_utf8(told) {
            Ok(text) => fields["payload"] = text.into(),
            Err(_) => fields["payload_base64"] = STANDARD.encode(told).into(),
        }
        self.tell("published", fields);
    }

    fn acknowledged(&self, client: &Identity, packet_id: u16, reason: ReasonCode) {
        let mut fields = of_client(client);
        fields["packet_id"] = packet_id.into();
        fields["reason"] = (reason as u8).into();
        self.tell("acknowledged", fields);
    }

    fn dropped(&self, reason: DropReason, client_id: &str, topic: &str, qos: QoS) {
        let reason = reason.name();
        self.tell(
            "dropped",
            json!({ "client_id": client_id, "topic": topic, "qos": qos as u8, "reason": reason }),
        );
    }
}

fn of_client(client: &Identity) -> Value {
    let mut fields = json!({ "client_id": &*client.client_id });
    if let Some(username) = &client.username {
        fields["username"] = (&**username).into();
    }
    if let Some(address) = client.address {
        fields["address"] = address.to_string().into();
    }
    fields
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("options", &self.options)
            .field("figures", &self.figures)
            .finish_non_exhaustive()
    }
}
