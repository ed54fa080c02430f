//! Users of several sources.

use super::{PasswordFile, PasswordHash};
use crate::scram::{Mechanism, Verifier};

/// Users of the configuration and of all files; the first one of a name counts.
#[derive(Debug, Default)]
pub struct Users {
    parts: Vec<PasswordFile>,
    /// Stands for those of users who do not exist, so that a login as one takes as long as any other.
    nobody: Option<PasswordHash>,
}

impl Users {
    /// The users of these files.
    #[must_use]
    pub fn new(parts: Vec<PasswordFile>) -> Self {
        let nobody = parts.iter().find_map(PasswordFile::any).cloned();
        Self { parts, nobody }
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

    /// A hash to check passwords of users against who do not exist; `None` if there are no users.
    #[must_use]
    pub fn nobody(&self) -> Option<&PasswordHash> {
        self.nobody.as_ref()
    }

    /// What a SCRAM exchange checks this user with.
    #[must_use]
    pub fn verifier(&self, mechanism: Mechanism, name: &str) -> Option<Verifier> {
        self.hash(name)?.verifier().filter(|verifier| verifier.mechanism() == mechanism).cloned()
    }
}
