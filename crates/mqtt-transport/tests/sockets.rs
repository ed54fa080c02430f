//! Real sockets, on ports that the system chooses.

mod support;

use std::io::ErrorKind;
use std::time::Duration;

use mqtt_transport::{
    CloseOutcome, Connection, HandshakeError, Listener, ListenerOptions, Refusal, SocketOptions, Url,
    close_gracefully, connect,
};
use support::{PINGREQ, publish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Bounds what cannot end otherwise; no test waits for it.
const LONG: Duration = Duration::from_secs(60);

const URLS: [&str; 2] = ["tcp://127.0.0.1:0", "ws://127.0.0.1:0/mqtt"];

async fn listen(url: &str) -> Listener {
    let url = Url::parse(url).expect("a URL");
    Listener::bind(&url, ListenerOptions::default()).await.expect("a free port")
}

/// A broker's end and a client's end of one connection.
async fn pair(url: &str) -> (Connection, Connection) {
    let listener = listen(url).await;
    let accept = async {
        let incoming = listener.accept().await.expect("a client comes");
        assert!(incoming.peer().expect("TCP").ip().is_loopback());
        incoming.handshake().await.expect("agreed")
    };
    let (broker, client) = tokio::join!(accept, connect(listener.url()));
    (broker.connection, client.expect("it listens"))
}

// A stream of bytes in their order, without loss, in both directions.
#[tokio::test]
async fn mqtt_4_2_0_1_bytes_arrive_in_order_in_both_directions() {
    for url in URLS {
        let (mut broker, mut client) = pair(url).await;
        let bytes = publish(1_000_000, 5);
        let exchange = async |stream: &mut Connection| {
            let (mut reading, mut writing) = tokio::io::split(stream);
            let mut received = vec![0; bytes.len()];
            let write = async {
                writing.write_all(&bytes).await.expect("it is read");
                writing.flush().await.expect("it is read");
            };
            let (read, ()) = tokio::join!(reading.read_exact(&mut received), write);
            read.expect("it was sent");
            assert!(received == bytes, "{url}");
        };
        tokio::join!(exchange(&mut broker), exchange(&mut client));
    }
}

#[tokio::test]
async fn the_real_port_is_told_and_a_taken_one_refused() {
    for url in URLS {
        let listener = listen(url).await;
        let port = listener.local_addr().expect("bound").port();
        assert!(port > 0);
        assert_eq!(listener.url().port(), port);
        let again = Listener::bind(listener.url(), ListenerOptions::default()).await;
        let error = again.expect_err("the port is taken");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&listener.url().to_string()), "{error}");
    }
}

#[tokio::test]
async fn small_packets_leave_at_once_unless_the_listener_is_told_otherwise() {
    for nodelay in [true, false] {
        let socket = SocketOptions { nodelay, ..SocketOptions::default() };
        let options = ListenerOptions { socket, ..ListenerOptions::default() };
        let listener = Listener::bind(&URLS[0].parse().expect("a URL"), options).await.expect("a free port");
        let accept = async { listener.accept().await.expect("a client").handshake().await };
        let (arrival, client) = tokio::join!(accept, connect(listener.url()));
        let Connection::Tcp(ours) = arrival.expect("agreed").connection else { panic!("plain TCP") };
        assert_eq!(ours.nodelay().expect("an option"), nodelay);
        let Connection::Tcp(theirs) = client.expect("it listens") else { panic!("plain TCP") };
        assert!(theirs.nodelay().expect("an option"), "clients of ours always do");
    }
}

// The reason of a DISCONNECT would be lost if the socket were closed with bytes unread: the system would reset it.
#[tokio::test]
async fn a_peer_that_is_still_sending_reads_our_last_bytes() {
    for url in URLS {
        let (mut broker, client) = pair(url).await;
        let (mut reading, mut writing) = tokio::io::split(client);
        let farewell = [0xE0, 2, 0x8B, 0];
        let leave = async {
            broker.write_all(&farewell).await.expect("the client is there");
            close_gracefully(broker, LONG).await
        };
        let send = async {
            // More than the buffers of both sockets hold, so that much is under way when the broker leaves.
            for _ in 0..100 {
                writing.write_all(&publish(100_000, 1)).await?;
            }
            writing.shutdown().await
        };
        let read = async {
            let mut received = Vec::new();
            reading.read_to_end(&mut received).await.map(|_| received)
        };
        let (left, sent, received) = tokio::join!(leave, send, read);
        assert_eq!(received.expect("no reset"), farewell, "{url}");
        assert_eq!(left, CloseOutcome::PeerClosed, "{url}");
        // A WebSocket that was told to close need not take more.
        assert!(sent.is_ok() || url.starts_with("ws"), "{sent:?}");
    }
}

#[tokio::test]
async fn a_peer_that_never_stops_sending_is_left_after_a_bounded_amount() {
    let (broker, mut client) = pair(URLS[0]).await;
    let bytes = publish(1_000_000, 1);
    let (left, ()) = tokio::join!(close_gracefully(broker, LONG), async {
        while client.write_all(&bytes).await.is_ok() {}
    });
    assert_eq!(left, CloseOutcome::StillSending);
}

// The clock stands still but for the timeout, which is over at once.
#[tokio::test(start_paused = true)]
async fn a_peer_that_neither_sends_nor_closes_is_left_after_the_timeout() {
    let (ours, _theirs) = tokio::io::duplex(64);
    assert_eq!(close_gracefully(ours, LONG).await, CloseOutcome::TimedOut);
}

// A slow WebSocket handshake holds up nobody: it is not part of accepting.
#[tokio::test]
async fn accepting_goes_on_while_a_handshake_waits() {
    let listener = listen(URLS[1]).await;
    let silent = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
    let waiting = listener.accept().await.expect("the silent client");
    let accept = async { listener.accept().await.expect("the next client").handshake().await };
    let (second, client) = tokio::join!(accept, connect(listener.url()));
    let (mut second, mut client) = (second.expect("agreed"), client.expect("agreed"));
    client.write_all(&PINGREQ).await.expect("it is read");
    let mut received = [0; 2];
    second.connection.read_exact(&mut received).await.expect("it was sent");
    assert_eq!(received, PINGREQ);
    drop(silent);
    let ended = waiting.handshake().await;
    assert!(matches!(ended, Err(HandshakeError::Io(_))), "{ended:?}");
}

#[tokio::test]
async fn a_browser_that_asks_a_websocket_port_for_a_page_is_told_what_it_is() {
    let listener = listen(URLS[1]).await;
    let mut browser = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
    browser.write_all(b"GET /mqtt HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("it is read");
    let incoming = listener.accept().await.expect("the browser");
    let read = async {
        let mut response = String::new();
        browser.read_to_string(&mut response).await.expect("no reset");
        drop(browser);
        response
    };
    let (refused, response) = tokio::join!(incoming.handshake(), read);
    assert!(matches!(refused, Err(HandshakeError::Refused(Refusal::NoUpgrade))), "{refused:?}");
    assert!(response.starts_with("HTTP/1.1 426 "), "{response}");
}
