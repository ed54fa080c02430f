//! The broker's questions, answered from the configuration.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mqtt_access::acl::{Effect, Policy, Ruling, Subject};
use mqtt_access::bans::Bans;
use mqtt_access::login::{self, Applicant, Chain, Moment, ProvenBy};
use mqtt_broker::{Access, Answer, Consulted, Grant, Identity, ListenerRules, Login, Question, Remembered};
use mqtt_codec::{QoS, ReasonCode};
use mqtt_login::Anonymous;
use mqtt_login::http::{HttpAuthority, TopicQuestion};
use mqtt_session::{AuthenticationMethod, Refusal, Rights};
use mqtt_store::Source;
use mqtt_topic::{TopicFilter, TopicName};
use parking_lot::RwLock;

use super::clock::now;
use super::load::Loaded;
use super::logins::Logins;
use super::members::{Members, Resources};
use super::settings::AccessSettings;

/// Decides from users, rules and what has happened before. Files are read elsewhere and handed over as a whole.
pub(crate) struct Guard {
    now: RwLock<Arc<Known>>,
    logins: Logins,
    resources: Resources,
}

/// What holds until the next reload.
struct Known {
    loaded: Loaded,
    members: Members,
    /// Who is asked where no rule decides.
    authority: Option<Arc<HttpAuthority>>,
}

/// Users and rules that nobody is judged by yet.
pub(crate) struct Prepared {
    settings: AccessSettings,
    known: Arc<Known>,
}

impl Known {
    fn new(settings: &AccessSettings, loaded: Loaded, resources: &Resources) -> Result<Arc<Self>, String> {
        let members = Members::new(settings, &loaded, resources);
        let authority =
            loaded.authority.as_ref().map(|client| settings.authority.authority(client)).transpose();
        let authority = authority.map_err(|error| format!("no random numbers: {error}"))?;
        Ok(Arc::new(Self { loaded, members, authority }))
    }

    /// What the rules say of a subscription; `None` if none decides and a service has to be asked.
    fn subscribe_ruling(&self, client: &Identity, filter: &TopicFilter<&str>, qos: QoS) -> Option<Effect> {
        let grant = grant_of(client);
        if grant.is_some_and(|grant| grant.is_superuser) {
            return Some(Effect::Allow);
        }
        let policies = [own_rules(grant), self.loaded.policy.as_ref()];
        let mut policies = policies.into_iter().flatten().peekable();
        match (policies.peek().is_some(), self.authority.is_some()) {
            (false, false) => Some(Effect::Allow),
            (false, true) => None,
            (true, asked) => {
                let ruling =
                    policies.find_map(|policy| policy.subscribe_ruling(&subject(client), filter, qos));
                if asked { ruling } else { ruling.or(Some(Effect::Deny)) }
            }
        }
    }
}

