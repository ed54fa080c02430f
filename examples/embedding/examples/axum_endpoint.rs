//! A broker inside a web application: axum serves the pages and upgrades connections at `/mqtt`, the broker speaks MQTT
//! on them, and a page publishes what is posted to it. The same works with hyper alone, or with any server that hands out
//! what it has upgraded.
//!
//! `cargo run -p embedding-examples --example axum_endpoint`

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, post};
use hyper_util::rt::TokioIo;
use mqtt_broker::transport::{Scheme, WsOptions, WsStream, websocket_accept};
use mqtt_broker::{Broker, ListenerRules, Peer};
use mqtt_client::{Client, Connection, Options, Publication, QoS};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The application, to be served with [`Router::into_make_service_with_connect_info`] of [`SocketAddr`], so that the
/// broker knows where its clients are.
fn application(broker: Broker) -> Router {
    Router::new().route("/mqtt", any(upgrade)).route("/publish/{*topic}", post(publish)).with_state(broker)
}

/// Agrees to speak MQTT, and gives the broker what comes of it.
async fn upgrade(
    State(broker): State<Broker>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    mut request: Request,
) -> Response {
    let headers = request.headers();
    if !says(headers, header::SEC_WEBSOCKET_PROTOCOL, "mqtt") {
        return (StatusCode::BAD_REQUEST, "only the subprotocol mqtt is spoken here").into_response();
    }
    let Some(accept) = accept_key(headers) else { return StatusCode::UPGRADE_REQUIRED.into_response() };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        // It fails if the client goes away before it has read the answer.
        let Ok(upgraded) = upgrade.await else { return };
        let stream = WsStream::upgraded(TokioIo::new(upgraded), Vec::new(), &WsOptions::default());
        broker.attach(Connection::boxed(stream), peer(address));
    });
    let answer = [
        (header::CONNECTION, "upgrade"),
        (header::UPGRADE, "websocket"),
        (header::SEC_WEBSOCKET_ACCEPT, &accept),
        (header::SEC_WEBSOCKET_PROTOCOL, "mqtt"),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, answer).into_response()
}

/// Who comes this way, and what logs, counters and access rules call the way.
fn peer(address: SocketAddr) -> Peer {
    let rules = ListenerRules {
        name: "web".into(),
        allow_anonymous: true,
        scheme: Scheme::Ws,
        ..ListenerRules::default()
    };
    Peer { listener: Arc::new(rules), address: Some(address), ..Peer::default() }
}

/// The answer to the key of an upgrade to version 13; `None` if it is another request.
fn accept_key(headers: &HeaderMap) -> Option<String> {
    let asks = says(headers, header::UPGRADE, "websocket")
        && says(headers, header::CONNECTION, "upgrade")
        && says(headers, header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY)?.to_str().ok()?;
    asks.then(|| websocket_accept(key))
}

/// Whether a word is among those that a header lists.
fn says(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name);
    let mut words = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    words.any(|one| one.trim().eq_ignore_ascii_case(word))
}

/// Publishes the body of a request under the rest of its path.
async fn publish(State(broker): State<Broker>, Path(topic): Path<String>, body: Bytes) -> Response {
    match broker.local().publish(Publication::new(topic, &body[..])).await {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

/// What the application answers to a request.
async fn ask(address: SocketAddr, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    run().await
}

pub(crate) async fn run() -> Result<(), Box<dyn std::error::Error>> {
    // It has no listener of its own: all its clients come from the application.
    let broker = Broker::builder().start().await?;
    let socket = TcpListener::bind("127.0.0.1:0").await?;
    let address = socket.local_addr()?;
    let service = application(broker.clone()).into_make_service_with_connect_info::<SocketAddr>();
    let serving = tokio::spawn(async move { axum::serve(socket, service).await });

    let options = Options::new(format!("ws://{address}/mqtt").parse()?);
    let (client, _) = Client::connect(options.client_id("page")).await?;
    let mut heard = client.subscribe_one("news/#", QoS::AtLeastOnce).await?;
    client.publish(Publication::new("news/large", vec![b'x'; 100_000]).qos(QoS::AtLeastOnce)).await?;
    assert_eq!(heard.recv().await.ok_or("the client has ended")?.payload.len(), 100_000);
    let details = broker.client("page").details().await?;
    assert_eq!(details.listener.as_deref(), Some("web"));
    assert!(details.address.is_some_and(|address| address.ip().is_loopback()), "told by axum");

    // A request of any page or script, and one that asks for something else than MQTT.
    let head = "Host: h\r\nConnection: close\r\n";
    let post = format!("POST /publish/news/today HTTP/1.1\r\n{head}Content-Length: 5\r\n\r\nhello");
    assert!(ask(address, &post).await?.starts_with("HTTP/1.1 204 "));
    let message = heard.recv().await.ok_or("the client has ended")?;
    assert_eq!((&*message.topic, &*message.payload), ("news/today", &b"hello"[..]));
    let page = format!("GET /mqtt HTTP/1.1\r\n{head}\r\n");
    assert!(ask(address, &page).await?.starts_with("HTTP/1.1 400 "));
    let keyless = format!("GET /mqtt HTTP/1.1\r\n{head}Sec-WebSocket-Protocol: mqtt\r\n\r\n");
    assert!(ask(address, &keyless).await?.starts_with("HTTP/1.1 426 "));

    serving.abort();
    broker.shutdown().await;
    Ok(())
}
