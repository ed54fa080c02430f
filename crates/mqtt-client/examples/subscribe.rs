//! Prints what arrives: `cargo run -p mqtt-client --example subscribe -- tcp://127.0.0.1:1883 'filter/#'`

use mqtt_client::{Client, Options, QoS, Url};

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::print_stdout, reason = "an example talks")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "tcp://127.0.0.1:1883".into()).parse()?;
    let filter = arguments.next().unwrap_or_else(|| "#".into());
    listen(url, &filter, |topic, text| println!("{topic} {text}")).await
}

/// Until the client ends, which reconnects as long as the server would have it.
pub(crate) async fn listen(
    url: Url,
    filter: &str,
    mut heard: impl FnMut(&str, &str),
) -> Result<(), Box<dyn std::error::Error>> {
    let (client, _) = Client::connect(Options::new(url)).await?;
    let mut messages = client.subscribe_one(filter, QoS::ExactlyOnce).await?;
    while let Some(message) = messages.recv().await {
        heard(&message.topic, &message.text());
    }
    Ok(())
}
