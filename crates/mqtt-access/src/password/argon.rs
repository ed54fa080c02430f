//! argon2id, in the PHC string format.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use parking_lot::Mutex;
use subtle::ConstantTimeEq;

use super::{HashError, base64_unpadded, from_base64};

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Argon {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: Box<[u8]>,
    hash: Box<[u8]>,
}

/// A hash that asks for more is refused when it is read: it would be a way to exhaust the broker.
const MEMORY_KIB_MAX: u32 = 1 << 20;
const PASSES_MAX: u32 = 64;
const LANES_MAX: u32 = 64;
const HASH_BYTES: core::ops::RangeInclusive<usize> = 16..=128;
const SALT_BYTES: core::ops::RangeInclusive<usize> = 8..=64;
const VERSION: &str = "v=19";

/// Memory of checks that are over, for those to come. An allocator would keep it as well, but once for each thread that
/// ever made a check.
static SPARE: Mutex<Vec<Vec<Block>>> = Mutex::new(Vec::new());
/// As many stay; further ones are given back.
const SPARE_MAX: usize = 4;
/// Larger ones are given back at once.
const SPARE_BLOCKS_MAX: usize = 64 << 10;

impl Argon {
    pub(super) fn new(password: &[u8]) -> Result<Self, getrandom::Error> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt)?;
        let mut argon = Self {
            memory_kib: Params::DEFAULT_M_COST,
            passes: Params::DEFAULT_T_COST,
            lanes: Params::DEFAULT_P_COST,
            salt: salt.into(),
            hash: Box::new([0; Params::DEFAULT_OUTPUT_LEN]),
        };
        argon.hash = argon.hash_of(password).expect("the recommended parameters are valid");
        Ok(argon)
    }

    /// Reads what follows `$argon2id$`: `v=19$m=KIB,t=PASSES,p=LANES$SALT$HASH`.
    pub(super) fn parse(rest: &str) -> Result<Self, HashError> {
        let mut parts = rest.split('$');
        let (Some(VERSION), Some(costs), Some(salt), Some(hash), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(HashError::Malformed);
        };
        let mut costs = costs.split(',');
        let mut cost = |name: &str| -> Option<u32> { costs.next()?.strip_prefix(name)?.parse().ok() };
        let (Some(memory_kib), Some(passes), Some(lanes)) = (cost("m="), cost("t="), cost("p=")) else {
            return Err(HashError::Malformed);
        };
        if costs.next().is_some() {
            return Err(HashError::Malformed);
        }
        if memory_kib > MEMORY_KIB_MAX || passes > PASSES_MAX || lanes > LANES_MAX {
            return Err(HashError::TooCostly);
        }
        let salt = from_base64(salt).filter(|salt| SALT_BYTES.contains(&salt.len()));
        let hash = from_base64(hash).filter(|hash| HASH_BYTES.contains(&hash.len()));
        let (Some(salt), Some(hash)) = (salt, hash) else { return Err(HashError::Malformed) };
        Params::new(memory_kib, passes, lanes, Some(hash.len())).map_err(|_| HashError::Malformed)?;
        Ok(Self { memory_kib, passes, lanes, salt, hash })
    }

    pub(super) fn verify(&self, password: &[u8]) -> bool {
        self.hash_of(password).is_some_and(|hash| hash.ct_eq(&self.hash).into())
    }

    fn hash_of(&self, password: &[u8]) -> Option<Box<[u8]>> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(self.hash.len())).ok()?;
        let mut hash = vec![0; self.hash.len()].into_boxed_slice();
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        with_blocks(argon.params().block_count(), |blocks| {
            argon.hash_password_into_with_memory(password, &self.salt, &mut hash, blocks)
        })
        .ok()?;
        Some(hash)
    }

    pub(super) fn to_text(&self) -> String {
        let Self { memory_kib, passes, lanes, .. } = self;
        let (salt, hash) = (base64_unpadded(&self.salt), base64_unpadded(&self.hash));
        format!("$argon2id${VERSION}$m={memory_kib},t={passes},p={lanes}${salt}${hash}")
    }
}

/// Lends so many blocks of 1 KiB.
fn with_blocks<R>(count: usize, work: impl FnOnce(&mut [Block]) -> R) -> R {
    let mut blocks = SPARE.lock().pop().unwrap_or_default();
    if blocks.len() < count {
        blocks = vec![Block::default(); count];
    }
    let result = work(&mut blocks[..count]);
    let mut spare = SPARE.lock();
    if blocks.len() <= SPARE_BLOCKS_MAX && spare.len() < SPARE_MAX {
        spare.push(blocks);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left over from one check must not change the next one, whatever it costs.
    #[test]
    fn memory_that_was_used_before_changes_no_hash() {
        let cheap = "v=19$m=8,t=1,p=1$c2FsdHNhbHQ$";
        let hash_of = |memory_kib: u32| {
            let argon =
                Argon { memory_kib, passes: 1, lanes: 1, salt: (*b"saltsalt").into(), hash: [0; 32].into() };
            argon.hash_of(b"secret").expect("valid costs")
        };
        let fresh = [8, 64, 32].map(hash_of);
        assert_eq!([8, 64, 32].map(hash_of), fresh);
        let text = format!("{cheap}{}", base64_unpadded(&fresh[0]));
        let read = Argon::parse(&text).expect("a hash");
        assert!(read.verify(b"secret") && !read.verify(b"Secret"));
        assert!(SPARE.lock().len() <= SPARE_MAX);
    }
}
