//! Retained messages: section 3.3.1.3.

use std::{collections::BTreeSet, time::Duration};

use mqtt_codec::{
    QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce},
    RetainHandling, Version,
};
use mqtt_testkit::{Peer, connect, publish, subscribe};

use crate::harness::{Harness, broker};

const ALL_QOS: [QoS; 3] = [AtMostOnce, AtLeastOnce, ExactlyOnce];

/// Publishes a retained message and waits until it is kept.
async fn retain(broker: &Harness, version: Version, topic: &str, payload: &str, qos: QoS) {
    let mut keeper = broker.client(version, "keeper").await;
    keeper.publish(publish(topic).payload(payload).qos(qos, 1).retained()).await;
    keeper.ping().await;
    keeper.leave().await;
}

async fn expect_retained(peer: &mut Peer, topic: &str, payload: &str) {
    let message = peer.receive_text(payload).await;
    assert!(message.retain, "{message:?}");
    assert_eq!(message.topic, topic);
}

/// [MQTT-3.3.1-5] [MQTT3-3.3.1-5] [MQTT3-3.3.1-6] [MQTT3-3.3.1-8] [MQTT-3.3.1-9] [MQTT-3.8.4-8]
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_1_5_a_retained_message_is_kept_with_its_qos_for_later_subscribers() {
    for version in Version::ALL {
        let broker = broker().await;
        for published in ALL_QOS {
            retain(&broker, version, "r", "kept", published).await;
            for granted in ALL_QOS {
                let mut late = broker.client(version, "late").await;
                late.subscribe("r", granted).await;
                let message = late.receive_text("kept").await;
                assert!(message.retain && !message.dup);
                assert_eq!(message.qos, published.min(granted));
                late.expect_silence().await;
            }
        }
    }
}

/// [MQTT-3.3.1-5] [MQTT3-3.3.1-7] [MQTT3-3.3.1-5]
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_1_5_a_later_retained_message_replaces_the_earlier_one() {
    for version in Version::ALL {
        let broker = broker().await;
        for (number, qos) in [ExactlyOnce, AtMostOnce, AtLeastOnce].into_iter().enumerate() {
            retain(&broker, version, "r", &number.to_string(), qos).await;
            let mut late = broker.client(version, "late").await;
            late.subscribe("r", AtMostOnce).await;
            expect_retained(&mut late, "r", &number.to_string()).await;
            late.expect_silence().await;
        }
    }
}

/// [MQTT-3.3.1-6] [MQTT-3.3.1-7] [MQTT3-3.3.1-10] [MQTT3-3.3.1-11]
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_1_6_an_empty_retained_message_is_forwarded_and_removes_the_kept_one() {
    for version in Version::ALL {
        let broker = broker().await;
        retain(&broker, version, "r", "kept", AtLeastOnce).await;
        let mut present = broker.client(version, "present").await;
        present.subscribe("r", AtMostOnce).await;
        expect_retained(&mut present, "r", "kept").await;

        retain(&broker, version, "r", "", AtLeastOnce).await;
        let message = present.receive_text("").await;
        assert!(!message.retain);
        let mut late = broker.client(version, "late").await;
        late.subscribe("r", AtMostOnce).await;
        late.expect_silence().await;
    }
}

/// [MQTT-3.3.1-8] [MQTT3-3.3.1-12]
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_1_8_a_message_without_retain_touches_nothing() {
    for version in Version::ALL {
        let broker = broker().await;
        retain(&broker, version, "r", "kept", AtLeastOnce).await;
        let mut publisher = broker.client(version, "publisher").await;
        publisher.publish(publish("r").payload("passing").qos1(1)).await;
        publisher.publish(publish("r").qos1(2)).await;
        publisher.publish(publish("s").payload("passing").qos1(3)).await;
        let mut late = broker.client(version, "late").await;
        late.subscribe("#", AtMostOnce).await;
        expect_retained(&mut late, "r", "kept").await;
        late.expect_silence().await;
    }
}

/// [MQTT3-3.3.1-9] [MQTT-3.3.1-12]
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_1_12_an_existing_subscription_sees_retain_0() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut present = broker.client(version, "present").await;
        present.subscribe("r", AtLeastOnce).await;
        retain(&broker, version, "r", "x", AtLeastOnce).await;
        assert!(!present.receive_text("x").await.retain);
    }
}

