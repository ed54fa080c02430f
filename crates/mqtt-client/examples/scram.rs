//! A client and a broker that prove to each other that they know a password, which is never sent: SCRAM-SHA-256 in the
//! enhanced authentication of MQTT 5, also again on the same connection.
//!
//! `cargo run -p mqtt-client --features scram --example scram`

use std::sync::Arc;

use mqtt_access::scram::{Mechanism, Outcome, ServerExchange, Users, Verifier};
use mqtt_broker::session::{AuthenticationMethod, Exchange, Step};
use mqtt_broker::{Broker, Peer};
use mqtt_client::{Client, ConnectError, Options, Publication, ReasonCode, Scram, ScramMechanism};

/// The broker's side: one user, and a secret that hides who exists.
#[derive(Debug)]
struct OneUser(Verifier);

impl Users for OneUser {
    fn verifier(&self, mechanism: Mechanism, username: &str) -> Option<Verifier> {
        (username == "greenhouse" && mechanism == self.0.mechanism()).then(|| self.0.clone())
    }

    fn secret(&self) -> &[u8] {
        b"random bytes that the broker keeps to itself"
    }
}

#[derive(Debug)]
struct Method(Arc<OneUser>);

impl AuthenticationMethod for Method {
    fn name(&self) -> &str {
        Mechanism::Sha256.name()
    }

    fn start(&self, _client_id: &str, _username: Option<&str>) -> Box<dyn Exchange> {
        let exchange = ServerExchange::new(Mechanism::Sha256);
        Box::new(Running { exchange, users: self.0.clone(), username: None })
    }
}

struct Running {
    exchange: ServerExchange,
    users: Arc<OneUser>,
    username: Option<String>,
}

impl Exchange for Running {
    fn step(&mut self, data: &[u8]) -> Step {
        match self.exchange.step(data, &*self.users) {
            Outcome::Challenge(challenge) => Step::Continue(challenge.into()),
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

fn options(broker: &Broker, password: &str) -> Options {
    let broker = broker.clone();
    Options::in_memory(move || broker.dial(Peer::anonymous()))
        .client_id("greenhouse-7")
        .authentication(Scram::new(ScramMechanism::Sha256, "greenhouse", password))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run().await
}

pub(crate) async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let verifier = Verifier::new(Mechanism::Sha256, b"tomatoes in june")?;
    let method = Method(Arc::new(OneUser(verifier)));
    let broker = Broker::builder().authentication_method(Arc::new(method)).start().await?;

    let wrong = Client::connect(options(&broker, "tomatoes in may")).await;
    assert!(matches!(wrong, Err(ConnectError::Refused { reason: ReasonCode::NotAuthorized, .. })));

    let (client, _) = Client::connect(options(&broker, "tomatoes in june")).await?;
    let details = broker.client("greenhouse-7").details().await?;
    assert_eq!(details.username.as_deref(), Some("greenhouse"), "the name that was proved");
    client.reauthenticate().await?;
    client.publish(Publication::new("greenhouse/7/temperature", "21.5")).await?;
    client.disconnect(ReasonCode::Success).await?;
    broker.shutdown().await;
    Ok(())
}
