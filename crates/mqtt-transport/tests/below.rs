//! What lies below the transports: Unix sockets, and proxies that say who is behind them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use mqtt_transport::{Arrival, Cause, HandshakeError, Listener, ListenerOptions, Url, connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn listen(url: &str, options: ListenerOptions) -> std::io::Result<Listener> {
    Listener::bind(&Url::parse(url).expect("a URL"), options).await
}

#[tokio::test]
async fn a_unix_socket_has_its_mode_replaces_a_stale_file_and_goes_with_its_listener() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mqtt.sock");
    let url = format!("unix://{}", path.display());
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a free path"));
    let mut options = ListenerOptions::default();
    options.socket.unix_mode = Some(0o600);
    let listener = listen(&url, options.clone()).await.expect("nobody listens any more");
    assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
    let accept =
        async { listener.accept().await.expect("a client").handshake().await.expect("nothing to refuse") };
    let (arrival, client) = tokio::join!(accept, connect(listener.url()));
    let (mut arrival, mut client) = (arrival, client.expect("it listens"));
    client.write_all(b"x").await.expect("it is read");
    assert_eq!((arrival.connection.read_u8().await.expect("it was sent"), arrival.address), (b'x', None));
    let taken = listen(&url, options.clone()).await.expect_err("somebody listens").to_string();
    assert!(taken.contains("another process listens there"), "{taken}");
    drop(listener);
    assert!(!path.exists());
    fs::write(&path, "mine").expect("a file");
    let error = listen(&url, options).await.expect_err("a file of somebody").to_string();
    assert!(error.contains("a file that is no socket"), "{error}");
    assert_eq!(fs::read(&path).expect("it is still there"), b"mine");
}

/// What a connection becomes that begins with these bytes.
async fn arrive(url: &str, proxy: &str, bytes: &[u8]) -> Result<Arrival, HandshakeError> {
    let proxy_from = vec![proxy.parse().expect("a network")];
    let options = ListenerOptions { proxy_from, ..ListenerOptions::default() };
    let listener = listen(url, options).await.expect("a free port");
    let mut client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
    client.write_all(bytes).await.expect("room in the socket");
    let arrival = listener.accept().await.expect("a client").handshake().await;
    drop(client);
    arrival
}

const TCP: &str = "tcp://127.0.0.1:0";

#[tokio::test]
async fn a_proxy_that_is_listed_says_who_is_behind_it() {
    let header = b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 1883\r\nx";
    let mut arrival = arrive(TCP, "127.0.0.0/8", header).await.expect("believed");
    assert_eq!(arrival.address, Some("192.0.2.1:4711".parse().expect("an address")));
    assert_eq!(arrival.connection.read_u8().await.expect("it was sent"), b'x');
    let request = b"GET /mqtt HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
    let both = [&header[..header.len() - 1], request].concat();
    let arrival = arrive("ws://127.0.0.1:0/mqtt", "127.0.0.1/32", &both).await.expect("believed");
    assert_eq!(arrival.address, Some("192.0.2.1:4711".parse().expect("an address")));
}

#[tokio::test]
async fn without_a_good_header_from_a_listed_address_nobody_comes_in() {
    let good = b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 1883\r\n";
    let untrusted = arrive(TCP, "10.0.0.0/8", good).await.expect_err("not listed");
    assert_eq!(untrusted.cause(), Cause::UntrustedProxy);
    for bytes in [&b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c"[..], b"PROXY TCP4 nonsense\r\n"] {
        let refused = arrive(TCP, "127.0.0.0/8", bytes).await.expect_err("no header");
        assert_eq!(refused.cause(), Cause::BadProxyHeader);
    }
}

#[tokio::test]
async fn two_listeners_may_share_a_port_if_both_say_so() {
    let mut options = ListenerOptions::default();
    options.socket.reuse_port = true;
    let first = listen(TCP, options.clone()).await.expect("a free port");
    let same = first.url().to_string();
    listen(&same, options).await.expect("shared");
    listen(&same, ListenerOptions::default()).await.expect_err("not shared");
}
