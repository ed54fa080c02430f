//! The hashes of mosquitto 1.x (`$6$`: SHA-512 of password and salt) and 2.0 (`$7$`: PBKDF2 with HMAC-SHA-512).

use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;

use super::{HashError, base64, from_base64};

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Salted {
    /// Of PBKDF2; `None` for a single SHA-512.
    iterations: Option<u32>,
    salt: Box<[u8]>,
    hash: Box<[u8]>,
}

const HASH_BYTES: usize = 64;
const SALT_BYTES_MAX: usize = 64;
const ITERATIONS_MAX: u32 = 10_000_000;

impl Salted {
    pub(super) fn parse(text: &str) -> Result<Self, HashError> {
        let mut parts = text.split('$').skip(1);
        let iterations = match parts.next() {
            Some("6") => None,
            Some("7") => Some(iterations(parts.next())?),
            _ => return Err(HashError::Malformed),
        };
        let (Some(salt), Some(hash), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(HashError::Malformed);
        };
        let salt = from_base64(salt).filter(|salt| (1..=SALT_BYTES_MAX).contains(&salt.len()));
        let hash = from_base64(hash).filter(|hash| hash.len() == HASH_BYTES);
        let (Some(salt), Some(hash)) = (salt, hash) else { return Err(HashError::Malformed) };
        Ok(Self { iterations, salt, hash })
    }

    /// 1 for a single SHA-512.
    pub(super) fn iterations(&self) -> u32 {
        self.iterations.unwrap_or(1)
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.iterations.is_some() { "sha512-pbkdf2" } else { "sha512" }
    }

    pub(super) fn verify(&self, password: &[u8]) -> bool {
        let mut hash = [0; HASH_BYTES];
        match self.iterations {
            Some(rounds) => pbkdf2::pbkdf2_hmac::<Sha512>(password, &self.salt, rounds, &mut hash),
            None => hash
                .copy_from_slice(&Sha512::new().chain_update(password).chain_update(&self.salt).finalize()),
        }
        hash[..].ct_eq(&self.hash).into()
    }

    pub(super) fn to_text(&self) -> String {
        let (salt, hash) = (base64(&self.salt), base64(&self.hash));
        match self.iterations {
            Some(iterations) => format!("$7${iterations}${salt}${hash}"),
            None => format!("$6${salt}${hash}"),
        }
    }
}

fn iterations(text: Option<&str>) -> Result<u32, HashError> {
    let iterations = text.and_then(|text| text.parse().ok()).filter(|count| *count > 0);
    let iterations: u32 = iterations.ok_or(HashError::Malformed)?;
    if iterations > ITERATIONS_MAX { Err(HashError::TooCostly) } else { Ok(iterations) }
}
