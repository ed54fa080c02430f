//! PUBLISH from a client, and what reaches a subscriber: section 3.3.

use mqtt_codec::{
    QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce},
    ReasonCode, Version,
};
use mqtt_testkit::{Peer, connect, publish, raw};

use crate::harness::{Harness, broker, broker_with, expect_violation};

const ALL_QOS: [QoS; 3] = [AtMostOnce, AtLeastOnce, ExactlyOnce];

/// [MQTT-3.8.4-8] [MQTT3-3.8.4-6] [MQTT-3.3.4-1] [MQTT3-3.3.4-1] [MQTT-4.3.1-1] [MQTT3-4.3.1-1] [MQTT-4.5.0-1] [MQTT3-4.5.0-1]
#[tokio::test(start_paused = true)]
async fn mqtt_3_8_4_8_the_lower_of_published_and_granted_qos_is_delivered() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut publisher = broker.client(version, "publisher").await;
        for granted in ALL_QOS {
            let mut subscriber = broker.client(version, "subscriber").await;
            subscriber.subscribe("t", granted).await;
            for published in ALL_QOS {
                let packet_id = publisher.new_packet_id();
                publisher.publish(publish("t").payload("x").qos(published, packet_id)).await;
                let message = subscriber.receive_text("x").await;
                assert_eq!(
                    message.qos,
                    published.min(granted),
                    "{published:?} to {granted:?} in {version:?}"
                );
                assert!(!message.dup && !message.retain && message.topic == "t");
            }
            subscriber.expect_silence().await;
        }
    }
}

/// Every version talks to every other one.
#[tokio::test(start_paused = true)]
async fn messages_cross_between_versions() {
    for from in Version::ALL {
        for to in Version::ALL {
            let broker = broker().await;
            let mut publisher = broker.client(from, "publisher").await;
            let mut subscriber = broker.client(to, "subscriber").await;
            subscriber.subscribe("t/#", ExactlyOnce).await;
            publisher.publish(publish("t/1").payload("x").qos2(7)).await;
            assert_eq!(subscriber.receive_text("x").await.qos, ExactlyOnce, "{from:?} to {to:?}");
        }
    }
}

/// [MQTT-3.3.1-3] [MQTT3-3.3.1-3] [MQTT-3.3.1-2] [MQTT3-3.3.1-2]
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_1_3_dup_is_not_passed_on() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut subscriber = broker.client(version, "subscriber").await;
        subscriber.subscribe("t", ExactlyOnce).await;
        let mut publisher = broker.client(version, "publisher").await;
        publisher.publish(publish("t").payload("1").qos1(1).dup()).await;
        publisher.publish(publish("t").payload("2").qos2(2).dup()).await;
        assert!(!subscriber.receive_text("1").await.dup);
        assert!(!subscriber.receive_text("2").await.dup);
    }
}

/// [MQTT-4.3.1-1] [MQTT3-4.3.1-1] [MQTT-2.2.1-2] [MQTT3-2.3.1-5]: no identifier, no answer.
#[tokio::test(start_paused = true)]
async fn mqtt_4_3_1_1_qos_0_is_forwarded_bare_and_not_answered() {
    let broker = broker().await;
    let mut publisher = broker.v3("publisher").await;
    let mut subscriber = broker.v3("subscriber").await;
    subscriber.subscribe("a/b", AtMostOnce).await;
    publisher.send(b"\x30\x07\0\x03a/bhi").await;
    subscriber.expect_bytes(b"\x30\x07\0\x03a/bhi").await;
    publisher.expect_silence().await;
}

/// [MQTT-3.3.2-2] [MQTT-4.7.0-1] [MQTT3-3.3.2-2] [MQTT3-4.7.1-1]
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_2_2_wildcards_in_a_topic_name_end_the_connection() {
    for version in Version::ALL {
        let broker = broker().await;
        for topic in ["#", "+", "a/#", "a/+/b", "a#", "+a"] {
            for qos in ALL_QOS {
                let mut peer = broker.client(version, "wild").await;
                peer.send(publish(topic).payload("x").qos(qos, 1)).await;
                expect_violation(&mut peer, ReasonCode::TopicNameInvalid).await;
            }
        }
    }
}

