//! Prints what arrives: `cargo run -p mqtt-client --example subscribe -- tcp://127.0.0.1:1883 'filter/#'`

use mqtt_client::{Client, Options, QoS};

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::print_stdout, reason = "an example talks")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "tcp://127.0.0.1:1883".into()).parse()?;
    let filter = arguments.next().unwrap_or_else(|| "#".into());
    let (client, _) = Client::connect(Options::new(url)).await?;
    let mut messages = client.subscribe_one(&filter, QoS::ExactlyOnce).await?;
    while let Some(message) = messages.recv().await {
        println!("{} {}", message.topic, String::from_utf8_lossy(&message.payload));
    }
    Ok(())
}
