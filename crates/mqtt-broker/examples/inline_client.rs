//! A client inside the program: it publishes, subscribes, answers requests and sees what connected clients say,
//! without a socket.
//!
//! `cargo run -p mqtt-broker --example inline_client`

use std::time::Duration;

use mqtt_broker::{Broker, LocalOptions, Property, Publication, QoS, Subscribe};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run().await
}

#[allow(clippy::print_stdout, reason = "an example shows what it does")]
pub(crate) async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let broker = Broker::builder().start().await?;
    let local = broker.local(); // privileged: no access rule applies, and it may publish to $SYS

    // As a stream ...
    let mut readings = local.subscribe(Subscribe::to("house/+/temperature").qos(QoS::AtLeastOnce)).await?;
    // ... or with a callback.
    local
        .subscribe_each("$SYS/house/#", |message| println!("{}: {}", message.topic(), message.text()))
        .await?;

    let reading = Publication::new("house/kitchen/temperature", "21.5")
        .qos(QoS::AtLeastOnce)
        .retain()
        .property(&Property::ContentType("text/plain"));
    local.publish(reading).await?;
    local.publish(Publication::new("$SYS/house/started", "yes")).await?;
    let reading = readings.recv().await.ok_or("the broker has stopped")?;
    println!("{} says {} at {:?}", reading.topic(), reading.text(), reading.qos());

    // Another client, with a name of its own and only the rights that such a client would have.
    let oracle = broker.local_as(LocalOptions::new("oracle").unprivileged());
    let mut questions = oracle.subscribe("oracle/questions").await?;
    tokio::spawn(async move {
        while let Some(question) = questions.recv().await {
            oracle.respond(&question, format!("{}? Maybe.", question.text())).await.ok();
        }
    });
    let question = Publication::new("oracle/questions", "Rain");
    let answer = local.request(question, Duration::from_secs(1)).await?;
    println!("{}", answer.text());
    broker.shutdown().await;
    Ok(())
}
