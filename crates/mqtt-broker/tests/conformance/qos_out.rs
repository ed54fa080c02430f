//! The broker as the sender of QoS 1 and QoS 2: section 4.3.

use std::{collections::HashSet, time::Duration};

use mqtt_codec::{
    QoS::{AtLeastOnce, ExactlyOnce},
    ReasonCode, Version,
};
use mqtt_testkit::{Peer, puback, pubcomp, publish, pubrec};

use crate::harness::{Harness, broker};

async fn subscriber_and_publisher(broker: &Harness, version: Version) -> (Peer, Peer) {
    let mut subscriber = broker.client(version, "subscriber").await;
    subscriber.subscribe("t", ExactlyOnce).await;
    (subscriber, broker.client(version, "publisher").await)
}

/// [MQTT-4.3.2-1] [MQTT-4.3.2-2] [MQTT3-4.3.2-1] [MQTT-2.2.1-4] [MQTT3-2.3.1-4] [MQTT3-2.3.1-1] [MQTT-4.3.3-1] [MQTT-4.3.3-2]
#[tokio::test(start_paused = true)]
async fn mqtt_2_2_1_4_identifiers_are_above_0_and_not_in_use() {
    for version in Version::ALL {
        let broker = broker().await;
        let (mut subscriber, mut publisher) = subscriber_and_publisher(&broker, version).await;
        let mut in_use = HashSet::new();
        for number in 1..=100_u16 {
            let message = publish("t").payload("x");
            let message = if number % 2 == 0 { message.qos1(number) } else { message.qos2(number) };
            publisher.publish(message).await;
            let received = subscriber.expect_publish().await;
            assert!(!received.dup);
            assert_ne!(received.packet_id, 0);
            assert!(in_use.insert(received.packet_id), "{} is in use", received.packet_id);
        }
    }
}

/// [MQTT-4.3.2-3] [MQTT3-4.3.2-1] [MQTT-4.4.0-1] [MQTT3-4.4.0-1]: nothing is repeated while the connection lasts.
#[tokio::test(start_paused = true)]
async fn mqtt_4_4_0_1_nothing_is_sent_again_on_the_same_connection() {
    for version in Version::ALL {
        let broker = broker().await;
        let (mut subscriber, mut publisher) = subscriber_and_publisher(&broker, version).await;
        publisher.publish(publish("t").payload("1").qos1(1)).await;
        publisher.publish(publish("t").payload("2").qos2(2)).await;
        publisher.publish(publish("t").payload("3").qos2(3)).await;
        let first = subscriber.expect_publish().await;
        let second = subscriber.expect_publish().await;
        let third = subscriber.expect_publish().await;
        subscriber.send(pubrec(third.packet_id)).await;
        subscriber.expect_pubrel(third.packet_id).await;
        subscriber.expect_silence_for(Duration::from_secs(3600)).await;
        subscriber.send(puback(first.packet_id)).await;
        subscriber.send(pubrec(second.packet_id)).await;
        subscriber.expect_pubrel(second.packet_id).await;
        subscriber.ping().await;
    }
}

/// [MQTT-4.3.3-4] [MQTT3-4.3.3-1] [MQTT-3.6.2-1] [MQTT-4.3.3-3] [MQTT-4.3.3-5]
#[tokio::test(start_paused = true)]
async fn mqtt_4_3_3_4_a_pubrec_is_answered_with_pubrel() {
    for version in Version::ALL {
        let broker = broker().await;
        let (mut subscriber, mut publisher) = subscriber_and_publisher(&broker, version).await;
        publisher.publish(publish("t").payload("x").qos2(1)).await;
        let message = subscriber.expect_publish().await;
        subscriber.send(pubrec(message.packet_id)).await;
        assert_eq!(subscriber.expect_pubrel(message.packet_id).await.reason, ReasonCode::Success);
        // A PUBREC that comes twice is answered twice.
        subscriber.send(pubrec(message.packet_id)).await;
        assert_eq!(subscriber.expect_pubrel(message.packet_id).await.reason, ReasonCode::Success);
        subscriber.send(pubcomp(message.packet_id)).await;
        subscriber.ping().await;
    }
}

/// [MQTT-4.6.0-4] [MQTT3-4.6.0-4]: PUBREL packets in the order of the PUBREC packets.
#[tokio::test(start_paused = true)]
async fn mqtt_4_6_0_4_pubrels_follow_the_order_of_the_pubrecs() {
    for version in Version::ALL {
        let broker = broker().await;
        let (mut subscriber, mut publisher) = subscriber_and_publisher(&broker, version).await;
        let mut identifiers = Vec::new();
        for number in 1..=4 {
            publisher.publish(publish("t").payload("x").qos2(number)).await;
            identifiers.push(subscriber.expect_publish().await.packet_id);
        }
        identifiers.reverse();
        for packet_id in &identifiers {
            subscriber.send(pubrec(*packet_id)).await;
        }
        for packet_id in &identifiers {
            subscriber.expect_pubrel(*packet_id).await;
        }
    }
}

