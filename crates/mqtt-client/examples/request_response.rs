//! A responder and a requester in one program:
//! `cargo run -p mqtt-client --example request_response -- tcp://127.0.0.1:1883`

use std::time::Duration;

use mqtt_client::{Client, Options, Publication, QoS, Url};

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::print_stdout, reason = "an example talks")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "tcp://127.0.0.1:1883".into());
    println!("12 squared is {}", square(&url.parse()?, 12).await?);
    Ok(())
}

pub(crate) async fn square(url: &Url, number: i64) -> Result<i64, Box<dyn std::error::Error>> {
    let (responder, _) = Client::connect(Options::new(url.clone())).await?;
    let mut requests = responder.subscribe_one("square", QoS::AtLeastOnce).await?;
    tokio::spawn(async move {
        while let Some(request) = requests.recv().await {
            let number: i64 = request.text().parse().unwrap_or(0);
            responder.respond(&request, (number * number).to_string()).await.ok();
        }
    });
    let (client, _) = Client::connect(Options::new(url.clone())).await?;
    let request = Publication::new("square", number.to_string()).qos(QoS::AtLeastOnce);
    let response = client.request(request, Duration::from_secs(5)).await?;
    Ok(response.text().parse()?)
}
