//! A service inside the program: it takes requests as a stream, four at a time, and answers with the properties of
//! MQTT 5. Other members of its shared group may be anywhere.
//!
//! `cargo run -p embedding-examples --example service`

use std::time::Duration;

use futures_util::StreamExt as _;
use mqtt_broker::{
    Broker, LocalClient, LocalError, LocalMessage, LocalOptions, Property, Publication, QoS, ReasonCode,
    Subscribe,
};

/// Adds what the request lists, for whom it names in a User Property.
async fn answer(service: &LocalClient, request: &LocalMessage) -> Result<(), LocalError> {
    let mut users = request.properties().user_properties();
    let name = users.find_map(|(key, value)| (key == "for").then_some(value)).unwrap_or("nobody");
    let sum: i64 = request.text().split('+').filter_map(|number| number.trim().parse::<i64>().ok()).sum();
    service.respond(request, format!("{sum} for {name}")).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run().await
}

pub(crate) async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let broker = Broker::builder().start().await?;
    let service = broker.local_as(LocalOptions::new("adder").unprivileged());
    let asked = Subscribe::to("$share/adders/add").qos(QoS::ExactlyOnce);
    let requests = service.subscribe(asked).await?;
    // A subscription is a `Stream`, with all that `StreamExt` has.
    let serving = tokio::spawn(requests.for_each_concurrent(4, move |request| {
        let service = service.clone();
        async move {
            answer(&service, &request).await.ok(); // whoever asked may be gone
        }
    }));

    let client = broker.local_as(LocalOptions::new("asker").unprivileged());
    let request = Publication::new("add", "1 + 2 + 39")
        .qos(QoS::ExactlyOnce)
        .property(&Property::UserProperty("for", "anna"))
        .property(&Property::MessageExpiryInterval(5));
    let response = client.request(request, Duration::from_secs(1)).await?;
    assert_eq!(response.text(), "42 for anna");

    // Who asks where nobody listens is told at once.
    let lost = client.request(Publication::new("subtract", "1"), Duration::from_secs(1)).await;
    assert_eq!(lost.err(), Some(LocalError::Refused(ReasonCode::NoMatchingSubscribers)));

    broker.shutdown().await; // which ends the stream
    serving.await?;
    Ok(())
}