/// Section 4.3.3 and table 3-8: a PUBREC for an unknown identifier gets PUBREL 0x92.
#[tokio::test(start_paused = true)]
async fn a_pubrec_for_an_unknown_identifier_is_answered_with_0x92() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut peer = broker.client(version, "confused").await;
        peer.send(pubrec(77)).await;
        let pubrel = peer.expect_pubrel(77).await;
        if version == Version::V5 {
            assert_eq!(pubrel.reason, ReasonCode::PacketIdentifierNotFound);
        }
        peer.ping().await;
    }
}

/// PUBACK and PUBCOMP for unknown identifiers have no effect: a client may repeat them after a reconnect.
#[tokio::test(start_paused = true)]
async fn final_acknowledgements_for_unknown_identifiers_are_ignored() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut peer = broker.client(version, "late").await;
        peer.send(puback(5)).await;
        peer.send(pubcomp(6)).await;
        peer.ping().await;
    }
}

/// [MQTT-4.4.0-2]: an error settles the message: no PUBREL, no repetition, and the window is open again.
#[tokio::test(start_paused = true)]
async fn mqtt_4_4_0_2_an_acknowledgement_with_an_error_ends_the_delivery() {
    let broker = broker().await;
    let resumed = mqtt_testkit::connect("subscriber").clean(false).session_expiry_s(100).receive_maximum(1);
    let mut subscriber = broker.connect(resumed.clone()).await;
    subscriber.subscribe("t", ExactlyOnce).await;
    let mut publisher = broker.v5("publisher").await;
    for number in 1..=3 {
        publisher.publish(publish("t").payload(number.to_string()).qos2(number)).await;
    }
    publisher.publish(publish("t").payload("4").qos1(4)).await;
    publisher.publish(publish("t").payload("5").qos1(5)).await;
    for number in 1..=3 {
        let message = subscriber.expect_publish().await;
        assert_eq!(message.text(), number.to_string());
        subscriber.send(pubrec(message.packet_id).reason(ReasonCode::UnspecifiedError)).await;
    }
    let message = subscriber.expect_publish().await;
    assert_eq!(message.text(), "4");
    subscriber.send(puback(message.packet_id).reason(ReasonCode::QuotaExceeded)).await;
    let message = subscriber.expect_publish().await;
    assert_eq!((message.text(), message.qos), ("5", AtLeastOnce));
    subscriber.send(puback(message.packet_id)).await;
    subscriber.expect_silence().await;
    subscriber.cut();

    let mut again = broker.connect(resumed).await;
    again.expect_silence().await;
}

/// [MQTT-4.3.3-7] [MQTT-4.3.3-13]: once sent, a message is finished whatever its expiry.
#[tokio::test(start_paused = true)]
async fn mqtt_4_3_3_7_expiry_does_not_stop_a_delivery_that_began() {
    let broker = broker().await;
    let (mut subscriber, mut publisher) = subscriber_and_publisher(&broker, Version::V5).await;
    publisher.publish(publish("t").payload("x").qos2(1).expiry_s(5)).await;
    let message = subscriber.expect_publish().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    subscriber.send(pubrec(message.packet_id)).await;
    assert_eq!(subscriber.expect_pubrel(message.packet_id).await.reason, ReasonCode::Success);
    subscriber.send(pubcomp(message.packet_id)).await;
    subscriber.ping().await;
}

/// [MQTT-4.3.3-13]: nor does it stop the broker's half as the receiver.
#[tokio::test(start_paused = true)]
async fn mqtt_4_3_3_13_an_expired_message_is_still_acknowledged() {
    let broker = broker().await;
    let mut publisher = broker.v5("publisher").await;
    publisher.send(publish("t").payload("x").qos2(1).expiry_s(1)).await;
    publisher.expect_pubrec(1).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    publisher.send(mqtt_testkit::pubrel(1)).await;
    assert_eq!(publisher.expect_pubcomp(1).await.reason, ReasonCode::Success);
}

/// Section 4.3: an acknowledgement of the wrong kind is a protocol error.
#[tokio::test(start_paused = true)]
async fn a_puback_for_a_qos_2_message_is_a_protocol_error() {
    for version in Version::ALL {
        let broker = broker().await;
        let (mut subscriber, mut publisher) = subscriber_and_publisher(&broker, version).await;
        publisher.publish(publish("t").payload("x").qos2(1)).await;
        let message = subscriber.expect_publish().await;
        subscriber.send(puback(message.packet_id)).await;
        crate::harness::expect_violation(&mut subscriber, ReasonCode::ProtocolError).await;
    }
}
