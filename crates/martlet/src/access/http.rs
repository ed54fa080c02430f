//! The sections `[http_login]` and `[http_access]` of the configuration: from options to a member of the chain, and to whoever
//! is asked where no rule decides.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mqtt_access::login::Authenticator;
use mqtt_http::{Client, ClientOptions, TlsClientOptions};
use mqtt_login::http::{AnswerStyle, CallbackSettings, HttpAuthority, HttpCallback, QuestionStyle};
use mqtt_login::{Bounded, Bounds};

use super::service::{SecretHeaders, ServiceUrl};
use crate::config::Choice;

/// How a service is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HttpOptions {
    pub(crate) url: ServiceUrl,
    pub(crate) question: QuestionStyle,
    pub(crate) answer: AnswerStyle,
    pub(crate) headers: SecretHeaders,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) timeout: Duration,
    pub(crate) answer_bytes_max: usize,
    pub(crate) concurrent_max: usize,
    pub(crate) waiting_max: usize,
    pub(crate) remember: Duration,
    pub(crate) remember_max: usize,
}

impl Default for HttpOptions {
    fn default() -> Self {
        let bounds = Bounds::default();
        Self {
            url: ServiceUrl::default(),
            question: QuestionStyle::PostJson,
            answer: AnswerStyle::Json,
            headers: SecretHeaders::default(),
            ca_file: None,
            timeout: Duration::from_secs(4),
            answer_bytes_max: 64 * 1024,
            concurrent_max: bounds.concurrent_max,
            waiting_max: bounds.waiting_max,
            remember: Duration::ZERO,
            remember_max: 10_000,
        }
    }
}

impl HttpOptions {
    /// Where every topic of every client is a question, answers have to be remembered.
    pub(crate) fn about_topics() -> Self {
        Self { remember: Duration::from_secs(60), remember_max: 100_000, ..Self::default() }
    }

    /// Whether there is a service.
    pub(crate) fn is_configured(&self) -> bool {
        self.url.is_some()
    }

    /// Asks it.
    pub(super) fn load(&self, key: &str, errors: &mut Vec<String>) -> Option<Client> {
        let options = ClientOptions {
            timeout: self.timeout,
            answer_bytes_max: self.answer_bytes_max,
            idle_max: self.concurrent_max,
            tls: TlsClientOptions { ca_file: self.ca_file.clone(), ..TlsClientOptions::default() },
        };
        self.url.client(key, &options, errors)
    }

    /// The member of the chain; `None` if the system has no random numbers.
    pub(super) fn member(&self, client: &Client) -> Option<Arc<dyn Authenticator>> {
        let member = HttpCallback::new(client.clone(), self.settings()).ok()?;
        Some(Arc::new(Bounded::new(member, self.bounds())))
    }

    /// Whoever is asked about topics. What was answered before a reload is forgotten.
    pub(super) fn authority(&self, client: &Client) -> Result<Arc<HttpAuthority>, getrandom::Error> {
        HttpAuthority::new(client.clone(), self.settings(), self.bounds()).map(Arc::new)
    }

    fn settings(&self) -> CallbackSettings {
        CallbackSettings {
            question: self.question,
            answer: self.answer,
            headers: self.headers.0.clone(),
            remember: self.remember,
            remember_max: self.remember_max,
        }
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            concurrent_max: self.concurrent_max,
            waiting_max: self.waiting_max,
            deadline: self.timeout + Duration::from_secs(1),
        }
    }
}

impl Choice for QuestionStyle {
    const NAMES: &'static [&'static str] = &["post-json", "post-form", "get"];
    const VALUES: &'static [Self] = &[Self::PostJson, Self::PostForm, Self::Get];
}

impl Choice for AnswerStyle {
    const NAMES: &'static [&'static str] = &["json", "status"];
    const VALUES: &'static [Self] = &[Self::Json, Self::Status];
}
