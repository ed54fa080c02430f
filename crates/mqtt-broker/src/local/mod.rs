//! Clients inside the program: they publish and subscribe without a socket, a packet or a connection.

mod error;
mod mailbox;
mod message;
mod publishing;
mod request;
mod subscribe;

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::ListenerRules;
use crate::access::Identity;
use crate::core::Core;
use crate::hooks::Events;
pub use error::LocalError;
use mailbox::Mailbox;
pub use mailbox::Subscription;
pub use message::{LocalMessage, Published};
pub use mqtt_session::Publication;
pub(crate) use publishing::wait_for_room;
pub use subscribe::Subscribe;

/// The client identifier of [`Broker::local`](crate::Broker::local).
pub const LOCAL_CLIENT_ID: &str = "$local";

/// A client inside the program. Clones are handles to the same one.
///
/// It has no connection and no session: it is not among the broker's clients, nobody can take it over, and its
/// client identifier is only the name under which access rules, hooks and the drop ledger know it. Its
/// subscriptions live until they are dropped, unsubscribed or the broker stops.
#[derive(Clone)]
pub struct LocalClient {
    shared: Arc<Shared>,
}

/// Who a local client is: see [`Broker::local_as`](crate::Broker::local_as).
///
/// ```
/// let thermostat = mqtt_broker::LocalOptions::new("thermostat").username("house").unprivileged();
/// # let _ = thermostat;
/// ```
#[derive(Clone, Debug)]
pub struct LocalOptions {
    client_id: Arc<str>,
    username: Option<Arc<str>>,
    address: Option<SocketAddr>,
    privileged: bool,
    past_hooks: bool,
}

/// The local clients of a broker, to end their subscriptions when it stops.
#[derive(Debug, Default)]
pub(crate) struct Locals(Mutex<Vec<Weak<Shared>>>);

pub(crate) struct Shared {
    core: Arc<Core>,
    identity: Arc<Identity>,
    /// Names it as a publisher, for No Local.
    key: u64,
    /// Whether hooks are neither asked nor told about what it does.
    past_hooks: bool,
    mailboxes: Mutex<HashMap<Box<str>, Vec<Arc<Mailbox>>>>,
    requests: AtomicU64,
}

impl LocalOptions {
    /// A privileged client with this identifier: no access rule and no topic restriction applies to it.
    #[must_use]
    pub fn new(client_id: impl Into<Arc<str>>) -> Self {
        let (client_id, username, address) = (client_id.into(), None, None);
        Self { client_id, username, address, privileged: true, past_hooks: false }
    }

    /// The user name that access rules see.
    #[must_use]
    pub fn username(mut self, username: impl Into<Arc<str>>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// The address that access rules see.
    #[must_use]
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// What a connected client with this identity may not do, this one may not do either: access rules, `$SYS`,
    /// and the limits on topics, quality of service and retained messages apply.
    #[must_use]
    pub fn unprivileged(mut self) -> Self {
        self.privileged = false;
        self
    }

    /// Hooks are neither asked nor told about what it publishes and subscribes to: for a hook's own messages, which it
    /// would be asked about again.
    #[must_use]
    pub fn past_hooks(mut self) -> Self {
        self.past_hooks = true;
        self
    }
}

impl Shared {
    /// Whether hooks are to be asked or told of this event.
    fn is_hooked(&self, event: Events) -> bool {
        self.core.hooks.wants(event) && !self.past_hooks
    }
}

impl LocalClient {
    pub(crate) fn new(core: Arc<Core>, options: LocalOptions) -> Self {
        let LocalOptions { client_id, username, address, privileged, past_hooks } = options;
        let rules = ListenerRules { name: "local".into(), ..ListenerRules::default() };
        let identity = Identity {
            client_id,
            username,
            address,
            listener: Arc::new(rules),
            certificate: None,
            mountpoint: None,
            privileged,
            details: None,
        };
        let identity = Arc::new(identity);
        let key = core.index.new_key();
        let (mailboxes, requests) = (Mutex::default(), AtomicU64::new(0));
        let shared = Arc::new(Shared { core, identity, key, past_hooks, mailboxes, requests });
        shared.core.locals.add(&shared);
        Self { shared }
    }

    /// The identifier that it was made with.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.shared.identity.client_id
    }

    /// Whether access rules and topic restrictions do not apply to it.
    #[must_use]
    pub fn is_privileged(&self) -> bool {
        self.shared.identity.privileged
    }

    /// The filters that it is subscribed with now, in no order.
    #[must_use]
    pub fn filters(&self) -> Vec<String> {
        self.shared.mailboxes.lock().keys().map(|filter| filter.to_string()).collect()
    }
}

impl Locals {
    fn add(&self, shared: &Arc<Shared>) {
        let mut all = self.0.lock();
        all.retain(|other| other.strong_count() > 0);
        all.push(Arc::downgrade(shared));
    }

    /// Ends the subscriptions of all local clients.
    pub(crate) fn end_all(&self) {
        let all = std::mem::take(&mut *self.0.lock());
        all.iter().filter_map(Weak::upgrade).for_each(|shared| shared.end_all());
    }
}

impl fmt::Debug for LocalClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalClient")
            .field("client_id", &self.client_id())
            .field("privileged", &self.is_privileged())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("client_id", &self.identity.client_id).finish_non_exhaustive()
    }
}
