//! The service as a member of the chain.

use std::time::Duration;

use mqtt_access::login::{Answer, Applicant, Authenticator, Decision, Grant};
use mqtt_codec::ReasonCode;
use mqtt_http::{Client, Response};

use super::answer::{Answered, read_answer};
use super::question::{Question, QuestionStyle};
use crate::recall::Recall;

/// How a service is asked, and how its answers are read.
#[derive(Clone)]
pub struct CallbackSettings {
    /// How the fields are sent.
    pub question: QuestionStyle,
    /// What an answer looks like.
    pub answer: AnswerStyle,
    /// Headers of every request, such as `Authorization`. Their values are never shown.
    pub headers: Vec<(String, String)>,
    /// How long an answer holds for the same question; zero for once. Of logins only those that were admitted are remembered.
    pub remember: Duration,
    /// Answers that are remembered.
    pub remember_max: usize,
}

/// What an answer looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerStyle {
    /// Status 200 with a JSON object that says allow, deny or ignore; 204 allows; 401 and 403 deny.
    Json,
    /// The status alone: 2xx allows, 4xx denies.
    Status,
}

impl Default for CallbackSettings {
    fn default() -> Self {
        Self {
            question: QuestionStyle::PostJson,
            answer: AnswerStyle::Json,
            headers: Vec::new(),
            remember: Duration::ZERO,
            remember_max: 10_000,
        }
    }
}

impl core::fmt::Debug for CallbackSettings {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("CallbackSettings")
            .field("question", &self.question)
            .field("answer", &self.answer)
            .field("headers", &headers)
            .field("remember", &self.remember)
            .finish_non_exhaustive()
    }
}

/// Asks a service about each client that shows something. Whatever is not a clear answer admits nobody.
///
/// ```
/// use mqtt_http::{Client, ClientOptions, HttpUrl};
/// use mqtt_login::http::{CallbackSettings, HttpCallback};
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::new(&HttpUrl::parse("http://127.0.0.1:8080/login")?, &ClientOptions::default())?;
/// let callback = HttpCallback::new(client, CallbackSettings::default())?;
/// # let _ = callback; Ok(()) }
/// # run().unwrap();
/// ```
#[derive(Debug)]
pub struct HttpCallback {
    client: Client,
    settings: CallbackSettings,
    recall: Recall<Grant>,
}

impl HttpCallback {
    /// Its name in a chain.
    pub const NAME: &'static str = "http";

    /// Asks at the address of the client. Put it into [`Bounded`](crate::Bounded).
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new(client: Client, settings: CallbackSettings) -> Result<Self, getrandom::Error> {
        let recall = Recall::new(settings.remember, settings.remember_max)?;
        Ok(Self { client, settings, recall })
    }

    async fn ask(&self, applicant: &Applicant<'_>) -> Decision {
        if applicant.shows_nothing() && applicant.certificate_subject.is_none() {
            return Decision::Pass;
        }
        let address = applicant.address.map_or_else(String::new, |address| address.ip().to_string());
        let Some(question) = Question::new(applicant, &address) else {
            return Decision::Deny(ReasonCode::BadUserNameOrPassword);
        };
        let digest = self.recall.digest(question.to_json().as_bytes());
        if let Some((grant, _)) = self.recall.get(&digest, applicant.now.instant) {
            return Decision::Allow(grant);
        }
        if applicant.must_wait {
            return Decision::Deny(ReasonCode::ConnectionRateExceeded);
        }
        let headers = self.settings.headers.iter();
        let request = headers.fold(question.request(self.settings.question), |request, (name, value)| {
            request.header(name, value)
        });
        let url = self.client.url();
        let response = match self.client.send(request).await {
            Ok(response) => response,
            Err(error) => {
                tracing::warn!(%url, %error, "a login cannot be decided");
                return Decision::Deny(ReasonCode::ServerUnavailable);
            }
        };
        match self.read(&response, applicant) {
            Ok(Answered::Ignore) => Decision::Pass,
            Ok(Answered::Deny) => Decision::Deny(ReasonCode::BadUserNameOrPassword),
            Ok(Answered::Allow(grant)) => {
                let grant = Grant { username: applicant.username.map(Into::into), ..grant };
                self.recall.put(digest, &grant, grant.expires_at, applicant.now.instant);
                Decision::Allow(grant)
            }
            Err(problem) => {
                tracing::warn!(%url, status = response.status, problem, "a login cannot be decided");
                Decision::Deny(ReasonCode::ServerUnavailable)
            }
        }
    }

    fn read(&self, response: &Response, applicant: &Applicant<'_>) -> Result<Answered, String> {
        match (self.settings.answer, response.status) {
            (AnswerStyle::Json, 200) => read_answer(&response.body, applicant.now),
            (AnswerStyle::Json, 204) => Ok(Answered::Allow(Grant::default())),
            (AnswerStyle::Json, 401 | 403) | (AnswerStyle::Status, 400..=499) => Ok(Answered::Deny),
            (AnswerStyle::Status, _) if response.is_success() => Ok(Answered::Allow(Grant::default())),
            _ => Err("the status is none that decides".to_owned()),
        }
    }
}

impl Authenticator for HttpCallback {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn decide<'a>(&'a self, applicant: &'a Applicant<'a>) -> Answer<'a> {
        Box::pin(self.ask(applicant))
    }
}
