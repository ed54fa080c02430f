//! What is sent again when a session goes on: section 4.4.

use mqtt_codec::{
    QoS::{AtLeastOnce, ExactlyOnce},
    ReasonCode, Version,
};
use mqtt_testkit::{ConnectBuilder, Peer, connect, puback, pubcomp, publish, pubrec};

use crate::harness::{Harness, broker};

fn kept(version: Version) -> ConnectBuilder {
    connect("subscriber").version(version).clean(false).session_expiry_s(1000)
}

/// A subscriber with a kept session, and a publisher.
async fn pair(broker: &Harness, version: Version) -> (Peer, Peer) {
    let mut subscriber = broker.connect(kept(version)).await;
    subscriber.subscribe("t/#", ExactlyOnce).await;
    (subscriber, broker.client(version, "publisher").await)
}

/// [MQTT-4.4.0-1] [MQTT3-4.4.0-1] [MQTT-3.3.1-1] [MQTT3-3.3.1-1] [MQTT-4.6.0-1] [MQTT3-4.6.0-1] [MQTT3-2.3.1-3] [MQTT-4.3.2-3] [MQTT-4.3.3-3]
#[tokio::test(start_paused = true)]
async fn mqtt_4_4_0_1_unacknowledged_messages_come_again_in_order_with_dup_and_their_identifiers() {
    for version in Version::ALL {
        let broker = broker().await;
        let (mut subscriber, mut publisher) = pair(&broker, version).await;
        let mut sent = Vec::new();
        for number in 1..=6_u16 {
            let message = publish("t/1").payload(number.to_string());
            let message = if number % 2 == 0 { message.qos1(number) } else { message.qos2(number) };
            publisher.publish(message).await;
            sent.push(subscriber.expect_publish().await);
        }
        subscriber.cut();

        for _ in 0..2 {
            let mut again = broker.open("again");
            assert!(again.connect(kept(version)).await.session_present || version == Version::V3_1);
            for first in &sent {
                let second = again.expect_publish().await;
                assert!(second.dup && !first.dup);
                assert_eq!((second.packet_id, second.qos), (first.packet_id, first.qos));
                assert_eq!((second.text(), &second.topic), (first.text(), &first.topic));
            }
            again.expect_silence().await;
            again.cut();
        }
    }
}

/// [MQTT-4.3.3-5] [MQTT-4.3.3-6] [MQTT3-4.3.3-1] [MQTT-4.4.0-1] [MQTT3-4.4.0-1]
#[tokio::test(start_paused = true)]
async fn mqtt_4_3_3_6_after_its_pubrel_only_the_pubrel_comes_again() {
    for version in Version::ALL {
        let broker = broker().await;
        let (mut subscriber, mut publisher) = pair(&broker, version).await;
        publisher.publish(publish("t").payload("x").qos2(1)).await;
        let message = subscriber.expect_publish().await;
        subscriber.send(pubrec(message.packet_id)).await;
        subscriber.expect_pubrel(message.packet_id).await;
        subscriber.cut();

        let mut again = broker.connect(kept(version)).await;
        again.expect_pubrel(message.packet_id).await;
        again.expect_silence().await;
        again.send(pubcomp(message.packet_id)).await;
        again.ping().await;
        again.cut();

        let mut third = broker.connect(kept(version)).await;
        third.expect_silence().await;
    }
}

/// [MQTT-4.4.0-1]: what was acknowledged is not sent again.
#[tokio::test(start_paused = true)]
async fn mqtt_4_4_0_1_acknowledged_messages_do_not_come_again() {
    for version in Version::ALL {
        let broker = broker().await;
        let (mut subscriber, mut publisher) = pair(&broker, version).await;
        for number in 1..=4 {
            publisher.publish(publish("t").payload(number.to_string()).qos1(number)).await;
        }
        for _ in 0..3 {
            subscriber.receive().await;
        }
        let open = subscriber.expect_publish().await;
        subscriber.ping().await;
        subscriber.cut();
        let mut again = broker.connect(kept(version)).await;
        let message = again.receive().await;
        assert!(message.dup);
        assert_eq!((message.packet_id, message.text()), (open.packet_id, "4"));
        again.expect_silence().await;
    }
}

/// [MQTT3-3.1.2-5] [MQTT-4.5.0-1] [MQTT3-4.5.0-1] [MQTT-4.6.0-5]: what came meanwhile follows behind, as first deliveries.
#[tokio::test(start_paused = true)]
async fn mqtt3_3_1_2_5_messages_for_an_absent_client_wait_for_it_in_order() {
    for version in Version::ALL {
        let broker = broker().await;
        let (mut subscriber, mut publisher) = pair(&broker, version).await;
        publisher.publish(publish("t").payload("0").qos1(100)).await;
        subscriber.expect_publish().await;
        subscriber.cut();
        for number in 1..=20_u16 {
            let message = publish("t").payload(number.to_string());
            let message = if number % 2 == 0 { message.qos1(number) } else { message.qos2(number) };
            publisher.publish(message).await;
        }
        let mut again = broker.connect(kept(version)).await;
        assert!(again.receive_text("0").await.dup);
        for number in 1..=20 {
            assert!(!again.receive_text(&number.to_string()).await.dup);
        }
        again.expect_silence().await;
    }
}

