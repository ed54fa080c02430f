//! Maximum Packet Size in both directions: sections 3.1.2.11.4 and 3.2.2.3.6.

use mqtt_codec::{
    QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce},
    ReasonCode, Version,
};
use mqtt_testkit::{connect, publish, subscribe, unsubscribe};

use crate::harness::{broker, broker_with, expect_violation};

/// [MQTT-3.1.2-24] [MQTT-3.1.2-25]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_25_a_message_too_large_for_a_client_is_skipped_for_it() {
    for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
        let broker = broker().await;
        let mut small = broker.connect(connect("small").maximum_packet_size(40).receive_maximum(1)).await;
        small.subscribe("t", qos).await;
        let mut large = broker.v5("large").await;
        large.subscribe("t", qos).await;
        let mut publisher = broker.v5("publisher").await;
        let long = "x".repeat(41);
        for payload in ["1", &long, &long, "2", &long, "3"] {
            publisher.publish(publish("t").payload(payload).qos(qos, 1)).await;
            large.receive_text(payload).await;
        }
        for payload in ["1", "2", "3"] {
            small.receive_text(payload).await;
        }
        small.expect_silence().await;
    }
}

/// [MQTT-3.1.2-24]: a packet of exactly the maximum is sent, one byte more is not.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_24_a_packet_of_exactly_the_maximum_is_sent() {
    let broker = broker().await;
    let mut small = broker.connect(connect("small").maximum_packet_size(30)).await;
    small.subscribe("t", AtMostOnce).await;
    let mut publisher = broker.v5("publisher").await;
    // Two bytes of header, three of topic, one for no properties.
    publisher.publish(publish("t").payload("x".repeat(25))).await;
    publisher.publish(publish("t").payload("y".repeat(24))).await;
    let packet = small.expect_packet().await;
    assert_eq!(packet.bytes().len(), 30);
    assert_eq!(packet.bytes()[29], b'y');
    small.expect_silence().await;
}

/// [MQTT-3.1.2-25]: the same for what waited while the client was away.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_25_a_resumed_client_is_spared_what_is_now_too_large() {
    let broker = broker().await;
    let kept = connect("shrinking").clean(false).session_expiry_s(100);
    let mut peer = broker.connect(kept.clone()).await;
    peer.subscribe("t", AtLeastOnce).await;
    let mut publisher = broker.v5("publisher").await;
    publisher.publish(publish("t").payload("x".repeat(100)).qos1(1)).await;
    peer.expect_publish().await;
    peer.cut();
    publisher.publish(publish("t").payload("y".repeat(100)).qos1(2)).await;
    publisher.publish(publish("t").payload("short").qos1(3)).await;
    let mut peer = broker.connect(kept.maximum_packet_size(40)).await;
    peer.receive_text("short").await;
    peer.expect_silence().await;
}

/// [MQTT-3.1.2-24]: retained messages are no exception.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_24_retained_messages_that_are_too_large_are_skipped() {
    let broker = broker().await;
    let mut keeper = broker.v5("keeper").await;
    keeper.publish(publish("r/1").payload("x".repeat(100)).qos1(1).retained()).await;
    keeper.publish(publish("r/2").payload("short").qos1(2).retained()).await;
    let mut small = broker.connect(connect("small").maximum_packet_size(40)).await;
    small.subscribe("r/#", AtLeastOnce).await;
    small.receive_text("short").await;
    small.expect_silence().await;
}

/// [MQTT-3.9.2-1] [MQTT-3.9.2-2] [MQTT-3.11.2-1] [MQTT-3.11.2-2] [MQTT-3.4.2-2] [MQTT-3.4.2-3] [MQTT-3.5.2-2] [MQTT-3.5.2-3] [MQTT-3.6.2-2] [MQTT-3.6.2-3] [MQTT-3.7.2-2] [MQTT-3.7.2-3]
#[tokio::test(start_paused = true)]
async fn mqtt_3_4_2_2_answers_fit_the_smallest_client() {
    let broker = broker().await;
    let mut small = broker.connect(connect("small").maximum_packet_size(20)).await;
    small.send(publish("t").payload("x").qos1(1)).await;
    small.send(publish("t").payload("x").qos2(2)).await;
    small.send(mqtt_testkit::pubrel(99)).await;
    small.send(mqtt_testkit::pubrec(98)).await;
    small.send(subscribe(3).filter("$share/bad", AtMostOnce)).await;
    let mut answers = 0;
    while let Some(answer) = small.expect_packet_or_closed().await {
        assert!(answer.bytes().len() <= 20, "{answer:?}");
        answers += 1;
    }
    assert!(answers >= 4, "only {answers} answers");
}

/// [MQTT-3.14.2-3] [MQTT-3.14.2-4]: nor does a DISCONNECT with a text exceed it.
#[tokio::test(start_paused = true)]
async fn mqtt_3_14_2_3_a_disconnect_fits_the_smallest_client() {
    let broker = broker().await;
    let mut small = broker.connect(connect("small").maximum_packet_size(20)).await;
    small.send(connect("small")).await;
    let last = small.expect_packet().await;
    assert_eq!(last.bytes()[..1], [0xE0]);
    assert!(last.bytes().len() <= 20, "{last:?}");
    small.expect_closed().await;
}

/// [MQTT-3.2.2-15]: and section 3.2.2.3.6 names the answer.
#[tokio::test(start_paused = true)]
async fn mqtt_3_2_2_15_a_packet_above_the_servers_maximum_is_answered_with_0x95() {
    for version in Version::ALL {
        let broker = broker_with(|settings| settings.policy.ours.maximum_packet_size_bytes = 200).await;
        let mut peer = broker.client(version, "large").await;
        let fits = if version == Version::V5 { 193 } else { 194 };
        peer.publish(publish("t").payload("x".repeat(fits))).await;
        peer.ping().await;
        // The fixed header alone tells.
        peer.send([0x30, 0xC7, 0x01]).await;
        expect_violation(&mut peer, ReasonCode::PacketTooLarge).await;
    }
}

/// [MQTT-3.2.2-15]: that holds for every kind of packet.
#[tokio::test(start_paused = true)]
async fn mqtt_3_2_2_15_large_requests_are_refused_as_well() {
    let broker = broker_with(|settings| settings.policy.ours.maximum_packet_size_bytes = 200).await;
    let filter = "x".repeat(200);
    let mut peer = broker.v5("large").await;
    peer.send(subscribe(1).filter(&filter, AtMostOnce)).await;
    peer.expect_disconnect(ReasonCode::PacketTooLarge).await;
    let mut peer = broker.v5("large").await;
    peer.send(unsubscribe(1).filter(&filter)).await;
    peer.expect_disconnect(ReasonCode::PacketTooLarge).await;
}