/// What is remembered of a client that has logged in.
#[derive(Debug)]
struct LoggedIn {
    /// The member of the chain that admitted it.
    by: Box<str>,
    grant: login::Grant,
}

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
        let resources = Resources::new(settings).map_err(|error| format!("no random numbers: {error}"))?;
        let logins = Logins::new(settings, &loaded.bans, now().instant);
        let known = Known::new(settings, loaded, &resources)?;
        Ok(Self { logins, now: RwLock::new(known), resources })
    }

    /// Puts together what [`take_over`](Self::take_over) will answer from.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(crate) fn prepare(&self, settings: AccessSettings, loaded: Loaded) -> Result<Prepared, String> {
        let known = Known::new(&settings, loaded, &self.resources)?;
        Ok(Prepared { settings, known })
    }

    /// Answers from this from now on. Tell the broker with `access_changed` afterwards.
    pub(crate) fn take_over(&self, prepared: Prepared) {
        let Prepared { settings, known } = prepared;
        self.logins.renew(&settings, &known.loaded.bans, now().instant);
        *self.now.write() = known;
    }

    /// Who is shut out, for the broker to share.
    pub(crate) fn bans(&self) -> Bans {
        self.logins.bans().clone()
    }

    fn known(&self) -> Arc<Known> {
        self.now.read().clone()
    }

    async fn admit(&self, login: &Login<'_>) -> Result<Grant, Refusal> {
        let at = now();
        self.logins.may_try(login.client_id, at.instant)?;
        let known = self.known();
        let admitted = self.identify(&known, login, at).await?;
        let subject = Subject {
            username: admitted.grant.username.as_deref(),
            client_id: login.client_id,
            address: login.address.map(|address| address.ip()),
            listener: &login.listener.name,
            groups: &admitted.grant.groups,
        };
        match &known.loaded.policy {
            Some(policy) if !policy.may_connect(&subject) => Err(ReasonCode::NotAuthorized.into()),
            _ => Ok(admitted.into_grant()),
        }
    }

    /// Who it is. A name that nobody has proved is no name.
    async fn identify(
        &self,
        known: &Known,
        login: &Login<'_>,
        asked: Moment,
    ) -> Result<LoggedIn, ReasonCode> {
        let chain = known.members.chain(login.listener);
        let must_wait =
            login.username.is_some_and(|name| self.logins.must_wait(name, login.address, asked.instant));
        let decided = decide(&chain, &applicant(login, must_wait, asked)).await;
        let (username, at) = (login.username, now().instant);
        match &decided {
            Ok(_) if login.password.is_some() || login.method.is_some() => {
                username.into_iter().for_each(|name| self.logins.succeeded(name, login.address, at))
            }
            Err(ReasonCode::BadUserNameOrPassword) => self.logins.failed(username, login.address, at),
            _ => {}
        }
        decided
    }

    /// What the client's own rules and then those for everybody allow, and what they leave open. Without any rules all is
    /// open where a service is asked, and all is allowed where none is.
    fn judge(
        &self,
        known: &Known,
        client: &Identity,
        ask: impl Fn(&Policy, &Subject<'_>) -> Ruling,
    ) -> (Rights, Rights) {
        let grant = grant_of(client);
        if grant.is_some_and(|grant| grant.is_superuser) {
            return (Rights::ALL, Rights::NONE);
        }
        let subject = subject(client);
        let policies = [own_rules(grant), known.loaded.policy.as_ref()];
        let rulings = policies.into_iter().flatten().map(|policy| ask(policy, &subject));
        match rulings.reduce(Ruling::or_else) {
            Some(ruling) => (ruling.allowed, ruling.open),
            None if known.authority.is_some() => (Rights::NONE, Rights::ALL),
            None => (Rights::ALL, Rights::NONE),
        }
    }
}

async fn decide(chain: &Chain, applicant: &Applicant<'_>) -> Result<LoggedIn, ReasonCode> {
    let (member, grant) = chain.decide(applicant).await?;
    Ok(LoggedIn { by: member.name().into(), grant })
}

fn applicant<'a>(login: &'a Login<'a>, must_wait: bool, now: Moment) -> Applicant<'a> {
    let proven_by =
        login.username_proven.then(|| login.method.map_or(ProvenBy::Certificate, ProvenBy::Method));
    Applicant {
        client_id: login.client_id,
        version: login.version,
        address: login.address,
        listener: &login.listener.name,
        anonymous_allowed: login.listener.allow_anonymous,
        certificate_subject: login.certificate.map(|certificate| &*certificate.distinguished_name),
        certificate_common_name: login.certificate.and_then(|certificate| certificate.common_name.as_deref()),
        username: login.username,
        password: login.password,
        proven_by,
        must_wait,
        now,
    }
}

impl LoggedIn {
    /// Nothing needs to be remembered of an anonymous client.
    fn into_grant(self) -> Grant {
        let (username, expires_at) = (self.grant.username.clone(), self.grant.expires_at);
        let details = (*self.by != *Anonymous::NAME).then(|| Arc::new(self) as _);
        Grant { username, expires_at, details }
    }
}

fn grant_of(client: &Identity) -> Option<&login::Grant> {
    client.details::<LoggedIn>().map(|login| &login.grant)
}

fn own_rules(grant: Option<&login::Grant>) -> Option<&Policy> {
    grant?.rules.as_deref()
}

fn subject(client: &Identity) -> Subject<'_> {
    Subject {
        username: client.username.as_deref(),
        client_id: &client.client_id,
        address: client.address.map(|address| address.ip()),
        listener: &client.listener.name,
        groups: grant_of(client).map_or(&[], |grant| &grant.groups),
    }
}

fn topic_question(question: &Question) -> TopicQuestion<'_> {
    let client = &question.client;
    TopicQuestion {
        client_id: &client.client_id,
        username: client.username.as_deref(),
        address: client.address.map(|address| address.ip()),
        listener: &client.listener.name,
        action: question.action,
        topic: &question.topic,
        qos: question.qos,
    }
}

