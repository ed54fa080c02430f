//! The outside of a token: its shape, its header, its signature.

use core::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Validation};
use mqtt_codec::ReasonCode;
use serde_json::{Map, Value};

use super::keys::KeySet;

/// The names of the algorithms that can be used.
pub const ALGORITHMS: &[&str] = &[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384",
    "EdDSA",
];

/// Why a token admits nobody. Says nothing of what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is longer than allowed.
    TooLong,
    /// Its header or its claims are not what they should be.
    Malformed,
    /// Its algorithm is `none`, unknown, or not one of those that are allowed.
    Algorithm,
    /// No key that is known could have signed it.
    UnknownKey,
    /// The signature is wrong.
    Signature,
    /// It is not valid any more.
    Expired,
    /// It is not valid yet.
    NotYet,
    /// This claim is missing or not what is asked for.
    Claim(Box<str>),
    /// Its rules cannot be understood.
    Rules(String),
    /// The keys cannot be fetched.
    Unavailable,
}

impl Refused {
    /// What the client is told. Only what could be guessed counts as a failed login.
    #[must_use]
    pub fn reason(&self) -> ReasonCode {
        match self {
            Self::TooLong | Self::Malformed | Self::Algorithm | Self::UnknownKey | Self::Signature => {
                ReasonCode::BadUserNameOrPassword
            }
            Self::Expired | Self::NotYet | Self::Claim(_) | Self::Rules(_) => ReasonCode::NotAuthorized,
            Self::Unavailable => ReasonCode::ServerUnavailable,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("the token is too long"),
            Self::Malformed => f.write_str("the token is malformed"),
            Self::Algorithm => f.write_str("its algorithm is not allowed"),
            Self::UnknownKey => f.write_str("no key that is known could have signed it"),
            Self::Signature => f.write_str("its signature is wrong"),
            Self::Expired => f.write_str("it has expired"),
            Self::NotYet => f.write_str("it is not valid yet"),
            Self::Claim(name) => write!(f, "its claim `{name}` is not what is asked for"),
            Self::Rules(problem) => write!(f, "its rules cannot be used: {problem}"),
            Self::Unavailable => f.write_str("the keys cannot be fetched"),
        }
    }
}

impl core::error::Error for Refused {}

/// What stands in front of a token, without any belief in it.
#[derive(Debug)]
pub(super) struct Header {
    algorithm: Option<Algorithm>,
    key_id: Option<String>,
    is_extended: bool,
}

/// The header of what has the shape of a token; `None` if it is something else, such as a password.
pub(super) fn header(text: &[u8]) -> Option<Header> {
    let mut parts = text.split(|byte| *byte == b'.');
    let (header, _, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let header: Map<String, Value> = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    let algorithm = header.get("alg")?.as_str().and_then(|name| Algorithm::from_str(name).ok());
    let key_id = header.get("kid").and_then(Value::as_str).map(str::to_owned);
    Some(Header { algorithm, key_id, is_extended: header.contains_key("crit") })
}

/// The claims of a token that one of the keys has signed. Nothing of them was checked.
pub(super) fn verify(token: &[u8], header: &Header, keys: &KeySet) -> Result<Map<String, Value>, Refused> {
    let algorithm = header.algorithm.filter(|_| !header.is_extended).ok_or(Refused::Algorithm)?;
    let mut refused = Refused::UnknownKey;
    for key in keys.candidates(header.key_id.as_deref()) {
        // A key is only ever used with the algorithms that belong to it.
        if !key.algorithms.contains(&algorithm) {
            refused = Refused::Algorithm;
            continue;
        }
        match jsonwebtoken::decode(token, &key.key, &signature_only(algorithm)) {
            Ok(decoded) => return Ok(decoded.claims),
            Err(error) => refused = kind_of(&error),
        }
    }
    Err(refused)
}

/// Claims are checked by ourselves, with a clock that tests can turn.
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

fn kind_of(error: &jsonwebtoken::errors::Error) -> Refused {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidSignature => Refused::Signature,
        _ => Refused::Malformed,
    }
}
