//! Rules of one's own in two places: a hook that refuses messages and lowers subscriptions as they come, and an `Access`
//! that looks again at each delivery, whatever the receiver has subscribed with.
//!
//! `cargo run -p embedding-examples --example rules_and_delivery`

use std::sync::Arc;

use mqtt_broker::{
    Access, Answer, Broker, Events, Grant, Hooks, Identity, InboundPublish, Login, Peer, PublishVerdict, QoS,
    ReasonCode, Refusal, Rights, SubscriptionOptions, TopicName,
};
use mqtt_client::{Client, ClientError, ConnectError, Options, Publication};

/// Only `root` publishes below `admin/`; nobody subscribes below `hidden/`, or with more than QoS 1.
#[derive(Debug)]
struct AtTheDoor;

impl Hooks for AtTheDoor {
    fn interests(&self) -> Events {
        Events::PUBLISH | Events::SUBSCRIBE
    }

    fn publish(&self, client: &Identity, publish: &InboundPublish<'_>) -> PublishVerdict {
        let is_for_root = publish.topic.as_str().starts_with("admin/");
        if is_for_root && &*client.client_id != "root" {
            return PublishVerdict::Reject(ReasonCode::NotAuthorized);
        }
        PublishVerdict::Pass
    }

    fn subscribe(
        &self,
        _: &Identity,
        filter: &mut String,
        options: &mut SubscriptionOptions,
    ) -> Result<(), ReasonCode> {
        if filter.starts_with("hidden/") {
            return Err(ReasonCode::NotAuthorized);
        }
        options.qos = options.qos.min(QoS::AtLeastOnce);
        Ok(())
    }
}

/// What is below `secret/` reaches `root` only, be the subscription `#`.
#[derive(Debug)]
struct AtDelivery;

impl Access for AtDelivery {
    fn authenticate<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Result<Grant, Refusal>> {
        Box::pin(async move { Ok(Grant::named(login.username)) })
    }

    fn restricts_receiving(&self) -> bool {
        true
    }

    fn receive_rights(&self, client: &Identity, topic: TopicName<&str>) -> Rights {
        let is_for_root = topic.as_str().starts_with("secret/");
        if is_for_root && &*client.client_id != "root" { Rights::NONE } else { Rights::ALL }
    }
}

async fn connect(broker: &Broker, client_id: &str) -> Result<Client, ConnectError> {
    let broker = broker.clone();
    let options = Options::in_memory(move || broker.dial(Peer::default()));
    Client::connect(options.client_id(client_id)).await.map(|(client, _)| client)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run().await
}

pub(crate) async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let broker = Broker::builder().hook(Arc::new(AtTheDoor)).access(Arc::new(AtDelivery)).start().await?;
    let (root, guest) = (connect(&broker, "root").await?, connect(&broker, "guest").await?);
    let mut all = root.subscribe_one("#", QoS::ExactlyOnce).await?;
    let mut some = guest.subscribe_one("#", QoS::ExactlyOnce).await?;

    let hidden = guest.subscribe_one("hidden/x", QoS::AtMostOnce).await;
    assert!(matches!(hidden, Err(ClientError::Refused(ReasonCode::NotAuthorized))));
    let order = Publication::new("admin/stop", "now").qos(QoS::AtLeastOnce);
    assert_eq!(guest.publish(order).await?, ReasonCode::NotAuthorized);

    for topic in ["secret/plan", "open/door"] {
        guest.publish(Publication::new(topic, "x").qos(QoS::ExactlyOnce)).await?;
    }
    for topic in ["secret/plan", "open/door"] {
        assert_eq!(all.recv().await.ok_or("the client has ended")?.topic, topic);
    }
    let first = some.recv().await.ok_or("the client has ended")?;
    assert_eq!((&*first.topic, first.qos), ("open/door", QoS::AtLeastOnce));
    assert_eq!(
        broker.latest_drops().len(),
        2,
        "what was refused and what was withheld are counted, with reasons"
    );
    broker.shutdown().await;
    Ok(())
}