/// [MQTT-4.7.3-1] [MQTT3-4.7.3-1]
#[tokio::test(start_paused = true)]
async fn mqtt_4_7_3_1_an_empty_topic_name_ends_the_connection() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut peer = broker.client(version, "nowhere").await;
        let mut packet = raw(0x30).text("");
        if version == Version::V5 {
            packet = packet.properties(&[]);
        }
        peer.send(packet.bytes(b"x")).await;
        expect_violation(&mut peer, ReasonCode::ProtocolError).await;
    }
}

/// [MQTT-3.3.4-6]
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_4_6_a_subscription_identifier_from_a_client_is_a_protocol_error() {
    let broker = broker().await;
    let mut peer = broker.v5("numbered").await;
    peer.send(raw(0x30).text("t").properties(&[0x0B, 1]).bytes(b"x")).await;
    peer.expect_disconnect(ReasonCode::ProtocolError).await;
}

/// [MQTT-3.2.2-11]: and it is enforced.
#[tokio::test(start_paused = true)]
async fn mqtt_3_2_2_11_a_qos_above_the_maximum_ends_the_connection() {
    for version in Version::ALL {
        let broker = broker_with(|settings| settings.policy.maximum_qos = AtMostOnce).await;
        for qos in [AtLeastOnce, ExactlyOnce] {
            let mut peer = broker.client(version, "eager").await;
            peer.send(publish("t").payload("x").qos(qos, 1)).await;
            expect_violation(&mut peer, ReasonCode::QoSNotSupported).await;
        }
    }
}

/// [MQTT-4.6.0-5] [MQTT-4.6.0-6] [MQTT3-4.6.0-5] [MQTT3-4.6.0-6]
#[tokio::test(start_paused = true)]
async fn mqtt_4_6_0_5_messages_of_one_publisher_keep_their_order() {
    for version in Version::ALL {
        for qos in ALL_QOS {
            let broker = broker().await;
            let mut subscriber = broker.client(version, "subscriber").await;
            subscriber.subscribe("t", qos).await;
            let mut publisher = broker.client(version, "publisher").await;
            for number in 1..=200_u16 {
                publisher.publish(publish("t").payload(number.to_string()).qos(qos, number)).await;
            }
            for number in 1..=200 {
                subscriber.receive_text(&number.to_string()).await;
            }
        }
    }
}

/// [MQTT-3.3.4-2] [MQTT3-3.3.5-1] [MQTT-3.3.4-3] [MQTT-3.3.4-4]: one copy at the highest QoS, with all identifiers.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_4_2_overlapping_subscriptions_give_one_copy_at_the_highest_qos() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut subscriber = broker.client(version, "subscriber").await;
        subscriber.subscribe("a/b", AtMostOnce).await;
        subscriber.subscribe("a/#", ExactlyOnce).await;
        subscriber.subscribe("+/b", AtLeastOnce).await;
        let mut publisher = broker.client(version, "publisher").await;
        publisher.publish(publish("a/b").payload("x").qos2(1)).await;
        assert_eq!(subscriber.receive_text("x").await.qos, ExactlyOnce);
        subscriber.expect_silence().await;
    }
}

/// [MQTT-3.3.2-3] [MQTT3-3.3.2-3]
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_2_3_only_matching_topics_arrive_and_their_names_are_whole() {
    let broker = broker().await;
    let mut subscriber = broker.v5("subscriber").await;
    subscriber.subscribe("a/+/c", AtMostOnce).await;
    let mut publisher = broker.v5("publisher").await;
    for topic in ["a/c", "a/b/d", "b/b/c", "a/b/c/d", "a/b/c"] {
        publisher.publish(publish(topic).payload(topic)).await;
    }
    let message = subscriber.receive_text("a/b/c").await;
    assert_eq!(message.topic, "a/b/c");
    subscriber.expect_silence().await;
}

