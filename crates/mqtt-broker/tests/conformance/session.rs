//! How long a session lives: sections 3.1.2.4, 3.1.2.11.2 and 4.1.

use std::time::Duration;

use mqtt_codec::{
    QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce},
    ReasonCode, Version,
};
use mqtt_testkit::{ConnectBuilder, connect, disconnect, publish};
use tokio::time::sleep;

use crate::harness::{Harness, broker, broker_with};

async fn session_present(broker: &Harness, request: ConnectBuilder) -> bool {
    let mut peer = broker.open("probe");
    let present = peer.connect(request).await.session_present;
    peer.cut();
    present
}

fn kept(seconds: u32) -> ConnectBuilder {
    connect("sleeper").clean(false).session_expiry_s(seconds)
}

/// [MQTT-3.1.2-23] [MQTT-4.1.0-2] [MQTT-3.1.2-5] [MQTT-3.1.2-6]
#[tokio::test(start_paused = true)]
async fn mqtt_4_1_0_2_a_session_ends_with_its_expiry_interval() {
    let broker = broker().await;
    assert!(!session_present(&broker, kept(10)).await);
    sleep(Duration::from_millis(9_000)).await;
    assert!(session_present(&broker, kept(10)).await);
    sleep(Duration::from_millis(11_000)).await;
    assert!(!session_present(&broker, kept(10)).await);
}

/// Section 3.1.2.11.2: absent or 0 means that it ends with the connection.
#[tokio::test(start_paused = true)]
async fn without_an_expiry_interval_the_session_ends_with_the_connection() {
    let broker = broker().await;
    for request in [connect("sleeper").clean(false), kept(0)] {
        assert!(!session_present(&broker, request.clone()).await);
        sleep(Duration::from_millis(1)).await;
        assert!(!session_present(&broker, request).await);
    }
}

/// Section 3.1.2.11.2: 0xFFFFFFFF never ends.
#[tokio::test(start_paused = true)]
async fn the_largest_expiry_interval_never_ends() {
    let broker = broker().await;
    assert!(!session_present(&broker, kept(u32::MAX)).await);
    sleep(Duration::from_secs(20 * 365 * 86_400)).await;
    assert!(session_present(&broker, kept(u32::MAX)).await);
}

/// [MQTT-4.1.0-1] [MQTT3-4.1.0-1] [MQTT3-4.1.0-2]: the interval counts from the end of the connection.
#[tokio::test(start_paused = true)]
async fn mqtt_4_1_0_1_an_open_connection_keeps_its_session() {
    let broker = broker().await;
    let mut peer = broker.connect(kept(10)).await;
    peer.subscribe("t", AtLeastOnce).await;
    peer.expect_silence_for(Duration::from_secs(3600)).await;
    let mut publisher = broker.v5("publisher").await;
    publisher.publish(publish("t").payload("x").qos1(1)).await;
    peer.receive_text("x").await;
    peer.cut();
    sleep(Duration::from_secs(9)).await;
    assert!(session_present(&broker, kept(10)).await);
}

/// [MQTT3-3.1.2-4] [MQTT3-3.1.2-6] [MQTT3-3.2.2-2] [MQTT3-3.2.2-3] [MQTT3-4.1.0-1]
#[tokio::test(start_paused = true)]
async fn mqtt3_3_1_2_4_clean_session_decides_whether_the_session_stays() {
    for version in [Version::V3_1, Version::V3_1_1] {
        let broker = broker().await;
        let request = |clean| connect("sleeper").version(version).clean(clean);
        let mut peer = broker.connect(request(false)).await;
        peer.subscribe("t", AtLeastOnce).await;
        peer.leave().await;
        sleep(Duration::from_secs(86_400)).await;

        let mut publisher = broker.client(version, "publisher").await;
        publisher.publish(publish("t").payload("kept").qos1(1)).await;
        let mut peer = broker.connect(request(false)).await;
        peer.receive_text("kept").await;
        peer.leave().await;

        let mut peer = broker.connect(request(true)).await;
        peer.subscribe("u", AtLeastOnce).await;
        peer.leave().await;
        publisher.publish(publish("t").payload("lost").qos1(2)).await;
        publisher.publish(publish("u").payload("lost").qos1(3)).await;
        let mut peer = broker.connect(request(false)).await;
        peer.expect_silence().await;
    }
}

/// An operator may bound the sessions of 3.x clients, which cannot ask for an interval.
#[tokio::test(start_paused = true)]
async fn sessions_of_3_1_1_end_where_the_settings_say_so() {
    let broker = broker_with(|settings| settings.policy.session_expiry_v3_s = 60).await;
    let request = connect("sleeper").version(Version::V3_1_1).clean(false);
    assert!(!session_present(&broker, request.clone()).await);
    sleep(Duration::from_secs(59)).await;
    assert!(session_present(&broker, request.clone()).await);
    sleep(Duration::from_secs(61)).await;
    assert!(!session_present(&broker, request).await);
}

