//! Examples that need no server are run as they stand.
#![allow(dead_code, reason = "each example has a main function of its own")]

#[path = "../examples/bridge.rs"]
mod bridge;

#[tokio::test]
async fn the_bridge_example_works() {
    bridge::run().await.expect("it runs to its end");
}
