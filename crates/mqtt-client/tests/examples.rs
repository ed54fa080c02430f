//! Every example is run as it stands; those that want a server get one.
#![allow(dead_code, reason = "each example has a main function of its own")]

use mqtt_broker::{Broker, ListenerSettings};
use mqtt_client::{Publication, QoS, ReasonCode};

#[path = "../examples/publish.rs"]
mod publish;
#[path = "../examples/request_response.rs"]
mod request_response;
#[path = "../examples/subscribe.rs"]
mod subscribe;

async fn broker() -> Broker {
    let url = "tcp://127.0.0.1:0".parse().expect("an address");
    let listener = ListenerSettings::new(url).allow_anonymous();
    Broker::builder().listen(listener).start().await.expect("any port is free")
}

#[tokio::test]
async fn the_request_response_example_works() {
    let broker = broker().await;
    let squared = request_response::square(&broker.addresses()[0], 12).await;
    assert_eq!(squared.expect("it runs to its end"), 144);
    broker.shutdown().await;
}

#[tokio::test]
async fn the_publish_and_subscribe_examples_work_together() {
    let broker = broker().await;
    let url = broker.addresses()[0].clone();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let heard = move |topic: &str, text: &str| tell.send(format!("{topic} {text}")).expect("it is awaited");
    let listening = {
        let url = url.clone();
        tokio::spawn(async move { subscribe::listen(url, "greeting", heard).await.ok() })
    };
    let publication = Publication::new("greeting", "hello").qos(QoS::AtLeastOnce).retain();
    let sent = publish::send(url, publication).await.expect("it runs to its end");
    assert_eq!(sent, ReasonCode::Success);
    assert_eq!(told.recv().await.as_deref(), Some("greeting hello"));
    listening.abort();
    broker.shutdown().await;
}

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
