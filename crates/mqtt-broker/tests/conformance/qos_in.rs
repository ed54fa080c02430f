//! The broker as the receiver of QoS 1 and QoS 2: section 4.3.

use mqtt_codec::{
    QoS::{AtMostOnce, ExactlyOnce},
    ReasonCode, Version,
};
use mqtt_testkit::{connect, publish, pubrel};

use crate::harness::broker;

/// [MQTT-4.3.2-4] [MQTT3-4.3.2-2] [MQTT-2.2.1-5] [MQTT3-2.3.1-6] [MQTT-3.4.2-1] [MQTT-3.3.4-1]
#[tokio::test(start_paused = true)]
async fn mqtt_4_3_2_4_qos_1_is_answered_with_a_puback_of_its_identifier() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut subscriber = broker.client(version, "subscriber").await;
        subscriber.subscribe("t", AtMostOnce).await;
        let mut publisher = broker.client(version, "publisher").await;
        for packet_id in [1, 2, 0x1234, u16::MAX] {
            publisher.send(publish("t").payload("x").qos1(packet_id)).await;
            assert_eq!(publisher.expect_puback(packet_id).await.reason, ReasonCode::Success);
            subscriber.receive_text("x").await;
        }
        publisher.expect_silence().await;
    }
}

/// [MQTT-3.4.2-1] [MQTT-3.5.2-1]: where nobody listens, 0x10 says so or 0x00 does not.
#[tokio::test(start_paused = true)]
async fn mqtt_3_4_2_1_without_a_subscriber_the_message_is_accepted_all_the_same() {
    let allowed = [ReasonCode::Success, ReasonCode::NoMatchingSubscribers];
    for version in Version::ALL {
        let broker = broker().await;
        let mut publisher = broker.client(version, "publisher").await;
        publisher.send(publish("t").payload("x").qos1(1)).await;
        assert!(allowed.contains(&publisher.expect_puback(1).await.reason));
        publisher.send(publish("t").payload("x").qos2(2)).await;
        assert!(allowed.contains(&publisher.expect_pubrec(2).await.reason));
        publisher.send(pubrel(2)).await;
        assert_eq!(publisher.expect_pubcomp(2).await.reason, ReasonCode::Success);
    }
}

/// [MQTT-4.3.2-5] [MQTT3-4.3.2-2]
#[tokio::test(start_paused = true)]
async fn mqtt_4_3_2_5_after_its_puback_an_identifier_means_a_new_message() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut subscriber = broker.client(version, "subscriber").await;
        subscriber.subscribe("t", AtMostOnce).await;
        let mut publisher = broker.client(version, "publisher").await;
        publisher.publish(publish("t").payload("first").qos1(5)).await;
        publisher.publish(publish("t").payload("second").qos1(5).dup()).await;
        subscriber.receive_text("first").await;
        subscriber.receive_text("second").await;
    }
}

/// [MQTT-4.3.3-8] [MQTT-4.3.3-11] [MQTT3-4.3.3-2] [MQTT-2.2.1-5]
#[tokio::test(start_paused = true)]
async fn mqtt_4_3_3_8_qos_2_is_answered_with_pubrec_and_pubcomp() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut subscriber = broker.client(version, "subscriber").await;
        subscriber.subscribe("t", AtMostOnce).await;
        let mut publisher = broker.client(version, "publisher").await;
        publisher.send(publish("t").payload("x").qos2(0xABCD)).await;
        assert_eq!(publisher.expect_pubrec(0xABCD).await.reason, ReasonCode::Success);
        publisher.send(pubrel(0xABCD)).await;
        assert_eq!(publisher.expect_pubcomp(0xABCD).await.reason, ReasonCode::Success);
        subscriber.receive_text("x").await;
        subscriber.expect_silence().await;
        publisher.expect_silence().await;
    }
}

/// [MQTT-4.3.3-10] [MQTT3-4.3.3-2]
#[tokio::test(start_paused = true)]
async fn mqtt_4_3_3_10_a_repeated_publish_before_pubrel_is_not_passed_on_twice() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut subscriber = broker.client(version, "subscriber").await;
        subscriber.subscribe("t", ExactlyOnce).await;
        let mut publisher = broker.client(version, "publisher").await;
        publisher.send(publish("t").payload("once").qos2(1)).await;
        publisher.expect_pubrec(1).await;
        for _ in 0..3 {
            publisher.send(publish("t").payload("once").qos2(1).dup()).await;
            assert_eq!(publisher.expect_pubrec(1).await.reason, ReasonCode::Success);
        }
        // Even without DUP the identifier is in use.
        publisher.send(publish("t").payload("once").qos2(1)).await;
        publisher.expect_pubrec(1).await;
        publisher.send(pubrel(1)).await;
        publisher.expect_pubcomp(1).await;
        subscriber.receive_text("once").await;
        subscriber.expect_silence().await;
    }
}

