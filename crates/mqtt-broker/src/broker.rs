//! Starting, embedding and stopping a broker.

use std::fmt;
use std::io;
use std::sync::Arc;

use hashbrown::HashMap;
use mqtt_access::bans::Bans;
use mqtt_codec::QoS;
use mqtt_session::{AuthenticationMethod, Message, Refusal};
use mqtt_store::{MemoryStore, Store};
use mqtt_topic::TopicName;
use mqtt_transport::{CertificateExpiry, Connection as Stream, Url};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::access::{Access, AnonymousOnly};
use crate::alarms::Alarms;
use crate::calendar::Calendar;
use crate::certificates::{Certificates, PreparedCertificates, watch_certificates};
use crate::client::{Client, ClientEntry};
use crate::clients::{Clients, Order};
use crate::connection::{Peer, serve, welcome};
use crate::core::Core;
use crate::drops::{DropLedger, Dropped};
use crate::gate::Gate;
use crate::hooks::{Chain, Events, Hooks};
use crate::index::Index;
use crate::leftovers::{Leftovers, count_leftovers};
use crate::listening::{ListenerSettings, Listening, Open, Place, enter};
use crate::local::{LOCAL_CLIENT_ID, LocalClient, LocalOptions, Locals};
use crate::memory::{Gauge, Memory, watch_memory};
use crate::metrics::{Metrics, MetricsSnapshot};
use crate::outbox::OutboxLimits;
use crate::peers::Peers;
use crate::rounds::end_rounds;
use crate::sweep::{Sweep, sweep_retained};
use crate::timetable::Timetable;
use crate::{Settings, sys};

/// Puts a broker together.
#[derive(Debug, Default)]
pub struct Builder {
    settings: Settings,
    listeners: Vec<ListenerSettings>,
    store: Option<Arc<dyn Store>>,
    access: Option<Arc<dyn Access>>,
    peers: Option<Arc<dyn Peers>>,
    hooks: Vec<Arc<dyn Hooks>>,
    methods: HashMap<Box<str>, Arc<dyn AuthenticationMethod>>,
    calendar: Calendar,
    bans: Bans,
    memory: Gauge,
}

/// A listener that could not be started.
#[derive(Debug)]
pub struct StartError {
    /// Where it should have listened.
    pub url: Url,
    /// What the system said.
    pub source: io::Error,
}

/// A running broker. Clones are handles to the same one; it runs until [`shutdown`](Self::shutdown).
#[derive(Clone, Debug)]
pub struct Broker {
    core: Arc<Core>,
    running: Arc<Running>,
}

#[derive(Debug)]
struct Running {
    urls: Vec<Url>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    local: LocalClient,
    /// Connections that have not ended, watched by a shutdown.
    open: Arc<Open>,
}

/// Bytes under way in each direction of a connection through memory.
const PIPE_BYTES: usize = 64 << 10;

/// Keys of this node's sessions are counted from 1 and never come so far.
const FOREIGN_KEYS: u64 = 1 << 63;

impl Builder {
    /// Replaces all settings.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Adds a listener.
    #[must_use]
    pub fn listen(mut self, listener: ListenerSettings) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Keeps state in `store` instead of in memory.
    #[must_use]
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Where milliseconds since 1970 come from, for what outlives the process; the default is the system's clock.
    /// Everything else follows tokio's clock.
    #[must_use]
    pub fn calendar(mut self, unix_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.calendar = Calendar::new(unix_ms);
        self
    }

