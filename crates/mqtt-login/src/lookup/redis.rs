//! Users and rules in Redis, Valkey or whatever speaks their protocol.

use std::fmt;
use std::time::Duration;

use mqtt_access::acl::Policy;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, TlsCertificates, Value, from_redis_value};

use super::found::{Entry, Found, rules};
use super::template::{Piece, Who, pieces};
use super::{Looked, Source};

/// Where Redis is and what it is asked.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://[USER[:PASSWORD]@]HOST[:PORT][/DATABASE]`, `rediss://...` over TLS, or `redis+unix:///PATH`.
    pub url: String,
    /// Authorities of its certificate in PEM; `None` for those of the system.
    pub authorities: Option<Vec<u8>>,
    /// For the user: `GET KEY` or `HGET KEY FIELD` for the hash alone, or `HMGET KEY FIELD FIELD`, whose second value
    /// (`1` or `true`) makes the user a superuser.
    pub user: String,
    /// For its rules: `HGETALL KEY` with topic filters as fields and actions as values, or `LRANGE KEY FIRST LAST` with lines
    /// of rules. `None` if the rules are not kept there.
    pub rules: Option<String>,
    /// The longest wait for a connection, and for an answer.
    pub timeout: Duration,
}

/// Redis as a source of users. Connects when it is asked first, and again whenever the connection is lost.
///
/// ```
/// use std::time::Duration;
/// use mqtt_login::lookup::redis::{Redis, RedisOptions};
///
/// let options = RedisOptions {
///     url: "redis://127.0.0.1/0".into(),
///     authorities: None,
///     user: "HMGET mqtt_user:${username} password_hash is_superuser".into(),
///     rules: Some("HGETALL mqtt_acl:${username}".into()),
///     timeout: Duration::from_secs(5),
/// };
/// let redis = Redis::new(&options)?; // it connects when it is asked first
/// # let _ = redis;
/// # Ok::<(), String>(())
/// ```
pub struct Redis {
    client: Client,
    config: ConnectionManagerConfig,
    connection: tokio::sync::OnceCell<ConnectionManager>,
    user: Command,
    rules: Option<Command>,
}

impl Redis {
    /// Its name in a chain.
    pub const NAME: &'static str = "redis";

    /// Checks the options; nothing is connected yet.
    ///
    /// # Errors
    /// A sentence that says what is wrong, without secrets.
    pub fn new(options: &RedisOptions) -> Result<Self, String> {
        let tls = TlsCertificates { client_tls: None, root_cert: options.authorities.clone() };
        let client = if options.url.starts_with("rediss://") {
            Client::build_with_tls(options.url.as_str(), tls)
        } else {
            Client::open(options.url.as_str())
        };
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(options.timeout))
            .set_response_timeout(Some(options.timeout));
        Ok(Self {
            client: client.map_err(|error| format!("the address of Redis cannot be used: {error}"))?,
            config,
            connection: tokio::sync::OnceCell::new(),
            user: Command::parse(&options.user, &["GET", "HGET", "HMGET"])?,
            rules: options
                .rules
                .as_deref()
                .map(|rules| Command::parse(rules, &["HGETALL", "LRANGE"]))
                .transpose()?,
        })
    }

    async fn ask(&self, command: &Command, who: Who<'_>) -> Result<Value, String> {
        let connect =
            || async { ConnectionManager::new_lazy_with_config(self.client.clone(), self.config.clone()) };
        let connection = self.connection.get_or_try_init(connect).await;
        let mut connection = connection.map_err(|error| error.to_string())?.clone();
        command.fill(who).query_async(&mut connection).await.map_err(|error| error.to_string())
    }

    async fn find(&self, who: Who<'_>) -> Result<Option<Found>, String> {
        let answer = self.ask(&self.user, who).await?;
        let values: Vec<Option<String>> = match answer {
            Value::Array(_) => from_redis_value(answer).map_err(|error| error.to_string())?,
            one => vec![from_redis_value(one).map_err(|error| error.to_string())?],
        };
        let mut values = values.into_iter();
        let Some(hash) = values.next().flatten() else { return Ok(None) };
        let is_superuser = matches!(values.next().flatten().as_deref(), Some("1" | "true"));
        Found::read(&hash, is_superuser).map(Some)
    }

    async fn find_rules(&self, who: Who<'_>) -> Result<Option<Policy>, String> {
        let Some(command) = &self.rules else { return Ok(None) };
        let answer = self.ask(command, who).await?;
        let texts: Vec<String> = from_redis_value(answer).map_err(|error| error.to_string())?;
        rules(Self::NAME, command.entries(texts)).map(Some)
    }
}

