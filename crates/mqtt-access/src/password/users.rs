//! Users of several sources.

use std::hash::{BuildHasher, RandomState};

use super::{PasswordFile, PasswordHash};
use crate::scram::{Mechanism, Verifier};

/// Hashes that stand for those of users who do not exist.
const NOBODIES_MAX: usize = 256;

/// Users of the configuration and of all files; the first one of a name counts.
///
/// ```
/// use mqtt_access::password::{PasswordFile, Users};
///
/// let users = Users::new(vec![PasswordFile::default()]);
/// assert!(users.is_empty() && users.hash("anna").is_none());
/// ```
#[derive(Debug, Default)]
pub struct Users {
    parts: Vec<PasswordFile>,
    /// Stand for those of users who do not exist, in the proportions of the schemes that there are: a name that does not
    /// exist takes as long as some that do, and always the same time.
    nobodies: Vec<PasswordHash>,
    names: RandomState,
}

impl Users {
    /// The users of these files.
    #[must_use]
    pub fn new(parts: Vec<PasswordFile>) -> Self {
        let count: usize = parts.iter().map(PasswordFile::len).sum();
        let step = count.div_ceil(NOBODIES_MAX).max(1);
        let nobodies = parts.iter().flat_map(PasswordFile::hashes).step_by(step).cloned().collect();
        Self { parts, nobodies, names: RandomState::new() }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(PasswordFile::is_empty)
    }

    /// The hash of a user.
    #[must_use]
    pub fn hash(&self, name: &str) -> Option<&PasswordHash> {
        self.parts.iter().find_map(|part| part.user(name)).map(|user| &user.hash)
    }

    /// A hash to check the password against of a user who does not exist; `None` if there are no users at all.
    #[must_use]
    pub fn nobody(&self, name: &str) -> Option<&PasswordHash> {
        let place = usize::try_from(self.names.hash_one(name) >> 32).unwrap_or_default();
        self.nobodies.get(place.checked_rem(self.nobodies.len())?)
    }

    /// What a SCRAM exchange checks this user with.
    #[must_use]
    pub fn verifier(&self, mechanism: Mechanism, name: &str) -> Option<Verifier> {
        self.hash(name)?.verifier().filter(|verifier| verifier.mechanism() == mechanism).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_do_not_exist_are_spread_over_the_schemes_and_each_keeps_its_own() {
        let fast = "$6$V7Ma+NcEiAngp6ki$YSTr+k6FmE97RMzdz/SX4CyC4kbyLMrcl98gngLnZ+w3s7EQ2zR3JwxB7+6LsA48h7An8Lxor4BFMNFml92CCw==";
        let slow = "$7$101$VfCN2QBxR393E5xb$12JnNYUPVA04OLbzceC4ZJqmWhBrmDYr/1r7AzVcrOJgIZZjF0sTQo4f+O6tyAF7FDoYJNc/Tn27Cj+/QO8hlQ==";
        let file =
            (0..1000).map(|number| format!("{number}:{}\n", if number % 4 == 0 { fast } else { slow }));
        let users = Users::new(vec![PasswordFile::parse(&file.collect::<String>()).expect("a file")]);
        let scheme = |name: &str| users.nobody(name).expect("there are users").scheme();
        let names: Vec<String> = (0..1000).map(|number| format!("nobody {number}")).collect();
        let of_fast = names.iter().filter(|name| scheme(name) == "sha512").count();
        assert!((50..600).contains(&of_fast), "{of_fast} of 1000 names");
        assert!(names.iter().all(|name| scheme(name) == scheme(name)));
        assert!(Users::default().nobody("x").is_none());
    }
}
