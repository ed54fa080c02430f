//! The members of the authentication chain, by the names that the configuration has for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use mqtt_access::login::{Authenticator, Chain};
use mqtt_broker::ListenerRules;
use mqtt_login::http::HttpCallback;
use mqtt_login::jwt::Jwt;
use mqtt_login::lookup::{postgres::Postgres, redis::Redis};
use mqtt_login::{Anonymous, Certificate, Checker, CheckerBounds, Passwords, Scram};
use parking_lot::Mutex;

use super::jwt::Fetched;
use super::load::Loaded;
use super::settings::AccessSettings;
use crate::config::{Refusal, Setting, Value, each};

/// A member of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Member {
    /// A certificate that gives its owner a user name.
    Certificate,
    /// SCRAM as enhanced authentication.
    Scram,
    /// User names and passwords of files and of the configuration.
    PasswordFile,
    /// Signed tokens.
    Jwt,
    /// A service that is asked over HTTP.
    Http,
    /// User names and passwords in Redis.
    Redis,
    /// User names and passwords in PostgreSQL.
    Postgres,
    /// Clients that show nothing.
    Anonymous,
}

impl Member {
    /// All, in the order in which they are asked where no other one is given.
    pub(crate) const ALL: &'static [Self] = &[
        Self::Certificate,
        Self::Scram,
        Self::PasswordFile,
        Self::Jwt,
        Self::Http,
        Self::Redis,
        Self::Postgres,
        Self::Anonymous,
    ];

    /// What the configuration calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Certificate => Certificate::NAME,
            Self::Scram => Scram::NAME,
            Self::PasswordFile => Passwords::NAME,
            Self::Jwt => Jwt::NAME,
            Self::Http => HttpCallback::NAME,
            Self::Redis => Redis::NAME,
            Self::Postgres => Postgres::NAME,
            Self::Anonymous => Anonymous::NAME,
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|member| member.name() == name)
    }

    /// Why it could never admit anybody; `None` if it could. Certificates and anonymous clients are the listener's matter.
    pub(crate) fn lacks(self, settings: &AccessSettings) -> Option<&'static str> {
        let (is_there, lack) = match self {
            Self::Certificate | Self::Anonymous => return None,
            Self::Scram | Self::PasswordFile => {
                (settings.knows_users(), "there are neither `access.users` nor `access.password_files`")
            }
            Self::Jwt => (
                settings.jwt.is_configured(),
                "[jwt] has none of `secret_file`, `public_key_files`, `jwks_file` and `jwks_url`",
            ),
            Self::Http => (settings.http.is_configured(), "there is no `http_login.url`"),
            Self::Redis => (settings.redis.is_configured(), "there is no `redis.url`"),
            Self::Postgres => (settings.postgres.is_configured(), "there is no `postgres.url`"),
        };
        (!is_there).then_some(lack)
    }
}

/// Names of members in the order in which they are asked; `None` for the usual order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Order(pub(crate) Option<Vec<Member>>);

impl Order {
    /// Whether anonymous clients are among those that are named; `None` if none is named.
    pub(crate) fn names_anonymous(&self) -> Option<bool> {
        self.0.as_ref().map(|members| members.contains(&Member::Anonymous))
    }
}

impl Setting for Order {
    fn show(&self) -> Value {
        let names = |members: &Vec<Member>| members.iter().map(|member| member.name().to_owned()).collect();
        self.0.as_ref().map_or(Value::Absent, |members| Value::List(names(members)))
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        let names = Vec::<String>::read(value)?;
        let members = each(&names, |name| {
            Member::of_name(name).ok_or_else(|| {
                let known: Vec<&str> = Member::ALL.iter().map(|member| member.name()).collect();
                Refusal::new(format!("holds {name:?}; there are {}", known.join(", ")))
            })
        })?;
        if members.is_empty() {
            return Err(vec![Refusal::new(
                "is empty, so nobody could log in; leave it away for the usual order",
            )]);
        }
        for (position, member) in members.iter().enumerate() {
            let refused = |message: String| Err(vec![Refusal { element: Some(position), message }]);
            if members[..position].contains(member) {
                return refused(format!("holds {:?} twice", member.name()));
            }
            if *member == Member::Anonymous && position + 1 < members.len() {
                return refused("holds \"anonymous\" before others; it must come last".to_owned());
            }
        }
        Ok(Self(Some(members)))
    }
}

/// What members share over all reloads.
pub(super) struct Resources {
    /// Made anew when its bounds change.
    checker: Mutex<(CheckerBounds, Arc<Checker>)>,
    secret: Arc<[u8; 32]>,
    fetched: Fetched,
}

impl Resources {
    pub(super) fn new(settings: &AccessSettings) -> Result<Self, getrandom::Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        let bounds = settings.checker;
        let checker = Mutex::new((bounds, Arc::new(Checker::new(bounds)?)));
        Ok(Self { checker, secret: Arc::new(secret), fetched: Fetched::default() })
    }

    /// What checks passwords within these bounds. Without random numbers for another one it stays as it is.
    fn checker(&self, bounds: CheckerBounds) -> Arc<Checker> {
        let mut known = self.checker.lock();
        if known.0 != bounds
            && let Ok(checker) = Checker::new(bounds)
        {
            *known = (bounds, Arc::new(checker));
        }
        known.1.clone()
    }
}

/// The members as they are until the next reload.
pub(super) struct Members {
    built: BTreeMap<Member, Arc<dyn Authenticator>>,
    order: Order,
}

impl Members {
    pub(super) fn new(settings: &AccessSettings, loaded: &Loaded, resources: &Resources) -> Self {
        let checker = resources.checker(settings.checker);
        let members = Member::ALL.iter().filter(|member| member.lacks(settings).is_none());
        let built = members.filter_map(|member| {
            let users = loaded.users.clone();
            let built: Arc<dyn Authenticator> = match member {
                Member::Certificate => Arc::new(Certificate),
                Member::Scram => Arc::new(Scram::new(users, resources.secret.clone())),
                Member::PasswordFile => Arc::new(Passwords::new(users, checker.clone())),
                Member::Jwt => settings.jwt.member(&loaded.jwt, &resources.fetched),
                Member::Http => settings.http.member(loaded.http.as_ref()?)?,
                Member::Redis => settings.redis.member(loaded.databases.redis.as_ref()?, &checker)?,
                Member::Postgres => {
                    settings.postgres.member(loaded.databases.postgres.as_ref()?, &checker)?
                }
                // It depends on those that are before it.
                Member::Anonymous => return None,
            };
            Some((*member, built))
        });
        Self { built: built.collect(), order: settings.authentication.clone() }
    }

    /// The chain of one listener.
    pub(super) fn chain(&self, listener: &ListenerRules) -> Chain {
        let own = listener.authentication.as_ref();
        let own: Option<Vec<Member>> =
            own.map(|names| names.iter().filter_map(|name| Member::of_name(name)).collect());
        let members = own.as_deref().or(self.order.0.as_deref()).unwrap_or(Member::ALL);
        let chain: Chain = members.iter().filter_map(|member| self.built.get(member).cloned()).collect();
        let anonymous = Anonymous { names_are_checked: chain.checks_names() };
        let is_last = members.contains(&Member::Anonymous);
        chain.followed_by(is_last.then(|| Arc::new(anonymous) as _))
    }

    /// Whether logins may bring along rules of their own, which nobody knows when their client is gone.
    pub(super) fn bring_rules(&self) -> bool {
        [Member::Jwt, Member::Http, Member::Redis, Member::Postgres]
            .iter()
            .any(|member| self.built.contains_key(member))
    }
}
