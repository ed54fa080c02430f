//! Names from certificates.

use std::future::ready;

use mqtt_access::login::{Answer, Applicant, Authenticator, Decision, Grant, ProvenBy};

/// Admits clients whose certificate has given them their user name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Certificate;

impl Certificate {
    /// Its name in a chain.
    pub const NAME: &'static str = "certificate";
}

impl Authenticator for Certificate {
    fn name(&self) -> &str {
        Self::NAME
    }

    /// It says nothing about a name without a certificate.
    fn checks_names(&self) -> bool {
        false
    }

    fn decide<'a>(&'a self, applicant: &'a Applicant<'a>) -> Answer<'a> {
        Box::pin(ready(match applicant.proven_by {
            Some(ProvenBy::Certificate) => Decision::Allow(Grant::named(applicant.username)),
            _ => Decision::Pass,
        }))
    }
}
