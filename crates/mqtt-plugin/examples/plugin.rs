//! A broker with a plug-in that gives each device a room of its own, and limits on what the plug-in may use.
//!
//! `cargo run -p mqtt-plugin --example plugin`

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use mqtt_broker::{Broker, LocalOptions, Publication};
use mqtt_plugin::{Limits, Plugin, PluginOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    run().await
}

pub(crate) async fn run() -> Result<(), Box<dyn Error>> {
    let limits = Limits { fuel_max: 1_000_000, memory_bytes_max: 4 << 20, ..Limits::default() };
    let options = PluginOptions { settings: "house".into(), limits, fail_open: false };
    // Compiling takes its time: not on a thread that serves connections.
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guests/rooms.wasm");
    let plugin = tokio::task::spawn_blocking(move || Plugin::open(file, options)).await??;
    let plugin = Arc::new(plugin);
    // A new version in the file is taken over while everybody stays connected.
    tokio::spawn(plugin.watch(Duration::from_secs(10)));
    let broker = Broker::builder().hook(plugin.clone()).start().await?;

    let mut states = broker.local().subscribe("house/+/state").await?;
    let lamp = broker.local_as(LocalOptions::new("lamp7"));
    lamp.publish(Publication::new("my/state", "on")).await?;
    let message = states.recv().await.ok_or("the broker has stopped")?;
    assert_eq!((message.topic(), message.payload()), ("house/lamp7/state", &b"on"[..]));

    let refused = lamp.publish(Publication::new("locked/door", "open")).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(plugin.figures().failures(), 0);
    broker.shutdown().await;
    Ok(())
}