impl Source for Redis {
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

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("user", &self.user).field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// A command whose words may have places for what a client shows.
#[derive(Debug)]
struct Command {
    name: Box<str>,
    words: Vec<Vec<Piece>>,
}

impl Command {
    fn parse(text: &str, allowed: &[&str]) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace();
        let name = words.next().unwrap_or_default().to_ascii_uppercase();
        if !allowed.contains(&name.as_str()) {
            return Err(format!("the command {text:?} is none of {}", allowed.join(", ")));
        }
        let words: Result<Vec<_>, String> = words.map(pieces).collect();
        let words = words.map_err(|problem| format!("the command {text:?} {problem}"))?;
        let expected = match name.as_str() {
            "GET" | "HGETALL" => 1..=1,
            "HGET" => 2..=2,
            "LRANGE" => 3..=3,
            _ => 2..=3,
        };
        if !expected.contains(&words.len()) {
            return Err(format!("the command {text:?} has {} arguments", words.len()));
        }
        Ok(Self { name: name.into(), words })
    }

    fn fill(&self, who: Who<'_>) -> Cmd {
        let mut command = redis::cmd(&self.name);
        for word in &self.words {
            let texts = word.iter().map(|piece| match piece {
                Piece::Text(text) => text,
                Piece::Variable(variable) => who.value(*variable),
            });
            command.arg(texts.collect::<String>());
        }
        command
    }

    /// The rules in what it answers.
    fn entries(&self, texts: Vec<String>) -> Vec<Entry> {
        if &*self.name != "HGETALL" {
            return texts.into_iter().map(Entry::Line).collect();
        }
        let permitted = |pair: &[String]| Entry::Parts {
            permission: "allow".to_owned(),
            action: pair[1].clone(),
            topic: pair[0].clone(),
        };
        texts.chunks_exact(2).map(permitted).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_shows_stays_one_argument_of_one_command() {
        let command = Command::parse("hmget martlet:user:${username} hash admin", &["HMGET"]);
        let who = Who { username: "x\r\nDEL y z", client_id: "c" };
        let filled = command.expect("a command").fill(who);
        let words: Vec<Vec<u8>> = filled
            .args_iter()
            .map(|argument| match argument {
                redis::Arg::Simple(bytes) => bytes.to_vec(),
                _ => Vec::new(),
            })
            .collect();
        assert_eq!(words, [b"HMGET" as &[u8], b"martlet:user:x\r\nDEL y z", b"hash", b"admin"]);
    }

    #[test]
    fn only_commands_that_read_are_accepted() {
        for wrong in [
            "",
            "DEL a",
            "EVAL x 0",
            "GET",
            "GET a b",
            "HGET a",
            "HMGET a b c d",
            "GET ${password}",
            "KEYS *",
        ] {
            assert!(Command::parse(wrong, &["GET", "HGET", "HMGET"]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn neither_errors_nor_debug_show_the_password_of_redis() {
        let mut options = RedisOptions {
            url: "redis://:hunter2@localhost".into(),
            authorities: None,
            user: "GET ${username}".into(),
            rules: None,
            timeout: Duration::from_secs(1),
        };
        let shown = format!("{:?}", Redis::new(&options).expect("good options"));
        options.url = "redis://:hunter2@local host:x".into();
        let said = Redis::new(&options).map(|_| ()).expect_err("no address");
        assert!(!shown.contains("hunter2") && !said.contains("hunter2"), "{shown} {said}");
    }
}
