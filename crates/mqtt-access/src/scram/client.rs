//! One exchange, as the client sees it.

use core::fmt;

use subtle::ConstantTimeEq;

use super::{ITERATIONS, Mechanism};
use crate::password::{base64, from_base64};

/// One exchange in which the client proves that it knows a password, and the server that it knows the client. It has
/// three steps: [`first`](Self::first), [`answer`](Self::answer), [`verify`](Self::verify).
///
/// ```
/// use mqtt_access::scram::{ClientExchange, Mechanism};
///
/// let mut exchange = ClientExchange::new(Mechanism::Sha256, "anna", b"a secret");
/// let first = exchange.first().expect("random numbers");
/// assert!(first.starts_with(b"n,,n=anna,r="));
/// assert_eq!(exchange.answer(b"no challenge"), None);
/// ```
pub struct ClientExchange {
    mechanism: Mechanism,
    username: String,
    password: Vec<u8>,
    state: State,
}

enum State {
    Start,
    /// What was said first, without its header, and the nonce in it.
    Asked {
        bare: String,
        nonce: String,
    },
    /// What the server has to send.
    Proved {
        signature: Box<[u8]>,
    },
    Over,
}

const NONCE_BYTES: usize = 18;
/// Without channel binding.
const HEADER: &str = "n,,";

impl ClientExchange {
    /// An exchange for this user.
    #[must_use]
    pub fn new(mechanism: Mechanism, username: &str, password: &[u8]) -> Self {
        Self { mechanism, username: username.into(), password: password.into(), state: State::Start }
    }

    /// The client's first message, for the CONNECT.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn first(&mut self) -> Result<Vec<u8>, getrandom::Error> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        Ok(self.first_with(&base64(&nonce)))
    }

    /// The same with a nonce of the caller's.
    pub(super) fn first_with(&mut self, nonce: &str) -> Vec<u8> {
        let name = self.username.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={name},r={nonce}");
        let message = format!("{HEADER}{bare}").into_bytes();
        self.state = State::Asked { bare, nonce: nonce.into() };
        message
    }

    /// The proof, in answer to the server's challenge. `None` if that is none: not for this exchange, or with a number of
    /// iterations that is too low to be safe or too high to be honest.
    pub fn answer(&mut self, challenge: &[u8]) -> Option<Vec<u8>> {
        let State::Asked { bare, nonce } = core::mem::replace(&mut self.state, State::Over) else {
            return None;
        };
        let challenge = core::str::from_utf8(challenge).ok()?;
        let mut attributes = challenge.split(',');
        let both = attributes.next()?.strip_prefix("r=")?;
        let salt = from_base64(attributes.next()?.strip_prefix("s=")?)?;
        let iterations: u32 = attributes.next()?.strip_prefix("i=")?.parse().ok()?;
        let is_ours = both.starts_with(&*nonce) && both.len() > nonce.len();
        if !is_ours || !ITERATIONS.contains(&iterations) {
            return None;
        }
        let without_proof = format!("c={},r={both}", base64(HEADER.as_bytes()));
        let auth_message = format!("{bare},{challenge},{without_proof}");
        let mechanism = self.mechanism;
        let salted = mechanism.salted_password(&self.password, &salt, iterations);
        let client_key = mechanism.hmac(&salted, b"Client Key");
        let signature = mechanism.hmac(&mechanism.hash(&client_key), auth_message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let server_key = mechanism.hmac(&salted, b"Server Key");
        let signature = mechanism.hmac(&server_key, auth_message.as_bytes());
        self.state = State::Proved { signature };
        Some(format!("{without_proof},p={}", base64(&proof)).into_bytes())
    }

    /// Whether the server's last message shows that it knows the client.
    pub fn verify(&mut self, last: &[u8]) -> bool {
        let State::Proved { signature } = core::mem::replace(&mut self.state, State::Over) else {
            return false;
        };
        let last = core::str::from_utf8(last).ok().and_then(|last| last.strip_prefix("v="));
        let shown = last.and_then(|last| from_base64(last.split(',').next()?));
        shown.is_some_and(|shown| shown.ct_eq(&signature).into())
    }
}

impl fmt::Debug for ClientExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mechanism, username, .. } = self;
        f.debug_struct("ClientExchange")
            .field("mechanism", mechanism)
            .field("username", username)
            .finish_non_exhaustive()
    }
}
