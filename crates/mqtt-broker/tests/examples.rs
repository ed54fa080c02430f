//! Every example is run as it stands.
#![allow(dead_code, reason = "each example has a main function of its own")]

#[path = "../examples/inline_client.rs"]
mod inline_client;

#[tokio::test]
async fn the_inline_client_example_works() {
    inline_client::run().await.expect("it runs to its end");
}

#[path = "../examples/injection.rs"]
mod injection;

#[tokio::test]
async fn the_injection_example_works() {
    injection::run().await.expect("it runs to its end");
}

#[path = "../examples/hooks.rs"]
mod hooks;

#[tokio::test]
async fn the_hooks_example_works() {
    hooks::run().await.expect("it runs to its end");
}

#[path = "../examples/minimal.rs"]
mod minimal;

#[tokio::test]
async fn the_minimal_example_serves_a_client() {
    let broker = minimal::start("0").await.expect("a free port");
    let address = broker.addresses()[0].to_string().replace("tcp://", "");
    let stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
    let mut peer = mqtt_testkit::Peer::new("client", stream);
    peer.connect(mqtt_testkit::connect("c")).await;
    peer.leave().await;
    broker.shutdown().await;
}
