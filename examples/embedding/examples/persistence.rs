//! A broker that keeps sessions, their queues and retained messages in a directory: what was acknowledged is there again
//! after the program has ended, in whatever way.
//!
//! `cargo run -p embedding-examples --example persistence`

use std::path::Path;
use std::sync::Arc;

use mqtt_broker::store::DurableSettings;
use mqtt_broker::{Broker, DurableStore, Peer};
use mqtt_client::{Client, Options, Publication, QoS, ReasonCode};

async fn broker(folder: &Path) -> Result<Broker, Box<dyn std::error::Error>> {
    let store = DurableStore::open(folder, &DurableSettings::default(), |_| {})?;
    Ok(Broker::builder().store(Arc::new(store)).start().await?)
}

async fn client(broker: &Broker) -> Result<(Client, bool), Box<dyn std::error::Error>> {
    let broker = broker.clone();
    let options = Options::in_memory(move || broker.dial(Peer::anonymous()));
    let (client, welcome) = Client::connect(options.client_id("display").resume(3600)).await?;
    Ok((client, welcome.session_present))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    run()
}

/// Two lives of the program, each with a runtime of its own: what belongs to the first, the lock on the directory
/// included, ends with it.
pub(crate) fn run() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    tokio::runtime::Runtime::new()?.block_on(first_life(folder.path()))?;
    tokio::runtime::Runtime::new()?.block_on(second_life(folder.path()))
}

async fn first_life(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let broker = broker(folder).await?;
    let (display, session_present) = client(&broker).await?;
    assert!(!session_present);
    let news = display.subscribe_one("news", QoS::AtLeastOnce).await?;
    display.disconnect(ReasonCode::Success).await?;
    drop(news); // after the connection, so the session stays subscribed
    let news = mqtt_broker::Publication::new("news", "while you were away").qos(QoS::AtLeastOnce);
    broker.local().publish(news).await?;
    broker.local().publish(mqtt_broker::Publication::new("state", "kept").retain()).await?;
    broker.shutdown().await;
    Ok(())
}

async fn second_life(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let broker = broker(folder).await?;
    let mut state = broker.local().subscribe("state").await?;
    assert_eq!(state.recv().await.ok_or("nothing is retained")?.text(), "kept");
    let (display, session_present) = client(&broker).await?;
    assert!(session_present, "the session outlived the program");
    let mut news = display.subscribe_one("news", QoS::AtLeastOnce).await?;
    assert_eq!(news.recv().await.ok_or("nothing has waited")?.text(), "while you were away");
    display.publish(Publication::new("state", "")).await?;
    display.disconnect(ReasonCode::Success).await?;
    broker.shutdown().await;
    Ok(())
}
