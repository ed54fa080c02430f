//! The section `[http_login]` of the configuration: from options to a member of the chain.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mqtt_access::login::Authenticator;
use mqtt_http::{Client, ClientOptions, TlsClientOptions};
use mqtt_login::http::{AnswerStyle, CallbackSettings, HttpCallback, QuestionStyle};
use mqtt_login::{Bounded, Bounds};

use super::service::{SecretHeaders, ServiceUrl};
use crate::config::Choice;

/// How a service is asked about logins.
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
    /// Whether there is a service.
    pub(crate) fn is_configured(&self) -> bool {
        self.url.is_some()
    }

    /// Asks it.
    pub(super) fn load(&self, errors: &mut Vec<String>) -> Option<Client> {
        let options = ClientOptions {
            timeout: self.timeout,
            answer_bytes_max: self.answer_bytes_max,
            idle_max: self.concurrent_max,
            tls: TlsClientOptions { ca_file: self.ca_file.clone(), ..TlsClientOptions::default() },
        };
        self.url.client("http_login.url", &options, errors)
    }

    /// The member of the chain; `None` if the system has no random numbers.
    pub(super) fn member(&self, client: &Client) -> Option<Arc<dyn Authenticator>> {
        let settings = CallbackSettings {
            question: self.question,
            answer: self.answer,
            headers: self.headers.0.clone(),
            remember: self.remember,
            remember_max: self.remember_max,
        };
        let bounds = Bounds {
            concurrent_max: self.concurrent_max,
            waiting_max: self.waiting_max,
            deadline: self.timeout + Duration::from_secs(1),
        };
        Some(Arc::new(Bounded::new(HttpCallback::new(client.clone(), settings).ok()?, bounds)))
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