/// [MQTT-3.3.1-13]
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_1_13_retain_as_published_keeps_the_flag() {
    let broker = broker().await;
    let mut bridge = broker.v5("bridge").await;
    bridge.subscribe_with(subscribe(1).filter("r", AtLeastOnce).retain_as_published()).await;
    retain(&broker, Version::V5, "r", "kept", AtLeastOnce).await;
    assert!(bridge.receive_text("kept").await.retain);
    let mut publisher = broker.v5("publisher").await;
    publisher.publish(publish("r").payload("passing")).await;
    assert!(!bridge.receive_text("passing").await.retain);
    // The message that removes is marked as well, so that a bridge can pass the removal on.
    retain(&broker, Version::V5, "r", "", AtLeastOnce).await;
    assert!(bridge.receive_text("").await.retain);
}

/// [MQTT-3.3.1-9] [MQTT-3.8.4-4] [MQTT3-3.8.4-3]: retain handling 0 sends them at every subscribe.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_1_9_a_repeated_subscribe_gets_the_retained_messages_again() {
    for version in Version::ALL {
        let broker = broker().await;
        retain(&broker, version, "r", "kept", AtLeastOnce).await;
        let mut peer = broker.client(version, "again").await;
        for _ in 0..3 {
            peer.subscribe("r", AtLeastOnce).await;
            expect_retained(&mut peer, "r", "kept").await;
        }
        peer.expect_silence().await;
    }
}

/// [MQTT-3.3.1-10]
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_1_10_retain_handling_1_sends_them_for_a_new_subscription_only() {
    let broker = broker().await;
    retain(&broker, Version::V5, "r", "kept", AtLeastOnce).await;
    let mut peer = broker.connect(connect("once").clean(false).session_expiry_s(100)).await;
    let request =
        |packet_id| subscribe(packet_id).filter("r", AtMostOnce).retain_handling(RetainHandling::SendIfNew);
    peer.subscribe_with(request(1)).await;
    expect_retained(&mut peer, "r", "kept").await;
    peer.subscribe_with(request(2)).await;
    peer.expect_silence().await;
    peer.unsubscribe("r").await;
    peer.subscribe_with(request(3)).await;
    expect_retained(&mut peer, "r", "kept").await;
    peer.leave().await;
    // The subscription of a resumed session is not new either.
    let mut peer = broker.connect(connect("once").clean(false).session_expiry_s(100)).await;
    peer.subscribe_with(request(4)).await;
    peer.expect_silence().await;
}

/// [MQTT-3.3.1-11]
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_1_11_retain_handling_2_never_sends_them() {
    let broker = broker().await;
    retain(&broker, Version::V5, "r", "kept", AtLeastOnce).await;
    let mut peer = broker.v5("never").await;
    for packet_id in 1..=2 {
        let request = subscribe(packet_id).filter("r", AtMostOnce).retain_handling(RetainHandling::DoNotSend);
        peer.subscribe_with(request).await;
        peer.expect_silence().await;
    }
    retain(&broker, Version::V5, "r", "live", AtLeastOnce).await;
    assert!(!peer.receive_text("live").await.retain);
}

/// [MQTT-3.3.1-9] [MQTT3-3.3.1-6]: one message per matching topic, and only those.
#[tokio::test(start_paused = true)]
async fn mqtt3_3_3_1_6_a_wildcard_gets_the_message_of_every_matching_topic() {
    for version in Version::ALL {
        let broker = broker().await;
        for topic in ["r/1", "r/2", "r/2/x", "r", "s/1", "/r", "$r/1"] {
            retain(&broker, version, topic, topic, AtLeastOnce).await;
        }
        for (filter, expected) in [
            ("r/+", &["r/1", "r/2"][..]),
            ("r/#", &["r", "r/1", "r/2", "r/2/x"]),
            ("+/1", &["r/1", "s/1"]),
            ("#", &["/r", "r", "r/1", "r/2", "r/2/x", "s/1"]),
            ("$r/+", &["$r/1"]),
            ("r/3", &[]),
        ] {
            let mut late = broker.client(version, "late").await;
            late.subscribe(filter, AtMostOnce).await;
            let mut topics = BTreeSet::new();
            for _ in expected {
                let message = late.receive().await;
                assert!(message.retain && message.text() == message.topic);
                topics.insert(message.topic);
            }
            late.expect_silence().await;
            assert!(topics.iter().eq(expected), "{filter} gave {topics:?}");
        }
    }
}

/// [MQTT-3.3.1-9]: many retained messages are all sent, whatever the window.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_1_9_a_thousand_retained_messages_all_arrive() {
    let broker = broker().await;
    let mut keeper = broker.v5("keeper").await;
    for number in 0..1000_u16 {
        keeper.publish(publish(&format!("r/{number}")).payload(number.to_string()).qos1(1).retained()).await;
    }
    let mut late = broker.connect(connect("late").receive_maximum(3)).await;
    late.subscribe("r/#", AtLeastOnce).await;
    let mut seen = BTreeSet::new();
    for _ in 0..1000 {
        seen.insert(late.receive().await.topic);
    }
    assert_eq!(seen.len(), 1000);
    late.expect_silence().await;
}

