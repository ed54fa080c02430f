//! What is particular to 3.1 and 3.1.1, byte by byte.

use mqtt_codec::{
    QoS::{AtLeastOnce, AtMostOnce},
    Version,
};
use mqtt_testkit::{connect, puback, publish, subscribe};

use crate::harness::broker;

/// [MQTT3-3.2.0-1] [MQTT3-3.1.4-4]: a whole conversation as recorded from any client.
#[tokio::test(start_paused = true)]
async fn mqtt3_3_2_0_1_a_conversation_of_3_1_1() {
    let broker = broker().await;
    let mut peer = broker.open("plain");
    peer.set_version(Version::V3_1_1);
    peer.send(b"\x10\x0D\0\x04MQTT\x04\x02\0\x3C\0\x01a").await;
    peer.expect_bytes(b"\x20\x02\0\0").await;
    peer.send(b"\x82\x08\0\x0A\0\x03a/b\x01").await;
    peer.expect_bytes(b"\x90\x03\0\x0A\x01").await;
    peer.send(b"\x30\x06\0\x03a/b!").await;
    peer.expect_bytes(b"\x30\x06\0\x03a/b!").await;
    peer.send(b"\xA2\x07\0\x0B\0\x03a/b").await;
    peer.expect_bytes(b"\xB0\x02\0\x0B").await;
    peer.send(b"\x32\x08\0\x03a/b\0\x01!").await;
    peer.expect_bytes(b"\x40\x02\0\x01").await;
    peer.send(b"\x34\x08\0\x03a/b\0\x02!").await;
    peer.expect_bytes(b"\x50\x02\0\x02").await;
    peer.send(b"\x62\x02\0\x02").await;
    peer.expect_bytes(b"\x70\x02\0\x02").await;
    peer.send(b"\xC0\0").await;
    peer.expect_bytes(b"\xD0\0").await;
    peer.send(b"\xE0\0").await;
    peer.expect_closed().await;
}

/// 3.1: another name, another level, the same packets.
#[tokio::test(start_paused = true)]
async fn a_conversation_of_3_1() {
    let broker = broker().await;
    let mut peer = broker.open("oldest");
    peer.set_version(Version::V3_1);
    peer.send(b"\x10\x0F\0\x06MQIsdp\x03\x02\0\x3C\0\x01a").await;
    peer.expect_bytes(b"\x20\x02\0\0").await;
    peer.send(b"\x82\x08\0\x0A\0\x03a/b\x02").await;
    peer.expect_bytes(b"\x90\x03\0\x0A\x02").await;
    peer.send(b"\x30\x06\0\x03a/b!").await;
    peer.expect_bytes(b"\x30\x06\0\x03a/b!").await;
    peer.send(b"\xC0\0").await;
    peer.expect_bytes(b"\xD0\0").await;
    peer.send(b"\xE0\0").await;
    peer.expect_closed().await;
}

/// 3.1 sets DUP on repeated SUBSCRIBE, UNSUBSCRIBE and PUBREL packets.
#[tokio::test(start_paused = true)]
async fn repeated_requests_of_3_1_may_have_dup() {
    let broker = broker().await;
    let mut peer = broker.client(Version::V3_1, "oldest").await;
    peer.send(b"\x8A\x06\0\x01\0\x01a\0").await;
    peer.expect_bytes(b"\x90\x03\0\x01\0").await;
    peer.send(b"\x34\x05\0\x01b\0\x02").await;
    peer.expect_bytes(b"\x50\x02\0\x02").await;
    peer.send(b"\x6A\x02\0\x02").await;
    peer.expect_bytes(b"\x70\x02\0\x02").await;
    peer.send(b"\xAA\x05\0\x03\0\x01a").await;
    peer.expect_bytes(b"\xB0\x02\0\x03").await;
}

/// [MQTT3-3.6.1-1] [MQTT3-3.8.1-1] [MQTT3-3.10.1-1]: 3.1.1 does not.
#[tokio::test(start_paused = true)]
async fn mqtt3_3_8_1_1_repeated_requests_of_3_1_1_must_not_have_dup() {
    let broker = broker().await;
    for packet in [&b"\x8A\x06\0\x01\0\x01a\0"[..], b"\x6A\x02\0\x02", b"\xAA\x05\0\x03\0\x01a"] {
        let mut peer = broker.v3("newer").await;
        peer.send(packet).await;
        peer.expect_closed().await;
    }
}

/// [MQTT3-4.8.0-1]: no packet tells a client of 3.x why it is closed.
#[tokio::test(start_paused = true)]
async fn mqtt3_4_8_0_1_violations_close_without_a_word() {
    for version in [Version::V3_1, Version::V3_1_1] {
        let broker = broker().await;
        let wrong: [&[u8]; 4] =
            [b"\x10\x0D\0\x04MQTT\x04\x02\0\x3C\0\x01a", b"\xF0\0", b"\x30\x06\0\x03a/#!", b"\x82\x02\0\x01"];
        for packet in wrong {
            let mut peer = broker.client(version, "wrong").await;
            peer.send(packet).await;
            peer.expect_closed().await;
        }
    }
}

/// [MQTT3-4.3.2-1] [MQTT3-3.3.1-1] [MQTT3-2.3.1-3] [MQTT3-2.3.1-4]: DUP and the old identifier, byte by byte.
#[tokio::test(start_paused = true)]
async fn mqtt3_3_3_1_1_a_repetition_on_the_wire() {
    for version in [Version::V3_1, Version::V3_1_1] {
        let broker = broker().await;
        let kept = connect("kept").version(version).clean(false);
        let mut peer = broker.connect(kept.clone()).await;
        peer.subscribe("t", AtLeastOnce).await;
        let mut publisher = broker.client(version, "publisher").await;
        publisher.publish(publish("t").payload("x").qos1(1)).await;
        let first = peer.expect_packet().await.bytes().to_vec();
        assert_eq!(first[..5], [0x32, 6, 0, 1, b't']);
        peer.cut();
        let mut again = broker.connect(kept).await;
        let mut repeated = first.clone();
        repeated[0] |= 0x08;
        again.expect_bytes(&repeated).await;
        again.send(puback(u16::from_be_bytes([first[5], first[6]]))).await;
        again.ping().await;
    }
}

/// [MQTT3-3.8.4-6]: a grant of QoS 0 makes every delivery QoS 0.
#[tokio::test(start_paused = true)]
async fn mqtt3_3_8_4_6_a_qos_0_subscriber_gets_bare_packets() {
    let broker = broker().await;
    let mut peer = broker.v3("bare").await;
    peer.subscribe_with(subscribe(1).filter("t", AtMostOnce)).await;
    let mut publisher = broker.v3("publisher").await;
    publisher.publish(publish("t").payload("x").qos2(1)).await;
    peer.expect_bytes(b"\x30\x04\0\x01tx").await;
}
