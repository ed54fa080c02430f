//! Keys that tokens are checked with, each bound to its algorithms.

use core::fmt;
use std::str::FromStr;

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Map, Value};
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::spki::SubjectPublicKeyInfoRef;

/// Keys, of which any may have signed a token.
///
/// ```
/// use mqtt_login::jwt::KeySet;
///
/// let keys = KeySet::secret(&[7; 32])?;
/// assert_eq!(keys.and(KeySet::secret(&[8; 64])?).len(), 2);
/// # Ok::<(), mqtt_login::jwt::KeyError>(())
/// ```
#[derive(Clone, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// One key. A public key is never taken for a secret, nor used with another algorithm than those of its kind.
#[derive(Clone)]
pub(super) struct Key {
    id: Option<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) key: DecodingKey,
}

/// Why there is no key. Holds nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// A secret has fewer than 32 bytes.
    ShortSecret,
    /// No PEM block `PUBLIC KEY`.
    NotPem,
    /// A kind of key, or a curve, that no algorithm here uses.
    Unsupported,
    /// It is damaged.
    Malformed,
    /// The text is no JSON Web Key Set.
    NotKeySet,
    /// A set without a key that could be used here.
    Empty,
}

/// A shorter secret can be found by trying.
const SECRET_BYTES_MIN: usize = 32;
/// Keys of one set that are looked at.
const KEYS_MAX: usize = 64;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

impl KeySet {
    /// A secret for HS256, HS384 and HS512.
    ///
    /// # Errors
    /// It is too short.
    pub fn secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeyError::ShortSecret);
        }
        Ok(Self::one(DecodingKey::from_secret(secret), AlgorithmFamily::Hmac.algorithms()))
    }

    /// A public key (`-----BEGIN PUBLIC KEY-----`): RSA, P-256, P-384 or Ed25519.
    ///
    /// # Errors
    /// It is none of these.
    pub fn public_key_pem(text: &[u8]) -> Result<Self, KeyError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(text).map_err(|_| KeyError::NotPem)?;
        let info = SubjectPublicKeyInfoRef::from_der(&der).map_err(|_| KeyError::Malformed)?;
        let bits = info.subject_public_key.as_bytes().ok_or(KeyError::Malformed)?;
        match info.algorithm.oid {
            RSA => Ok(Self::one(DecodingKey::from_rsa_der(bits), AlgorithmFamily::Rsa.algorithms())),
            ED25519 => Ok(Self::one(DecodingKey::from_ed_der(bits), &[Algorithm::EdDSA])),
            EC => {
                let curve = info.algorithm.parameters_oid().map_err(|_| KeyError::Malformed)?;
                let algorithm = match curve {
                    P256 => Algorithm::ES256,
                    P384 => Algorithm::ES384,
                    _ => return Err(KeyError::Unsupported),
                };
                Ok(Self::one(DecodingKey::from_ec_der(bits), &[algorithm]))
            }
            _ => Err(KeyError::Unsupported),
        }
    }

    /// A JSON Web Key Set (RFC 7517). Keys that cannot be used are left out: secrets, those for encryption, other kinds.
    ///
    /// # Errors
    /// It is no such set, or nothing is left of it.
    pub fn jwks(text: &[u8]) -> Result<Self, KeyError> {
        let set: Value = serde_json::from_slice(text).map_err(|_| KeyError::NotKeySet)?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or(KeyError::NotKeySet)?;
        let keys: Vec<Key> =
            keys.iter().filter_map(Value::as_object).filter_map(jwk).take(KEYS_MAX).collect();
        if keys.is_empty() { Err(KeyError::Empty) } else { Ok(Self { keys }) }
    }

    fn one(key: DecodingKey, algorithms: &[Algorithm]) -> Self {
        Self { keys: vec![Key { id: None, algorithms: algorithms.to_vec(), key }] }
    }

    /// The keys of both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.keys.extend(other.keys);
        self
    }

    /// The same keys, with only those of their algorithms that have one of these names.
    #[must_use]
    pub fn only(mut self, names: &[String]) -> Self {
        let named: Vec<Algorithm> = names.iter().filter_map(|name| Algorithm::from_str(name).ok()).collect();
        for key in &mut self.keys {
            key.algorithms.retain(|algorithm| named.contains(algorithm));
        }
        self
    }

    /// Keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that may have signed a token that names this one; keys without a name may have signed any.
    pub(super) fn candidates(&self, id: Option<&str>) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| match (&key.id, id) {
            (Some(known), Some(named)) => known == named,
            _ => true,
        })
    }
}

/// A key of a set; `None` if it cannot be used here.
fn jwk(jwk: &Map<String, Value>) -> Option<Key> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let is_for_signatures = text("use").is_none_or(|usage| usage == "sig");
    let operations = jwk.get("key_ops").and_then(Value::as_array);
    let verifies = operations.is_none_or(|all| all.iter().any(|operation| operation == "verify"));
    if !is_for_signatures || !verifies {
        return None;
    }
    let (key, algorithms) = match (text("kty")?, text("crv")) {
        ("RSA", _) => {
            let key = DecodingKey::from_rsa_components(text("n")?, text("e")?);
            (key, AlgorithmFamily::Rsa.algorithms())
        }
        ("EC", Some("P-256")) => {
            (DecodingKey::from_ec_components(text("x")?, text("y")?), &[Algorithm::ES256][..])
        }
        ("EC", Some("P-384")) => {
            (DecodingKey::from_ec_components(text("x")?, text("y")?), &[Algorithm::ES384][..])
        }
        ("OKP", Some("Ed25519")) => (DecodingKey::from_ed_components(text("x")?), &[Algorithm::EdDSA][..]),
        _ => return None,
    };
    let algorithms: Vec<Algorithm> = match text("alg") {
        None => algorithms.to_vec(),
        Some(name) => {
            let named = Algorithm::from_str(name).ok()?;
            algorithms.iter().copied().filter(|algorithm| *algorithm == named).collect()
        }
    };
    let id = text("kid").map(str::to_owned);
    (!algorithms.is_empty()).then_some(Key { id, algorithms, key: key.ok()? })
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ShortSecret => "the secret has fewer than 32 bytes",
            Self::NotPem => "there is no PEM block `PUBLIC KEY`",
            Self::Unsupported => "the key is neither RSA, P-256, P-384 nor Ed25519",
            Self::Malformed => "the key is damaged",
            Self::NotKeySet => "this is no JSON Web Key Set",
            Self::Empty => "the set has no key that could be used here",
        })
    }
}

impl core::error::Error for KeyError {}
