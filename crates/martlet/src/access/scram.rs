//! SCRAM as a method of enhanced authentication.

use std::sync::Arc;

use mqtt_access::scram::{Mechanism, Outcome, ServerExchange, Users, Verifier};
use mqtt_codec::ReasonCode;
use mqtt_session::{AuthenticationMethod, Exchange, Step};

use super::load::Loaded;

/// One mechanism with the users as they are now.
#[derive(Debug)]
pub(super) struct ScramMethod {
    pub(super) mechanism: Mechanism,
    pub(super) known: Known,
}

/// Users with a secret of the process.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) loaded: Arc<Loaded>,
    pub(super) secret: Arc<[u8; 32]>,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Known")
    }
}

impl Users for Known {
    fn verifier(&self, mechanism: Mechanism, username: &str) -> Option<Verifier> {
        self.loaded.users.verifier(mechanism, username)
    }

    fn secret(&self) -> &[u8] {
        &*self.secret
    }
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
}
