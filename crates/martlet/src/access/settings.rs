//! The section `[access]` of the configuration, typed.

use std::path::PathBuf;
use std::time::Duration;

use mqtt_access::backoff::BackoffLimits;
use mqtt_access::bans;
use mqtt_access::flapping::FlappingLimits;
use mqtt_access::password::PasswordFile;
use mqtt_login::CheckerBounds;

use super::http::HttpOptions;
use super::jwt::JwtOptions;
use super::lookups::Database;
use super::members::Order;
use crate::config::{Refusal, Setting, Value};

/// Where users and rules come from, and what failed logins lead to.
#[derive(Clone, Debug)]
pub(crate) struct AccessSettings {
    /// Who decides on logins, for listeners that do not say it themselves.
    pub(crate) authentication: Order,
    pub(crate) users: UserLines,
    pub(crate) password_files: Vec<PathBuf>,
    pub(crate) rules: Vec<String>,
    pub(crate) rule_files: Vec<PathBuf>,
    pub(crate) mosquitto_acl_files: Vec<PathBuf>,
    pub(crate) bans: BanLines,
    pub(crate) ban_files: Vec<PathBuf>,
    pub(crate) bans_max: usize,
    pub(crate) checker: CheckerBounds,
    pub(crate) backoff: BackoffLimits,
    pub(crate) flapping: FlappingLimits,
    /// How long a client that comes and goes too often is shut out.
    pub(crate) flapping_ban: Duration,
    pub(crate) jwt: JwtOptions,
    pub(crate) http: HttpOptions,
    pub(crate) authority: HttpOptions,
    pub(crate) redis: Database,
    pub(crate) postgres: Database,
}

impl Default for AccessSettings {
    fn default() -> Self {
        Self {
            authentication: Order::default(),
            users: UserLines::default(),
            password_files: Vec::new(),
            rules: Vec::new(),
            rule_files: Vec::new(),
            mosquitto_acl_files: Vec::new(),
            bans: BanLines::default(),
            ban_files: Vec::new(),
            bans_max: bans::BANS_MAX,
            checker: CheckerBounds::default(),
            backoff: BackoffLimits::default(),
            flapping: FlappingLimits { connects_max: 0, window: Duration::from_secs(60) },
            flapping_ban: Duration::from_secs(300),
            jwt: JwtOptions::default(),
            http: HttpOptions::default(),
            authority: HttpOptions::about_topics(),
            redis: Database::redis(),
            postgres: Database::postgres(),
        }
    }
}

impl AccessSettings {
    /// Whether there is any way to log in.
    pub(crate) fn knows_users(&self) -> bool {
        !self.users.0.is_empty() || !self.password_files.is_empty()
    }

    /// Whether there are rules, so that what none allows is denied.
    pub(crate) fn has_rules(&self) -> bool {
        !(self.rules.is_empty() && self.rule_files.is_empty() && self.mosquitto_acl_files.is_empty())
    }
}

/// `NAME:HASH` each. Shown without the hashes.
#[derive(Clone, Default)]
pub(crate) struct UserLines(pub(crate) Vec<String>);

impl UserLines {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|line| line.split_once(':').map_or("", |(name, _)| name))
    }
}

impl std::fmt::Debug for UserLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

impl Setting for UserLines {
    fn show(&self) -> Value {
        Value::List(self.names().map(|name| format!("{name}{HIDDEN}")).collect())
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        let lines = Vec::<String>::read(value)?;
        let mut file = PasswordFile::default();
        let mut refusals = Vec::new();
        for (position, (number, line)) in (1..).zip(&lines).enumerate() {
            // As a printed configuration has it; it is refused where it would be used.
            if line.ends_with(HIDDEN) {
                continue;
            }
            if let Err(problem) = file.add_line(number, line) {
                let message = format!("holds an entry that cannot be used: {problem}");
                refusals.push(Refusal { element: Some(position), message });
            }
        }
        if refusals.is_empty() { Ok(Self(lines)) } else { Err(refusals) }
    }
}

/// Stands for a hash where a configuration is shown.
const HIDDEN: &str = ":(hidden)";

/// Bans, checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct BanLines(pub(crate) Vec<String>);

impl Setting for BanLines {
    fn show(&self) -> Value {
        Value::List(self.0.clone())
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        let lines = Vec::<String>::read(value)?;
        let wrong = |(position, line): (usize, &String)| {
            let problem = bans::parse_ban(line).err()?;
            let message = format!("holds {line:?}: {problem}");
            Some(Refusal { element: Some(position), message })
        };
        let refusals: Vec<Refusal> = lines.iter().enumerate().filter_map(wrong).collect();
        if refusals.is_empty() { Ok(Self(lines)) } else { Err(refusals) }
    }
}