impl Access for Guard {
    fn authenticate<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Result<Grant, Refusal>> {
        Box::pin(self.admit(login))
    }

    fn may_knock(&self, address: IpAddr) -> bool {
        !self.logins.shuts_out(address.to_canonical(), now().instant)
    }

    fn method(&self, name: &str, listener: &ListenerRules) -> Option<Arc<dyn AuthenticationMethod>> {
        self.known().members.chain(listener).method(name)
    }

    fn may_prove(&self, address: Option<SocketAddr>, username: &str) -> bool {
        !self.logins.must_wait(username, address, now().instant)
    }

    fn exchange_failed(&self, address: Option<SocketAddr>, username: Option<&str>) {
        self.logins.failed(username, address, now().instant);
    }

    fn publish_rights(&self, client: &Identity, topic: TopicName<&str>) -> Rights {
        let known = self.known();
        let (allowed, open) =
            self.judge(&known, client, |policy, subject| policy.publish_ruling(subject, topic));
        // Of a client from before the start nobody knows what rules its login brought along: only a denial counts then.
        let unknown = known.members.bring_rules() && client.details::<Remembered>().is_some();
        if unknown { allowed.or(open) } else { allowed }
    }

    fn open_rights(&self, client: &Identity, topic: TopicName<&str>) -> Rights {
        let known = self.known();
        if known.authority.is_none() {
            return Rights::NONE;
        }
        self.judge(&known, client, |policy, subject| policy.publish_ruling(subject, topic)).1
    }

    fn may_subscribe(&self, client: &Identity, filter: &TopicFilter<&str>, qos: QoS) -> bool {
        self.known().subscribe_ruling(client, filter, qos) == Some(Effect::Allow)
    }

    fn consults(&self) -> bool {
        self.now.read().authority.is_some()
    }

    fn is_open(&self, client: &Identity, filter: &TopicFilter<&str>, qos: QoS) -> bool {
        self.consults() && self.known().subscribe_ruling(client, filter, qos).is_none()
    }

    fn consult(&self, question: Question) -> Answer<'static, Consulted> {
        let (authority, now) = (self.known().authority.clone(), now().instant);
        Box::pin(async move {
            let Some(authority) = authority else {
                return Consulted { verdict: Ok(false), until: now }; // a reload has switched it off meanwhile
            };
            authority.ask(&topic_question(&question), now).await
        })
    }

    fn restricts_receiving(&self) -> bool {
        let known = self.now.read();
        known.loaded.policy.is_some() || known.members.bring_rules()
    }

    fn receive_rights(&self, client: &Identity, topic: TopicName<&str>) -> Rights {
        let known = self.known();
        let (allowed, open) =
            self.judge(&known, client, |policy, subject| policy.receive_ruling(subject, topic));
        let unknown = known.members.bring_rules() && client.details::<Remembered>().is_some();
        // Whoever a service lets subscribe gets what no rule denies.
        if unknown || known.authority.is_some() { allowed.or(open) } else { allowed }
    }

    fn may_replay(&self, source: &Source, topic: TopicName<&str>, qos: QoS) -> bool {
        let subject = Subject {
            username: source.username.as_deref(),
            client_id: &source.client_id,
            address: source.address,
            listener: &source.listener,
            groups: &[],
        };
        let known = self.known();
        let Some(policy) = &known.loaded.policy else { return true };
        let ruling = policy.publish_ruling(&subject, topic);
        // Rules that came with the publisher's login are not kept, and nobody is asked again: only a denial counts then.
        let somebody_else = known.members.bring_rules() || known.authority.is_some();
        let allowed = if somebody_else { ruling.allowed.or(ruling.open) } else { ruling.allowed };
        allowed.allow(qos, true)
    }

    fn still_admitted(&self, client: &Identity) -> Result<(), Refusal> {
        let known = self.known();
        let changed = client.details::<LoggedIn>().is_some_and(|login| {
            let chain = known.members.chain(&client.listener);
            !chain.member(&login.by).is_some_and(|member| member.still_admits(&login.grant))
        });
        let refused =
            known.loaded.policy.as_ref().is_some_and(|policy| !policy.may_connect(&subject(client)));
        if changed || refused { Err(ReasonCode::NotAuthorized.into()) } else { Ok(()) }
    }
}
