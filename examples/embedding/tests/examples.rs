//! Every example is run as it stands.
#![allow(dead_code, reason = "each example has a main function of its own")]

#[path = "../examples/axum_endpoint.rs"]
mod axum_endpoint;

#[tokio::test]
async fn the_axum_endpoint_example_works() {
    axum_endpoint::run().await.expect("it runs to its end");
}

#[path = "../examples/custom_authentication.rs"]
mod custom_authentication;

#[tokio::test]
async fn the_custom_authentication_example_works() {
    custom_authentication::run().await.expect("it runs to its end");
}

#[path = "../examples/own_listener.rs"]
mod own_listener;

#[tokio::test]
async fn the_own_listener_example_works() {
    own_listener::run().await.expect("it runs to its end");
}

#[path = "../examples/own_store.rs"]
mod own_store;

#[tokio::test]
async fn the_own_store_example_works() {
    own_store::run().await.expect("it runs to its end");
}

#[path = "../examples/persistence.rs"]
mod persistence;

#[test]
fn the_persistence_example_works() {
    persistence::run().expect("it runs to its end");
}

#[path = "../examples/tls.rs"]
mod tls;

#[tokio::test]
async fn the_tls_example_works() {
    tls::run().await.expect("it runs to its end");
}

#[path = "../examples/parked_session.rs"]
mod parked_session;

#[tokio::test]
async fn the_parked_session_example_works() {
    parked_session::run().await.expect("it runs to its end");
}

#[path = "../examples/ready_made_hooks.rs"]
mod ready_made_hooks;

#[tokio::test]
async fn the_example_of_ready_made_hooks_works() {
    ready_made_hooks::run().await.expect("it runs to its end");
}

#[path = "../examples/rules_and_delivery.rs"]
mod rules_and_delivery;

#[tokio::test]
async fn the_rules_and_delivery_example_works() {
    rules_and_delivery::run().await.expect("it runs to its end");
}

#[path = "../examples/service.rs"]
mod service;

#[tokio::test]
async fn the_service_example_works() {
    service::run().await.expect("it runs to its end");
}
