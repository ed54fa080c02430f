//! Users and rules in PostgreSQL.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use mqtt_access::acl::Policy;
use tokio_postgres::config::{Config, Host, SslMode};
use tokio_postgres::types::ToSql;
use tokio_postgres::{NoTls, Row};

use super::found::{Entry, Found, rules};
use super::template::{Piece, Variable, Who, pieces};
use super::{Looked, Source};
use tls::MakeTls;

mod tls;

/// Where PostgreSQL is and what it is asked.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgresql://USER[:PASSWORD]@HOST[:PORT]/DATABASE?sslmode=require`, or `host=... user=... dbname=...`.
    pub url: String,
    /// Authorities of its certificate in PEM; `None` for those of the system.
    pub authorities: Option<Vec<u8>>,
    /// For the user: a query for one row with the hash and, if there is a second column, whether it is a superuser.
    pub user: String,
    /// For its rules: a query for rows with `allow` or `deny`, an action and a topic filter, or with a line of rules in their
    /// only column. `None` if the rules are not kept there.
    pub rules: Option<String>,
    /// Connections at most.
    pub connections_max: usize,
    /// The longest wait for a connection.
    pub timeout: Duration,
}

/// PostgreSQL as a source of users. Connects when it is asked, and again whenever a connection is lost.
///
/// ```
/// use std::time::Duration;
/// use mqtt_login::lookup::postgres::{Postgres, PostgresOptions};
///
/// let options = PostgresOptions {
///     url: "postgres://broker@127.0.0.1/users".into(),
///     authorities: None,
///     user: "SELECT password_hash, is_superuser FROM users WHERE username = ${username}".into(),
///     rules: None,
///     connections_max: 4,
///     timeout: Duration::from_secs(5),
/// };
/// let postgres = Postgres::new(&options)?; // it connects when it is asked first
/// # let _ = postgres;
/// # Ok::<(), String>(())
/// ```
pub struct Postgres {
    pool: Pool,
    user: Query,
    rules: Option<Query>,
}

impl Postgres {
    /// Its name in a chain.
    pub const NAME: &'static str = "postgres";

    /// Checks the options; nothing is connected yet.
    ///
    /// # Errors
    /// A sentence that says what is wrong, without secrets.
    pub fn new(options: &PostgresOptions) -> Result<Self, String> {
        let mut config = Config::from_str(&options.url)
            .map_err(|_| "the address of PostgreSQL is none; see the documentation of libpq")?;
        config.connect_timeout(options.timeout);
        if config.get_application_name().is_none() {
            config.application_name("martlet");
        }
        decide_on_tls(&mut config)?;
        Ok(Self {
            pool: pool(config, options)?,
            user: Query::parse(&options.user)?,
            rules: options.rules.as_deref().map(Query::parse).transpose()?,
        })
    }

    async fn ask(&self, query: &Query, who: Who<'_>) -> Result<Vec<Row>, String> {
        let client = self.pool.get().await.map_err(|error| chain(&error))?;
        let values: Vec<&str> = query.variables.iter().map(|variable| who.value(*variable)).collect();
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
        let answer = async { client.query(&client.prepare_cached(&query.text).await?, &values).await };
        let answer = answer.await;
        answer.map_err(|error| {
            // A table that has changed spoils what was prepared: the next question begins with a fresh connection.
            drop(Object::take(client));
            chain(&error)
        })
    }

    async fn find(&self, who: Who<'_>) -> Result<Option<Found>, String> {
        let rows = self.ask(&self.user, who).await?;
        if rows.len() > 1 {
            return Err("the query for the user gives more than one row".to_owned());
        }
        let Some(row) = rows.first() else { return Ok(None) };
        let hash: Option<String> = row.try_get(0).map_err(|error| chain(&error))?;
        let Some(hash) = hash else { return Ok(None) };
        let is_superuser: Option<bool> =
            if row.len() > 1 { row.try_get(1).map_err(|error| chain(&error))? } else { None };
        Found::read(&hash, is_superuser.unwrap_or(false)).map(Some)
    }

    async fn find_rules(&self, who: Who<'_>) -> Result<Option<Policy>, String> {
        let Some(query) = &self.rules else { return Ok(None) };
        let rows = self.ask(query, who).await?;
        let entries: Result<Vec<Entry>, _> = rows.iter().map(entry).collect();
        rules(Self::NAME, entries.map_err(|error| chain(&error))?).map(Some)
    }
}

impl Source for Postgres {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn user<'a>(&'a self, who: Who<'a>) -> Looked<'a, Option<Found>> {
        Box::pin(self.find(who))
    }

