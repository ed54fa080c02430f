//! The peer against a second peer that plays the server.

use std::time::Duration;

use mqtt_codec::{QoS, ReasonCode, Version};
use tokio::net::{TcpListener, TcpStream};

use crate::{Peer, connect, disconnect, pingreq, pipe, publish, raw};

fn both() -> (Peer, Peer) {
    let (near, far) = pipe();
    (Peer::new("near", near), Peer::new("far", far))
}

#[tokio::test(start_paused = true)]
async fn packets_arrive_whole_however_they_are_cut() {
    let (mut near, mut far) = both();
    for byte in crate::ToWire::to_wire(&publish("a/b").payload("hello").qos1(7), Version::V5) {
        near.send([byte]).await;
    }
    let message = far.expect_publish().await;
    assert_eq!((message.topic.as_str(), message.text(), message.packet_id), ("a/b", "hello", 7));
    assert_eq!(message.qos, QoS::AtLeastOnce);
}

#[tokio::test(start_paused = true)]
async fn several_packets_in_one_write_come_one_by_one() {
    let (mut near, mut far) = both();
    near.send([pingreq(), pingreq()].concat()).await;
    far.expect_bytes(&pingreq()).await;
    far.expect_bytes(&pingreq()).await;
    far.expect_silence().await;
}

#[tokio::test(start_paused = true)]
async fn the_connect_decides_the_version() {
    let (mut near, mut far) = both();
    far.set_version(Version::V3_1_1);
    near.send(connect("c").version(Version::V3_1_1)).await;
    assert_eq!(near.version(), Version::V3_1_1);
    assert_eq!(far.expect_packet().await.bytes(), b"\x10\x0D\0\x04MQTT\x04\x02\0\0\0\x01c");
    far.send(b"\x20\x02\x01\x00").await;
    assert!(near.expect_connack().await.session_present);
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_is_expected_together_with_the_end() {
    let (mut near, mut far) = both();
    far.send(disconnect(ReasonCode::ServerShuttingDown)).await;
    far.cut();
    near.expect_disconnect(ReasonCode::ServerShuttingDown).await;
}

#[tokio::test(start_paused = true)]
async fn silence_costs_no_real_time() {
    let (mut near, far) = both();
    near.expect_silence_for(Duration::from_secs(3600)).await;
    far.cut();
    near.expect_closed().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "expected PUBLISH")]
async fn another_packet_than_the_expected_one_fails() {
    let (mut near, mut far) = both();
    far.send(pingreq()).await;
    near.expect_publish().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "but got silence")]
async fn nothing_at_all_fails_at_the_deadline() {
    let (mut near, _far) = both();
    near.expect_publish().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "expected the end of the connection")]
async fn half_a_packet_is_no_clean_end() {
    let (mut near, mut far) = both();
    far.send([0x30, 9, 0]).await;
    far.cut();
    near.expect_closed().await;
}

#[tokio::test]
async fn a_socket_serves_as_well_as_a_pipe() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let mut near = Peer::new("near", TcpStream::connect(address).await.expect("it listens"));
    let mut far = Peer::new("far", listener.accept().await.expect("somebody came").0);
    near.send(raw(0x30).text("t").properties(&[]).bytes(b"x")).await;
    assert_eq!(far.expect_publish().await.text(), "x");
}
