//! The broker behind real sockets: sections 4.2 and 6.

use mqtt_codec::{QoS::AtLeastOnce, Version};
use mqtt_testkit::{Peer, ToWire, connect, pingreq, publish};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{Harness, broker_listening};

async fn socket(broker: &Harness) -> TcpStream {
    TcpStream::connect(("127.0.0.1", broker.url().port())).await.expect("it listens")
}

/// [MQTT-4.2.0-1] [MQTT3-7.1.1-1]
#[tokio::test]
async fn mqtt_4_2_0_1_all_versions_are_served_on_one_tcp_port() {
    let broker = broker_listening("tcp://127.0.0.1:0").await;
    for version in Version::ALL {
        let mut peer = Peer::new("socket", socket(&broker).await);
        peer.connect(connect("tcp").version(version)).await;
        peer.subscribe("t", AtLeastOnce).await;
        peer.publish(publish("t").payload("x").qos1(9)).await;
        peer.receive_text("x").await;
        peer.leave().await;
    }
    broker.shut_down().await;
}

/// [MQTT-4.2.0-1] [MQTT-6.0.0-3] [MQTT3-6.0.0-3]: the transport's own client, over WebSocket.
#[tokio::test]
async fn mqtt_6_0_0_3_all_versions_are_served_over_websocket() {
    let broker = broker_listening("ws://127.0.0.1:0/mqtt").await;
    for version in Version::ALL {
        let stream = mqtt_transport::connect(broker.url()).await.expect("it listens");
        let mut peer = Peer::new("websocket", stream);
        peer.connect(connect("ws").version(version)).await;
        peer.subscribe("t", AtLeastOnce).await;
        peer.publish(publish("t").payload("x".repeat(100_000)).qos1(9)).await;
        assert_eq!(peer.receive().await.payload.len(), 100_000);
        peer.leave().await;
    }
    broker.shut_down().await;
}

/// A WebSocket client that writes its frames by hand.
struct Web {
    stream: TcpStream,
    /// The server's answer to the upgrade, in small letters.
    answer: String,
}

const BINARY: u8 = 0x82;
const TEXT: u8 = 0x81;

impl Web {
    async fn open(broker: &Harness, subprotocols: &str) -> Self {
        let path = broker.url().path();
        let mut stream = socket(broker).await;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
             Sec-WebSocket-Protocol: {subprotocols}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("the request is taken");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.expect("the upgrade is answered"));
        }
        let answer = String::from_utf8(answer).expect("HTTP is text").to_lowercase();
        Self { stream, answer }
    }

    /// Sends one frame; a mask of zeros leaves the bytes as they are.
    async fn send(&mut self, first_byte: u8, payload: &[u8]) {
        let length = u8::try_from(payload.len()).expect("short frames only");
        assert!(length < 126, "short frames only");
        let mut frame = vec![first_byte, 0x80 | length, 0, 0, 0, 0];
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame).await.expect("the frame is taken");
    }

    /// The first byte and the payload of the next frame.
    async fn receive(&mut self) -> (u8, Vec<u8>) {
        let first_byte = self.stream.read_u8().await.expect("a frame comes");
        let length = self.stream.read_u8().await.expect("a frame has a length");
        let mut payload = vec![0; usize::from(length)];
        self.stream.read_exact(&mut payload).await.expect("the frame is whole");
        (first_byte, payload)
    }

    /// MQTT bytes from as many binary frames as it takes.
    async fn receive_mqtt(&mut self, bytes: usize) -> Vec<u8> {
        let mut mqtt = Vec::new();
        while mqtt.len() < bytes {
            let (first_byte, payload) = self.receive().await;
            assert_eq!(first_byte, BINARY); // [MQTT-6.0.0-1]
            mqtt.extend(payload);
        }
        mqtt
    }
}

/// [MQTT-6.0.0-4] [MQTT3-6.0.0-4]
#[tokio::test]
async fn mqtt_6_0_0_4_the_subprotocol_mqtt_is_selected() {
    let broker = broker_listening("ws://127.0.0.1:0/mqtt").await;
    for offered in ["mqtt", "chat, mqtt", "mqtt, mqttv3.1"] {
        let web = Web::open(&broker, offered).await;
        assert!(web.answer.starts_with("http/1.1 101"), "{}", web.answer);
        assert!(web.answer.contains("sec-websocket-protocol: mqtt\r\n"), "{}", web.answer);
    }
    broker.shut_down().await;
}

/// [MQTT-6.0.0-2] [MQTT3-6.0.0-2] [MQTT-6.0.0-1] [MQTT3-6.0.0-1]
#[tokio::test]
async fn mqtt_6_0_0_2_packets_may_share_frames_and_span_them() {
    let broker = broker_listening("ws://127.0.0.1:0/mqtt").await;
    let mut web = Web::open(&broker, "mqtt").await;
    let mut stream = connect("web").version(Version::V3_1_1).to_wire(Version::V3_1_1);
    stream.extend(pingreq());
    stream.extend(pingreq());
    for part in stream.chunks(5) {
        web.send(BINARY, part).await;
    }
    assert_eq!(web.receive_mqtt(8).await, b"\x20\x02\0\0\xD0\0\xD0\0");
    web.send(BINARY, &[pingreq(), pingreq()].concat()).await;
    assert_eq!(web.receive_mqtt(4).await, b"\xD0\0\xD0\0");
    broker.shut_down().await;
}

/// [MQTT-6.0.0-1] [MQTT3-6.0.0-1]
#[tokio::test]
async fn mqtt_6_0_0_1_a_text_frame_ends_the_connection() {
    let broker = broker_listening("ws://127.0.0.1:0/mqtt").await;
    let mut web = Web::open(&broker, "mqtt").await;
    web.send(BINARY, &connect("web").version(Version::V3_1_1).to_wire(Version::V3_1_1)).await;
    web.receive_mqtt(4).await;
    web.send(TEXT, b"hello").await;
    let (first_byte, payload) = web.receive().await;
    assert_eq!((first_byte, payload.get(..2)), (0x88, Some(&1003_u16.to_be_bytes()[..])));
    // The close is answered, so that the server may close the socket as well.
    web.send(0x88, &payload[..2]).await;
    assert_eq!(web.stream.read(&mut [0; 16]).await.unwrap_or(0), 0);
    broker.shut_down().await;
}
