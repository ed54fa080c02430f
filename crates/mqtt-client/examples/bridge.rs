//! Two brokers in one program, joined by a client of each: what happens below `up/` in the house is told to the city.
//! While the city cannot be reached, the bridge keeps what rises, up to limits.
//! The clients reach their brokers through pipes in memory, as the tests of any client can.
//!
//! `cargo run -p mqtt-client --example bridge`

use std::sync::Arc;
use std::time::Duration;

use mqtt_broker::{Broker, Peer};
use mqtt_client::{Backoff, Client, ClientError, Options, Overflow, Publication, QoS, Status, Subscription};
use parking_lot::Mutex;

/// How a client reaches a broker in the same program, again and again; another one may take its place.
fn through_memory(broker: &Arc<Mutex<Broker>>, client_id: &str) -> Options {
    let broker = broker.clone();
    let options = Options::in_memory(move || broker.lock().dial(Peer::anonymous())).client_id(client_id);
    options.reconnect(Backoff { first: Duration::from_millis(10), longest: Duration::from_secs(10) })
}

/// Hands on what rises, without waiting for each acknowledgement.
async fn carry(mut rising: Subscription, outside: Client) -> Result<(), ClientError> {
    while let Some(message) = rising.recv().await {
        let topic = message.topic.replacen("up/", "houses/7/", 1);
        let passed_on =
            Publication { properties: message.properties, ..Publication::new(topic, message.payload) };
        outside.publish_nowait(passed_on.qos(message.qos)).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run().await
}

pub(crate) async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let house = Broker::builder().start().await?;
    let city = Arc::new(Mutex::new(Broker::builder().start().await?));
    let dialled = Arc::new(Mutex::new(house.clone()));
    let (inside, _) = Client::connect(through_memory(&dialled, "bridge")).await?;
    // A thousand messages or a mebibyte wait at most; then the oldest give way.
    let options = through_memory(&city, "house-7").buffer(1_000, 1 << 20, Overflow::DropOldest);
    let (outside, _) = Client::connect(options).await?;
    let mut status = outside.status();
    let rising = inside.subscribe_one("up/#", QoS::AtLeastOnce).await?;
    let bridge = tokio::spawn(carry(rising, outside));

    let tell = async |text: &str| {
        let alarm = mqtt_broker::Publication::new("up/alarm", text).qos(QoS::AtLeastOnce);
        house.local().publish(alarm).await
    };
    let first = city.lock().clone();
    let mut heard = first.local().subscribe("houses/+/alarm").await?;
    tell("smoke").await?;
    let alarm = heard.recv().await.ok_or("the city's broker has stopped")?;
    assert_eq!((alarm.topic(), &*alarm.text()), ("houses/7/alarm", "smoke"));

    // The city's broker goes, and another one comes.
    first.shutdown().await;
    status.wait_for(|status| matches!(status, Status::Reconnecting { .. })).await?;
    tell("fire").await?;
    let second = Broker::builder().start().await?;
    let mut heard = second.local().subscribe("houses/+/alarm").await?;
    *city.lock() = second.clone();
    assert_eq!(heard.recv().await.ok_or("the city's broker has stopped")?.text(), "fire");

    house.shutdown().await;
    second.shutdown().await;
    bridge.abort();
    Ok(())
}
