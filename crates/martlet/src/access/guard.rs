//! The broker's questions, answered from the configuration.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use mqtt_access::acl::{Policy, Subject};
use mqtt_access::password::{Cache, PasswordHash};
use mqtt_access::scram::Mechanism;
use mqtt_broker::{Access, Answer, Grant, Identity, ListenerRules, Login};
use mqtt_codec::{QoS, ReasonCode};
use mqtt_session::{AuthenticationMethod, Refusal, Rights};
use mqtt_store::Source;
use mqtt_topic::{TopicFilter, TopicName};
use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;

use super::load::Loaded;
use super::logins::Logins;
use super::scram::{Known, ScramMethod};
use super::settings::AccessSettings;

/// Decides from users, rules and what has happened before. Files are read elsewhere and handed over as a whole.
pub(crate) struct Guard {
    now: RwLock<Arc<Loaded>>,
    logins: RwLock<Arc<Logins>>,
    cache: Mutex<Cache>,
    /// Password checks at a time; each takes 19 MiB and some 30 ms of a processor.
    checks: Semaphore,
    /// Logins that may wait for one.
    waiting: Semaphore,
    secret: Arc<[u8; 32]>,
}

/// What is remembered of a client that logged in with a password.
#[derive(Debug)]
struct LoggedIn {
    hash: PasswordHash,
}

/// Logins that wait for a password check; more are turned away.
const WAITING_MAX: usize = 1000;

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

impl Guard {
    /// Answers from what was loaded.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(crate) fn new(settings: &AccessSettings, loaded: Loaded) -> Result<Self, String> {
        let random = |error| format!("no random numbers: {error}");
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(random)?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            now: RwLock::new(Arc::new(loaded)),
            logins: RwLock::new(Arc::new(Logins::new(settings, now()))),
            cache: Mutex::new(Cache::new().map_err(random)?),
            checks: Semaphore::new(threads),
            waiting: Semaphore::new(WAITING_MAX),
            secret: Arc::new(secret),
        })
    }

    /// Answers from this from now on. Tell the broker with `access_changed` afterwards.
    pub(crate) fn replace(&self, settings: &AccessSettings, loaded: Loaded) {
        *self.now.write() = Arc::new(loaded);
        *self.logins.write() = Arc::new(Logins::new(settings, now()));
    }

    fn loaded(&self) -> Arc<Loaded> {
        self.now.read().clone()
    }

    fn logins(&self) -> Arc<Logins> {
        self.logins.read().clone()
    }

    async fn admit(&self, login: &Login<'_>) -> Result<Grant, Refusal> {
        self.logins().may_try(login.client_id, login.username, now())?;
        let grant = self.identify(login).await?;
        let loaded = self.loaded();
        let subject = Subject {
            username: grant.username.as_deref(),
            client_id: login.client_id,
            address: login.address.map(|address| address.ip()),
            listener: &login.listener.name,
            groups: &[],
        };
        let banned = self.logins().is_banned(login.client_id, grant.username.as_deref(), now());
        match &loaded.policy {
            _ if banned => Err(ReasonCode::Banned.into()),
            Some(policy) if !policy.may_connect(&subject) => Err(ReasonCode::NotAuthorized.into()),
            _ => Ok(grant),
        }
    }

    /// Who it is. A name that nobody has proved is no name.
    async fn identify(&self, login: &Login<'_>) -> Result<Grant, Refusal> {
        let loaded = self.loaded();
        if login.username_proven {
            if login.method.is_some() {
                return Ok(logged_in(login.username, loaded.users.hash(login.username.unwrap_or_default())));
            }
            return Ok(Grant::named(login.username));
        }
        let shows_nothing = login.username.is_none() && login.password.is_none();
        if login.listener.allow_anonymous && (shows_nothing || loaded.users.is_empty()) {
            return Ok(Grant::default());
        }
        match (login.username, login.password) {
            (Some(username), Some(password)) if !loaded.users.is_empty() => {
                self.check(&loaded, username, password, login.address).await
            }
            (None, None) => Err(ReasonCode::NotAuthorized.into()),
            _ => {
                self.logins().failed(login.username, login.address, now());
                Err(ReasonCode::BadUserNameOrPassword.into())
            }
        }
    }

    /// Takes as long for a user that does not exist as for a wrong password.
    async fn check(
        &self,
        loaded: &Loaded,
        username: &str,
        password: &[u8],
        address: Option<SocketAddr>,
    ) -> Result<Grant, Refusal> {
        let known = loaded.users.hash(username);
        let Some(hash) = known.or(loaded.users.nobody()) else {
            return Err(ReasonCode::ServerUnavailable.into());
        };
        let digest = self.cache.lock().digest(username, hash, password);
        if known.is_some() && self.cache.lock().knows(&digest, now()) {
            return Ok(logged_in(Some(username), known));
        }
        if self.logins().must_wait(username, now()) {
            return Err(ReasonCode::ConnectionRateExceeded.into());
        }
        let right = self.verify(hash.clone(), password).await?;
        if !right || known.is_none() {
            self.logins().failed(Some(username), address, now());
            return Err(ReasonCode::BadUserNameOrPassword.into());
        }
        self.logins().succeeded(username);
        self.cache.lock().remember(digest, now());
        Ok(logged_in(Some(username), known))
    }

    /// On a thread for work that blocks, so many at a time as there are processors.
    async fn verify(&self, hash: PasswordHash, password: &[u8]) -> Result<bool, Refusal> {
        if !hash.is_slow() {
            return Ok(hash.verify(password));
        }
        let Ok(_waiting) = self.waiting.try_acquire() else { return Err(ReasonCode::ServerBusy.into()) };
        let _check = self.checks.acquire().await.map_err(|_| ReasonCode::ServerUnavailable)?;
        let password: Box<[u8]> = password.into();
        let checked = tokio::task::spawn_blocking(move || hash.verify(&password)).await;
        checked.map_err(|_| ReasonCode::ServerUnavailable.into())
    }
}

