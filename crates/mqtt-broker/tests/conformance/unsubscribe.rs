//! UNSUBSCRIBE and UNSUBACK: sections 3.10 and 3.11.

use mqtt_codec::{
    QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce},
    ReasonCode, Version,
};
use mqtt_testkit::{connect, puback, pubcomp, publish, pubrec, unsubscribe};

use crate::harness::{broker, expect_violation};

/// [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT3-3.10.4-4] [MQTT3-3.10.4-5] [MQTT-2.2.1-6] [MQTT3-2.3.1-7]
#[tokio::test(start_paused = true)]
async fn mqtt_3_10_4_4_an_unsubscribe_is_answered_whether_it_removed_anything_or_not() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut peer = broker.client(version, "leaver").await;
        peer.subscribe("a", AtMostOnce).await;
        for packet_id in [0x7001, 0x7002] {
            peer.send(unsubscribe(packet_id).filter("a")).await;
            assert_eq!(peer.expect_unsuback().await.packet_id, packet_id);
        }
    }
}

/// [MQTT-3.11.3-1] [MQTT-3.11.3-2] [MQTT-3.10.4-6]
#[tokio::test(start_paused = true)]
async fn mqtt_3_11_3_1_each_filter_is_answered_in_its_place() {
    let broker = broker().await;
    let mut peer = broker.v5("leaver").await;
    for filter in ["a", "b/#", "+/c"] {
        peer.subscribe(filter, AtMostOnce).await;
    }
    peer.send(unsubscribe(9).filter("x").filter("a").filter("b/#").filter("b/1").filter("a").filter("+/c"))
        .await;
    let unsuback = peer.expect_unsuback().await;
    let (gone, none) = (ReasonCode::Success, ReasonCode::NoSubscriptionExisted);
    assert_eq!(unsuback.reasons, [none, gone, gone, none, none, gone]);
}

/// [MQTT3-3.10.4-6] [MQTT3-3.10.4-4]: 3.1.1 answers with the identifier alone.
#[tokio::test(start_paused = true)]
async fn mqtt3_3_10_4_6_several_filters_get_one_unsuback() {
    for version in [Version::V3_1, Version::V3_1_1] {
        let broker = broker().await;
        let mut peer = broker.client(version, "leaver").await;
        peer.subscribe("a", AtMostOnce).await;
        peer.subscribe("b", AtMostOnce).await;
        peer.send(unsubscribe(0x1234).filter("a").filter("x").filter("b")).await;
        peer.expect_bytes(b"\xB0\x02\x12\x34").await;
        peer.publish(publish("a").payload("x")).await;
        peer.publish(publish("b").payload("x")).await;
        peer.expect_silence().await;
    }
}

/// [MQTT-3.10.4-2] [MQTT3-3.10.4-2]
#[tokio::test(start_paused = true)]
async fn mqtt_3_10_4_2_nothing_new_comes_after_an_unsubscribe() {
    for version in Version::ALL {
        for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
            let broker = broker().await;
            let mut peer = broker.client(version, "leaver").await;
            peer.subscribe("a/+", qos).await;
            let mut publisher = broker.client(version, "publisher").await;
            publisher.publish(publish("a/b").payload("before").qos(qos, 1)).await;
            peer.receive_text("before").await;
            peer.unsubscribe("a/+").await;
            publisher.publish(publish("a/b").payload("after").qos(qos, 2)).await;
            peer.expect_silence().await;
        }
    }
}

/// [MQTT-3.10.4-1] [MQTT3-3.10.4-1]
#[tokio::test(start_paused = true)]
async fn mqtt_3_10_4_1_only_the_same_text_removes_a_subscription() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut peer = broker.client(version, "leaver").await;
        peer.subscribe("a/+", AtMostOnce).await;
        for filter in ["a/b", "a/#", "#", "a/", "A/+", "+/+"] {
            let unsuback = peer.unsubscribe(filter).await;
            assert!(unsuback.reasons.iter().all(|it| *it == ReasonCode::NoSubscriptionExisted));
        }
        peer.publish(publish("a/b").payload("still")).await;
        peer.receive_text("still").await;
    }
}

/// [MQTT-3.10.4-3] [MQTT3-3.10.4-3]
#[tokio::test(start_paused = true)]
async fn mqtt_3_10_4_3_deliveries_that_began_are_finished() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut peer = broker.client(version, "leaver").await;
        peer.subscribe("t", ExactlyOnce).await;
        let mut publisher = broker.client(version, "publisher").await;
        publisher.publish(publish("t").payload("1").qos1(1)).await;
        publisher.publish(publish("t").payload("2").qos2(2)).await;
        let first = peer.expect_publish().await;
        let second = peer.expect_publish().await;
        peer.unsubscribe("t").await;
        peer.send(puback(first.packet_id)).await;
        peer.send(pubrec(second.packet_id)).await;
        peer.expect_pubrel(second.packet_id).await;
        peer.send(pubcomp(second.packet_id)).await;
        peer.ping().await;
    }
}

/// [MQTT-3.10.4-3] [MQTT3-3.10.4-3]: even over a reconnect.
#[tokio::test(start_paused = true)]
async fn mqtt_3_10_4_3_deliveries_that_began_are_repeated_after_a_reconnect() {
    for version in Version::ALL {
        let broker = broker().await;
        let kept = connect("leaver").version(version).clean(false).session_expiry_s(100);
        let mut peer = broker.connect(kept.clone()).await;
        peer.subscribe("t", AtLeastOnce).await;
        let mut publisher = broker.client(version, "publisher").await;
        publisher.publish(publish("t").payload("open").qos1(1)).await;
        let open = peer.expect_publish().await;
        peer.unsubscribe("t").await;
        peer.cut();
        let mut peer = broker.connect(kept).await;
        assert_eq!(peer.receive_text("open").await.packet_id, open.packet_id);
        peer.expect_silence().await;
    }
}

/// [MQTT-4.7.1-1] [MQTT-4.7.1-2]: a filter that is none cannot be unsubscribed either.
#[tokio::test(start_paused = true)]
async fn mqtt_4_7_1_1_a_filter_that_is_none_is_refused_in_unsubscribe() {
    for version in Version::ALL {
        let broker = broker().await;
        for filter in ["a#", "a/#/b", "+a", ""] {
            let mut peer = broker.client(version, "wrong").await;
            peer.send(unsubscribe(1).filter(filter)).await;
            expect_violation(&mut peer, ReasonCode::TopicFilterInvalid).await;
        }
    }
}

/// An UNSUBSCRIBE of one client leaves the others alone.
#[tokio::test(start_paused = true)]
async fn other_clients_keep_their_subscriptions() {
    let broker = broker().await;
    let mut one = broker.v5("one").await;
    let mut other = broker.v5("other").await;
    one.subscribe("t", AtMostOnce).await;
    other.subscribe("t", AtMostOnce).await;
    one.unsubscribe("t").await;
    one.publish(publish("t").payload("x")).await;
    other.receive_text("x").await;
    one.expect_silence().await;
}
