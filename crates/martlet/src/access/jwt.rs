//! The section `[jwt]` of the configuration: from options to keys and a member of the chain.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mqtt_access::login::Authenticator;
use mqtt_http::{Client, ClientOptions, TlsClientOptions};
use mqtt_login::jwt::{
    ALGORITHMS, Jwt, KeyError, KeySet, RemoteKeys, RemoteSettings, TokenField, TokenSettings,
};
use parking_lot::Mutex;

use super::service::ServiceUrl;
use crate::config::{Choice, Refusal, Setting, Value, each};

/// How tokens are checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JwtOptions {
    pub(crate) secret_file: Option<PathBuf>,
    pub(crate) public_key_files: Vec<PathBuf>,
    pub(crate) jwks_file: Option<PathBuf>,
    pub(crate) jwks_url: ServiceUrl,
    pub(crate) jwks_ca_file: Option<PathBuf>,
    pub(crate) jwks_timeout: Duration,
    pub(crate) jwks: RemoteSettings,
    pub(crate) algorithms: AlgorithmNames,
    pub(crate) token: TokenSettings,
}

impl Default for JwtOptions {
    fn default() -> Self {
        Self {
            secret_file: None,
            public_key_files: Vec::new(),
            jwks_file: None,
            jwks_url: ServiceUrl::default(),
            jwks_ca_file: None,
            jwks_timeout: Duration::from_secs(4),
            jwks: RemoteSettings::default(),
            algorithms: AlgorithmNames::default(),
            token: TokenSettings::default(),
        }
    }
}

/// What was read for it.
#[derive(Debug, Default)]
pub(crate) struct JwtKeys {
    keys: KeySet,
    /// Asks for more keys.
    client: Option<Client>,
}

/// The longest file of keys that is read.
const KEYS_BYTES_MAX: u64 = 1024 * 1024;

impl JwtOptions {
    /// Whether there are any keys.
    pub(crate) fn is_configured(&self) -> bool {
        self.secret_file.is_some()
            || !self.public_key_files.is_empty()
            || self.jwks_file.is_some()
            || self.jwks_url.is_some()
    }

    /// Reads all keys.
    pub(super) fn load(&self, errors: &mut Vec<String>) -> JwtKeys {
        let mut keys = KeySet::default();
        let mut add =
            |path: &PathBuf, read: fn(&[u8]) -> Result<KeySet, KeyError>| match read_keys(path, read) {
                Ok(more) => keys = std::mem::take(&mut keys).and(more),
                Err(problem) => errors.push(format!("{}: {problem}", path.display())),
            };
        self.secret_file.iter().for_each(|path| add(path, |text| KeySet::secret(without_line_end(text))));
        self.public_key_files.iter().for_each(|path| add(path, KeySet::public_key_pem));
        self.jwks_file.iter().for_each(|path| add(path, KeySet::jwks));
        JwtKeys { keys: keys.only(&self.algorithms.0), client: self.client(errors) }
    }

    fn client(&self, errors: &mut Vec<String>) -> Option<Client> {
        let tls = TlsClientOptions { ca_file: self.jwks_ca_file.clone(), ..TlsClientOptions::default() };
        let options = ClientOptions {
            timeout: self.jwks_timeout,
            answer_bytes_max: usize::try_from(KEYS_BYTES_MAX).unwrap_or(usize::MAX),
            idle_max: 1,
            tls,
        };
        self.jwks_url.client("jwt.jwks_url", &options, errors)
    }

    /// The member of the chain. Keys that were fetched are kept as long as the options stay the same.
    pub(super) fn member(&self, read: &JwtKeys, fetched: &Fetched) -> Arc<dyn Authenticator> {
        let jwt = Jwt::new(read.keys.clone(), self.token.clone());
        // Only tokens that none of the known keys has signed wait for others, so that no bound is put around all of them.
        match &read.client {
            Some(client) => Arc::new(jwt.and_remote(fetched.of(self, client))),
            None => Arc::new(jwt),
        }
    }
}

/// Keys that were fetched, with the options under which they were.
#[derive(Default)]
pub(super) struct Fetched(Mutex<Option<(JwtOptions, Arc<RemoteKeys>)>>);

impl Fetched {
    fn of(&self, options: &JwtOptions, client: &Client) -> Arc<RemoteKeys> {
        let mut fetched = self.0.lock();
        if let Some((same, keys)) = &*fetched
            && same == options
        {
            return keys.clone();
        }
        let keys = RemoteKeys::new(client.clone(), options.jwks, options.algorithms.0.clone());
        *fetched = Some((options.clone(), keys.clone()));
        keys
    }
}

fn read_keys(path: &Path, read: fn(&[u8]) -> Result<KeySet, KeyError>) -> Result<KeySet, String> {
    let length = std::fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?.len();
    if length > KEYS_BYTES_MAX {
        return Err(format!("is longer than {KEYS_BYTES_MAX} bytes"));
    }
    let text = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    read(&text).map_err(|error| error.to_string())
}

/// Editors end a file with a line end that nobody means to be part of a secret.
fn without_line_end(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// Names of algorithms that exist.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AlgorithmNames(Vec<String>);

impl Default for AlgorithmNames {
    fn default() -> Self {
        Self(ALGORITHMS.iter().map(|name| (*name).to_owned()).collect())
    }
}

impl Setting for AlgorithmNames {
    fn show(&self) -> Value {
        Value::List(self.0.clone())
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        let names = each(Vec::<String>::read(value)?, |name| {
            let is_known = ALGORITHMS.contains(&name.as_str());
            let message = || format!("holds {name:?}; there are {}", ALGORITHMS.join(", "));
            if is_known { Ok(name) } else { Err(Refusal::new(message())) }
        })?;
        if names.is_empty() {
            Err(vec![Refusal::new("is empty, so no token would be good")])
        } else {
            Ok(Self(names))
        }
    }
}

impl Choice for TokenField {
    const NAMES: &'static [&'static str] = &["password", "username"];
    const VALUES: &'static [Self] = &[Self::Password, Self::Username];
}
