//! MQTT inside WebSocket (section 6), against a peer that puts its frames together by hand.

mod support;

use std::io::ErrorKind;

use mqtt_transport::{
    FrameReader, FrameWriter, HEAD_BYTES_MAX, HandshakeError, ReadError, Refusal, Url, WsOptions, WsStream,
};
use support::{PINGREQ, noop, publish, read_all};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const PIPE_BYTES: usize = 1024 * 1024;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FINAL: u8 = 0x80;

/// A client's request for `path` with further header lines.
fn request(path: &str, lines: &[&str]) -> String {
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    for line in lines {
        request.push_str(line);
        request.push_str("\r\n");
    }
    request + "\r\n"
}

fn mqtt_request() -> String {
    request("/mqtt", &["Sec-WebSocket-Protocol: mqtt"])
}

/// A frame as a client sends it: masked.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let mut frame = vec![opcode];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        medium @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend((medium as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn binary(payload: &[u8]) -> Vec<u8> {
    frame(FINAL | BINARY, payload)
}

/// Reads one frame as a server sends it: first byte and payload.
async fn next_frame(peer: &mut DuplexStream) -> (u8, Vec<u8>) {
    let first = peer.read_u8().await.expect("a frame");
    let len = match peer.read_u8().await.expect("its length") {
        126 => usize::from(peer.read_u16().await.expect("two bytes of length")),
        short => usize::from(short),
    };
    assert!(len < 65_536, "a server does not mask");
    let mut payload = vec![0; len];
    peer.read_exact(&mut payload).await.expect("its payload");
    (first, payload)
}

async fn read_response(peer: &mut DuplexStream) -> String {
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\n") {
        response.push(peer.read_u8().await.expect("a response"));
    }
    String::from_utf8(response).expect("text")
}

/// Both ends after the handshake; `early` goes out together with the request.
async fn open_with(options: &WsOptions, early: &[u8]) -> (WsStream<DuplexStream>, DuplexStream) {
    let (ours, mut peer) = duplex(PIPE_BYTES);
    peer.write_all(&[mqtt_request().as_bytes(), early].concat()).await.expect("room in the pipe");
    let stream = WsStream::accept(ours, options).await.expect("agreed");
    read_response(&mut peer).await;
    (stream, peer)
}

async fn open() -> (WsStream<DuplexStream>, DuplexStream) {
    open_with(&WsOptions::default(), &[]).await
}

/// What a request is answered with, and why it was refused if it was.
async fn ask(request: &str) -> (String, Option<Refusal>) {
    let (ours, mut peer) = duplex(PIPE_BYTES);
    peer.write_all(request.as_bytes()).await.expect("room in the pipe");
    peer.shutdown().await.expect("a pipe ends");
    let refusal = match WsStream::accept(ours, &WsOptions::default()).await {
        Ok(_) => None,
        Err(HandshakeError::Refused(refusal)) => Some(refusal),
        Err(error) => panic!("{error}"),
    };
    let mut response = Vec::new();
    peer.read_to_end(&mut response).await.expect("a pipe does not fail");
    (String::from_utf8(response).expect("text"), refusal)
}