fn logged_in(username: Option<&str>, hash: Option<&PasswordHash>) -> Grant {
    let details = hash.map(|hash| Arc::new(LoggedIn { hash: hash.clone() }) as _);
    Grant { details, ..Grant::named(username) }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn subject(client: &Identity) -> Subject<'_> {
    Subject {
        username: client.username.as_deref(),
        client_id: &client.client_id,
        address: client.address.map(|address| address.ip()),
        listener: &client.listener.name,
        groups: &[],
    }
}

fn rights(policy: Option<&Policy>, decide: impl FnOnce(&Policy) -> Rights) -> Rights {
    policy.map_or(Rights::ALL, decide)
}

impl Access for Guard {
    fn authenticate<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Result<Grant, Refusal>> {
        Box::pin(self.admit(login))
    }

    fn may_knock(&self, address: IpAddr) -> bool {
        !self.logins().shuts_out(address.to_canonical(), now())
    }

    fn method(&self, name: &str, _: &ListenerRules) -> Option<Arc<dyn AuthenticationMethod>> {
        let (mechanism, loaded) = (Mechanism::of_name(name)?, self.loaded());
        if loaded.users.is_empty() {
            return None;
        }
        let known = Known { loaded, secret: self.secret.clone() };
        Some(Arc::new(ScramMethod { mechanism, known }))
    }

    fn exchange_failed(&self, address: Option<SocketAddr>, username: Option<&str>) {
        self.logins().failed(username, address, now());
    }

    fn publish_rights(&self, client: &Identity, topic: TopicName<&str>) -> Rights {
        rights(self.loaded().policy.as_ref(), |policy| policy.publish_rights(&subject(client), topic))
    }

    fn may_subscribe(&self, client: &Identity, filter: &TopicFilter<&str>, qos: QoS) -> bool {
        self.loaded().policy.as_ref().is_none_or(|policy| policy.may_subscribe(&subject(client), filter, qos))
    }

    fn restricts_receiving(&self) -> bool {
        self.now.read().policy.is_some()
    }

    fn receive_rights(&self, client: &Identity, topic: TopicName<&str>) -> Rights {
        rights(self.loaded().policy.as_ref(), |policy| policy.receive_rights(&subject(client), topic))
    }

    fn may_replay(&self, source: &Source, topic: TopicName<&str>, qos: QoS) -> bool {
        let subject = Subject {
            username: source.username.as_deref(),
            client_id: &source.client_id,
            address: source.address,
            listener: &source.listener,
            groups: &[],
        };
        let loaded = self.loaded();
        rights(loaded.policy.as_ref(), |policy| policy.publish_rights(&subject, topic)).allow(qos, true)
    }

    fn still_admitted(&self, client: &Identity) -> Result<(), Refusal> {
        let loaded = self.loaded();
        let username = client.username.as_deref();
        let changed = client
            .details::<LoggedIn>()
            .is_some_and(|login| username.and_then(|name| loaded.users.hash(name)) != Some(&login.hash));
        let refused = loaded.policy.as_ref().is_some_and(|policy| !policy.may_connect(&subject(client)));
        let banned = self.logins().is_banned(&client.client_id, username, now());
        let shut_out = client.address.is_some_and(|address| self.logins().shuts_out(address.ip(), now()));
        if banned || shut_out {
            return Err(ReasonCode::Banned.into());
        }
        if changed || refused { Err(ReasonCode::NotAuthorized.into()) } else { Ok(()) }
    }
}
