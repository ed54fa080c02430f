//! Two brokers in one program, joined by a client of each: what happens below `up/` in the house is told to the city.
//! The clients reach their brokers through pipes in memory, as the tests of any client can.
//!
//! `cargo run -p mqtt-client --example bridge`

use mqtt_broker::{Broker, Peer};
use mqtt_client::{Client, Options, Publication, QoS};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run().await
}

/// How a client reaches a broker in the same program, again and again.
fn through_memory(broker: &Broker, client_id: &str) -> Options {
    let broker = broker.clone();
    Options::in_memory(move || broker.dial(Peer::anonymous())).client_id(client_id)
}

pub(crate) async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let (house, city) = (Broker::builder().start().await?, Broker::builder().start().await?);
    let (inside, _) = Client::connect(through_memory(&house, "bridge")).await?;
    let (outside, _) = Client::connect(through_memory(&city, "house-7")).await?;

    let mut rising = inside.subscribe_one("up/#", QoS::AtLeastOnce).await?;
    let bridge = tokio::spawn(async move {
        while let Some(message) = rising.recv().await {
            let topic = message.topic.replacen("up/", "houses/7/", 1);
            let passed_on =
                Publication { properties: message.properties, ..Publication::new(topic, message.payload) };
            if outside.publish(passed_on.qos(message.qos)).await.is_err() {
                break;
            }
        }
    });

    let mut heard = city.local().subscribe("houses/+/alarm").await?;
    house.local().publish(mqtt_broker::Publication::new("up/alarm", "smoke").qos(QoS::AtLeastOnce)).await?;
    let alarm = heard.recv().await.ok_or("the city's broker has stopped")?;
    assert_eq!((alarm.topic(), alarm.payload()), ("houses/7/alarm", &b"smoke"[..]));
    house.shutdown().await;
    city.shutdown().await;
    bridge.abort();
    Ok(())
}
