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