/// [MQTT-4.3.3-12] [MQTT3-4.3.3-2]
#[tokio::test(start_paused = true)]
async fn mqtt_4_3_3_12_after_its_pubcomp_an_identifier_means_a_new_message() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut subscriber = broker.client(version, "subscriber").await;
        subscriber.subscribe("t", ExactlyOnce).await;
        let mut publisher = broker.client(version, "publisher").await;
        publisher.publish(publish("t").payload("first").qos2(1)).await;
        publisher.publish(publish("t").payload("second").qos2(1).dup()).await;
        subscriber.receive_text("first").await;
        subscriber.receive_text("second").await;
    }
}

/// [MQTT-4.3.3-11] [MQTT-3.7.2-1]: also for an identifier that is not known, which 5.0 is told with 0x92.
#[tokio::test(start_paused = true)]
async fn mqtt_4_3_3_11_a_pubrel_is_always_answered() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut publisher = broker.client(version, "publisher").await;
        publisher.publish(publish("t").payload("x").qos2(3)).await;
        for packet_id in [3, 4] {
            publisher.send(pubrel(packet_id)).await;
            let pubcomp = publisher.expect_pubcomp(packet_id).await;
            if version == Version::V5 {
                assert_eq!(pubcomp.reason, ReasonCode::PacketIdentifierNotFound);
            }
        }
        publisher.ping().await;
    }
}

/// [MQTT-4.3.3-10] [MQTT-4.4.0-1] [MQTT3-4.4.0-1] [MQTT3-4.3.3-2]: the identifier stays in use across connections.
#[tokio::test(start_paused = true)]
async fn mqtt_4_3_3_10_a_publish_repeated_after_a_reconnect_is_not_passed_on_twice() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut subscriber = broker.client(version, "subscriber").await;
        subscriber.subscribe("t", ExactlyOnce).await;
        let session = connect("publisher").version(version).clean(false).session_expiry_s(100);

        let mut publisher = broker.connect(session.clone()).await;
        publisher.send(publish("t").payload("once").qos2(1)).await;
        publisher.expect_pubrec(1).await;
        publisher.cut();

        let mut publisher = broker.connect(session.clone()).await;
        publisher.send(publish("t").payload("once").qos2(1).dup()).await;
        publisher.expect_pubrec(1).await;
        publisher.send(pubrel(1)).await;
        publisher.expect_pubcomp(1).await;
        publisher.cut();

        // The PUBCOMP may have been lost, so the PUBREL comes again.
        let mut publisher = broker.connect(session).await;
        publisher.send(pubrel(1)).await;
        publisher.expect_pubcomp(1).await;

        subscriber.receive_text("once").await;
        subscriber.expect_silence().await;
    }
}

/// [MQTT-3.1.2-4] [MQTT3-3.1.2-6]: a clean start forgets the identifiers as well.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_4_a_clean_start_frees_all_identifiers() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut subscriber = broker.client(version, "subscriber").await;
        subscriber.subscribe("t", AtMostOnce).await;
        let kept = connect("publisher").version(version).clean(false).session_expiry_s(100);
        let mut publisher = broker.connect(kept).await;
        publisher.send(publish("t").payload("old").qos2(1)).await;
        publisher.expect_pubrec(1).await;
        publisher.cut();
        subscriber.receive_text("old").await;

        let mut publisher = broker.client(version, "publisher").await;
        publisher.publish(publish("t").payload("new").qos2(1)).await;
        subscriber.receive_text("new").await;
    }
}

/// Section 2.2.1: both sides number their packets independently.
#[tokio::test(start_paused = true)]
async fn identifiers_of_both_directions_do_not_disturb_each_other() {
    let broker = broker().await;
    let mut peer = broker.v5("both").await;
    peer.subscribe("t", ExactlyOnce).await;
    peer.send(publish("t").payload("x").qos2(1)).await;
    let mut message = None;
    for _ in 0..2 {
        let packet = peer.expect_packet().await;
        match packet.bytes()[0] >> 4 {
            3 => message = Some(packet),
            5 => peer.send(pubrel(1)).await,
            other => panic!("unexpected packet type {other}"),
        }
    }
    let message = message.expect("the message came");
    assert_eq!(message.bytes()[0] & 0b0110, 0b0100);
    peer.expect_pubcomp(1).await;
    peer.ping().await;
}

/// QoS 1 and QoS 2 in one stream are answered in the order of their coming.
#[tokio::test(start_paused = true)]
async fn acknowledgements_come_in_the_order_of_the_messages() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut publisher = broker.client(version, "publisher").await;
        for packet_id in 1..=9 {
            let message = publish("t").payload("x");
            let message = if packet_id % 3 == 0 { message.qos2(packet_id) } else { message.qos1(packet_id) };
            publisher.send(message).await;
        }
        for packet_id in 1..=9 {
            if packet_id % 3 == 0 {
                publisher.expect_pubrec(packet_id).await;
            } else {
                publisher.expect_puback(packet_id).await;
            }
        }
    }
}
