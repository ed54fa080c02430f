//! The client without an async runtime: a program of threads, here against a broker that it brings along.
//!
//! `cargo run -p mqtt-client --example blocking`

use std::time::Duration;

use mqtt_broker::{Broker, ListenerSettings};
use mqtt_client::blocking::Client;
use mqtt_client::{ClientError, Options, Publication, QoS, ReasonCode};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    run()
}

pub(crate) fn run() -> Result<(), Box<dyn std::error::Error>> {
    // Only the broker needs a runtime.
    let runtime = tokio::runtime::Runtime::new()?;
    let listener = ListenerSettings::new("tcp://127.0.0.1:0".parse()?).allow_anonymous();
    let broker = runtime.block_on(Broker::builder().listen(listener).start())?;
    let url = broker.addresses()[0].clone();

    let (consumer, _) = Client::connect(Options::new(url.clone()).client_id("consumer"))?;
    let mut readings = consumer.subscribe_one("readings/#", QoS::AtLeastOnce)?;
    assert!(matches!(readings.recv_timeout(Duration::ZERO), Err(ClientError::TimedOut)));

    let producer = std::thread::spawn(move || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let (client, _) = Client::connect(Options::new(url).client_id("producer"))?;
        for number in 0..3 {
            let reading = Publication::new(format!("readings/{number}"), number.to_string());
            client.publish(reading.qos(QoS::AtLeastOnce))?;
        }
        client.disconnect(ReasonCode::Success)?;
        Ok(())
    });

    let texts: Vec<String> = readings.iter().take(3).map(|reading| reading.text().into_owned()).collect();
    assert_eq!(texts, ["0", "1", "2"]);
    producer.join().map_err(|_| "the producer panicked")?.map_err(|error| error.to_string())?;
    consumer.disconnect(ReasonCode::Success)?;
    assert!(readings.recv().is_none(), "the client has ended");
    runtime.block_on(broker.shutdown());
    Ok(())
}
