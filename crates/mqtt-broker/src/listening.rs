//! Where connections come in: listeners, their rules, and the count of what is open.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mqtt_codec::Version;
use mqtt_transport::{
    Arrival, Cause, CertificateField, Incoming, Listener, ListenerOptions, Scheme, TlsServer, Url,
};
use tokio::time::Instant;

use crate::connection::{Connection, Peer, serve, welcome};
use crate::core::Core;
use crate::gate::{Handshake, Visit};
use crate::mountpoint::MountpointTemplate;
use crate::refusals::EntryRefusal;

/// A place where connections come in. More fields may come: start with [`ListenerSettings::new`].
///
/// ```
/// use mqtt_broker::{Broker, ListenerRules, ListenerSettings};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut inside = ListenerSettings::new("tcp://127.0.0.1:0".parse()?).allow_anonymous();
/// inside.rules = ListenerRules { name: "inside".into(), connections_max: Some(100), ..inside.rules };
/// let broker = Broker::builder().listen(inside).start().await?;
/// assert_ne!(broker.addresses()[0].port(), 0);
/// # broker.shutdown().await; Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// Scheme, address, port (0 for any free one) and path.
    pub url: Url,
    /// What holds for its clients.
    pub rules: ListenerRules,
    /// How its sockets are treated.
    pub transport: ListenerOptions,
}

impl ListenerSettings {
    /// A listener with the default rules and options.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self { url, rules: ListenerRules::default(), transport: ListenerOptions::default() }
    }

    /// Admits clients that do not show who they are.
    #[must_use]
    pub fn allow_anonymous(mut self) -> Self {
        self.rules.allow_anonymous = true;
        self
    }
}

/// What holds for all clients of one listener. More fields may come: build it with `..ListenerRules::default()`.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerRules {
    /// What logs and access rules call it. Empty: its address, with the real port.
    pub name: Arc<str>,
    /// Whether clients are admitted that do not show who they are.
    pub allow_anonymous: bool,
    /// Names of those who decide on logins here, in their order, for an [`Access`](crate::Access) that has several.
    /// `None`: its usual ones.
    pub authentication: Option<Arc<[Arc<str>]>>,
    /// Lowest protocol version admitted; the [`Policy`](mqtt_session::Policy) may exclude more.
    pub version_min: Version,
    /// Highest protocol version admitted.
    pub version_max: Version,
    /// Connections at a time; one more is closed without a word. `None`: as many as the broker has places for.
    pub connections_max: Option<usize>,
    /// The name in a client's certificate that becomes its user name, whatever its CONNECT says.
    pub username_from: Option<CertificateField>,
    /// The part of the topic tree that its clients take for the whole; `None` for the whole.
    pub mountpoint: Option<MountpointTemplate>,
    /// The transport, under which its refusals are counted; set from its address when it is opened. For streams that an
    /// embedder attaches it says what they are.
    pub scheme: Scheme,
}

impl Default for ListenerRules {
    fn default() -> Self {
        Self {
            name: Arc::from(""),
            allow_anonymous: false,
            authentication: None,
            version_min: Version::V3_1,
            version_max: Version::V5,
            connections_max: None,
            username_from: None,
            mountpoint: None,
            scheme: Scheme::Tcp,
        }
    }
}

impl ListenerRules {
    pub(crate) fn admits_version(&self, version: Version) -> bool {
        (self.version_min..=self.version_max).contains(&version)
    }
}

/// A listener whose socket is open.
#[derive(Debug)]
pub(crate) struct Listening {
    listener: Listener,
    rules: Arc<ListenerRules>,
    open: Arc<AtomicUsize>,
}

