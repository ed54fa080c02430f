//! The typed end of the configuration.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use mqtt_broker::{ListenerRules, ListenerSettings, Settings};
use mqtt_store::WriteSettings;
use mqtt_transport::{CertificateFiles, ClientCertificates, ListenerOptions, Scheme, Url};
use tracing_subscriber::EnvFilter;

use crate::access::{AccessSettings, Member, Order};

use super::owner::{UnixGroup, UnixUser};
use super::plugins::PluginSettings;
use super::value::{self, Choice, Refusal, Setting, Value};

/// Everything that `martlet serve` can be told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Configuration {
    /// For the broker.
    pub(crate) settings: Settings,
    /// Where to listen; never empty once it is resolved, and then `allow_anonymous` is set in each.
    pub(crate) listeners: Vec<ListenerEntry>,
    /// The answer for listeners that do not say it themselves.
    pub(crate) allow_anonymous: Option<bool>,
    /// Users, rules, and what failed logins lead to.
    pub(crate) access: AccessSettings,
    /// What is logged, and how.
    pub(crate) log: LogSettings,
    /// Where state is kept that outlives the process.
    pub(crate) storage: StorageSettings,
    /// WebAssembly components that are asked, and what they may use.
    pub(crate) plugins: PluginSettings,
    /// The threads that serve.
    pub(crate) runtime: RuntimeSettings,
}

/// The threads of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RuntimeSettings {
    /// How many serve connections; 0 for one per processor.
    pub(crate) worker_threads: usize,
    /// Whether those that are not needed rest.
    pub(crate) elastic: bool,
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        Self { worker_threads: 0, elastic: true }
    }
}

/// One address to listen on.
#[derive(Clone, Debug)]
pub(crate) struct ListenerEntry {
    pub(crate) url: Url,
    /// Whether clients may connect without logging in; `None` until it is resolved. The same field of the rules is
    /// only set from it.
    pub(crate) allow_anonymous: Option<bool>,
    /// Who decides on its logins.
    pub(crate) authentication: Order,
    pub(crate) rules: ListenerRules,
    pub(crate) transport: ListenerOptions,
    /// Files of the certificates; the keys stand at the same places.
    pub(crate) certificates: Vec<PathBuf>,
    pub(crate) keys: Vec<PathBuf>,
    pub(crate) unix_mode: UnixMode,
    pub(crate) unix_user: UnixUser,
    pub(crate) unix_group: UnixGroup,
    /// The name of the socket that systemd passes, if it is one of those.
    pub(crate) systemd_socket: Option<Box<str>>,
}

impl ListenerEntry {
    /// Nothing is said about anonymous clients yet.
    pub(crate) fn new(url: Url) -> Self {
        Self {
            url,
            allow_anonymous: None,
            authentication: Order::default(),
            rules: ListenerRules::default(),
            transport: ListenerOptions::default(),
            certificates: Vec::new(),
            keys: Vec::new(),
            unix_mode: UnixMode::default(),
            unix_user: UnixUser::default(),
            unix_group: UnixGroup::default(),
            systemd_socket: None,
        }
    }

    /// For the broker, once it is resolved.
    pub(crate) fn into_settings(self) -> ListenerSettings {
        let allow_anonymous = self.allow_anonymous.expect("a resolved listener knows");
        let names = |members: Vec<Member>| members.iter().map(|member| member.name().into()).collect();
        let authentication = self.authentication.0.map(names);
        let rules = ListenerRules { allow_anonymous, authentication, ..self.rules };
        let mut transport = self.transport;
        transport.socket.unix_mode = self.unix_mode.0;
        transport.socket.unix_user = self.unix_user.id();
        transport.socket.unix_group = self.unix_group.id();
        let pairs = self.certificates.into_iter().zip(self.keys);
        transport.tls.certificates =
            pairs.map(|(certificate, key)| CertificateFiles { certificate, key }).collect();
        ListenerSettings { url: self.url, rules, transport }
    }

    /// Whether its clients can show who they are without a log-in.
    pub(crate) fn knows_certificates(&self) -> bool {
        let asked = self.transport.tls.client_certificates != ClientCertificates::NotAsked;
        self.url.scheme().is_encrypted() && asked && self.rules.username_from.is_some()
    }

    /// Whether only this machine can reach it. A name other than `localhost` may lead anywhere, and so may a socket that
    /// somebody else opens.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.url.host();
        let named = host.parse().map_or_else(|_| host.eq_ignore_ascii_case("localhost"), is_loopback);
        self.url.scheme() == Scheme::Unix || (self.systemd_socket.is_none() && named)
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

impl Default for ListenerEntry {
    fn default() -> Self {
        Self::new(Url::tcp("127.0.0.1", 1883))
    }
}

/// Where a broker listens that was told nothing.
pub(crate) fn default_listeners() -> Vec<ListenerEntry> {
    let ws = Url::parse("ws://127.0.0.1:8083/mqtt").expect("an address");
    vec![ListenerEntry::default(), ListenerEntry::new(ws)]
}

/// Permissions of a file, written as an octal number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct UnixMode(Option<u32>);

impl Setting for UnixMode {
    fn show(&self) -> Value {
        Value::Text(self.0.map_or_else(String::new, |mode| format!("{mode:o}")))
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        let text = value::text(value)?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o777);
        let mode =
            mode.ok_or_else(|| vec![Refusal::new(format!("is {text:?}: write an octal number up to 777"))])?;
        Ok(Self(Some(mode)))
    }
}

/// Where state is kept that outlives the process.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StorageSettings {
    /// Whether there is none.
    pub(crate) in_memory: bool,
    /// The directory; `None` for the usual place.
    pub(crate) data_dir: Option<Box<str>>,
    pub(crate) sync_interval: Duration,
    pub(crate) space_factor: u32,
    pub(crate) memory_bytes_max: usize,
    pub(crate) drop_damaged: bool,
}

impl Default for StorageSettings {
    fn default() -> Self {
        let WriteSettings { sync_interval, .. } = WriteSettings::default();
        Self {
            in_memory: false,
            data_dir: None,
            sync_interval,
            space_factor: 2,
            memory_bytes_max: 256 << 20,
            drop_damaged: false,
        }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LogSettings {
    pub(crate) filter: LogFilter,
    pub(crate) format: LogFormat,
}

/// A filter whose text was parsed successfully.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LogFilter(String);

impl LogFilter {
    /// Checks the text.
    ///
    /// # Errors
    /// A sentence that follows the name of the option.
    pub(crate) fn parse(text: String) -> Result<Self, Vec<Refusal>> {
        match EnvFilter::builder().parse(&text) {
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(vec![Refusal::new(format!("is {text:?}, which is no log filter: {error}"))]),
        }
    }

    /// The filter as the subscriber needs it.
    pub(crate) fn to_env_filter(&self) -> EnvFilter {
        EnvFilter::new(&self.0)
    }
}

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl Setting for LogFilter {
    fn show(&self) -> Value {
        Value::Text(self.0.clone())
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        Self::parse(value::text(value)?)
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    Text,
    Json,
}

impl Choice for LogFormat {
    const NAMES: &'static [&'static str] = &["auto", "text", "json"];
    const VALUES: &'static [Self] = &[Self::Auto, Self::Text, Self::Json];
}
