//! Addresses of services that are asked about logins, and headers that must not be shown.

use mqtt_http::{Client, ClientOptions, HttpUrl, Request};

use crate::config::{Refusal, Setting, Value, each};

/// The address of a service; none if it is left out with "". Its query is not shown, for it may hold a secret.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ServiceUrl(Option<HttpUrl>);

impl ServiceUrl {
    pub(super) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Asks there. What is wrong with its files is told under the name of the option.
    pub(super) fn client(
        &self,
        key: &str,
        options: &ClientOptions,
        errors: &mut Vec<String>,
    ) -> Option<Client> {
        let url = self.0.as_ref()?;
        let client = Client::new(url, options);
        client.map_err(|error| errors.push(format!("{key} {url}: {error}"))).ok()
    }
}

impl Setting for ServiceUrl {
    fn show(&self) -> Value {
        let text = |url: &HttpUrl| {
            if url.to_text().contains('?') { format!("{url}?{HIDDEN}") } else { url.to_string() }
        };
        Value::Text(self.0.as_ref().map_or_else(String::new, text))
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        let text = String::read(value)?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        let url = HttpUrl::parse(&text);
        url.map(|url| Self(Some(url))).map_err(|error| vec![Refusal::new(format!("cannot be used: {error}"))])
    }
}

/// Headers as `NAME: VALUE`, whose values are not shown.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct SecretHeaders(pub(super) Vec<(String, String)>);

impl Setting for SecretHeaders {
    fn show(&self) -> Value {
        Value::List(self.0.iter().map(|(name, _)| format!("{name}: {HIDDEN}")).collect())
    }

    fn read(value: Value) -> Result<Self, Vec<Refusal>> {
        let headers = each(Vec::<String>::read(value)?, |line| {
            let header = line.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
            match header {
                Some((name, value)) if Request::is_header(name, value) => {
                    Ok((name.to_owned(), value.to_owned()))
                }
                _ => Err(Refusal::new("holds an entry that is not NAME: VALUE")),
            }
        });
        headers.map(Self)
    }
}

impl std::fmt::Debug for SecretHeaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// Stands for a secret where a configuration is shown.
const HIDDEN: &str = "(hidden)";