/// [MQTT3-3.1.2-7]: they belong to no session. [MQTT-3.1.2-4]
#[tokio::test(start_paused = true)]
async fn mqtt3_3_1_2_7_retained_messages_survive_the_session_of_their_publisher() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut keeper = broker.client(version, "keeper").await;
        keeper.publish(publish("r").payload("kept").qos1(1).retained()).await;
        keeper.cut();
        let again = broker.client(version, "keeper").await;
        again.leave().await;
        let mut late = broker.client(version, "late").await;
        late.subscribe("r", AtMostOnce).await;
        expect_retained(&mut late, "r", "kept").await;
    }
}

/// [MQTT-3.3.2-5] [MQTT-3.3.2-6]: a retained message ages and expires like any other.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_2_5_a_retained_message_expires() {
    let broker = broker().await;
    let mut keeper = broker.v5("keeper").await;
    keeper.publish(publish("r").payload("kept").qos1(1).retained().expiry_s(10)).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let mut early = broker.v5("early").await;
    early.subscribe("r", AtMostOnce).await;
    let message = early.receive_text("kept").await;
    assert_eq!(message.properties().message_expiry_interval_s(), Some(6));
    tokio::time::sleep(Duration::from_secs(7)).await;
    for version in Version::ALL {
        let mut late = broker.client(version, "late").await;
        late.subscribe("r", AtMostOnce).await;
        late.expect_silence().await;
    }
}

/// Section 4.8.2: a shared subscription gets no retained messages when it is made.
#[tokio::test(start_paused = true)]
async fn shared_subscriptions_get_no_retained_messages() {
    let broker = broker().await;
    retain(&broker, Version::V5, "r", "kept", AtLeastOnce).await;
    let mut member = broker.v5("member").await;
    member.subscribe("$share/g/r", AtLeastOnce).await;
    member.expect_silence().await;
}

/// [MQTT-3.3.4-3]: retained messages carry the identifier of the subscription that asked for them.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_4_3_a_retained_message_carries_the_subscription_identifier() {
    let broker = broker().await;
    retain(&broker, Version::V5, "r", "kept", AtLeastOnce).await;
    let mut peer = broker.v5("numbered").await;
    peer.subscribe_with(subscribe(1).filter("r", AtMostOnce).identifier(42)).await;
    let message = peer.receive_text("kept").await;
    assert_eq!(message.properties().subscription_identifiers().collect::<Vec<_>>(), [42]);
}

/// [MQTT-3.8.4-5] [MQTT3-3.8.4-4]: several filters in one SUBSCRIBE each get their retained messages.
#[tokio::test(start_paused = true)]
async fn mqtt_3_8_4_5_each_filter_of_a_subscribe_gets_its_retained_messages() {
    for version in Version::ALL {
        let broker = broker().await;
        retain(&broker, version, "r/1", "one", AtLeastOnce).await;
        retain(&broker, version, "r/2", "two", AtLeastOnce).await;
        let mut late = broker.client(version, "late").await;
        late.subscribe_with(subscribe(1).filter("r/1", AtMostOnce).filter("r/2", AtLeastOnce)).await;
        expect_retained(&mut late, "r/1", "one").await;
        expect_retained(&mut late, "r/2", "two").await;
        late.expect_silence().await;
    }
}

/// [MQTT-3.8.4-4] [MQTT3-3.8.4-3]: live messages keep flowing while retained ones are replayed.
#[tokio::test(start_paused = true)]
async fn mqtt_3_8_4_4_live_messages_are_not_lost_during_a_replay() {
    let broker = broker().await;
    let mut keeper = broker.v5("keeper").await;
    for number in 0..300_u16 {
        keeper.publish(publish(&format!("r/{number}")).payload("kept").qos1(1).retained()).await;
    }
    let mut peer = broker.connect(connect("busy").receive_maximum(2)).await;
    peer.subscribe("r/#", AtLeastOnce).await;
    for number in 0..50_u16 {
        keeper.publish(publish("r/live").payload(number.to_string()).qos1(1)).await;
    }
    let (mut kept, mut live) = (0, Vec::new());
    for _ in 0..350 {
        let message = peer.receive().await;
        if message.retain {
            kept += 1;
        } else {
            live.push(message.text().parse::<u16>().expect("a number"));
        }
    }
    assert_eq!(kept, 300);
    assert_eq!(live, (0..50).collect::<Vec<_>>());
    peer.expect_silence().await;
}
