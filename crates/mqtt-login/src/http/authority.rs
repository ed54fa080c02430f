//! A service that is asked what a client may publish and subscribe to.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use mqtt_access::consult::{Action, Consulted, Unanswered};
use mqtt_codec::QoS;
use mqtt_http::{Client, HttpError, Response};
use parking_lot::Mutex;
use serde_json::Value;

use super::callback::{AnswerStyle, CallbackSettings};
use super::question::Question;
use crate::Bounds;
use crate::recall::Recall;
use crate::turns::{NoTurn, Turns};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct TopicQuestion<'a> {
    /// Client identifier.
    pub client_id: &'a str,
    /// User name, if it has one.
    pub username: Option<&'a str>,
    /// Where it comes from, if that is known.
    pub address: Option<IpAddr>,
    /// Name of the listener it came through.
    pub listener: &'a str,
    /// What it wants to do.
    pub action: Action,
    /// A topic name, or a topic filter.
    pub topic: &'a str,
    /// Of the message, or the highest one of the subscription.
    pub qos: QoS,
}

/// Asks a service about topics. Whatever is not a clear answer allows nothing.
///
/// ```
/// use mqtt_http::{Client, ClientOptions, HttpUrl};
/// use mqtt_login::Bounds;
/// use mqtt_login::http::{CallbackSettings, HttpAuthority};
///
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::new(&HttpUrl::parse("http://127.0.0.1:8080/topics")?, &ClientOptions::default())?;
/// let authority = HttpAuthority::new(client, CallbackSettings::default(), Bounds::default())?;
/// # let _ = authority; Ok(()) }
/// # run().unwrap();
/// ```
pub struct HttpAuthority {
    client: Client,
    settings: CallbackSettings,
    recall: Recall<bool>,
    turns: Turns,
    /// When the log was told last that there was no answer.
    warned: Mutex<Option<Instant>>,
}

/// Time between two lines of the log about answers that there were none of: each is counted, and a client that asks about
/// many topics must not fill the log.
const WARNING_INTERVAL: Duration = Duration::from_secs(1);

impl HttpAuthority {
    /// Asks at the address of the client, within these bounds.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new(client: Client, settings: CallbackSettings, bounds: Bounds) -> Result<Self, getrandom::Error> {
        let recall = Recall::new(settings.remember, settings.remember_max)?;
        Ok(Self { client, settings, recall, turns: Turns::new(bounds), warned: Mutex::default() })
    }

    /// The answer, from memory or from the service. Answers of memory come at once.
    pub async fn ask(&self, asked: &TopicQuestion<'_>, now: Instant) -> Consulted {
        let address = asked.address.map_or_else(String::new, |address| address.to_string());
        let question = fields(asked, &address);
        let digest = self.recall.digest(question.to_json().as_bytes());
        if let Some((allowed, until)) = self.recall.get(&digest, now) {
            return Consulted { verdict: Ok(allowed), until };
        }
        let verdict = match self.turns.take(self.put(&question, now)).await {
            Ok(answered) => answered,
            Err(NoTurn::Busy) => Err(Unanswered::Busy),
            Err(NoTurn::Late) => Err(Unanswered::TimedOut),
        };
        let until = verdict.map_or(now, |allowed| self.recall.put(digest, &allowed, None, now));
        Consulted { verdict, until }
    }

    async fn put(&self, question: &Question<'_>, now: Instant) -> Result<bool, Unanswered> {
        let headers = self.settings.headers.iter();
        let request = headers.fold(question.request(self.settings.question), |request, (name, value)| {
            request.header(name, value)
        });
        let url = self.client.url();
        let response = self.client.send(request).await.map_err(|error| {
            if self.may_warn(now) {
                tracing::warn!(%url, %error, "nobody can say who may use a topic");
            }
            cause(&error)
        })?;
        self.read(&response).ok_or_else(|| {
            if self.may_warn(now) {
                tracing::warn!(%url, status = response.status, "the answer about a topic cannot be understood");
            }
            Unanswered::NoAnswer
        })
    }

    fn may_warn(&self, now: Instant) -> bool {
        let mut warned = self.warned.lock();
        let may = warned.is_none_or(|last| now.saturating_duration_since(last) >= WARNING_INTERVAL);
        if may {
            *warned = Some(now);
        }
        may
    }

    fn read(&self, response: &Response) -> Option<bool> {
        match (self.settings.answer, response.status) {
            (AnswerStyle::Json, 200) => read_verdict(&response.body),
            (AnswerStyle::Json, 204) => Some(true),
            (AnswerStyle::Json, 401 | 403) | (AnswerStyle::Status, 400..=499) => Some(false),
            (AnswerStyle::Status, _) if response.is_success() => Some(true),
            _ => None,
        }
    }
}

/// `{"result": "allow" | "deny" | "ignore"}` or `{"ok": bool}`. Nobody comes after the service, so what it ignores is denied.
fn read_verdict(body: &[u8]) -> Option<bool> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    match answer.get("result") {
        Some(result) => match result.as_str()? {
            "allow" => Some(true),
            "deny" | "ignore" => Some(false),
            _ => None,
        },
        None => answer.get("ok")?.as_bool(),
    }
}

fn cause(error: &HttpError) -> Unanswered {
    match error {
        HttpError::TimedOut => Unanswered::TimedOut,
        HttpError::Connect(_) | HttpError::Broken(_) => Unanswered::Unreachable,
        _ => Unanswered::NoAnswer,
    }
}

fn fields<'a>(asked: &TopicQuestion<'a>, address: &'a str) -> Question<'a> {
    let (action, retain) = match asked.action {
        Action::Publish { retain } => ("publish", Some(if retain { "true" } else { "false" })),
        Action::Subscribe => ("subscribe", None),
    };
    let qos = ["0", "1", "2"][asked.qos as usize];
    let fields = [
        ("clientid", Some(asked.client_id)),
        ("username", asked.username),
        ("address", Some(address).filter(|address| !address.is_empty())),
        ("listener", Some(asked.listener)),
        ("action", Some(action)),
        ("topic", Some(asked.topic)),
        ("qos", Some(qos)),
        ("retain", retain),
    ];
    Question(fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

impl core::fmt::Debug for HttpAuthority {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("HttpAuthority").field("client", &self.client).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_answer_counts() {
        for (body, expected) in [
            (r#"{"result": "allow"}"#, Some(true)),
            (r#"{"result": "deny"}"#, Some(false)),
            (r#"{"result": "ignore"}"#, Some(false)),
            (r#"{"ok": true}"#, Some(true)),
            (r#"{"ok": false}"#, Some(false)),
            (r#"{"result": "Allow"}"#, None),
            (r#"{"result": true, "ok": true}"#, None),
            (r#"{"ok": "true"}"#, None),
            ("[]", None),
            ("", None),
            ("allow", None),
        ] {
            assert_eq!(read_verdict(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn missing_answers_are_told_of_once_a_second() {
        let url = mqtt_http::HttpUrl::parse("http://127.0.0.1:9").expect("an address");
        let client = Client::new(&url, &mqtt_http::ClientOptions::default()).expect("no files");
        let authority = HttpAuthority::new(client, CallbackSettings::default(), Bounds::default());
        let (authority, now) = (authority.expect("random numbers"), Instant::now());
        let told = |ms| authority.may_warn(now + Duration::from_millis(ms));
        assert_eq!([0, 1, 999, 1000, 1001, 3000].map(told), [true, false, false, true, false, true]);
    }
}
