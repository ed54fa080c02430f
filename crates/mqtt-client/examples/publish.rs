//! Publishes one message at QoS 1: `cargo run -p mqtt-client --example publish -- tcp://127.0.0.1:1883 topic text`

use mqtt_client::{Client, Options, Publication, QoS, ReasonCode, Url};

#[tokio::main(flavor = "current_thread")]
#[allow(clippy::print_stdout, reason = "an example talks")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |or: &str| arguments.next().unwrap_or_else(|| or.into());
    let url = next("tcp://127.0.0.1:1883").parse()?;
    let publication = Publication::new(next("greeting"), next("hello")).qos(QoS::AtLeastOnce);
    println!("acknowledged: {}", send(url, publication).await?);
    Ok(())
}

pub(crate) async fn send(
    url: Url,
    publication: Publication,
) -> Result<ReasonCode, Box<dyn std::error::Error>> {
    let (client, _) = Client::connect(Options::new(url)).await?;
    let reason = client.publish(publication).await?;
    client.disconnect(ReasonCode::Success).await?;
    Ok(reason)
}
