//! The smallest broker: one TCP listener on the loopback interface, until Ctrl-C.
//!
//! `cargo run -p mqtt-broker --example minimal -- 1883`

use mqtt_broker::{Broker, ListenerSettings};

#[tokio::main]
#[allow(clippy::print_stdout, reason = "the user asked for the address")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "0".into());
    let broker = start(&port).await?;
    println!("listening on {}", broker.addresses()[0]);
    tokio::signal::ctrl_c().await?;
    broker.shutdown().await;
    Ok(())
}

pub(crate) async fn start(port: &str) -> Result<Broker, Box<dyn std::error::Error>> {
    let url = format!("tcp://127.0.0.1:{port}").parse()?;
    Ok(Broker::builder().listen(ListenerSettings::new(url).allow_anonymous()).start().await?)
}
