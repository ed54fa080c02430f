//! client -> transport -> connection -> stream, and server -> responder -> connection -> stream: each link can be one's
//! own, while the others stay.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use mqtt_broker::Broker;
use mqtt_client::{Client, Options, Publication, QoS};
use mqtt_testkit::{connect, publish, raw};
use mqtt_transport::{Connection, Listener, ListenerOptions, Stream, Url};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// A stream of one's own: what goes through it is scrambled on the way.
struct Scrambled<S>(S);

const SCRAMBLE: u8 = 0x5A;

impl<S: AsyncRead + Unpin> AsyncRead for Scrambled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.0).poll_read(cx, buffer);
        buffer.filled_mut()[before..].iter_mut().for_each(|byte| *byte ^= SCRAMBLE);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Scrambled<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let scrambled: Vec<u8> = bytes.iter().map(|byte| byte ^ SCRAMBLE).collect();
        Pin::new(&mut self.0).poll_write(cx, &scrambled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

async fn broker() -> Broker {
    Broker::builder().start().await.expect("it has no listener that could fail")
}

fn attach(broker: &Broker, stream: impl Stream + 'static) {
    broker.attach(Connection::boxed(stream), mqtt_broker::Peer::anonymous());
}

/// The client and what is behind it carry a message to and fro.
async fn carries(options: Options) {
    let (client, _) = Client::connect(options.client_id("c")).await.expect("admitted");
    let mut messages = client.subscribe_one("t", QoS::AtLeastOnce).await.expect("granted");
    client.publish(Publication::new("t", "hello").qos(QoS::AtLeastOnce)).await.expect("connected");
    assert_eq!(messages.recv().await.expect("a message").payload, b"hello"[..]);
}

/// The transport decides how a connection comes about: here with a pipe whose other end it gives to the broker.
#[tokio::test]
async fn a_client_may_have_a_transport_of_its_own() {
    let broker = broker().await;
    carries(Options::with_streams(move || {
        let (near, far) = tokio::io::duplex(4096);
        attach(&broker, far);
        Box::pin(async move { Ok(Connection::boxed(near)) })
    }))
    .await;
}

/// The responder decides who comes in and answers whatever is said before MQTT: here a loop around a socket.
#[tokio::test]
async fn a_server_may_have_a_responder_of_its_own() {
    let broker = broker().await;
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = socket.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, address)) = socket.accept().await {
            let peer = mqtt_broker::Peer { address: Some(address), ..mqtt_broker::Peer::anonymous() };
            broker.attach(Connection::Tcp(stream), peer);
        }
    });
    carries(Options::new(Url::tcp("127.0.0.1", port))).await;
}

/// Whatever reads and writes bytes carries a connection on both sides.
#[tokio::test]
async fn both_ends_may_have_a_stream_of_their_own() {
    let broker = broker().await;
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            attach(&broker, Scrambled(stream));
        }
    });
    carries(Options::with_streams(move || {
        Box::pin(async move { Ok(Connection::boxed(Scrambled(TcpStream::connect(address).await?))) })
    }))
    .await;
    let mut unscrambled = Options::new(Url::tcp("127.0.0.1", address.port()));
    unscrambled.reconnect = None;
    assert!(Client::connect(unscrambled).await.is_err(), "the broker reads what its stream makes of it");
}

/// A connection of ours on a stream of one's own: WebSocket through the scrambler.
#[cfg(feature = "ws")]
#[tokio::test]
async fn a_transport_of_ours_works_on_a_stream_of_ones_own() {
    use mqtt_transport::{WsOptions, WsStream};

    let broker = broker().await;
    carries(Options::with_streams(move || {
        let (near, far) = tokio::io::duplex(4096);
        let broker = broker.clone();
        tokio::spawn(async move {
            let stream = WsStream::accept(Scrambled(far), &WsOptions::default()).await;
            attach(&broker, stream.expect("a good request"));
        });
        Box::pin(async move {
            let url = Url::parse("ws://broker:80/mqtt").expect("an address");
            let stream = WsStream::connect(Scrambled(near), &url, &WsOptions::default()).await?;
            Ok(Connection::boxed(stream))
        })
    }))
    .await;
}

/// Somebody else's client on a transport of ours.
#[tokio::test]
async fn a_transport_serves_any_client() {
    let url = Url::parse("tcp://127.0.0.1:0").expect("an address");
    let listener = mqtt_broker::ListenerSettings::new(url).allow_anonymous();
    let broker = Broker::builder().listen(listener).start().await.expect("a free port");
    let stream = mqtt_transport::connect(&broker.addresses()[0]).await.expect("it listens");
    let mut other = mqtt_testkit::Peer::new("other", stream);
    other.connect(connect("other")).await;
    other.subscribe("t", QoS::AtMostOnce).await;
    other.publish(publish("t").payload("hello")).await;
    other.receive_text("hello").await;
}

/// A server of one's own behind a listener of ours, which here admits everybody and says no more.
#[tokio::test]
async fn a_responder_serves_any_server() {
    let url = Url::parse("tcp://127.0.0.1:0").expect("an address");
    let listener = Listener::bind(&url, ListenerOptions::default()).await.expect("a free port");
    let options = Options::new(listener.url().clone()).client_id("c");
    let server = async {
        let arrival = listener.accept().await.expect("a client").handshake().await.expect("no handshake");
        let mut peer = mqtt_testkit::Peer::new("server", arrival.connection);
        assert_eq!(peer.expect_packet().await.bytes()[0], 0x10, "a CONNECT");
        peer.send(raw(0x20).byte(0).byte(0).properties(&[]).finish()).await;
        peer
    };
    let (admitted, _peer) = tokio::join!(Client::connect(options), server);
    assert!(!admitted.expect("admitted").1.session_present);
}