    /// How many bytes of memory are in use, if that is known: what [`Limits::memory_bytes_max`](crate::Limits) is compared
    /// with, a few times in a second. The default is the resident memory of the process, which Linux tells.
    #[must_use]
    pub fn memory_gauge(mut self, used_bytes: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Self {
        self.memory = Gauge::new(used_bytes);
        self
    }

    /// Decides on logins and topics; the default is [`AnonymousOnly`].
    #[must_use]
    pub fn access(mut self, access: Arc<dyn Access>) -> Self {
        self.access = Some(access);
        self
    }

    /// Shuts out who is in these bans, whose handle the program may share and change. The default is an empty table of
    /// [`BANS_MAX`](crate::BANS_MAX); see [`Broker::ban`].
    #[must_use]
    pub fn bans(mut self, bans: Bans) -> Self {
        self.bans = bans;
        self
    }

    /// Adds a hook, to be asked after those that were added before it.
    #[must_use]
    pub fn hook(mut self, hook: Arc<dyn Hooks>) -> Self {
        self.hooks.push(hook);
        self
    }

    /// Makes the broker one node of many.
    #[must_use]
    pub fn peers(mut self, peers: Arc<dyn Peers>) -> Self {
        self.peers = Some(peers);
        self
    }

    /// Adds a method of enhanced authentication under its name.
    #[must_use]
    pub fn authentication_method(mut self, method: Arc<dyn AuthenticationMethod>) -> Self {
        self.methods.insert(method.name().into(), method);
        self
    }

    /// Binds all listeners and starts to serve, on the current tokio runtime.
    ///
    /// # Errors
    /// The first listener that cannot be bound. Nothing runs then.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(self) -> Result<Broker, StartError> {
        let mut bound = Vec::new();
        for listener in &self.listeners {
            let opened = Listening::bind(listener).await;
            bound.push(opened.map_err(|source| StartError { url: listener.url.clone(), source })?);
        }
        let open = Arc::new(Open::default());
        let urls = bound.iter().map(|listening| listening.url().clone()).collect();
        let mut builder = self;
        let gauge = std::mem::take(&mut builder.memory);
        let mut core = builder.into_core();
        core.certificates = Certificates::new(bound.iter().filter_map(Listening::tls));
        core.mountpoints = bound.iter().filter_map(Listening::mountpoint).collect();
        let core = Arc::new(core);
        core.log_storage();
        core.restore_sessions();
        let mut tasks = vec![tokio::spawn(core.clone().keep_timetable())];
        tasks.push(tokio::spawn(sweep_retained(core.clone())));
        tasks.push(tokio::spawn(count_leftovers(core.clone())));
        tasks.push(tokio::spawn(ring_alarms(core.clone())));
        tasks.push(tokio::spawn(end_rounds(core.clone())));
        if core.settings.limits.memory_bytes_max > 0 {
            tasks.push(tokio::spawn(watch_memory(
                core.clone(),
                gauge,
                core.settings.limits.memory_bytes_max,
            )));
        }
        if let Some(interval) = core.settings.sys.interval {
            tasks.push(tokio::spawn(sys::publish_regularly(core.clone(), interval)));
        }
        tasks.push(tokio::spawn(watch_certificates(core.clone(), core.settings.certificate_check_interval)));
        for listening in bound {
            tasks.push(tokio::spawn(listening.accept(core.clone(), open.clone())));
        }
        let local = LocalClient::new(core.clone(), LocalOptions::new(LOCAL_CLIENT_ID));
        let running = Running { urls, tasks: Mutex::new(tasks), local, open };
        let broker = Broker { core, running: Arc::new(running) };
        broker.core.hooks.tell(Events::STARTED, |hook| hook.started(&broker));
        Ok(broker)
    }

    pub(crate) fn into_core(self) -> Core {
        let limits = &self.settings.limits;
        let queue = &self.settings.queue;
        // A queue that is full drops, so publishers have to wait before it is.
        let outbox_limits = OutboxLimits {
            bytes_high: limits.outbox_bytes_high.min(queue.bytes_max / 2),
            messages_high: queue.messages_max / 2,
            stall_timeout: limits.stall_timeout,
            queue_qos0_offline: limits.queue_qos0_offline,
            queue: self.settings.queue,
        };
        let retained = self.settings.retained;
        let hooks = Arc::new(Chain::new(self.hooks));
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::new(retained)));
        Core {
            outbox_limits,
            certificates: Certificates::default(),
            mountpoints: HashMap::new(),
            is_durable: store.journal().is_some(),
            store,
            access: self.access.unwrap_or_else(|| Arc::new(AnonymousOnly)),
            methods: self.methods,
            index: Index::new(self.settings.shared_strategy, self.peers.clone()),
            peers: self.peers,
            hooks: hooks.clone(),
            clients: Clients::default(),
            timetable: Timetable::default(),
            alarms: Alarms::default(),
            sweep: Sweep::default(),
            leftovers: Leftovers::default(),
            bans: self.bans,
            gate: Gate::default(),
            memory: Memory::default(),
            metrics: Metrics::default(),
            drops: DropLedger::new(hooks),
            locals: Locals::default(),
            peer_id: Arc::from("$peer"),
            started_at: Instant::now().into_std(),
            calendar: self.calendar,
            stopping: watch::Sender::new(false),
            id_hasher: std::hash::RandomState::new(),
            settings: self.settings,
        }
    }
}

impl Broker {
    /// Starts to put a broker together.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Where it listens, with the real ports, in the order in which the listeners were added.
    #[must_use]
    pub fn addresses(&self) -> &[Url] {
        &self.running.urls
    }

    /// Serves a stream as a new connection: an in-memory pipe, or one that an embedder accepted itself.
    pub fn attach(&self, stream: impl Into<Stream>, peer: Peer) {
        let Some(place) = Place::take(&self.core, &self.running.open, None) else { return };
        let address = peer.address.map(|address| address.ip());
        let Some((visit, handshake)) = enter(&self.core, address) else { return };
        let until = Instant::now() + self.core.settings.limits.connect_timeout;
        let (core, stream) = (self.core.clone(), stream.into());
        let opening = Box::pin(async move {
            let opened = welcome(core, stream, peer, until).await;
            drop(handshake);
            Some((opened?, visit))
        });
        tokio::spawn(async move {
            serve(opening).await;
            drop(place);
        });
    }

    /// Opens a connection through memory, as if a client had come in from this peer; the client's end of it is returned.
    /// So the tests of any client can run against a broker of their own.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use mqtt_broker::{Broker, Peer};
    ///
    /// let broker = Broker::builder().start().await.expect("nothing has to be bound");
    /// let stream = broker.dial(Peer::anonymous());
    /// # let _ = stream;
    /// # }
    /// ```
    #[must_use]
    pub fn dial(&self, peer: Peer) -> Stream {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        self.attach(Stream::boxed(far), peer);
        Stream::boxed(near)
    }

