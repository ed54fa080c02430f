//! Receive Maximum in both directions: sections 3.3.4 and 4.9.

use std::num::NonZeroU16;

use mqtt_codec::{
    QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce},
    ReasonCode, Version,
};
use mqtt_testkit::{Peer, connect, puback, pubcomp, publish, pubrec, pubrel};

use crate::harness::{Harness, broker, broker_with};

async fn narrow_subscriber(broker: &Harness, receive_maximum: u16) -> (Peer, Peer) {
    let mut subscriber = broker.connect(connect("subscriber").receive_maximum(receive_maximum)).await;
    subscriber.subscribe("t", ExactlyOnce).await;
    subscriber.subscribe("zero", AtMostOnce).await;
    (subscriber, broker.v5("publisher").await)
}

/// [MQTT-3.3.4-9] [MQTT-4.9.0-1] [MQTT-4.9.0-2]
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_4_9_no_more_than_the_receive_maximum_is_under_way() {
    for maximum in [1, 2, 10] {
        let broker = broker().await;
        let (mut subscriber, mut publisher) = narrow_subscriber(&broker, maximum).await;
        for number in 1..=30_u16 {
            publisher.publish(publish("t").payload(number.to_string()).qos1(number)).await;
        }
        let mut open = Vec::new();
        for number in 1..=maximum {
            let message = subscriber.expect_publish().await;
            assert_eq!(message.text(), number.to_string());
            open.push(message.packet_id);
        }
        subscriber.expect_silence().await;
        for number in maximum + 1..=30 {
            subscriber.send(puback(open.remove(0))).await;
            let message = subscriber.expect_publish().await;
            assert_eq!(message.text(), number.to_string());
            open.push(message.packet_id);
            subscriber.expect_silence().await;
        }
    }
}

/// [MQTT-3.3.4-9]: a QoS 2 message holds its place until PUBCOMP, or until a PUBREC with an error.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_4_9_qos_2_counts_until_pubcomp() {
    let broker = broker().await;
    let (mut subscriber, mut publisher) = narrow_subscriber(&broker, 1).await;
    for number in 1..=3 {
        publisher.publish(publish("t").payload(number.to_string()).qos2(number)).await;
    }
    let first = subscriber.expect_publish().await;
    subscriber.expect_silence().await;
    subscriber.send(pubrec(first.packet_id)).await;
    subscriber.expect_pubrel(first.packet_id).await;
    subscriber.expect_silence().await;
    subscriber.send(pubcomp(first.packet_id)).await;
    let second = subscriber.expect_publish().await;
    subscriber.expect_silence().await;
    subscriber.send(pubrec(second.packet_id).reason(ReasonCode::UnspecifiedError)).await;
    assert_eq!(subscriber.expect_publish().await.text(), "3");
}

/// [MQTT-3.3.4-10] [MQTT-4.9.0-3]: everything else goes on while the window is full.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_4_10_a_full_window_holds_up_nothing_else() {
    let broker = broker().await;
    let (mut subscriber, mut publisher) = narrow_subscriber(&broker, 1).await;
    publisher.publish(publish("t").payload("1").qos1(1)).await;
    publisher.publish(publish("t").payload("2").qos1(2)).await;
    let first = subscriber.expect_publish().await;
    subscriber.ping().await;
    subscriber.subscribe("u", AtLeastOnce).await;
    subscriber.unsubscribe("u").await;
    subscriber.publish(publish("elsewhere").payload("x").qos1(7)).await;
    subscriber.publish(publish("elsewhere").payload("x").qos2(8)).await;
    subscriber.expect_silence().await;
    subscriber.send(puback(first.packet_id)).await;
    assert_eq!(subscriber.expect_publish().await.text(), "2");
}

/// Section 4.9: QoS 0 needs no quota.
#[tokio::test(start_paused = true)]
async fn qos_0_passes_a_full_window() {
    let broker = broker().await;
    let (mut subscriber, mut publisher) = narrow_subscriber(&broker, 1).await;
    publisher.publish(publish("t").payload("1").qos1(1)).await;
    let first = subscriber.expect_publish().await;
    publisher.publish(publish("zero").payload("free")).await;
    subscriber.receive_text("free").await;
    subscriber.send(puback(first.packet_id)).await;
    subscriber.ping().await;
}

/// [MQTT-3.3.4-7]: sections 3.3.4 and 3.1.2.11.3 name the answer to one message too many.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_4_7_one_message_too_many_is_answered_with_0x93() {
    let broker = broker_with(|settings| {
        settings.policy.ours.receive_maximum = NonZeroU16::new(3).expect("above 0");
    })
    .await;
    let mut peer = broker.v5("eager").await;
    for packet_id in 1..=3 {
        peer.send(publish("t").payload("x").qos2(packet_id)).await;
        peer.expect_pubrec(packet_id).await;
    }
    peer.send(publish("t").payload("x").qos2(4)).await;
    peer.expect_disconnect(ReasonCode::ReceiveMaximumExceeded).await;
}

/// [MQTT-3.3.4-7]: exactly the maximum is fine, again and again, and a completed exchange makes room.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_4_7_the_receive_maximum_itself_may_be_used() {
    let broker = broker_with(|settings| {
        settings.policy.ours.receive_maximum = NonZeroU16::new(3).expect("above 0");
    })
    .await;
    let mut peer = broker.v5("exact").await;
    for _ in 0..5 {
        for packet_id in 1..=3 {
            peer.send(publish("t").payload("x").qos2(packet_id)).await;
            peer.expect_pubrec(packet_id).await;
        }
        // A repetition is no further message.
        peer.send(publish("t").payload("x").qos2(3).dup()).await;
        peer.expect_pubrec(3).await;
        for packet_id in 1..=3 {
            peer.send(pubrel(packet_id)).await;
            peer.expect_pubcomp(packet_id).await;
        }
        // QoS 1 is settled with its PUBACK, so any number may follow one another.
        for packet_id in 10..=20 {
            peer.publish(publish("t").payload("x").qos1(packet_id)).await;
        }
    }
    peer.ping().await;
}

/// Section 4.9 does not exist in 3.x: only the identifiers bound what is under way.
#[tokio::test(start_paused = true)]
async fn clients_of_3_x_know_no_receive_maximum() {
    for version in [Version::V3_1, Version::V3_1_1] {
        let broker = broker_with(|settings| {
            settings.policy.ours.receive_maximum = NonZeroU16::new(3).expect("above 0");
        })
        .await;
        let mut peer = broker.client(version, "old").await;
        for packet_id in 1..=50 {
            peer.send(publish("t").payload("x").qos2(packet_id)).await;
            peer.expect_pubrec(packet_id).await;
        }
        peer.ping().await;
    }
}

/// [MQTT-4.6.0-5]: waiting for the window does not change the order.
#[tokio::test(start_paused = true)]
async fn mqtt_4_6_0_5_a_narrow_window_keeps_the_order() {
    let broker = broker().await;
    let (mut subscriber, mut publisher) = narrow_subscriber(&broker, 3).await;
    for number in 1..=100_u16 {
        publisher.publish(publish("t").payload(number.to_string()).qos2(number)).await;
    }
    for number in 1..=100 {
        subscriber.receive_text(&number.to_string()).await;
    }
    subscriber.expect_silence().await;
}
