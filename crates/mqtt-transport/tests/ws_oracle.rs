//! Our WebSocket against tungstenite, at either end: what one writes, the other reads.

use futures_util::{SinkExt, StreamExt};
use mqtt_transport::{Url, WsOptions, WsStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async, client_async};

/// Lengths around every change of the header's form, and around what we put into one message.
const LENGTHS: [usize; 11] = [0, 1, 7, 125, 126, 127, 65_534, 65_535, 65_536, 65_537, 300_000];

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 31 % 251) as u8).collect()
}

async fn their_client() -> (WsStream<DuplexStream>, WebSocketStream<DuplexStream>) {
    let (ours, theirs) = duplex(10_000);
    let mut request = "ws://broker/mqtt".into_client_request().expect("a URL");
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
    let options = WsOptions::default();
    let (ours, theirs) = tokio::join!(WsStream::accept(ours, &options), client_async(request, theirs));
    (ours.expect("agreed"), theirs.expect("agreed").0)
}

async fn their_server() -> (WsStream<DuplexStream>, WebSocketStream<DuplexStream>) {
    let (ours, theirs) = duplex(10_000);
    let url = Url::parse("ws://broker:80/mqtt").expect("a URL");
    let options = WsOptions::default();
    #[allow(clippy::result_large_err, reason = "the library's signature")]
    let agree = |_: &Request, mut response: Response| {
        response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
        Ok(response)
    };
    let (ours, theirs) =
        tokio::join!(WsStream::connect(ours, &url, &options), accept_hdr_async(theirs, agree));
    (ours.expect("agreed"), theirs.expect("agreed"))
}

/// Both directions, then the end.
async fn converse((mut ours, mut theirs): (WsStream<DuplexStream>, WebSocketStream<DuplexStream>)) {
    for len in LENGTHS {
        let payload = payload(len);
        let mut received = vec![0; len];
        let (sent, read) = tokio::join!(
            theirs.send(Message::Binary(payload.clone().into())),
            ours.read_exact(&mut received)
        );
        sent.expect("it is read");
        read.expect("it was sent");
        assert!(received == payload, "{len} bytes to us");

        let write = async {
            ours.write_all(&payload).await.expect("it is read");
            ours.flush().await.expect("it is read");
        };
        let read = async {
            let mut received = Vec::new();
            while received.len() < len {
                match theirs.next().await.expect("not at its end").expect("no error") {
                    Message::Binary(piece) => received.extend_from_slice(&piece),
                    other => panic!("{other:?}"),
                }
            }
            received
        };
        let ((), received) = tokio::join!(write, read);
        assert!(received == payload, "{len} bytes from us");
    }
    theirs.send(Message::Ping(payload(125).into())).await.expect("room in the pipe");
    theirs.send(Message::Binary(vec![7].into())).await.expect("room in the pipe");
    assert_eq!(ours.read_u8().await.expect("it was sent"), 7);
    assert_eq!(
        theirs.next().await.expect("an answer").expect("no error"),
        Message::Pong(payload(125).into())
    );

    ours.shutdown().await.expect("it can be said");
    assert!(
        matches!(theirs.next().await, Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) == 1000)
    );
    // Their answer goes out while they read on.
    let answering = async {
        while let Some(Ok(_)) = theirs.next().await {}
        std::future::pending::<()>().await
    };
    tokio::select! {
        ended = ours.read_u8() => assert_eq!(ended.expect_err("the end").kind(), std::io::ErrorKind::UnexpectedEof),
        () = answering => {}
    }
}

#[tokio::test]
async fn our_broker_and_their_client_understand_each_other() {
    converse(their_client().await).await;
}

#[tokio::test]
async fn our_client_and_their_server_understand_each_other() {
    converse(their_server().await).await;
}
