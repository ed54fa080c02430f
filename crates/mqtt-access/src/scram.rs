//! SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677), both sides.

mod client;
mod messages;
mod server;

use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::password::{HashError, base64, from_base64};

pub use client::ClientExchange;
pub use server::{Outcome, ServerExchange, Users};

/// A mechanism, named as in the Authentication Method of a CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// SCRAM-SHA-256.
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

/// What a server keeps of a password: enough to check a proof, not enough to make one.
///
/// ```
/// use mqtt_access::scram::{Mechanism, Verifier};
///
/// let verifier = Verifier::new(Mechanism::Sha256, b"a secret").expect("random numbers");
/// let again = Verifier::parse(&verifier.to_text()).expect("what was written");
/// assert!(again.verify(b"a secret") && !again.verify(b"guessed"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    mechanism: Mechanism,
    iterations: u32,
    salt: Box<[u8]>,
    stored_key: Box<[u8]>,
    server_key: Box<[u8]>,
}

/// Iterations of a new verifier; RFC 7677 asks for 4096 at least.
pub const ITERATIONS_DEFAULT: u32 = 15_000;
const ITERATIONS: core::ops::RangeInclusive<u32> = 4096..=10_000_000;
const SALT_BYTES: core::ops::RangeInclusive<usize> = 8..=64;

impl Mechanism {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// Its registered name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// The mechanism of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }

    const fn hash_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    pub(crate) fn hmac(self, key: &[u8], data: &[u8]) -> Box<[u8]> {
        match self {
            Self::Sha256 => mac::<Hmac<Sha256>>(key, data),
            Self::Sha512 => mac::<Hmac<Sha512>>(key, data),
        }
    }

    fn hash(self, data: &[u8]) -> Box<[u8]> {
        match self {
            Self::Sha256 => Sha256::digest(data).as_slice().into(),
            Self::Sha512 => Sha512::digest(data).as_slice().into(),
        }
    }

    fn salted_password(self, password: &[u8], salt: &[u8], iterations: u32) -> Box<[u8]> {
        let mut salted = vec![0; self.hash_bytes()].into_boxed_slice();
        match self {
            Self::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut salted),
            Self::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut salted),
        }
        salted
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Box<[u8]> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(data);
    mac.finalize().into_bytes().as_slice().into()
}

impl Verifier {
    /// Derives a verifier with a new salt.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new(mechanism: Mechanism, password: &[u8]) -> Result<Self, getrandom::Error> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt)?;
        Ok(Self::derive(mechanism, password, &salt, ITERATIONS_DEFAULT))
    }

    /// Derives the verifier of a password with this salt and number of iterations.
    #[must_use]
    pub fn derive(mechanism: Mechanism, password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let salted = mechanism.salted_password(password, salt, iterations);
        let client_key = mechanism.hmac(&salted, b"Client Key");
        Self {
            mechanism,
            iterations,
            salt: salt.into(),
            stored_key: mechanism.hash(&client_key),
            server_key: mechanism.hmac(&salted, b"Server Key"),
        }
    }

    /// Reads `SCRAM-SHA-256$ITERATIONS:SALT$STORED_KEY:SERVER_KEY`, the form that PostgreSQL uses.
    ///
    /// # Errors
    /// The text is no verifier, or has fewer iterations than the standard asks for.
    pub fn parse(text: &str) -> Result<Self, HashError> {
        let mut parts = text.split('$');
        let (Some(name), Some(costs), Some(keys), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(HashError::Malformed);
        };
        let mechanism = Mechanism::of_name(name).ok_or(HashError::Malformed)?;
        let (iterations, salt) = costs.split_once(':').ok_or(HashError::Malformed)?;
        let (stored_key, server_key) = keys.split_once(':').ok_or(HashError::Malformed)?;
        let iterations: u32 = iterations.parse().map_err(|_| HashError::Malformed)?;
        if iterations > *ITERATIONS.end() {
            return Err(HashError::TooCostly);
        }
        let key = |text| from_base64(text).filter(|key| key.len() == mechanism.hash_bytes());
        let salt = from_base64(salt).filter(|salt| SALT_BYTES.contains(&salt.len()));
        match (salt, key(stored_key), key(server_key)) {
            (Some(salt), Some(stored_key), Some(server_key)) if ITERATIONS.contains(&iterations) => {
                Ok(Self { mechanism, iterations, salt, stored_key, server_key })
            }
            _ => Err(HashError::Malformed),
        }
    }

    /// The text to keep in a file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let (stored_key, server_key) = (base64(&self.stored_key), base64(&self.server_key));
        format!(
            "{}${}:{}${stored_key}:{server_key}",
            self.mechanism.name(),
            self.iterations,
            base64(&self.salt)
        )
    }

    /// The mechanism it is for.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Whether this is the password.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        let other = Self::derive(self.mechanism, password, &self.salt, self.iterations);
        other.stored_key.ct_eq(&self.stored_key).into()
    }

    /// Whether the proof is that of somebody who knows the password ([RFC 5802] section 3).
    fn accepts(&self, auth_message: &[u8], proof: &[u8]) -> bool {
        let signature = self.mechanism.hmac(&self.stored_key, auth_message);
        if proof.len() != signature.len() {
            return false;
        }
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        self.mechanism.hash(&client_key).ct_eq(&self.stored_key).into()
    }

    fn server_signature(&self, auth_message: &[u8]) -> Box<[u8]> {
        self.mechanism.hmac(&self.server_key, auth_message)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mechanism, iterations, .. } = self;
        f.debug_struct("Verifier")
            .field("mechanism", mechanism)
            .field("iterations", iterations)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
