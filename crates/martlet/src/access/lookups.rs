//! The sections `[redis]` and `[postgres]` of the configuration: from options to members of the chain.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mqtt_access::login::Authenticator;
use mqtt_login::lookup::postgres::{Postgres, PostgresOptions};
use mqtt_login::lookup::redis::{Redis, RedisOptions};
use mqtt_login::lookup::{Lookup, Source};
use mqtt_login::{Bounds, Checker};

use super::settings::AccessSettings;
use crate::config::{Refusal, Setting, Value};

/// One database that is asked about logins.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) url: SecretUrl,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) user: String,
    /// Empty if the rules are elsewhere.
    pub(crate) rules: String,
    pub(crate) timeout: Duration,
    pub(crate) concurrent_max: usize,
    pub(crate) waiting_max: usize,
    /// How long a login that was right is not looked up again.
    pub(crate) remember: Duration,
}

impl Database {
    /// None, but how a user would be found.
    fn asked(user: &str) -> Self {
        Self {
            url: SecretUrl::default(),
            ca_file: None,
            user: user.to_owned(),
            rules: String::new(),
            timeout: Duration::from_secs(4),
            concurrent_max: 8,
            waiting_max: Bounds::default().waiting_max,
            remember: Duration::ZERO,
        }
    }

    pub(crate) fn redis() -> Self {
        Self::asked("HMGET mqtt:user:${username} password_hash is_superuser")
    }

    pub(crate) fn postgres() -> Self {
        Self::asked("SELECT password_hash, is_superuser FROM mqtt_users WHERE username = ${username}")
    }

    /// Whether there is one.
    pub(crate) fn is_configured(&self) -> bool {
        !self.url.0.is_empty()
    }

    /// The member for what was opened; `None` if the system has no random numbers.
    pub(super) fn member(
        &self,
        source: &Arc<dyn Source>,
        checker: &Arc<Checker>,
    ) -> Option<Arc<dyn Authenticator>> {
        let Self { concurrent_max, waiting_max, timeout, .. } = *self;
        let bounds = Bounds { concurrent_max, waiting_max, deadline: timeout };
        let lookup = Lookup::new(source.clone(), checker.clone(), bounds, self.remember).ok()?;
        Some(Arc::new(lookup))
    }

    fn open(&self, section: &str, open: Open, errors: &mut Vec<String>) -> Option<Arc<dyn Source>> {
        let opened = if self.is_configured() { open(self) } else { return None };
        opened.map_err(|problem| errors.push(format!("[{section}]: {problem}"))).ok()
    }
}

type Open = fn(&Database) -> Result<Arc<dyn Source>, String>;

/// The databases that are configured. Nothing is connected yet.
#[derive(Debug, Default)]
pub(crate) struct Databases {
    pub(super) redis: Option<Arc<dyn Source>>,
    pub(super) postgres: Option<Arc<dyn Source>>,
}

impl Databases {
    pub(super) fn open(settings: &AccessSettings, errors: &mut Vec<String>) -> Self {
        Self {
            redis: settings.redis.open(Redis::NAME, redis, errors),
            postgres: settings.postgres.open(Postgres::NAME, postgres, errors),
        }
    }
}

fn redis(database: &Database) -> Result<Arc<dyn Source>, String> {
    let options = RedisOptions {
        url: database.url.reveal()?,
        authorities: database.authorities()?,
        user: database.user.clone(),
        rules: database.rules(),
        timeout: database.timeout,
    };
    Redis::new(&options).map(|redis| Arc::new(redis) as _)
}

fn postgres(database: &Database) -> Result<Arc<dyn Source>, String> {
    let options = PostgresOptions {
        url: database.url.reveal()?,
        authorities: database.authorities()?,
        user: database.user.clone(),
        rules: database.rules(),
        connections_max: database.concurrent_max,
        timeout: database.timeout,
    };
    Postgres::new(&options).map(|postgres| Arc::new(postgres) as _)
}

impl Database {
    fn authorities(&self) -> Result<Option<Vec<u8>>, String> {
        let read =
            |path: &PathBuf| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
        self.ca_file.as_ref().map(read).transpose()
    }

    fn rules(&self) -> Option<String> {
        Some(self.rules.clone()).filter(|rules| !rules.is_empty())
    }
}

/// An address that may hold a password. Shown without it.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct SecretUrl(String);

/// Stands for a password where a configuration is shown.
const HIDDEN: &str = "(hidden)";

impl SecretUrl {
    fn reveal(&self) -> Result<String, String> {
        if self.0.contains(HIDDEN) {
            return Err("the address comes from a printed configuration, which holds no password".to_owned());
        }
        Ok(self.0.clone())
    }

    /// Without the part between the first `:` of the login and the last `@`, and without `password=...`.
    fn hidden(&self) -> String {
        let Some((scheme, rest)) = self.0.split_once("://") else { return hide_words(&self.0) };
        let (rest, query) = rest.split_once('?').map_or((rest, String::new()), |(rest, query)| {
            let parts: Vec<String> = query.split('&').map(hide_word).collect();
            (rest, format!("?{}", parts.join("&")))
        });
        let Some((login, host)) = rest.rsplit_once('@') else { return format!("{scheme}://{rest}{query}") };
        match login.split_once(':') {
            Some((user, _)) => format!("{scheme}://{user}:{HIDDEN}@{host}{query}"),
            None => format!("{scheme}://{login}@{host}{query}"),
        }
    }
}

/// `key=value` words; a quoted value with blanks hides all that follows.
fn hide_words(text: &str) -> String {
    match text.split_once("password") {
        None => text.to_owned(),
        Some((before, after)) => {
            let value = after.trim_start().trim_start_matches('=').trim_start();
            let rest = if value.starts_with('\'') { None } else { value.split_once(char::is_whitespace) };
            let rest = rest.map_or(String::new(), |(_, rest)| format!(" {rest}"));
            format!("{before}password={HIDDEN}{rest}")
        }
    }
}

fn hide_word(word: &str) -> String {
    match word.split_once('=') {
        Some((key, _)) if key.eq_ignore_ascii_case("password") => format!("{key}={HIDDEN}"),
        _ => word.to_owned(),
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.hidden(), f)
    }
}

impl Setting for SecretUrl {
    fn show(&self) -> Value {
        Value::Text(self.hidden())
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        String::read(value).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (text, shown) in [
            ("redis://:s3cret@db/0", "redis://:(hidden)@db/0"),
            ("redis://u:s3:cr@et@db", "redis://u:(hidden)@db"),
            ("redis://db", "redis://db"),
            ("postgresql://m:s3cret@db/x?sslmode=require", "postgresql://m:(hidden)@db/x?sslmode=require"),
            ("postgresql://db/x?user=m&password=s3cret", "postgresql://db/x?user=m&password=(hidden)"),
            ("host=db password=s3cret user=m", "host=db password=(hidden) user=m"),
            ("host=db password = 's3cret and more'", "host=db password=(hidden)"),
        ] {
            let url = SecretUrl(text.to_owned());
            assert_eq!(url.hidden(), shown);
            assert!(!format!("{url:?} {:?}", url.show()).contains("s3cr"), "{text}");
        }
    }

    #[test]
    fn a_printed_address_is_refused_where_it_would_be_used() {
        assert!(SecretUrl("redis://:(hidden)@db".to_owned()).reveal().is_err());
    }
}