    fn rules<'a>(&'a self, who: Who<'a>) -> Looked<'a, Option<Policy>> {
        Box::pin(self.find_rules(who))
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("user", &self.user.text).finish_non_exhaustive()
    }
}

/// Whether the connection is encrypted has to be said where strangers could listen in.
fn decide_on_tls(config: &mut Config) -> Result<(), String> {
    if config.get_ssl_mode() != SslMode::Prefer {
        return Ok(());
    }
    let is_near = |host: &Host| match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
        }
        Host::Unix(_) => true,
    };
    if !config.get_hosts().iter().all(is_near) {
        return Err("the address of PostgreSQL does not say `sslmode=require` (or `sslmode=disable`, \
                    where nobody else can listen in)"
            .to_owned());
    }
    config.ssl_mode(SslMode::Disable);
    Ok(())
}

fn pool(config: Config, options: &PostgresOptions) -> Result<Pool, String> {
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Verified };
    let manager = if config.get_ssl_mode() == SslMode::Disable {
        Manager::from_config(config, NoTls, recycling)
    } else {
        Manager::from_config(config, MakeTls::new(options.authorities.as_deref())?, recycling)
    };
    let timeout = Some(options.timeout);
    Pool::builder(manager)
        .max_size(options.connections_max)
        .wait_timeout(timeout)
        .create_timeout(timeout)
        .recycle_timeout(timeout)
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|error| error.to_string())
}

fn entry(row: &Row) -> Result<Entry, tokio_postgres::Error> {
    if row.len() == 1 {
        return row.try_get(0).map(Entry::Line);
    }
    Ok(Entry::Parts { permission: row.try_get(0)?, action: row.try_get(1)?, topic: row.try_get(2)? })
}

/// An error with its causes, of which the first one alone says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !said.contains(&more) {
            said = format!("{said}: {more}");
        }
        source = cause.source();
    }
    said
}

/// A query with its parameters.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    text: String,
    variables: Vec<Variable>,
}

impl Query {
    fn parse(template: &str) -> Result<Self, String> {
        let wrong = |problem: String| format!("the query {template:?} {problem}");
        let (mut text, mut variables) = (String::new(), Vec::new());
        for piece in pieces(template).map_err(wrong)? {
            match piece {
                Piece::Text(piece) => text.push_str(&piece),
                Piece::Variable(_) if text.matches('\'').count() % 2 == 1 => {
                    return Err(wrong(
                        "has a place within quotes, where nothing is filled in; leave the quotes away".into(),
                    ));
                }
                Piece::Variable(variable) => {
                    variables.push(variable);
                    text.push_str(&format!("${}", variables.len()));
                }
            }
        }
        if variables.is_empty() {
            return Err(wrong("has neither ${username} nor ${clientid}".into()));
        }
        Ok(Self { text, variables })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> PostgresOptions {
        PostgresOptions {
            url: url.into(),
            authorities: None,
            user: "SELECT hash FROM users WHERE name = ${username}".into(),
            rules: None,
            connections_max: 2,
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn what_a_client_shows_becomes_a_parameter() {
        let query =
            Query::parse("SELECT h FROM u WHERE n = ${username} AND c = ${clientid} OR n = ${username}");
        let query = query.expect("a query");
        assert_eq!(query.text, "SELECT h FROM u WHERE n = $1 AND c = $2 OR n = $3");
        assert_eq!(query.variables, [Variable::Username, Variable::ClientId, Variable::Username]);
    }

    #[test]
    fn a_query_that_would_find_the_same_for_everybody_is_refused() {
        for wrong in ["SELECT h FROM u", "SELECT h FROM u WHERE n = '${username}'", "SELECT ${name}"] {
            assert!(Query::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_distant_database_needs_a_word_about_encryption() {
        for url in ["postgresql://db.example.org/a", "host=192.0.2.1 user=m"] {
            let said = Postgres::new(&options(url)).map(|_| ()).expect_err(url);
            assert!(said.contains("sslmode=require"), "{said}");
        }
        for url in [
            "postgresql://localhost/a",
            "postgresql://[::1]/a",
            "host=/run/postgresql user=m",
            "postgresql://db.example.org/a?sslmode=require",
            "postgresql://db.example.org/a?sslmode=disable",
        ] {
            Postgres::new(&options(url)).expect(url);
        }
    }

    #[test]
    fn neither_errors_nor_debug_show_the_password_of_the_database() {
        let said = Postgres::new(&options("postgresql://m:hunter2@localhost:x/a"))
            .map(|_| ())
            .expect_err("a bad port");
        let shown = format!("{:?}", Postgres::new(&options("postgresql://m:hunter2@localhost/a")));
        assert!(!said.contains("hunter2") && !shown.contains("hunter2"), "{said} {shown}");
    }
}
