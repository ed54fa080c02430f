//! Examples that need no server are run as they stand.
#![allow(dead_code, reason = "each example has a main function of its own")]

#[path = "../examples/bridge.rs"]
mod bridge;

#[tokio::test]
async fn the_bridge_example_works() {
    bridge::run().await.expect("it runs to its end");
}

#[path = "../examples/test_against_broker.rs"]
mod test_against_broker;

#[tokio::test]
async fn the_example_of_a_test_against_a_broker_works() {
    test_against_broker::run().await.expect("it runs to its end");
}

#[path = "../examples/blocking.rs"]
mod blocking;

#[test]
fn the_blocking_example_works() {
    blocking::run().expect("it runs to its end");
}

#[cfg(feature = "scram")]
#[path = "../examples/scram.rs"]
mod scram;

#[cfg(feature = "scram")]
#[tokio::test]
async fn the_scram_example_works() {
    scram::run().await.expect("it runs to its end");
}