/// [MQTT-3.1.2-5] [MQTT3-3.1.2-4]: subscriptions are part of the session, with their options.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_5_subscriptions_come_back_with_the_session() {
    let broker = broker().await;
    let mut peer = broker.connect(kept(100)).await;
    let request =
        mqtt_testkit::subscribe(1).identifier(9).filter("t/+", ExactlyOnce).no_local().retain_as_published();
    peer.subscribe_with(request).await;
    peer.cut();

    let mut peer = broker.connect(kept(100)).await;
    peer.publish(publish("t/own").payload("own").qos1(1)).await;
    let mut publisher = broker.v5("publisher").await;
    publisher.publish(publish("t/1").payload("x").qos2(1).retained()).await;
    let message = peer.receive_text("x").await;
    assert_eq!(message.qos, ExactlyOnce);
    assert!(message.retain);
    assert_eq!(message.properties().subscription_identifiers().collect::<Vec<_>>(), [9]);
    peer.expect_silence().await;
}

/// [MQTT-3.1.2-4] [MQTT3-3.1.2-6]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_4_a_clean_start_drops_the_subscriptions() {
    for version in Version::ALL {
        let broker = broker().await;
        let kept = connect("sleeper").version(version).clean(false).session_expiry_s(100);
        let mut peer = broker.connect(kept).await;
        peer.subscribe("t", AtMostOnce).await;
        peer.leave().await;
        let mut peer = broker.client(version, "sleeper").await;
        let mut publisher = broker.client(version, "publisher").await;
        publisher.publish(publish("t").payload("x").qos1(1)).await;
        peer.expect_silence().await;
    }
}

/// Section 3.14.2.2.2: a DISCONNECT may set another interval.
#[tokio::test(start_paused = true)]
async fn a_disconnect_changes_the_expiry_interval() {
    let broker = broker().await;
    for (set, wait_s, present) in [(100, 50, true), (5, 6, false), (0, 0, false), (u32::MAX, 1_000_000, true)]
    {
        let mut peer = broker.connect(connect("sleeper").session_expiry_s(10)).await;
        peer.send(disconnect(ReasonCode::Success).session_expiry_s(set)).await;
        peer.expect_closed().await;
        sleep(Duration::from_secs(wait_s)).await;
        assert_eq!(session_present(&broker, kept(10)).await, present, "set to {set}");
    }
}

/// Section 3.14.2.2.2: but not from 0 to more than 0.
#[tokio::test(start_paused = true)]
async fn a_disconnect_may_not_bring_a_session_to_life() {
    let broker = broker().await;
    for request in [connect("sleeper"), connect("sleeper").session_expiry_s(0)] {
        let mut peer = broker.connect(request).await;
        peer.send(disconnect(ReasonCode::Success).session_expiry_s(10)).await;
        peer.expect_disconnect(ReasonCode::ProtocolError).await;
        assert!(!session_present(&broker, connect("sleeper").clean(false)).await);
    }
}

/// [MQTT-3.3.2-5] [MQTT-3.3.2-6]: messages age while they wait.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_2_5_messages_expire_while_the_client_is_away() {
    let broker = broker().await;
    let mut peer = broker.connect(kept(1000)).await;
    peer.subscribe("t", ExactlyOnce).await;
    peer.cut();
    let mut publisher = broker.v5("publisher").await;
    publisher.publish(publish("t").payload("short").qos1(1).expiry_s(10)).await;
    publisher.publish(publish("t").payload("long").qos2(2).expiry_s(100)).await;
    publisher.publish(publish("t").payload("for ever").qos1(3)).await;
    sleep(Duration::from_secs(30)).await;
    let mut peer = broker.connect(kept(1000)).await;
    let message = peer.receive_text("long").await;
    assert_eq!(message.properties().message_expiry_interval_s(), Some(70));
    let message = peer.receive_text("for ever").await;
    assert_eq!(message.properties().message_expiry_interval_s(), None);
    peer.expect_silence().await;
}

/// [MQTT-3.3.2-5]: that holds for receivers of 3.1.1 as well, which just do not learn the interval.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_2_5_messages_expire_for_clients_of_3_1_1_too() {
    let broker = broker().await;
    let request = connect("sleeper").version(Version::V3_1_1).clean(false);
    let mut peer = broker.connect(request.clone()).await;
    peer.subscribe("t", AtLeastOnce).await;
    peer.cut();
    let mut publisher = broker.v5("publisher").await;
    publisher.publish(publish("t").payload("short").qos1(1).expiry_s(10)).await;
    publisher.publish(publish("t").payload("long").qos1(2).expiry_s(100)).await;
    sleep(Duration::from_secs(30)).await;
    let mut peer = broker.connect(request).await;
    peer.receive_text("long").await;
    peer.expect_silence().await;
}

/// [MQTT-4.1.0-2]: a session that has ended takes its queue and subscriptions along.
#[tokio::test(start_paused = true)]
async fn mqtt_4_1_0_2_nothing_of_an_ended_session_comes_back() {
    let broker = broker().await;
    let mut peer = broker.connect(kept(10)).await;
    peer.subscribe("t", AtLeastOnce).await;
    peer.cut();
    let mut publisher = broker.v5("publisher").await;
    publisher.publish(publish("t").payload("lost").qos1(1)).await;
    sleep(Duration::from_secs(11)).await;
    let mut peer = broker.connect(kept(10)).await;
    publisher.publish(publish("t").payload("lost").qos1(2)).await;
    peer.expect_silence().await;
}
