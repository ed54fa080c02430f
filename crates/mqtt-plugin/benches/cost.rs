//! What a plug-in costs for each message that it rewrites: messages are published on a topic that nobody reads, with and
//! without it, in turns.
//!
//! `cargo bench -p mqtt-plugin --bench cost`
#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt_broker::{Broker, LocalClient, LocalOptions, Publication};
use mqtt_plugin::{Limits, Plugin, PluginOptions};

const MESSAGES: u32 = 20_000;
const ROUNDS: usize = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guests/rooms.wasm");
    let options = PluginOptions { settings: "house".into(), limits: Limits::default(), fail_open: false };
    let began = Instant::now();
    let plugin = Arc::new(Plugin::open(file, options)?);
    println!("compiled in {:.0?}", began.elapsed());
    let without = Broker::builder().start().await?;
    let with = Broker::builder().hook(plugin.clone()).start().await?;
    for _ in 0..ROUNDS {
        let plain = publish(&without.local_as(LocalOptions::new("lamp7"))).await?;
        let rewritten = publish(&with.local_as(LocalOptions::new("lamp7"))).await?;
        println!(
            "{plain:.2?} without, {rewritten:.2?} with it, {:.2?} for it",
            rewritten.saturating_sub(plain)
        );
    }
    assert_eq!(plugin.figures().failures(), 0);
    without.shutdown().await;
    with.shutdown().await;
    Ok(())
}

/// The time for one message.
async fn publish(lamp: &LocalClient) -> Result<Duration, Box<dyn Error>> {
    let began = Instant::now();
    for _ in 0..MESSAGES {
        lamp.publish(Publication::new("my/state", [b'x'; 64])).await?;
    }
    Ok(began.elapsed() / MESSAGES)
}
