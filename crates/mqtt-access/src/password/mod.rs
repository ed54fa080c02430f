//! Passwords as they may be kept: hashed, in the formats of Martlet, mosquitto and PostgreSQL.

mod argon;
mod cache;
mod file;
mod mosquitto;
mod text;
mod users;

use core::fmt;

use crate::scram::Verifier;
use argon::Argon;
use mosquitto::Salted;

pub use cache::{CACHE_TIME, Cache};
pub use file::{FileError, PasswordFile, User, set_line, without_line};
pub(crate) use text::{base64, base64_unpadded, from_base64};
pub use users::Users;

/// What is kept of one password. Its text never appears in `Debug` output.
///
/// ```
/// use mqtt_access::password::PasswordHash;
///
/// let hash = PasswordHash::new(b"a secret").expect("random numbers");
/// let again = PasswordHash::parse(&hash.to_text()).expect("what was written");
/// assert!(again.verify(b"a secret") && again.is_slow());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    kind: Kind,
}

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Argon2id(Argon),
    Salted(Salted),
    Scram(Verifier),
}

/// Why a text is no password hash. Holds nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HashError {
    /// It does not begin like any known hash, so it may be a password in plain text.
    NotHashed,
    /// It begins like a hash and goes on in another way.
    Malformed,
    /// Its parameters are outside of what is accepted.
    TooCostly,
}

/// The longest password that is looked at, in bytes; a longer one is wrong.
pub const PASSWORD_BYTES_MAX: usize = 65_535;

impl PasswordHash {
    /// Reads `$argon2id$...`, mosquitto's `$6$...` and `$7$...`, or `SCRAM-SHA-256$...` and `SCRAM-SHA-512$...`.
    ///
    /// # Errors
    /// The text is none of these.
    pub fn parse(text: &str) -> Result<Self, HashError> {
        let kind = if let Some(rest) = text.strip_prefix("$argon2id$") {
            Kind::Argon2id(Argon::parse(rest)?)
        } else if text.starts_with("$6$") || text.starts_with("$7$") {
            Kind::Salted(Salted::parse(text)?)
        } else if text.starts_with("SCRAM-SHA-") {
            Kind::Scram(Verifier::parse(text)?)
        } else {
            return Err(HashError::NotHashed);
        };
        Ok(Self { kind })
    }

    /// Hashes a password with argon2id and the cost that OWASP recommends: 19 MiB, two passes. Takes some 30 ms.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn new(password: &[u8]) -> Result<Self, getrandom::Error> {
        Ok(Self { kind: Kind::Argon2id(Argon::new(password)?) })
    }

    /// What SCRAM needs of a password, which also serves for a login with the password itself.
    #[must_use]
    pub fn of_verifier(verifier: Verifier) -> Self {
        Self { kind: Kind::Scram(verifier) }
    }

    /// Whether this is the password. Takes the same time whichever part is wrong.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        if password.len() > PASSWORD_BYTES_MAX {
            return false;
        }
        // HMAC fills its key up with zeros, so that it cannot tell a password from the same one with zeros after it.
        let ends_in_zero = password.last() == Some(&0);
        match &self.kind {
            Kind::Argon2id(argon) => argon.verify(password),
            Kind::Salted(_) | Kind::Scram(_) if ends_in_zero => false,
            Kind::Salted(salted) => salted.verify(password),
            Kind::Scram(verifier) => verifier.verify(password),
        }
    }

    /// Whether verifying takes so long that it belongs on a thread of its own.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        match &self.kind {
            Kind::Argon2id(_) => true,
            Kind::Salted(salted) => salted.iterations() > FAST_ITERATIONS_MAX,
            Kind::Scram(_) => true,
        }
    }

    /// The SCRAM verifier, if it is one.
    #[must_use]
    pub fn verifier(&self) -> Option<&Verifier> {
        if let Kind::Scram(verifier) = &self.kind { Some(verifier) } else { None }
    }

    /// The text to keep in a file.
    #[must_use]
    pub fn to_text(&self) -> String {
        match &self.kind {
            Kind::Argon2id(argon) => argon.to_text(),
            Kind::Salted(salted) => salted.to_text(),
            Kind::Scram(verifier) => verifier.to_text(),
        }
    }

    /// The name of the scheme, for people.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match &self.kind {
            Kind::Argon2id(_) => "argon2id",
            Kind::Salted(salted) => salted.scheme(),
            Kind::Scram(verifier) => verifier.mechanism().name(),
        }
    }
}

/// Iterations of PBKDF2 that take less than a millisecond.
const FAST_ITERATIONS_MAX: u32 = 1000;

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHash").field("scheme", &self.scheme()).finish_non_exhaustive()
    }
}

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotHashed => "the password is not hashed; make a hash with `martlet passwd`",
            Self::Malformed => "the hash is malformed",
            Self::TooCostly => "the hash asks for more memory or time than is accepted",
        })
    }
}

impl core::error::Error for HashError {}

#[cfg(test)]
mod tests;
