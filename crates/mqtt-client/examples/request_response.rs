//! A responder and a requester in one program: `cargo run -p mqtt-client --example request_response`

use std::time::Duration;

use mqtt_client::{Client, Options, Property, Publication, QoS};

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::print_stdout, reason = "an example talks")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "tcp://127.0.0.1:1883".into());
    let (responder, _) = Client::connect(Options::new(url.parse()?)).await?;
    let mut requests = responder.subscribe_one("square", QoS::AtLeastOnce).await?;
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            let properties = request.properties.as_properties();
            let (Some(topic), Some(correlation)) =
                (properties.response_topic(), properties.correlation_data())
            else {
                continue;
            };
            let number: i64 = String::from_utf8_lossy(&request.payload).parse().unwrap_or(0);
            let answer = Publication::new(topic, (number * number).to_string())
                .property(&Property::CorrelationData(correlation));
            responder.publish(answer).await.ok();
        }
    });
    let (client, welcome) = Client::connect(Options::new(url.parse()?)).await?;
    let response_topic = format!("responses/{}", welcome.client_id);
    let request = Publication::new("square", "12").qos(QoS::AtLeastOnce);
    let response = client.request(request, &response_topic, b"1", Duration::from_secs(5)).await?;
    println!("12 squared is {}", String::from_utf8_lossy(&response.payload));
    Ok(())
}
