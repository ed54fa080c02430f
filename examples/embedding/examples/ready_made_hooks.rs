//! Hooks that are ready, in a chain: old topics become new ones, each client is subscribed to its own when it comes,
//! messages can be delayed, and somebody else is told of what happens.
//!
//! `cargo run -p embedding-examples --example ready_made_hooks`

use std::sync::Arc;
use std::time::Duration;

use mqtt_broker::{Answer, Broker, Events, Peer, QoS, SubscriptionOptions};
use mqtt_client::{Client, Options, Publication};
use mqtt_hooks::{AutoSubscribe, DelayedPublish, Deliver, TopicRewrite, Webhook, WebhookOptions};
use tokio::sync::mpsc;

/// Takes batches of events as JSON. `mqtt_http::Client` sends them to an address instead.
struct ToChannel(mpsc::UnboundedSender<String>);

impl Deliver for ToChannel {
    fn deliver<'a>(&'a self, batch: &'a str) -> Answer<'a, Result<(), String>> {
        let sent = self.0.send(batch.to_owned()).map_err(|error| error.to_string());
        Box::pin(async move { sent })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run().await
}

pub(crate) async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let (tell, mut told) = mpsc::unbounded_channel();
    let options = WebhookOptions { events: Events::PUBLISHED, ..WebhookOptions::default() };
    let own = SubscriptionOptions::at(QoS::AtLeastOnce);
    let broker = Broker::builder()
        .hook(Arc::new(DelayedPublish::new(1_000, Duration::from_secs(3_600))))
        .hook(Arc::new(TopicRewrite::new().rule("old/#", "new/$#")?))
        .hook(Arc::new(AutoSubscribe::new().filter("new/${clientid}/#", own)))
        .hook(Arc::new(Webhook::new(ToChannel(tell), options)))
        .start()
        .await?;

    let dialled = broker.clone();
    let options = Options::in_memory(move || dialled.dial(Peer::anonymous()));
    let (lamp, _) = Client::connect(options.client_id("lamp")).await?;
    let mut orders = lamp.listen("new/lamp/#").await?; // the broker has subscribed for it

    for (topic, text) in [("$delayed/1/old/lamp/power", "off"), ("old/lamp/power", "on")] {
        lamp.publish(Publication::new(topic, text).qos(QoS::AtLeastOnce)).await?;
    }
    for text in ["on", "off"] {
        let order = orders.recv().await.ok_or("the client has ended")?;
        assert_eq!((&*order.topic, &*order.text()), ("new/lamp/power", text));
    }
    let events = told.recv().await.ok_or("the webhook has ended")?;
    assert!(events.contains(r#""topic":"new/lamp/power""#), "{events}");
    broker.shutdown().await;
    Ok(())
}