/// Section 3.3.3: an empty payload is a payload.
#[tokio::test(start_paused = true)]
async fn empty_payloads_are_delivered() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut peer = broker.client(version, "both").await;
        peer.subscribe("t", AtLeastOnce).await;
        peer.send(publish("t").qos1(1)).await;
        let (publishes, acks) = split(&mut peer).await;
        assert_eq!((publishes, acks), (1, 1));
    }
}

async fn split(peer: &mut Peer) -> (usize, usize) {
    let packets = peer.drain().await;
    let publishes = packets.iter().filter(|packet| packet.bytes()[0] >> 4 == 3).count();
    (publishes, packets.len() - publishes)
}

/// A publisher that subscribes to its own topic gets its messages (no local is off).
#[tokio::test(start_paused = true)]
async fn a_client_gets_what_it_publishes_itself() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut peer = broker.client(version, "both").await;
        peer.subscribe("t", AtMostOnce).await;
        peer.publish(publish("t").payload("x")).await;
        peer.receive_text("x").await;
    }
}

/// Sections 1.5.4 and 4.7.3: [MQTT-4.7.3-3] [MQTT3-4.7.3-3] allow 65,535 bytes.
#[tokio::test(start_paused = true)]
async fn mqtt_4_7_3_3_the_longest_topic_name_is_served() {
    let topic = "x".repeat(65_535);
    for version in [Version::V3_1_1, Version::V5] {
        let broker = broker().await;
        let mut peer = broker.client(version, "long").await;
        peer.subscribe(&topic, AtMostOnce).await;
        peer.publish(publish(&topic).payload("here")).await;
        assert_eq!(peer.receive_text("here").await.topic, topic);
    }
}

/// [MQTT-1.5.4-3] [MQTT3-1.5.3-3] [MQTT-4.7.3-4] [MQTT3-4.7.3-4]
#[tokio::test(start_paused = true)]
async fn mqtt_1_5_4_3_a_byte_order_mark_is_a_character_of_the_topic() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut peer = broker.client(version, "marked").await;
        peer.subscribe("\u{FEFF}a", AtMostOnce).await;
        peer.publish(publish("a").payload("plain")).await;
        peer.publish(publish("\u{FEFF}a").payload("marked")).await;
        assert_eq!(peer.receive_text("marked").await.topic, "\u{FEFF}a");
        peer.expect_silence().await;
    }
}

/// Payloads of every size class of the remaining length come through unchanged.
#[tokio::test(start_paused = true)]
async fn payloads_of_all_sizes_come_through_unchanged() {
    let broker = broker().await;
    let mut publisher = broker.v5("publisher").await;
    let mut subscriber = broker.v3("subscriber").await;
    subscriber.subscribe("t", AtLeastOnce).await;
    for size in [1, 100, 127, 128, 16_383, 16_384, 100_000, 2_097_152, 4_000_000] {
        let payload: Vec<u8> = (0..size).map(|at: u32| (at.wrapping_mul(31) >> 3) as u8).collect();
        let sending = publisher.publish(publish("t").payload(&payload).qos1(1));
        let receiving = subscriber.receive();
        let ((), message) = tokio::join!(sending, receiving);
        assert!(message.payload == payload, "a payload of {size} bytes was changed");
    }
}

/// [MQTT-3.1.2-8] [MQTT-4.13.1-1] [MQTT3-4.8.0-1]: a violation closes one connection and leaves the others alone.
#[tokio::test(start_paused = true)]
async fn mqtt_4_13_1_1_a_violation_harms_nobody_else() {
    let broker = broker().await;
    let mut bystander = broker.v5("bystander").await;
    bystander.subscribe("t", AtLeastOnce).await;
    for version in Version::ALL {
        let mut offender = broker.client(version, "offender").await;
        offender.subscribe("t", AtLeastOnce).await;
        offender.send(publish("a/#")).await;
        expect_violation(&mut offender, ReasonCode::TopicNameInvalid).await;
        say(&broker, version).await;
        bystander.receive_text("still here").await;
    }
}

async fn say(broker: &Harness, version: Version) {
    let mut speaker = broker.connect(connect("speaker").version(version)).await;
    speaker.publish(publish("t").payload("still here").qos1(1)).await;
    speaker.leave().await;
}
