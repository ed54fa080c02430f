//! Plug-ins in whole brokers over pipes in memory. The guests are those of `guests/`, compiled.

mod answers;
mod failures;
mod harness;
mod log;
mod versions;

#[path = "../../examples/plugin.rs"]
#[allow(dead_code, reason = "the example has a main function of its own")]
mod example;

#[tokio::test]
async fn the_example_works() {
    example::run().await.expect("it runs to its end");
}
