//! The options of a subscription in 5.0: section 3.8.3.1.

use mqtt_codec::{
    QoS::{AtLeastOnce, AtMostOnce},
    ReasonCode,
};
use mqtt_testkit::{connect, publish, subscribe};

use crate::harness::broker;

/// [MQTT-3.8.3-3]
#[tokio::test(start_paused = true)]
async fn mqtt_3_8_3_3_no_local_keeps_a_clients_own_messages_away() {
    let broker = broker().await;
    let mut peer = broker.v5("self").await;
    peer.subscribe_with(subscribe(1).filter("t", AtLeastOnce).no_local()).await;
    peer.publish(publish("t").payload("own 0")).await;
    peer.publish(publish("t").payload("own 1").qos1(1)).await;
    peer.publish(publish("t").payload("own 2").qos2(2)).await;
    let mut other = broker.v5("other").await;
    other.publish(publish("t").payload("foreign").qos1(1)).await;
    peer.receive_text("foreign").await;
    peer.expect_silence().await;
}

/// [MQTT-3.8.3-3]: each subscription decides for itself.
#[tokio::test(start_paused = true)]
async fn mqtt_3_8_3_3_another_subscription_still_gets_the_own_message() {
    let broker = broker().await;
    let mut peer = broker.v5("self").await;
    peer.subscribe_with(subscribe(1).filter("t", AtLeastOnce).no_local().identifier(1)).await;
    peer.subscribe_with(subscribe(2).filter("#", AtMostOnce).identifier(2)).await;
    peer.publish(publish("t").payload("own").qos1(1)).await;
    let message = peer.receive_text("own").await;
    assert_eq!(message.qos, AtMostOnce);
    assert_eq!(message.properties().subscription_identifiers().collect::<Vec<_>>(), [2]);
    peer.expect_silence().await;
}

/// [MQTT-3.8.3-3]: it is the client identifier that counts, not the connection.
#[tokio::test(start_paused = true)]
async fn mqtt_3_8_3_3_no_local_holds_for_messages_of_an_earlier_connection() {
    let broker = broker().await;
    let kept = connect("self").clean(false).session_expiry_s(100).receive_maximum(1);
    let mut peer = broker.connect(kept.clone()).await;
    peer.subscribe_with(subscribe(1).filter("t", AtLeastOnce).no_local()).await;
    peer.publish(publish("t").payload("own").qos1(1)).await;
    peer.cut();
    let mut peer = broker.connect(kept).await;
    peer.publish(publish("t").payload("own again").qos1(1)).await;
    peer.expect_silence().await;
}

/// [MQTT-3.8.3-4]
#[tokio::test(start_paused = true)]
async fn mqtt_3_8_3_4_no_local_on_a_shared_subscription_is_a_protocol_error() {
    let broker = broker().await;
    let mut peer = broker.v5("self").await;
    peer.send(subscribe(1).filter("$share/g/t", AtMostOnce).no_local()).await;
    peer.expect_disconnect(ReasonCode::ProtocolError).await;
}

/// [MQTT-3.3.1-12] [MQTT-3.3.1-13]: each subscriber sees RETAIN as it asked.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_1_13_retain_as_published_is_a_matter_of_each_subscription() {
    let broker = broker().await;
    let mut plain = broker.v5("plain").await;
    plain.subscribe("t", AtMostOnce).await;
    let mut keeping = broker.v5("keeping").await;
    keeping.subscribe_with(subscribe(1).filter("t", AtMostOnce).retain_as_published()).await;
    let mut old = broker.v3("old").await;
    old.subscribe("t", AtMostOnce).await;
    let mut publisher = broker.v5("publisher").await;
    for (payload, retained) in [("kept", true), ("passing", false)] {
        let message = publish("t").payload(payload);
        publisher.publish(if retained { message.retained() } else { message }).await;
        assert_eq!(keeping.receive_text(payload).await.retain, retained);
        assert!(!plain.receive_text(payload).await.retain);
        assert!(!old.receive_text(payload).await.retain);
    }
}

/// [MQTT3-3.8.3-4]: the bits that are options in 5.0 are reserved in 3.1.1.
#[tokio::test(start_paused = true)]
async fn mqtt3_3_8_3_4_options_of_5_0_are_malformed_in_3_1_1() {
    let broker = broker().await;
    for options in [0x03, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80] {
        let mut peer = broker.v3("modern").await;
        peer.send([0x82, 6, 0, 1, 0, 1, b'a', options]).await;
        peer.expect_closed().await;
    }
}
