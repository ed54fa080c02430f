//! Who comes in and what they may do, decided by the program: logins that are looked up elsewhere, and topics of their
//! own for each user.
//!
//! `cargo run -p embedding-examples --example custom_authentication`

use std::sync::Arc;
use std::time::Duration;

use mqtt_broker::{
    Access, Answer, Broker, Grant, Identity, Login, Peer, Refusal, Rights, TopicFilter, TopicName,
};
use mqtt_client::{Client, ClientError, ConnectError, Options, Publication, QoS, ReasonCode};

/// Where the users are: a database, a service.
#[derive(Debug)]
struct Directory;

impl Directory {
    async fn is_user(&self, name: &str, password: &[u8]) -> bool {
        tokio::time::sleep(Duration::from_millis(1)).await; // on its way
        name == "anna" && password == b"a secret of hers"
    }
}

/// Everybody has `users/NAME/#` for themselves, and reads `news/#`.
#[derive(Debug)]
struct OwnTopics(Directory);

fn is_own(client: &Identity, topic: &str) -> bool {
    let own = client.username.as_deref().map(|name| format!("users/{name}/"));
    own.is_some_and(|own| topic.starts_with(&own))
}

impl Access for OwnTopics {
    fn authenticate<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Result<Grant, Refusal>> {
        Box::pin(async move {
            let (Some(name), Some(password)) = (login.username, login.password) else {
                return Err(ReasonCode::NotAuthorized.into());
            };
            if self.0.is_user(name, password).await {
                Ok(Grant::named(Some(name)))
            } else {
                Err(ReasonCode::BadUserNameOrPassword.into())
            }
        })
    }

    fn publish_rights(&self, client: &Identity, topic: TopicName<&str>) -> Rights {
        if is_own(client, topic.as_str()) { Rights::ALL } else { Rights::NONE }
    }

    fn may_subscribe(&self, client: &Identity, filter: &TopicFilter<&str>, _: QoS) -> bool {
        filter.as_str().starts_with("news/") || is_own(client, filter.as_str())
    }
}

fn options(broker: &Broker) -> Options {
    let broker = broker.clone();
    Options::in_memory(move || broker.dial(Peer::default()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run().await
}

pub(crate) async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let broker = Broker::builder().access(Arc::new(OwnTopics(Directory))).start().await?;

    let refused = Client::connect(options(&broker).client_id("a").login("anna", "guessed")).await;
    let bad = ReasonCode::BadUserNameOrPassword;
    assert!(matches!(refused, Err(ConnectError::Refused { reason, .. }) if reason == bad));

    let (anna, _) =
        Client::connect(options(&broker).client_id("a").login("anna", "a secret of hers")).await?;
    let mut own = anna.subscribe_one("users/anna/#", QoS::AtLeastOnce).await?;
    let others = anna.subscribe_one("users/#", QoS::AtLeastOnce).await;
    assert!(matches!(others, Err(ClientError::Refused(ReasonCode::NotAuthorized))));
    let note = Publication::new("users/anna/note", "milk").qos(QoS::AtLeastOnce);
    assert_eq!(anna.publish(note).await?, ReasonCode::Success);
    assert_eq!(own.recv().await.ok_or("the client has ended")?.text(), "milk");
    let elsewhere = Publication::new("users/bert/note", "eggs").qos(QoS::AtLeastOnce);
    assert_eq!(anna.publish(elsewhere).await?, ReasonCode::NotAuthorized);

    broker.shutdown().await;
    Ok(())
}
