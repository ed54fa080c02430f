//! Clients that show nothing.

use std::future::ready;

use mqtt_access::login::{Answer, Applicant, Authenticator, Decision, Grant};

/// Admits clients that show nothing where their listener allows it. A name that is shown must be proved, so this member
/// comes last; only where nobody could check a name, it counts for nothing.
#[derive(Clone, Copy, Debug)]
pub struct Anonymous {
    /// Whether any member before this one can tell a right name from a wrong one.
    pub names_are_checked: bool,
}

impl Anonymous {
    /// Its name in a chain.
    pub const NAME: &'static str = "anonymous";
}

impl Authenticator for Anonymous {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn checks_names(&self) -> bool {
        false
    }

    fn decide<'a>(&'a self, applicant: &'a Applicant<'a>) -> Answer<'a> {
        let is_nobody = applicant.shows_nothing() || !self.names_are_checked;
        let decision = if applicant.anonymous_allowed && is_nobody {
            Decision::Allow(Grant::default())
        } else {
            Decision::Pass
        };
        Box::pin(ready(decision))
    }
}
