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
