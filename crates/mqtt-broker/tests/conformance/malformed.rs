//! Packets that are wrong in themselves: section 4.13 (5.0), 4.8 (3.1.1).

use mqtt_codec::{PacketType, QoS::AtMostOnce, ReasonCode, Version};
use mqtt_testkit::{GOLDEN, MALFORMED, ToWire, connect, publish, raw, will};

use crate::harness::{broker, expect_violation};

/// [MQTT-4.13.1-1] [MQTT3-4.8.0-1] [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-1.5.5-1] [MQTT-1.5.7-1] [MQTT-2.1.3-1] [MQTT-2.2.1-3]
/// [MQTT-3.3.1-2] [MQTT-3.3.1-4] [MQTT-3.3.2-1] [MQTT-3.3.2-8] [MQTT-3.3.2-13] [MQTT-3.3.2-19] [MQTT-3.4.2-1] [MQTT-3.5.2-1]
/// [MQTT-3.6.1-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1] [MQTT-3.8.1-1] [MQTT-3.8.3-1] [MQTT-3.8.3-2] [MQTT-3.8.3-5] [MQTT-3.10.1-1]
/// [MQTT-3.10.3-1] [MQTT-3.10.3-2] [MQTT-3.14.1-1] [MQTT-3.14.2-1] [MQTT-3.15.1-1] [MQTT-3.15.2-1] [MQTT-4.7.3-2] [MQTT-4.13.2-1]
/// [MQTT3-1.5.3-1] [MQTT3-1.5.3-2] [MQTT3-2.2.2-1] [MQTT3-2.2.2-2] [MQTT3-2.3.1-1] [MQTT3-3.3.1-2] [MQTT3-3.3.1-4]
/// [MQTT3-3.3.2-1] [MQTT3-3.6.1-1] [MQTT3-3.8.1-1] [MQTT3-3.8.3-1] [MQTT3-3.8.3-3] [MQTT3-3.8.3-4] [MQTT3-3.10.1-1]
/// [MQTT3-3.10.3-1] [MQTT3-3.10.3-2] [MQTT3-3.14.1-1] [MQTT3-4.7.3-2]
#[tokio::test(start_paused = true)]
async fn mqtt_4_13_1_1_every_malformed_packet_ends_its_connection_with_the_fitting_reason() {
    let broker = broker().await;
    let mut heir = broker.v5("heir").await;
    heir.subscribe("#", AtMostOnce).await;
    for case in MALFORMED {
        let request = connect("offender").version(case.version).will(will("w", case.name));
        let mut peer = broker.connect(request).await;
        peer.send(case.bytes).await;
        peer.send_carelessly(publish("t").payload("must not be processed")).await;
        expect_violation(&mut peer, case.reason).await;
        heir.receive_text(case.name).await;
    }
    heir.expect_silence().await;
}

/// Section 2.1.2: packets that only a server sends.
#[tokio::test(start_paused = true)]
async fn packets_of_a_server_end_the_connection_of_a_client() {
    for version in Version::ALL {
        let broker = broker().await;
        let server_packets = GOLDEN
            .iter()
            .filter(|golden| golden.version == version && matches!(golden.bytes[0] >> 4, 2 | 9 | 11 | 13));
        for golden in server_packets {
            let mut peer = broker.client(version, "confused").await;
            peer.send(golden.bytes).await;
            expect_violation(&mut peer, ReasonCode::ProtocolError).await;
        }
    }
}

/// Section 2.1.4: the end of a stream inside a packet ends the connection and nothing more.
#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_inside_a_packet_is_a_lost_connection() {
    for version in Version::ALL {
        let broker = broker().await;
        let whole = publish("a/b").payload("hello").qos1(1).to_wire(version);
        for cut in 1..whole.len() {
            let mut peer = broker.client(version, "cut").await;
            peer.send(&whole[..cut]).await;
            peer.finish_sending().await;
            peer.expect_closed().await;
        }
    }
}

/// A packet that is announced and never comes does not hold up what the broker has to say.
#[tokio::test(start_paused = true)]
async fn half_a_packet_does_not_stop_deliveries() {
    let broker = broker().await;
    let mut peer = broker.v5("half").await;
    peer.subscribe("t", AtMostOnce).await;
    peer.send([0x30, 0xFF, 0x7F, 0, 1]).await;
    let mut publisher = broker.v5("publisher").await;
    publisher.publish(publish("t").payload("x")).await;
    peer.receive_text("x").await;
}

/// Sections 3.12.1, 3.13.1 and 3.14: bodies where there are none.
#[tokio::test(start_paused = true)]
async fn bodies_of_bodiless_packets_are_malformed() {
    for version in [Version::V3_1, Version::V3_1_1] {
        let broker = broker().await;
        for first_byte in [0xC0, 0xE0] {
            let mut peer = broker.client(version, "wordy").await;
            peer.send(raw(first_byte).byte(0)).await;
            peer.expect_closed().await;
        }
    }
}

/// A source of numbers that gives the same ones in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// Whatever bytes come, the broker lives and serves the others. [MQTT-4.13.1-1] [MQTT3-4.8.0-1]
#[tokio::test(start_paused = true)]
async fn mqtt_4_13_1_1_no_bytes_harm_the_broker() {
    let broker = broker().await;
    let mut numbers = Numbers(1);
    for round in 0..3000 {
        let golden = GOLDEN[numbers.below(GOLDEN.len())];
        let mut bytes = golden.bytes.to_vec();
        for _ in 0..=numbers.below(3) {
            let at = numbers.below(bytes.len());
            bytes[at] = numbers.below(256) as u8;
        }
        let mut peer = broker.open("fuzzer");
        peer.set_version(golden.version);
        let admitted = round % 4 > 0;
        if admitted {
            peer.connect(connect("fuzzer").version(golden.version)).await;
        }
        peer.send_carelessly(bytes).await;
        peer.finish_sending().await;
        while let Some(answer) = peer.expect_packet_or_closed().await {
            // A changed CONNECT may have changed the version; every other answer must decode.
            assert!(!admitted || answer.packet().packet_type() != PacketType::Connack);
        }
    }
    let mut bystander = broker.v5("bystander").await;
    bystander.subscribe("still/here", AtMostOnce).await;
    bystander.publish(publish("still/here").payload("yes")).await;
    bystander.receive_text("yes").await;
}
