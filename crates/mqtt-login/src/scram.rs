//! SCRAM as a method of enhanced authentication.

use std::fmt;
use std::future::ready;
use std::sync::Arc;

use mqtt_access::login::{Answer, Applicant, Authenticator, Decision, Grant, Proof, ProvenBy};
use mqtt_access::password::Users;
use mqtt_access::scram::{self, Mechanism, Outcome, ServerExchange, Verifier};
use mqtt_codec::ReasonCode;
use mqtt_session::{AuthenticationMethod, Exchange, Step};

use crate::password::is_unchanged;

/// Offers SCRAM-SHA-256 and SCRAM-SHA-512 to MQTT 5 clients, and admits those that pass.
#[derive(Clone, Debug)]
pub struct Scram {
    known: Known,
}

/// Users with a secret of the process, of which the answers for users who do not exist are made.
#[derive(Clone)]
struct Known {
    users: Arc<Users>,
    secret: Arc<[u8; 32]>,
}

impl Scram {
    /// Its name in a chain.
    pub const NAME: &'static str = "scram";

    /// Offers it to users that have a verifier. The secret must stay the same while the process lives.
    #[must_use]
    pub fn new(users: Arc<Users>, secret: Arc<[u8; 32]>) -> Self {
        Self { known: Known { users, secret } }
    }
}

impl Authenticator for Scram {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn checks_names(&self) -> bool {
        !self.known.users.is_empty()
    }

    fn decide<'a>(&'a self, applicant: &'a Applicant<'a>) -> Answer<'a> {
        let is_ours = |method: &str| Mechanism::of_name(method).is_some();
        Box::pin(ready(match (applicant.proven_by, applicant.username) {
            (Some(ProvenBy::Method(method)), Some(name)) if is_ours(method) => {
                let proof = self.known.users.hash(name).cloned().map(Proof::new);
                Decision::Allow(Grant { proof, ..Grant::named(Some(name)) })
            }
            _ => Decision::Pass,
        }))
    }

    fn method(&self, name: &str) -> Option<Arc<dyn AuthenticationMethod>> {
        let mechanism = Mechanism::of_name(name).filter(|_| !self.known.users.is_empty())?;
        Some(Arc::new(ScramMethod { mechanism, known: self.known.clone() }))
    }

    fn still_admits(&self, grant: &Grant) -> bool {
        is_unchanged(&self.known.users, grant)
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Known")
    }
}

impl scram::Users for Known {
    fn verifier(&self, mechanism: Mechanism, username: &str) -> Option<Verifier> {
        self.users.verifier(mechanism, username)
    }

    fn secret(&self) -> &[u8] {
        &*self.secret
    }
}

/// One mechanism with the users as they are now.
#[derive(Debug)]
struct ScramMethod {
    mechanism: Mechanism,
    known: Known,
}

impl AuthenticationMethod for ScramMethod {
    fn name(&self) -> &str {
        self.mechanism.name()
    }

    fn start(&self, _: &str, _: Option<&str>) -> Box<dyn Exchange> {
        let exchange = ServerExchange::new(self.mechanism);
        Box::new(ScramExchange { exchange, known: self.known.clone(), username: None })
    }
}

struct ScramExchange {
    exchange: ServerExchange,
    known: Known,
    username: Option<String>,
}

impl Exchange for ScramExchange {
    fn step(&mut self, data: &[u8]) -> Step {
        match self.exchange.step(data, &self.known) {
            Outcome::Challenge(data) => Step::Continue(data.into()),
            Outcome::Proved { username, message } => {
                self.username = Some(username);
                Step::Success(Some(message.into()))
            }
            Outcome::Refused => Step::Failure(ReasonCode::NotAuthorized),
        }
    }

    fn username(&self) -> Option<&str> {
        self.username.as_deref()
    }

    fn claimed_username(&self) -> Option<&str> {
        self.exchange.claimed()
    }
}