/// Section 4.1: QoS 0 messages for an absent client need not wait, and by default do not.
#[tokio::test(start_paused = true)]
async fn qos_0_does_not_wait_for_an_absent_client() {
    for version in Version::ALL {
        let broker = broker().await;
        let (subscriber, mut publisher) = pair(&broker, version).await;
        subscriber.cut();
        publisher.publish(publish("t").payload("gone")).await;
        publisher.ping().await;
        let mut again = broker.connect(kept(version)).await;
        again.expect_silence().await;
    }
}

/// Section 4.1: unless the operator wants it.
#[tokio::test(start_paused = true)]
async fn qos_0_waits_where_the_settings_say_so() {
    let broker = crate::harness::broker_with(|settings| settings.limits.queue_qos0_offline = true).await;
    let (subscriber, mut publisher) = pair(&broker, Version::V5).await;
    subscriber.cut();
    publisher.publish(publish("t").payload("kept")).await;
    publisher.ping().await;
    let mut again = broker.connect(kept(Version::V5)).await;
    again.receive_text("kept").await;
}

/// [MQTT-3.3.2-7]: a repeated PUBLISH names its topic, because aliases ended with the old connection.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_2_7_a_repeated_publish_has_its_whole_topic() {
    let broker = broker().await;
    let (subscriber, mut publisher) = pair(&broker, Version::V5).await;
    subscriber.cut();
    let mut subscriber = broker.connect(kept(Version::V5).topic_alias_maximum(5)).await;
    for number in 1..=3 {
        publisher.publish(publish("t/long/topic").payload(number.to_string()).qos1(number)).await;
        subscriber.expect_publish().await;
    }
    subscriber.cut();
    let mut again = broker.connect(kept(Version::V5)).await;
    for _ in 1..=3 {
        let message = again.receive().await;
        assert!(message.dup && message.topic == "t/long/topic", "{message:?}");
        assert_eq!(message.properties().topic_alias(), None);
    }
}

/// [MQTT-3.3.4-9] [MQTT-4.4.0-1]: the window of the new connection bounds what is repeated too.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_4_9_repetitions_respect_the_new_receive_maximum() {
    let broker = broker().await;
    let (mut subscriber, mut publisher) = pair(&broker, Version::V5).await;
    for number in 1..=5 {
        publisher.publish(publish("t").payload(number.to_string()).qos1(number)).await;
        subscriber.expect_publish().await;
    }
    subscriber.cut();
    publisher.publish(publish("t").payload("6").qos1(6)).await;
    let mut again = broker.connect(kept(Version::V5).receive_maximum(2)).await;
    let first = again.expect_publish().await;
    let second = again.expect_publish().await;
    assert_eq!((first.text(), second.text()), ("1", "2"));
    again.expect_silence().await;
    again.send(puback(first.packet_id)).await;
    again.send(puback(second.packet_id)).await;
    for (number, dup) in [("3", true), ("4", true), ("5", true), ("6", false)] {
        assert_eq!(again.receive_text(number).await.dup, dup);
    }
}

/// [MQTT-3.1.2-4] [MQTT3-3.1.2-6]: a clean start forgets what was under way.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_4_a_clean_start_gets_nothing_of_the_old_session() {
    for version in Version::ALL {
        let broker = broker().await;
        let (mut subscriber, mut publisher) = pair(&broker, version).await;
        publisher.publish(publish("t").payload("1").qos1(1)).await;
        subscriber.expect_publish().await;
        subscriber.cut();
        publisher.publish(publish("t").payload("2").qos1(2)).await;
        let mut fresh = broker.client(version, "subscriber").await;
        fresh.expect_silence().await;
        publisher.publish(publish("t").payload("3").qos1(3)).await;
        fresh.expect_silence().await;
    }
}

/// A session may change the version between its connections.
#[tokio::test(start_paused = true)]
async fn a_session_goes_on_in_another_version() {
    let broker = broker().await;
    let (subscriber, mut publisher) = pair(&broker, Version::V3_1_1).await;
    subscriber.cut();
    publisher.publish(publish("t").payload("x").qos1(1)).await;
    let mut again = broker.open("newer");
    assert!(again.connect(kept(Version::V5)).await.session_present);
    assert_eq!(again.receive_text("x").await.qos, AtLeastOnce);
    again.send(mqtt_testkit::disconnect(ReasonCode::Success)).await;
    again.expect_closed().await;
    let mut back = broker.open("older");
    assert!(back.connect(kept(Version::V3_1_1)).await.session_present);
}
