//! Bounds that an operator sets, and what the standard's reasons say when one is reached.

use std::time::Duration;

use mqtt_codec::{
    QoS::{AtLeastOnce, AtMostOnce},
    ReasonCode, Version,
};
use mqtt_store::Overflow;
use mqtt_testkit::{connect, disconnect, publish, subscribe};
use tokio::time::sleep;

use crate::harness::broker_with;

/// Table 3-9: one subscription too many is refused with 0x97, replacing one is not.
#[tokio::test(start_paused = true)]
async fn a_session_has_a_bounded_number_of_subscriptions() {
    for version in Version::ALL {
        let broker = broker_with(|settings| settings.limits.subscriptions_max = 2).await;
        let mut peer = broker.client(version, "greedy").await;
        let request = subscribe(1)
            .filter("a", AtMostOnce)
            .filter("b", AtMostOnce)
            .filter("c", AtMostOnce)
            .filter("a", AtLeastOnce);
        let suback = peer.subscribe_with(request).await;
        let refusal =
            if version == Version::V5 { ReasonCode::QuotaExceeded } else { ReasonCode::UnspecifiedError };
        let granted = ReasonCode::Success;
        assert_eq!(suback.reasons, [granted, granted, refusal, ReasonCode::GrantedQoS1]);
        peer.unsubscribe("b").await;
        peer.subscribe("c", AtMostOnce).await;
    }
}

/// A connection beyond the maximum is closed, and its place is free again later.
#[tokio::test(start_paused = true)]
async fn connections_beyond_the_maximum_are_closed() {
    let broker = broker_with(|settings| settings.limits.connections_max = 2).await;
    let mut one = broker.v5("one").await;
    let two = broker.v5("two").await;
    let mut three = broker.open("three");
    three.send_carelessly(connect("three")).await;
    three.expect_closed().await;
    two.leave().await;
    sleep(Duration::from_secs(5)).await;
    broker.v5("three").await.ping().await;
    one.ping().await;
}

/// A topic deeper than the operator allows is refused, the connection goes on.
#[tokio::test(start_paused = true)]
async fn topics_have_a_bounded_depth() {
    let broker = broker_with(|settings| settings.limits.topic_levels_max = 3).await;
    let mut peer = broker.v5("deep").await;
    let suback =
        peer.subscribe_with(subscribe(1).filter("a/b/c", AtMostOnce).filter("a/b/c/d", AtMostOnce)).await;
    assert_eq!(suback.reasons, [ReasonCode::Success, ReasonCode::TopicFilterInvalid]);
    peer.send(publish("a/b/c/d").payload("x").qos1(1)).await;
    assert_eq!(peer.expect_puback(1).await.reason, ReasonCode::TopicNameInvalid);
    peer.publish(publish("a/b/c").payload("x")).await;
    peer.receive_text("x").await;
}

/// What waits for an absent client is bounded, and the operator says which end gives way.
#[tokio::test(start_paused = true)]
async fn the_queue_of_an_absent_client_is_bounded() {
    for (overflow, expected) in
        [(Overflow::DropNewest, ["1", "2", "3"]), (Overflow::DropOldest, ["8", "9", "10"])]
    {
        let broker = broker_with(|settings| {
            settings.queue.messages_max = 3;
            settings.queue.overflow = overflow;
        })
        .await;
        let kept = connect("away").clean(false).session_expiry_s(100);
        let mut away = broker.connect(kept.clone()).await;
        away.subscribe("t", AtLeastOnce).await;
        away.cut();
        let mut publisher = broker.v5("publisher").await;
        for number in 1..=10 {
            publisher.send(publish("t").payload(number.to_string()).qos1(number)).await;
            publisher.expect_puback(number).await;
        }
        let mut back = broker.connect(kept).await;
        for text in expected {
            back.receive_text(text).await;
        }
        back.expect_silence().await;
    }
}

/// [MQTT-4.1.0-2] and section 3.2.2.3.2: no DISCONNECT makes a session live longer than the operator allows.
#[tokio::test(start_paused = true)]
async fn mqtt_4_1_0_2_the_longest_session_expiry_holds_for_disconnect_too() {
    let broker = broker_with(|settings| settings.policy.session_expiry_max_s = 60).await;
    let mut peer = broker.connect(connect("keeper").session_expiry_s(10)).await;
    peer.send(disconnect(ReasonCode::Success).session_expiry_s(u32::MAX)).await;
    peer.expect_closed().await;
    sleep(Duration::from_secs(62)).await;
    let mut again = broker.open("again");
    assert!(!again.connect(connect("keeper").clean(false)).await.session_present);
}

/// Retained messages are bounded; a replacement needs no further room.
#[tokio::test(start_paused = true)]
async fn retained_messages_are_bounded() {
    let broker = broker_with(|settings| settings.retained.messages_max = 2).await;
    let mut peer = broker.v5("keeper").await;
    for topic in ["r/1", "r/2", "r/1"] {
        peer.publish(publish(topic).payload("kept").qos1(1).retained()).await;
    }
    peer.send(publish("r/3").payload("too many").qos1(1).retained()).await;
    peer.expect_puback(1).await;
    let mut late = broker.v5("late").await;
    late.subscribe("r/#", AtMostOnce).await;
    late.receive_text("kept").await;
    late.receive_text("kept").await;
    late.expect_silence().await;
}

/// Section 4.7.2: the broker's own tree cannot be forged.
#[tokio::test(start_paused = true)]
async fn clients_cannot_publish_to_sys() {
    for version in Version::ALL {
        let broker = broker_with(|_| ()).await;
        let mut watcher = broker.client(version, "watcher").await;
        watcher.subscribe("$SYS/#", AtMostOnce).await;
        let mut peer = broker.client(version, "forger").await;
        peer.send(publish("$SYS/broker/version").payload("mine").qos1(1).retained()).await;
        let puback = peer.expect_puback(1).await;
        if version == Version::V5 {
            assert_eq!(puback.reason, ReasonCode::NotAuthorized);
        }
        watcher.expect_silence().await;
    }
}

/// The `$SYS` tree is there for those who ask for it, and only for them. [MQTT-4.7.2-1]
#[tokio::test(start_paused = true)]
async fn mqtt_4_7_2_1_the_sys_tree_is_seen_by_those_who_name_it() {
    let broker = broker_with(|settings| settings.sys.interval = Some(Duration::from_secs(10))).await;
    let mut everything = broker.v5("everything").await;
    everything.subscribe("#", AtMostOnce).await;
    let mut watcher = broker.v5("watcher").await;
    watcher.subscribe("$SYS/#", AtMostOnce).await;
    sleep(Duration::from_secs(11)).await;
    let figures = watcher.drain().await;
    assert!(figures.len() > 10, "only {} topics", figures.len());
    everything.expect_silence().await;
    let mut late = broker.v5("late").await;
    late.subscribe("$SYS/broker/clients/connected", AtMostOnce).await;
    assert!(late.receive().await.retain);
}
