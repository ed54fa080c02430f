//! The client for programs without an async runtime. Each call waits until it is done; the connection lives on a thread
//! of its own, so messages arrive and keep-alives are sent meanwhile.
//!
//! ```no_run
//! use mqtt_client::blocking::Client;
//! use mqtt_client::{Options, Publication, QoS};
//!
//! # fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let options = Options::new("tcp://127.0.0.1:1883".parse()?).client_id("greenhouse-7");
//! let (client, _welcome) = Client::connect(options)?;
//! let mut alarms = client.subscribe_one("greenhouse/+/alarm", QoS::AtLeastOnce)?;
//! client.publish(Publication::new("greenhouse/7/temperature", "21.5"))?;
//! for alarm in alarms.iter() {
//!     println!("{}: {} bytes", alarm.topic, alarm.payload.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here may be called from within an async runtime: it would stop that runtime, and panics instead.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use mqtt_codec::{PropertiesBuf, QoS, ReasonCode, SubscriptionOptions};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::{ClientError, ConnectError, Incoming, Options, Publication, Status, Welcome};

/// As [`Client`](crate::Client), with calls that block.
///
/// ```no_run
/// use mqtt_client::blocking::Client;
/// use mqtt_client::{Options, Publication, QoS};
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let (client, _) = Client::connect(Options::new("tcp://127.0.0.1:1883".parse()?))?;
/// let mut jobs = client.subscribe_one("jobs/+", QoS::AtLeastOnce)?;
/// client.publish(Publication::new("jobs/7", "open"))?;
/// for job in jobs.iter() {
///     println!("{}: {}", job.topic, job.text());
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    client: crate::Client,
    runtime: Arc<Runtime>,
}

/// As [`Subscription`](crate::Subscription), with calls that block.
#[derive(Debug)]
#[must_use = "dropping a subscription ends it"]
pub struct Subscription {
    subscription: crate::Subscription,
    runtime: Arc<Runtime>,
}

/// The thread on which a client's connection lives. It ends with the last handle.
#[derive(Debug)]
struct Runtime {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Runtime {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = move || {
            // The sender is dropped or used when the last handle goes.
            runtime.block_on(stopped).ok();
        };
        let thread = std::thread::Builder::new().name("mqtt-client".into()).spawn(serve)?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok(); // a panic there has been told by its hook
        }
    }
}

impl Client {
    /// Connects. Returns when the server has admitted the client.
    ///
    /// # Errors
    /// As [`Client::connect`](crate::Client::connect), and if no thread can be started.
    pub fn connect(options: Options) -> Result<(Self, Welcome), ConnectError> {
        let runtime = Arc::new(Runtime::start()?);
        let (client, welcome) = runtime.handle.block_on(crate::Client::connect(options))?;
        Ok((Self { client, runtime }, welcome))
    }

    /// Publishes and waits for the acknowledgement.
    ///
    /// # Errors
    /// As [`Client::publish`](crate::Client::publish).
    pub fn publish(&self, publication: Publication) -> Result<ReasonCode, ClientError> {
        self.wait(self.client.publish(publication))
    }

    /// Subscribes with one SUBSCRIBE.
    ///
    /// # Errors
    /// As [`Client::subscribe`](crate::Client::subscribe).
    pub fn subscribe(
        &self,
        filters: &[(&str, SubscriptionOptions)],
        properties: PropertiesBuf,
    ) -> Result<(Subscription, Vec<ReasonCode>), ClientError> {
        let (subscription, answers) = self.wait(self.client.subscribe(filters, properties))?;
        Ok((Subscription { subscription, runtime: self.runtime.clone() }, answers))
    }

    /// The messages that the server sends without having been asked by this client.
    ///
    /// # Errors
    /// As [`Client::listen`](crate::Client::listen).
    pub fn listen(&self, filter: &str) -> Result<Subscription, ClientError> {
        let subscription = self.wait(self.client.listen(filter))?;
        Ok(Subscription { subscription, runtime: self.runtime.clone() })
    }

    /// Subscribes one filter at one quality of service.
    ///
    /// # Errors
    /// As [`Client::subscribe_one`](crate::Client::subscribe_one).
    pub fn subscribe_one(&self, filter: &str, qos: QoS) -> Result<Subscription, ClientError> {
        let subscription = self.wait(self.client.subscribe_one(filter, qos))?;
        Ok(Subscription { subscription, runtime: self.runtime.clone() })
    }

    /// Ends subscriptions.
    ///
    /// # Errors
    /// As [`Client::unsubscribe`](crate::Client::unsubscribe).
    pub fn unsubscribe(
        &self,
        filters: &[&str],
        properties: PropertiesBuf,
    ) -> Result<Vec<ReasonCode>, ClientError> {
        self.wait(self.client.unsubscribe(filters, properties))
    }

    /// Publishes a request and waits for the first response (section 4.10).
    ///
    /// # Errors
    /// As [`Client::request`](crate::Client::request).
    pub fn request(&self, publication: Publication, timeout: Duration) -> Result<Incoming, ClientError> {
        self.wait(self.client.request(publication, timeout))
    }

    /// Answers a request.
    ///
    /// # Errors
    /// As [`Client::respond`](crate::Client::respond).
    pub fn respond(
        &self,
        request: &Incoming,
        payload: impl Into<Vec<u8>>,
    ) -> Result<ReasonCode, ClientError> {
        self.wait(self.client.respond(request, payload))
    }

    /// Proves itself anew, on the connection that is there (section 4.12.1).
    ///
    /// # Errors
    /// As [`Client::reauthenticate`](crate::Client::reauthenticate).
    pub fn reauthenticate(&self) -> Result<(), ClientError> {
        self.wait(self.client.reauthenticate())
    }

    /// Sends what waits, then a DISCONNECT, and ends the client.
    ///
    /// # Errors
    /// It has ended already.
    pub fn disconnect(&self, reason: ReasonCode) -> Result<(), ClientError> {
        self.wait(self.client.disconnect(reason))
    }

    /// How the connection stands now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.client.status().borrow().clone()
    }

    fn wait<F: Future>(&self, call: F) -> F::Output {
        self.runtime.handle.block_on(call)
    }
}

impl Subscription {
    /// The next message; `None` when the client has ended or the filters were unsubscribed, and everything before was
    /// received.
    pub fn recv(&mut self) -> Option<Incoming> {
        self.runtime.handle.block_on(self.subscription.recv())
    }

    /// The same, for so long at most.
    ///
    /// # Errors
    /// [`ClientError::TimedOut`] if no message came in time, [`ClientError::Closed`] if none will.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Incoming, ClientError> {
        let next = async { tokio::time::timeout(timeout, self.subscription.recv()).await };
        let next = self.runtime.handle.block_on(next).map_err(|_| ClientError::TimedOut)?;
        next.ok_or(ClientError::Closed)
    }

    /// The messages, until the end.
    pub fn iter(&mut self) -> impl Iterator<Item = Incoming> + '_ {
        std::iter::from_fn(|| self.recv())
    }
}
