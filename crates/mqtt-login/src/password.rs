//! Users of password files and of the configuration.

use std::sync::Arc;

use mqtt_access::login::{Answer, Applicant, Authenticator, Decision, Grant, Proof};
use mqtt_access::password::{PasswordHash, Users};
use mqtt_codec::ReasonCode;

use crate::Checker;

/// Admits users with their password. Users that it does not have are left to others, after the time that a check takes.
///
/// ```
/// use std::sync::Arc;
/// use mqtt_access::password::{PasswordFile, PasswordHash, Users, set_line};
/// use mqtt_login::{Checker, CheckerBounds, Passwords};
///
/// let hash = PasswordHash::new(b"a secret").expect("random numbers");
/// let text = set_line("", "anna", &hash).expect("a name");
/// let users = Arc::new(Users::new(vec![PasswordFile::parse(&text).expect("one line")]));
/// let checker = Arc::new(Checker::new(CheckerBounds::default()).expect("random numbers"));
/// let passwords = Passwords::new(users, checker);
/// # let _ = passwords;
/// ```
#[derive(Clone, Debug)]
pub struct Passwords {
    users: Arc<Users>,
    checker: Arc<Checker>,
}

impl Passwords {
    /// Its name in a chain.
    pub const NAME: &'static str = "password_file";

    /// Admits these users.
    #[must_use]
    pub fn new(users: Arc<Users>, checker: Arc<Checker>) -> Self {
        Self { users, checker }
    }

    async fn check(&self, applicant: &Applicant<'_>) -> Decision {
        let (Some(username), Some(password)) = (applicant.username, applicant.password) else {
            return Decision::Pass;
        };
        let known = self.users.hash(username);
        let Some(hash) = known.or(self.users.nobody(username)) else { return Decision::Pass };
        let now = applicant.now.instant;
        if known.is_some() && self.checker.knows(username, hash, password, now) {
            return admit(username, hash);
        }
        if applicant.must_wait {
            return Decision::Deny(ReasonCode::ConnectionRateExceeded);
        }
        match self.checker.verify(hash, password).await {
            Err(reason) => Decision::Deny(reason),
            Ok(_) if known.is_none() => Decision::Pass,
            Ok(false) => Decision::Deny(ReasonCode::BadUserNameOrPassword),
            Ok(true) => {
                self.checker.remember(username, hash, password, now);
                admit(username, hash)
            }
        }
    }
}

fn admit(username: &str, hash: &PasswordHash) -> Decision {
    Decision::Allow(Grant { proof: Some(Proof::new(hash.clone())), ..Grant::named(Some(username)) })
}

/// Whether the user still has the password it was admitted with.
pub(crate) fn is_unchanged(users: &Users, grant: &Grant) -> bool {
    let known = grant.username.as_deref().and_then(|name| users.hash(name));
    known.is_some() && known == grant.proof.as_ref().and_then(Proof::get::<PasswordHash>)
}

impl Authenticator for Passwords {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn checks_names(&self) -> bool {
        !self.users.is_empty()
    }

    fn decide<'a>(&'a self, applicant: &'a Applicant<'a>) -> Answer<'a> {
        Box::pin(self.check(applicant))
    }

    fn still_admits(&self, grant: &Grant) -> bool {
        is_unchanged(&self.users, grant)
    }
}
