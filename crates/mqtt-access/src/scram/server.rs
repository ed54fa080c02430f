//! One exchange, as the server sees it.

use core::fmt;

use subtle::ConstantTimeEq;

use super::messages::{ClientFinal, ClientFirst};
use super::{ITERATIONS_DEFAULT, Mechanism, Verifier};
use crate::password::{base64, from_base64};

/// Where verifiers come from.
///
/// ```
/// use mqtt_access::scram::{Mechanism, Users, Verifier};
///
/// struct Anna(Verifier);
///
/// impl Users for Anna {
///     fn verifier(&self, _: Mechanism, username: &str) -> Option<Verifier> {
///         (username == "anna").then(|| self.0.clone())
///     }
///     fn secret(&self) -> &[u8] {
///         b"so that nobody learns who exists"
///     }
/// }
///
/// let users = Anna(Verifier::new(Mechanism::Sha256, b"a secret").expect("random numbers"));
/// assert!(users.verifier(Mechanism::Sha256, "bert").is_none());
/// ```
pub trait Users: Send + Sync {
    /// The verifier of a user for this mechanism.
    fn verifier(&self, mechanism: Mechanism, username: &str) -> Option<Verifier>;

    /// A secret that stays the same, from which the salts of users that do not exist are made: nobody can tell
    /// from an answer whether a user exists.
    fn secret(&self) -> &[u8];
}

/// One exchange. It has two steps; the second one ends it.
///
/// ```
/// use mqtt_access::scram::{ClientExchange, Mechanism, Outcome, ServerExchange, Users, Verifier};
///
/// # struct Anna(Verifier);
/// #
/// # impl Users for Anna {
/// #     fn verifier(&self, _: Mechanism, username: &str) -> Option<Verifier> {
/// #         (username == "anna").then(|| self.0.clone())
/// #     }
/// #     fn secret(&self) -> &[u8] {
/// #         b"so that nobody learns who exists"
/// #     }
/// # }
/// #
/// let mechanism = Mechanism::Sha256;
/// let users = Anna(Verifier::new(mechanism, b"a secret").expect("random numbers"));
/// let mut client = ClientExchange::new(mechanism, "anna", b"a secret");
/// let mut server = ServerExchange::new(mechanism);
/// let first = client.first().expect("random numbers");
/// let Outcome::Challenge(challenge) = server.step(&first, &users) else { panic!("it begins") };
/// let answer = client.answer(&challenge).expect("it is one");
/// let Outcome::Proved { username, message } = server.step(&answer, &users) else { panic!("it is right") };
/// assert!(username == "anna" && client.verify(&message));
/// ```
pub struct ServerExchange {
    mechanism: Mechanism,
    state: State,
    claimed: Option<String>,
}

enum State {
    Start,
    Challenged(Box<Challenged>),
    Over,
}

struct Challenged {
    username: String,
    gs2_header: String,
    nonce: String,
    /// The client's first message and the server's, with a comma between and after them.
    messages: String,
    verifier: Verifier,
    /// Whether the user exists and may use this mechanism.
    exists: bool,
}

/// What a step leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Send this and wait for the answer.
    Challenge(Vec<u8>),
    /// The client is this user; send it this, by which it can tell that the server knows it.
    Proved {
        /// The user's name.
        username: String,
        /// The server's last message.
        message: Vec<u8>,
    },
    /// It is not, or what it sent is no message of this exchange.
    Refused,
}

const NONCE_BYTES: usize = 18;

impl ServerExchange {
    /// An exchange in which the client speaks first.
    #[must_use]
    pub fn new(mechanism: Mechanism) -> Self {
        Self { mechanism, state: State::Start, claimed: None }
    }

    /// The user that the client's first message names, proved or not.
    #[must_use]
    pub fn claimed(&self) -> Option<&str> {
        self.claimed.as_deref()
    }

    /// Takes what the client sent. After anything but a challenge the exchange is over.
    pub fn step(&mut self, data: &[u8], users: &dyn Users) -> Outcome {
        let mut nonce = [0; NONCE_BYTES];
        match core::mem::replace(&mut self.state, State::Over) {
            State::Start if getrandom::fill(&mut nonce).is_ok() => {
                self.challenge(data, users, &base64(&nonce))
            }
            State::Challenged(challenged) => challenged.judge(data),
            State::Start | State::Over => Outcome::Refused,
        }
    }

    /// As [`step`](Self::step) at the start, with a nonce of the caller's.
    pub(super) fn challenge(&mut self, data: &[u8], users: &dyn Users, nonce: &str) -> Outcome {
        self.state = State::Over;
        let Some(first) = ClientFirst::parse(data) else { return Outcome::Refused };
        self.claimed = Some(first.username.clone());
        let known = users.verifier(self.mechanism, &first.username);
        let exists = known.is_some();
        let verifier = known.unwrap_or_else(|| self.pretend(users.secret(), &first.username));
        let nonce = format!("{}{nonce}", first.nonce);
        let challenge = format!("r={nonce},s={},i={}", base64(&verifier.salt), verifier.iterations);
        let messages = format!("{},{challenge},", first.bare);
        let (username, gs2_header) = (first.username, first.gs2_header.to_owned());
        let challenged = Challenged { username, gs2_header, nonce, messages, verifier, exists };
        self.state = State::Challenged(Box::new(challenged));
        Outcome::Challenge(challenge.into_bytes())
    }

    /// The verifier of a user that does not exist: always the same salt, and keys that nobody has.
    fn pretend(&self, secret: &[u8], username: &str) -> Verifier {
        let derived = |purpose: &str| self.mechanism.hmac(secret, format!("{purpose} {username}").as_bytes());
        Verifier {
            mechanism: self.mechanism,
            iterations: ITERATIONS_DEFAULT,
            salt: derived("salt")[..16].into(),
            stored_key: derived("stored key"),
            server_key: derived("server key"),
        }
    }
}

impl Challenged {
    fn judge(self, data: &[u8]) -> Outcome {
        let Some(last) = ClientFinal::parse(data) else { return Outcome::Refused };
        let Some(proof) = from_base64(last.proof) else { return Outcome::Refused };
        let binding = from_base64(last.binding).unwrap_or_default();
        let same_binding = *binding == *self.gs2_header.as_bytes();
        let same_nonce: bool = last.nonce.as_bytes().ct_eq(self.nonce.as_bytes()).into();
        let auth_message = self.messages.clone() + last.without_proof;
        let proved = self.verifier.accepts(auth_message.as_bytes(), &proof);
        if !(same_binding && same_nonce && proved && self.exists) {
            return Outcome::Refused;
        }
        let signature = base64(&self.verifier.server_signature(auth_message.as_bytes()));
        Outcome::Proved { username: self.username, message: format!("v={signature}").into_bytes() }
    }
}

impl fmt::Debug for ServerExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerExchange").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}