    /// The broker's own client inside the program: privileged, so it may publish to `$SYS` and past all access
    /// rules. Always the same one.
    #[must_use]
    pub fn local(&self) -> LocalClient {
        self.running.local.clone()
    }

    /// A client inside the program with an identity of its own.
    #[must_use]
    pub fn local_as(&self, options: LocalOptions) -> LocalClient {
        LocalClient::new(self.core.clone(), options)
    }

    /// The client with this identifier: to look at it, disconnect it, end its session, subscribe for it or inject
    /// packets as if it had sent them.
    #[must_use]
    pub fn client(&self, client_id: &str) -> Client {
        Client::new(self.core.clone(), client_id)
    }

    /// Up to `limit` clients that are connected or have a session that is kept, in the order of their identifiers'
    /// bytes. The next page begins after the last identifier of this one.
    #[must_use]
    pub fn clients(&self, after: Option<&str>, limit: usize) -> Vec<ClientEntry> {
        let page = self.core.clients.page(after, limit);
        page.into_iter().map(|(client_id, online)| ClientEntry { client_id, online }).collect()
    }

    /// Applies changed access rules to what is there: subscriptions that are not allowed any more end, clients that may
    /// not stay are disconnected, and messages that wait are looked at again before they are sent.
    pub fn access_changed(&self) {
        self.core.index.changed();
        for handle in self.core.clients.online() {
            handle.order(Order::Recheck);
        }
    }

    /// Disconnects a client with a reason, a text and perhaps another server to go to (section 4.11).
    /// Whether it was connected. A will is published as for any end that the client did not ask for.
    pub fn disconnect(&self, client_id: &str, reason: impl Into<Refusal>) -> bool {
        let handle = self.core.clients.find(client_id);
        if let Some(handle) = &handle {
            handle.order(Order::Disconnect(reason.into()));
        }
        handle.is_some()
    }

    /// Stores and routes a message that another node's [`Peers`](crate::Peers) brought here. It is not told
    /// to the peers again. Its publisher is none of the sessions here, whatever its key is.
    pub fn deliver_from_peer(&self, message: &Message, qos: QoS, retain: bool) {
        let topic = TopicName::assume_valid(message.topic());
        let publisher = message.publisher() | FOREIGN_KEYS;
        let (properties, payload) = (message.properties(), message.payload());
        let message = Message::new(topic, properties, payload, publisher, message.expires_at());
        self.core.publish_here(&message, qos, retain, &self.core.peer_id, None);
    }

    /// Reads the certificates, keys, authorities and revocation lists of all listeners again. New connections get what is
    /// there now; those that exist go on. Where a file is wrong, that listener stays as it was.
    ///
    /// # Errors
    /// Each listener's files that could not be used.
    pub async fn reload_certificates(&self) -> Result<(), Vec<io::Error>> {
        let errors = self.core.reload_certificates(true).await;
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// The first half of [`reload_certificates`](Self::reload_certificates), for programs in which certificates change
    /// together with other things or not at all: reads the files of all listeners and changes nothing.
    ///
    /// # Errors
    /// Each listener's files that could not be used.
    pub async fn prepare_certificates(&self) -> Result<PreparedCertificates, Vec<io::Error>> {
        PreparedCertificates::read(&self.core).await
    }

    /// How long the certificates of the listeners are good.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateExpiry> {
        self.core.certificates.expiries()
    }

    /// All counters at this moment.
    #[must_use]
    pub fn metrics(&self) -> MetricsSnapshot {
        self.core.snapshot()
    }

    /// The latest messages that were discarded, oldest first, with reason, client and topic.
    #[must_use]
    pub fn latest_drops(&self) -> Vec<Dropped> {
        self.core.drops.latest()
    }

    /// Stops: accepts nobody any more, sends what clients take in time, tells MQTT 5 clients 0x8B and
    /// closes. Returns when all connections have ended or the shutdown timeout has passed.
    pub async fn shutdown(&self) {
        let open = &self.running.open;
        let stopped_before = self.core.stopping.send_replace(true);
        for handle in self.core.clients.online() {
            handle.order(Order::ShutDown);
        }
        let timeout = self.core.settings.limits.shutdown_timeout;
        if tokio::time::timeout(timeout, open.none_left()).await.is_err() {
            tracing::warn!(connections = open.count(), "connections did not end in time");
        }
        self.core.locals.end_all();
        for task in self.running.tasks.lock().drain(..) {
            task.abort();
        }
        self.core.leftovers.count_all(&self.core);
        if !stopped_before {
            self.core.hooks.tell(Events::STOPPED, |hook| hook.stopped());
        }
        if let Some(journal) = self.core.store.journal() {
            journal.close();
        }
    }
}

async fn ring_alarms(core: Arc<Core>) {
    core.alarms.ring().await;
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.url, self.source)
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
