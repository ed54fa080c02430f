//! How to test a program that uses MQTT without a network: its client talks to a broker inside the test, which also lets
//! the test look at what arrived, break the connection and come back.
//!
//! `cargo run -p mqtt-client --example test_against_broker`

use std::time::Duration;

use mqtt_broker::{Broker, Peer};
use mqtt_client::{Client, ClientError, Options, Publication, QoS, ReasonCode, Status};

/// What is to be tested: a thermostat that asks for heat when it is cold.
struct Thermostat {
    client: Client,
    readings: mqtt_client::Subscription,
}

impl Thermostat {
    async fn start(options: Options) -> Result<Self, Box<dyn std::error::Error>> {
        let (client, _) = Client::connect(options.client_id("thermostat").resume(3600)).await?;
        let readings = client.subscribe_one("room/temperature", QoS::AtLeastOnce).await?;
        Ok(Self { client, readings })
    }

    /// Handles one reading.
    async fn turn(&mut self) -> Result<(), ClientError> {
        let reading = self.readings.recv().await.ok_or(ClientError::Closed)?;
        let is_cold = reading.text().parse().is_ok_and(|degrees: f32| degrees < 18.0);
        let order = Publication::new("room/heating", if is_cold { "on" } else { "off" });
        self.client.publish(order.qos(QoS::AtLeastOnce).retain()).await?;
        Ok(())
    }
}

/// A broker in memory, and the options with which a client reaches it again and again.
async fn test_broker() -> Result<(Broker, Options), Box<dyn std::error::Error>> {
    let broker = Broker::builder().start().await?;
    let dialled = broker.clone();
    let options = Options::in_memory(move || dialled.dial(Peer::anonymous()));
    Ok((broker, options))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run().await
}

pub(crate) async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let (broker, options) = test_broker().await?;
    let test = broker.local();
    let mut orders = test.subscribe("room/heating").await?;
    let mut thermostat = Thermostat::start(options).await?;

    for (degrees, order) in [("17.5", "on"), ("21.0", "off")] {
        test.publish(mqtt_broker::Publication::new("room/temperature", degrees)).await?;
        thermostat.turn().await?;
        assert_eq!(orders.recv().await.ok_or("no order")?.text(), order);
    }

    // The connection breaks; what is published meanwhile waits in the session.
    let mut status = thermostat.client.status();
    broker.client("thermostat").disconnect(ReasonCode::ServerBusy)?;
    status.wait_for(|status| matches!(status, Status::Reconnecting { .. })).await?;
    test.publish(mqtt_broker::Publication::new("room/temperature", "16.0").qos(QoS::AtLeastOnce)).await?;
    tokio::time::timeout(Duration::from_secs(10), thermostat.turn()).await??;
    assert_eq!(orders.recv().await.ok_or("no order")?.text(), "on");
    broker.shutdown().await;
    Ok(())
}