/// A full table of file descriptors is not worth a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl Listening {
    pub(crate) async fn bind(settings: &ListenerSettings) -> io::Result<Self> {
        let listener = Listener::bind(&settings.url, settings.transport.clone()).await?;
        let mut rules = ListenerRules { scheme: settings.url.scheme(), ..settings.rules.clone() };
        if rules.name.is_empty() {
            rules.name = listener.url().to_string().into();
        }
        Ok(Self { listener, rules: Arc::new(rules), open: Arc::default() })
    }

    /// The address with the real port.
    pub(crate) fn url(&self) -> &Url {
        self.listener.url()
    }

    /// Where its clients are mounted, by its name.
    pub(crate) fn mountpoint(&self) -> Option<(Arc<str>, MountpointTemplate)> {
        Some((self.rules.name.clone(), self.rules.mountpoint.clone()?))
    }

    /// Its TLS side.
    pub(crate) fn tls(&self) -> Option<Arc<TlsServer>> {
        self.listener.tls().cloned()
    }

    /// Accepts until the broker stops. Each connection's handshake runs in its own task.
    pub(crate) async fn accept(self, core: Arc<Core>, open: Arc<Open>) {
        let mut stopping = core.stopping.subscribe();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = stopping.wait_for(|stopping| *stopping) => return,
            };
            match accepted {
                Ok(incoming) => {
                    let address = incoming.peer().map(|peer| peer.ip());
                    let Some(place) = Place::take(&core, &open, Some(&self)) else { continue };
                    let Some((visit, handshake)) = enter(&core, address) else { continue };
                    let scheme = self.url().scheme();
                    let (core, rules) = (core.clone(), self.rules.clone());
                    let opening = Box::pin(async move {
                        let opened = opening(core, incoming, rules, scheme, visit).await;
                        drop(handshake);
                        opened
                    });
                    tokio::spawn(async move {
                        serve(opening).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::error!(listener = &*self.rules.name, %error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Whether a new connection is looked at at all; counted if not.
pub(crate) fn enter(core: &Core, address: Option<IpAddr>) -> Option<(Option<Box<Visit>>, Handshake)> {
    let knocked = if core.memory.is_over() { Err(EntryRefusal::Memory) } else { knock(core, address) };
    let entered = knocked.and_then(|()| core.gate.enter(&core.settings.limits, address, core.now()));
    entered.map_err(|refusal| note_refused(core, address, refusal)).ok()
}

/// The same for the address that a proxy has told in the handshake.
fn reveal(core: &Core, address: IpAddr) -> Option<Option<Box<Visit>>> {
    let knocked = knock(core, Some(address));
    let visit = knocked.and_then(|()| core.gate.reveal(&core.settings.limits, address, core.now()));
    visit.map_err(|refusal| note_refused(core, Some(address), refusal)).ok()
}

/// Whether anything is read from an address.
fn knock(core: &Core, address: Option<IpAddr>) -> Result<(), EntryRefusal> {
    let Some(address) = address else { return Ok(()) };
    if core.bans.shut_out(address, core.now()) {
        return Err(EntryRefusal::Banned);
    }
    if core.access.may_knock(address) { Ok(()) } else { Err(EntryRefusal::NotHeard) }
}

fn note_refused(core: &Core, address: Option<IpAddr>, refusal: EntryRefusal) {
    core.metrics.count_entry(refusal);
    tracing::debug!(?address, cause = refusal.name(), "connection refused");
}

/// From the accepted socket to an admitted client.
async fn opening(
    core: Arc<Core>,
    incoming: Incoming,
    listener: Arc<ListenerRules>,
    scheme: Scheme,
    mut visit: Option<Box<Visit>>,
) -> Option<(Box<Connection>, Option<Box<Visit>>)> {
    let until = Instant::now() + core.settings.limits.connect_timeout;
    let address = incoming.peer();
    let handshake = Box::pin(tokio::time::timeout_at(until, incoming.handshake()));
    let name = &*listener.name;
    let cause = match core.unless_stopping(handshake).await? {
        Ok(Ok(Arrival { connection, address: told, certificate })) => {
            if let Some(told) = told.filter(|_| address.is_none()) {
                visit = reveal(&core, told.ip())?;
            }
            let peer = Peer { listener, address: told, certificate };
            return Some((welcome(core, connection, peer, until).await?, visit));
        }
        Ok(Err(error)) => {
            tracing::debug!(listener = name, ?address, %error, "handshake failed");
            error.cause()
        }
        Err(_) => {
            tracing::debug!(listener = name, ?address, "no handshake in time");
            Cause::TimedOut
        }
    };
    core.metrics.count_refused(scheme, cause);
    core.metrics.connects_failed.add(1);
    None
}

/// Counts connections, and tells when none is left.
#[derive(Debug, Default)]
pub(crate) struct Open {
    count: AtomicUsize,
    none_left: tokio::sync::Notify,
}

impl Open {
    /// Connections that have not ended.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Waits for the end of the last one.
    pub(crate) async fn none_left(&self) {
        loop {
            let none_left = self.none_left.notified();
            if self.count() == 0 {
                return;
            }
            none_left.await;
        }
    }
}

/// One open connection; gives its places back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    everywhere: Arc<Open>,
    at_listener: Option<Arc<AtomicUsize>>,
}

impl Place {
    /// A place for one more connection, `None` if the broker or the listener has no more or the broker stops.
    pub(crate) fn take(core: &Core, open: &Arc<Open>, listening: Option<&Listening>) -> Option<Self> {
        let before = open.count.fetch_add(1, Ordering::AcqRel);
        let at_listener = listening.map(|listening| listening.open.clone());
        let before_here = at_listener.as_ref().map_or(0, |open| open.fetch_add(1, Ordering::AcqRel));
        let place = Self { everywhere: open.clone(), at_listener };
        let max_here = listening.and_then(|listening| listening.rules.connections_max);
        let full_here = max_here.is_some_and(|max| before_here >= max);
        if before >= core.settings.limits.connections_max || full_here || *core.stopping.borrow() {
            let cause = if full_here { EntryRefusal::ListenerFull } else { EntryRefusal::BrokerFull };
            core.metrics.count_entry(cause);
            if let Some(listening) = listening {
                core.metrics.count_refused(listening.url().scheme(), Cause::Full);
            }
            return None;
        }
        core.metrics.connections_accepted.add(1);
        Some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(here) = &self.at_listener {
            here.fetch_sub(1, Ordering::AcqRel);
        }
        if self.everywhere.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.everywhere.none_left.notify_waiters();
        }
    }
}
