//! Connections that the program accepts itself: here behind a line that each stream begins with, which names the room
//! that a device stands in. Any `AsyncRead + AsyncWrite` will do: a serial line, a tunnel, a stream of another server.
//!
//! `cargo run -p embedding-examples --example own_listener`

use std::sync::Arc;

use mqtt_broker::{Broker, ListenerRules, Peer};
use mqtt_client::{Client, Connection, Options, Publication, QoS};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Bytes of the longest first line.
const LINE_BYTES_MAX: u64 = 64;

/// Reads the line that comes before MQTT, and hands the rest of the stream to the broker.
async fn welcome(broker: Broker, stream: TcpStream) -> std::io::Result<()> {
    let address = stream.peer_addr()?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let mut first = tokio::io::AsyncReadExt::take(&mut stream, LINE_BYTES_MAX);
    first.read_line(&mut line).await?;
    let Some(room) = line.strip_prefix("room ").and_then(|line| line.strip_suffix('\n')) else {
        return Ok(()); // not one of ours
    };
    let rules = ListenerRules { name: room.into(), allow_anonymous: true, ..ListenerRules::default() };
    let peer = Peer { listener: Arc::new(rules), address: Some(address), ..Peer::default() };
    broker.attach(Connection::boxed(stream), peer);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run().await
}

pub(crate) async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let broker = Broker::builder().start().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let welcoming = broker.clone();
    let accepting = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(welcome(welcoming.clone(), stream));
        }
    });

    // The client's end: its streams begin with that line as well.
    let options = Options::with_streams(move || async move {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"room kitchen\n").await?;
        Ok(Connection::boxed(stream))
    });
    let (client, _) = Client::connect(options.client_id("toaster")).await?;
    let details = broker.client("toaster").details().await?;
    assert_eq!(details.listener.as_deref(), Some("kitchen"));
    let mut heard = broker.local().subscribe("toast").await?;
    client.publish(Publication::new("toast", "ready").qos(QoS::AtLeastOnce)).await?;
    assert_eq!(heard.recv().await.ok_or("the broker has stopped")?.text(), "ready");

    accepting.abort();
    broker.shutdown().await;
    Ok(())
}
