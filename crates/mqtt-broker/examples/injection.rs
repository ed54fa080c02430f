//! Packets that the program hands to its broker as if a client had sent them.
//!
//! `cargo run -p mqtt-broker --example injection`

use mqtt_broker::codec::Publish;
use mqtt_broker::{
    Broker, InjectOptions, Packet, PacketId, Properties, Publication, QoS, SubscriptionOptions,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run().await
}

#[allow(clippy::print_stdout, reason = "an example shows what it does")]
pub(crate) async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let broker = Broker::builder().start().await?;
    let mut readings = broker.local().subscribe("sensors/#").await?;

    // A sensor that speaks another protocol: its packets are injected under its own name.
    let sensor = broker.client("legacy-sensor");
    let reading = Packet::Publish(Publish {
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: "sensors/legacy",
        packet_id: PacketId::new(1),
        properties: Properties::EMPTY,
        payload: b"17.0",
    });
    // Nobody knows it yet, so it is made up; its session is kept for an hour.
    let answers = sensor.inject(&reading, InjectOptions::default().make_up(3600)).await?;
    for answer in answers.packets() {
        println!("the sensor would have got {answer:?}");
    }
    println!("{}", readings.recv().await.ok_or("the broker has stopped")?.text());

    // Messages for it wait in its session.
    sensor.subscribe("commands/#", SubscriptionOptions::at(QoS::AtLeastOnce)).await?;
    broker.local().publish(Publication::new("commands/reset", "now").qos(QoS::AtLeastOnce)).await?;
    let details = sensor.details().await?;
    println!("{} message waits, subscribed with {:?}", details.queued_messages, details.subscriptions);
    sensor.expire().await?;
    broker.shutdown().await;
    Ok(())
}