// [MQTT-6.0.0-3]: the client offers `mqtt`. `mqttv3.1` is what clients of that version offer.
#[tokio::test]
async fn mqtt_6_0_0_4_the_subprotocol_is_chosen_and_answered() {
    let table: [(&[&str], &str); 5] = [
        (&["Sec-WebSocket-Protocol: mqtt"], "mqtt"),
        (&["Sec-WebSocket-Protocol: mqttv3.1"], "mqttv3.1"),
        (&["Sec-WebSocket-Protocol: chat, mqtt"], "mqtt"),
        (&["Sec-WebSocket-Protocol: mqttv3.1,mqtt"], "mqtt"),
        (&["sec-websocket-protocol: chat", "sec-websocket-protocol: mqtt"], "mqtt"),
    ];
    for (lines, chosen) in table {
        let (response, refusal) = ask(&request("/mqtt", lines)).await;
        assert_eq!(refusal, None, "{lines:?}");
        let response = response.to_lowercase();
        assert!(response.starts_with("http/1.1 101 "), "{response}");
        assert!(response.contains(&format!("sec-websocket-protocol: {chosen}\r\n")), "{response}");
        assert!(response.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{response}");
    }
}

#[tokio::test]
async fn mqtt_6_0_0_3_a_client_that_does_not_offer_mqtt_is_refused() {
    for lines in [&[][..], &["Sec-WebSocket-Protocol: chat"], &["Sec-WebSocket-Protocol: mqtt5, xmqtt"]] {
        let (response, refusal) = ask(&request("/mqtt", lines)).await;
        assert_eq!(refusal, Some(Refusal::NoSubprotocol));
        assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
    }
}

#[tokio::test]
async fn requests_that_are_refused_are_told_why() {
    let good = mqtt_request();
    let table = [
        (request("/other", &["Sec-WebSocket-Protocol: mqtt"]), Refusal::WrongPath, 404),
        (request("/mqtt/", &["Sec-WebSocket-Protocol: mqtt"]), Refusal::WrongPath, 404),
        (good.replace("GET", "POST"), Refusal::WrongMethod, 405),
        (good.replace("Upgrade: websocket\r\n", ""), Refusal::NoUpgrade, 426),
        (good.replace("Connection: Upgrade\r\n", ""), Refusal::NoUpgrade, 426),
        (good.replace("Version: 13", "Version: 8"), Refusal::WrongVersion, 426),
        (good.replace("Sec-WebSocket-Key", "Other"), Refusal::BadKey, 400),
        ("\0\u{1}\u{2}\r\n\r\n".into(), Refusal::NotHttp, 400),
        (request("/mqtt", &[&format!("X: {}", "x".repeat(HEAD_BYTES_MAX))]), Refusal::HeadTooLarge, 431),
    ];
    for (request, refusal, status) in table {
        let (response, refused) = ask(&request).await;
        assert_eq!(refused, Some(refusal), "{request:?}");
        assert_eq!(refusal.status(), status);
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
        assert!(response.ends_with(&format!("\r\n\r\n{refusal}\n")), "{response}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_and_clients_without_one_are_not() {
    let options = WsOptions { origins: vec!["https://a.example".to_owned()], ..WsOptions::default() };
    for (line, refusal) in [
        ("X: y", None),
        ("Origin: https://A.example", None),
        ("Origin: https://b.example", Some(Refusal::WrongOrigin)),
        ("Origin: null", Some(Refusal::WrongOrigin)),
    ] {
        let (ours, mut peer) = duplex(PIPE_BYTES);
        let request = request("/mqtt", &["Sec-WebSocket-Protocol: mqtt", line]);
        peer.write_all(request.as_bytes()).await.expect("room in the pipe");
        peer.shutdown().await.expect("a pipe ends");
        match (WsStream::accept(ours, &options).await, refusal) {
            (Ok(_), None) => {}
            (Err(HandshakeError::Refused(refused)), Some(refusal)) => assert_eq!(refused, refusal),
            (outcome, _) => panic!("{line}: {outcome:?}"),
        }
    }
}

#[tokio::test]
async fn a_connection_that_another_server_upgraded_goes_on_as_ours() {
    let (ours, mut peer) = duplex(PIPE_BYTES);
    let mut stream = WsStream::upgraded(ours, binary(b"early"), &WsOptions::default());
    peer.write_all(&binary(b"late")).await.expect("room in the pipe");
    let mut received = [0; 9];
    stream.read_exact(&mut received).await.expect("it was sent");
    assert_eq!(&received, b"earlylate");
    assert_eq!(mqtt_transport::websocket_accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[tokio::test]
async fn the_query_does_not_belong_to_the_path() {
    let (_, refusal) = ask(&request("/mqtt?token=1", &["Sec-WebSocket-Protocol: mqtt"])).await;
    assert_eq!(refusal, None);
}

#[tokio::test]
async fn a_request_may_come_in_single_bytes_or_not_to_its_end() {
    let (ours, mut peer) = duplex(1);
    let options = WsOptions::default();
    let talk = async {
        for byte in mqtt_request().bytes() {
            peer.write_u8(byte).await.expect("it is read");
        }
        read_response(&mut peer).await
    };
    let (accepted, response) = tokio::join!(WsStream::accept(ours, &options), talk);
    assert!(accepted.is_ok() && response.starts_with("HTTP/1.1 101 "));

    let (ours, mut peer) = duplex(PIPE_BYTES);
    peer.write_all(b"GET /mqtt HTTP/1.1\r\n").await.expect("room in the pipe");
    drop(peer);
    let ended = WsStream::accept(ours, &WsOptions::default()).await;
    assert!(matches!(ended, Err(HandshakeError::Io(error)) if error.kind() == ErrorKind::UnexpectedEof));
}

/// Everything that has arrived. The pipe counts polls and then pretends to be empty; yielding sets that back.
async fn read_now(stream: &mut WsStream<DuplexStream>) -> (Vec<Vec<u8>>, Option<ReadError>) {
    tokio::task::yield_now().await;
    read_all(&mut FrameReader::new(1024), stream)
}

fn packets() -> Vec<Vec<u8>> {
    vec![PINGREQ.to_vec(), publish(0, 1), publish(5, 2), publish(130, 3), PINGREQ.to_vec()]
}

// Packets span frames, and frames hold several packets: neither has anything to do with the other.
#[tokio::test]
async fn mqtt_6_0_0_2_packets_need_not_be_aligned_on_frames() {
    let expected = packets();
    let bytes = expected.concat();
    for message_bytes in 1..=bytes.len() {
        let (mut stream, mut peer) = open().await;
        for piece in bytes.chunks(message_bytes) {
            peer.write_all(&binary(piece)).await.expect("room in the pipe");
        }
        let (frames, failure) = read_now(&mut stream).await;
        assert_eq!(frames, expected, "{message_bytes} bytes per message");
        assert!(failure.is_none());
    }
}

#[tokio::test]
async fn mqtt_6_0_0_2_messages_may_be_fragmented_and_interleaved_with_pings() {
    let expected = packets();
    let bytes = expected.concat();
    let (mut stream, mut peer) = open().await;
    let pieces = [
        frame(BINARY, &bytes[..3]),
        frame(FINAL | PING, b"?"),
        frame(CONTINUATION, &bytes[3..100]),
        frame(CONTINUATION, &[]),
        frame(FINAL | CONTINUATION, &bytes[100..]),
        binary(&[]),
        binary(&bytes),
    ];
    peer.write_all(&pieces.concat()).await.expect("room in the pipe");
    let (frames, failure) = read_now(&mut stream).await;
    assert_eq!(frames, [&expected[..], &expected[..]].concat());
    assert!(failure.is_none());
    assert_eq!(next_frame(&mut peer).await, (FINAL | PONG, b"?".to_vec()));
}

#[tokio::test]
async fn frames_that_came_with_the_request_are_not_lost() {
    let early = binary(&packets().concat());
    let (mut stream, _peer) = open_with(&WsOptions::default(), &early).await;
    let (frames, _) = read_now(&mut stream).await;
    assert_eq!(frames, packets());
}

/// Reads until the stream fails, and returns what came before, the kind of failure, and the close code sent.
async fn broken_by(bytes: &[u8], options: &WsOptions) -> (Vec<u8>, ErrorKind, u16) {
    let (mut stream, mut peer) = open_with(options, &[]).await;
    peer.write_all(bytes).await.expect("room in the pipe");
    let mut received = Vec::new();
    let error = stream.read_to_end(&mut received).await.expect_err("a broken rule");
    let (first, reason) = next_frame(&mut peer).await;
    assert_eq!(first, FINAL | CLOSE);
    // Nothing more is said, and what the peer goes on sending is not taken for MQTT.
    stream.write_all(b"x").await.expect_err("it is closing");
    peer.write_all(&binary(b"more")).await.expect("room in the pipe");
    drop(peer);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("it has ended");
    assert!(rest.is_empty());
    (received, error.kind(), u16::from_be_bytes([reason[0], reason[1]]))
}

#[tokio::test]
async fn mqtt_6_0_0_1_text_closes_the_connection() {
    let options = WsOptions::default();
    let text = [binary(b"before"), frame(FINAL | TEXT, b"text")].concat();
    assert_eq!(broken_by(&text, &options).await, (b"before".to_vec(), ErrorKind::InvalidData, 1003));
    let empty = frame(FINAL | TEXT, b"");
    assert_eq!(broken_by(&empty, &options).await, (vec![], ErrorKind::InvalidData, 1003));
    let no_text = frame(FINAL | TEXT, &[0xFF]);
    assert_eq!(broken_by(&no_text, &options).await, (vec![], ErrorKind::InvalidData, 1003));
}

#[tokio::test]
async fn messages_above_the_limit_and_frames_against_the_rules_close_the_connection() {
    let options = WsOptions { message_bytes_max: 10, ..WsOptions::default() };
    let longest = [binary(&[7; 10]), binary(&[7; 11])].concat();
    assert_eq!(broken_by(&longest, &options).await, (vec![7; 10], ErrorKind::InvalidData, 1009));
    let fragments = [frame(BINARY, &[7; 6]), frame(FINAL | CONTINUATION, &[7; 6])].concat();
    assert_eq!(broken_by(&fragments, &options).await, (vec![7; 6], ErrorKind::InvalidData, 1009));
    let unmasked = [FINAL | BINARY, 1, 7];
    assert_eq!(broken_by(&unmasked, &options).await, (vec![], ErrorKind::InvalidData, 1002));
    let reserved = frame(FINAL | 3, b"x");
    assert_eq!(broken_by(&reserved, &options).await, (vec![], ErrorKind::InvalidData, 1002));
}

#[tokio::test]
async fn pings_are_answered_by_a_side_that_only_reads() {
    let (mut stream, mut peer) = open().await;
    for round in 0..100 {
        peer.write_all(&frame(FINAL | PING, &[round])).await.expect("room in the pipe");
        let (frames, failure) = read_now(&mut stream).await;
        assert!(frames.is_empty() && failure.is_none());
        assert_eq!(next_frame(&mut peer).await, (FINAL | PONG, vec![round]));
    }
}

#[tokio::test]
async fn the_peers_close_is_the_end_of_the_stream_and_is_answered() {
    let (mut stream, mut peer) = open().await;
    let close = [binary(b"last"), frame(FINAL | CLOSE, &1000_u16.to_be_bytes())].concat();
    peer.write_all(&close).await.expect("room in the pipe");
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.expect("a clean end");
    assert_eq!(received, b"last");
    assert_eq!(next_frame(&mut peer).await, (FINAL | CLOSE, 1000_u16.to_be_bytes().to_vec()));
}

#[tokio::test]
async fn a_peer_that_vanishes_ends_the_stream_too() {
    let (mut stream, mut peer) = open().await;
    peer.write_all(&binary(b"last")).await.expect("room in the pipe");
    drop(peer);
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.expect("an end");
    assert_eq!(received, b"last");
}

#[tokio::test]
async fn shutting_down_says_so_and_goes_on_reading() {
    let (mut stream, mut peer) = open().await;
    stream.write_all(b"bye").await.expect("room in the pipe");
    stream.shutdown().await.expect("it can be said");
    stream.write_all(b"x").await.expect_err("it was shut down");
    assert_eq!(next_frame(&mut peer).await, (FINAL | BINARY, b"bye".to_vec()));
    assert_eq!(next_frame(&mut peer).await, (FINAL | CLOSE, 1000_u16.to_be_bytes().to_vec()));
    let answer = [binary(b"still"), frame(FINAL | CLOSE, &1000_u16.to_be_bytes())].concat();
    peer.write_all(&answer).await.expect("room in the pipe");
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.expect("a clean end");
    assert_eq!(received, b"still");
}

// [MQTT-6.0.0-1]: what we send is binary too, in messages of bounded size.
#[tokio::test]
async fn mqtt_6_0_0_1_everything_is_written_in_binary_messages() {
    let (mut stream, mut peer) = open().await;
    let payload = publish(100_000, 3);
    let mut writer = FrameWriter::new();
    writer.buffer().extend_from_slice(&payload);
    assert!(writer.poll_flush(&mut noop(), &mut stream).is_ready());
    let mut received = Vec::new();
    while received.len() < payload.len() {
        let (first, piece) = next_frame(&mut peer).await;
        assert_eq!(first, FINAL | BINARY);
        assert!(!piece.is_empty() && piece.len() < 64 * 1024);
        received.extend(piece);
    }
    assert!(received == payload);
}

// [MQTT-6.0.0-3], [MQTT-6.0.0-4]: both our ends, joined.
#[tokio::test]
async fn mqtt_6_0_0_3_our_client_offers_mqtt_and_our_server_agrees() {
    let url = Url::parse("ws://broker:80/mqtt").expect("a URL");
    let options = WsOptions::default();
    let (ours, theirs) = duplex(PIPE_BYTES);
    let (server, client) =
        tokio::join!(WsStream::accept(ours, &options), WsStream::connect(theirs, &url, &options));
    let (mut server, mut client) = (server.expect("agreed"), client.expect("agreed"));
    client.write_all(b"there").await.expect("room in the pipe");
    server.write_all(b"back").await.expect("room in the pipe");
    let (mut there, mut back) = ([0; 5], [0; 4]);
    server.read_exact(&mut there).await.expect("it was sent");
    client.read_exact(&mut back).await.expect("it was sent");
    assert_eq!((&there, &back), (b"there", b"back"));
}

#[tokio::test]
async fn our_client_reports_a_server_that_does_not_agree() {
    let options = WsOptions::default();
    let url = Url::parse("ws://broker:80/other").expect("a URL");
    let (ours, theirs) = duplex(PIPE_BYTES);
    let (server, client) =
        tokio::join!(WsStream::accept(ours, &options), WsStream::connect(theirs, &url, &options));
    assert!(matches!(server, Err(HandshakeError::Refused(Refusal::WrongPath))));
    let error = client.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains("404"), "{error}");
}

#[tokio::test]
async fn a_burst_of_small_packets_is_one_message() {
    let (mut stream, mut peer) = open().await;
    let mut writer = FrameWriter::new();
    writer.buffer().extend_from_slice(&PINGREQ.repeat(500));
    writer.flush(&mut stream).await.expect("room in the pipe");
    assert_eq!(next_frame(&mut peer).await, (FINAL | BINARY, PINGREQ.repeat(500)));
}

/// Both ends after the handshake, joined by a pipe that holds almost nothing.
async fn open_narrow() -> (WsStream<DuplexStream>, DuplexStream) {
    let (ours, mut peer) = duplex(200);
    let options = WsOptions::default();
    let talk = async {
        peer.write_all(mqtt_request().as_bytes()).await.expect("it is read");
        read_response(&mut peer).await;
        peer
    };
    let (stream, peer) = tokio::join!(WsStream::accept(ours, &options), talk);
    (stream.expect("agreed"), peer)
}

#[tokio::test]
async fn a_slow_reader_gets_chained_payloads_in_order() {
    let (mut stream, mut peer) = open_narrow().await;
    let (head, payload) = (publish(10, 1), publish(100_000, 2));
    let expected = [&head[..], &payload, &head].concat();
    let write = async {
        let mut writer = FrameWriter::new();
        writer.buffer().extend_from_slice(&head);
        writer.chain(payload.clone().into());
        writer.buffer().extend_from_slice(&head);
        writer.flush(&mut stream).await.expect("it is read");
    };
    let read = async {
        let mut received = Vec::new();
        while received.len() < expected.len() {
            received.extend(next_frame(&mut peer).await.1);
        }
        received
    };
    let ((), received) = tokio::join!(write, read);
    assert!(received == expected);
}

// The answers are kept up to a bound only, and what is written later is not refused because of them.
#[tokio::test]
async fn pings_of_a_peer_that_does_not_read_neither_fill_memory_nor_stop_the_writer() {
    const PINGS: usize = 1000;
    let (mut stream, mut peer) = open_narrow().await;
    let flood = async {
        for _ in 0..PINGS {
            peer.write_all(&frame(FINAL | PING, &[0; 100])).await.expect("it is read");
        }
        peer.write_all(&binary(&[7])).await.expect("it is read");
        peer
    };
    let (received, mut peer) = tokio::join!(stream.read_u8(), flood);
    assert_eq!(received.expect("data behind the pings"), 7);

    let payload = publish(100_000, 3);
    let write = async {
        let mut writer = FrameWriter::new();
        writer.buffer().extend_from_slice(&payload);
        writer.flush(&mut stream).await.expect("it is read again");
    };
    let read = async {
        let (mut data, mut pongs) = (Vec::new(), 0);
        while data.len() < payload.len() {
            match next_frame(&mut peer).await {
                (first, piece) if first == FINAL | BINARY => data.extend(piece),
                (first, _) => {
                    assert_eq!(first, FINAL | PONG);
                    pongs += 1;
                }
            }
        }
        (data, pongs)
    };
    let ((), (data, pongs)) = tokio::join!(write, read);
    assert!(data == payload);
    assert!(pongs < PINGS / 2, "{pongs}");
}
