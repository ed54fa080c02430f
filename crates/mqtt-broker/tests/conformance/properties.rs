//! Properties that travel with a message: section 3.3.2.3.

use std::time::Duration;

use mqtt_codec::{
    Property,
    QoS::{AtLeastOnce, AtMostOnce},
    ReasonCode, Version,
};
use mqtt_testkit::{connect, publish, pubrec, pubrel, raw, subscribe};
use tokio::time::sleep;

use crate::harness::{broker, expect_violation};

/// [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_2_17_forwarded_properties_are_unaltered_and_in_order() {
    let broker = broker().await;
    let mut subscriber = broker.v5("subscriber").await;
    subscriber.subscribe("t", AtLeastOnce).await;
    let mut publisher = broker.v5("publisher").await;
    let sent = [
        Property::UserProperty("z", "first"),
        Property::ContentType("application/json"),
        Property::UserProperty("a", "second"),
        Property::CorrelationData(&[0, 255, 1, 254]),
        Property::UserProperty("z", "third"),
        Property::UserProperty("", ""),
        Property::PayloadFormatIndicator(true),
        Property::ResponseTopic("answers/to/me"),
        Property::UserProperty("z", "first"),
    ];
    let mut message = publish("t").payload("{}").qos1(1);
    for property in sent {
        message = message.property(property);
    }
    publisher.publish(message).await;
    let received = subscriber.receive().await;
    assert_eq!(received.properties().iter().collect::<Vec<_>>(), sent);
}

/// [MQTT-3.3.2-4]: 0 is forwarded as 0, and nothing as nothing.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_2_4_the_payload_format_is_forwarded_as_it_came() {
    let broker = broker().await;
    let mut subscriber = broker.v5("subscriber").await;
    subscriber.subscribe("t", AtMostOnce).await;
    let mut publisher = broker.v5("publisher").await;
    for format in [None, Some(false), Some(true)] {
        let mut message = publish("t").payload("x");
        if let Some(format) = format {
            message = message.property(Property::PayloadFormatIndicator(format));
        }
        publisher.publish(message).await;
        assert_eq!(subscriber.receive().await.properties().payload_format_is_utf8(), format);
    }
}

/// [MQTT-3.3.2-17]: retained messages keep them for those who come later.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_2_17_retained_messages_keep_their_properties() {
    let broker = broker().await;
    let mut publisher = broker.v5("publisher").await;
    let message =
        publish("t").payload("x").qos1(1).retained().user_property("b", "1").user_property("a", "2");
    publisher.publish(message.property(Property::ContentType("text"))).await;
    let mut late = broker.v5("late").await;
    late.subscribe("t", AtMostOnce).await;
    let received = late.receive().await;
    assert_eq!(received.properties().user_properties().collect::<Vec<_>>(), [("b", "1"), ("a", "2")]);
    assert_eq!(received.properties().content_type(), Some("text"));
}

/// [MQTT-3.3.2-17]: so do messages that waited for an absent client.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_2_17_queued_messages_keep_their_properties() {
    let broker = broker().await;
    let kept = connect("away").clean(false).session_expiry_s(100);
    let mut away = broker.connect(kept.clone()).await;
    away.subscribe_with(subscribe(1).filter("t", AtLeastOnce).identifier(5)).await;
    away.cut();
    let mut publisher = broker.v5("publisher").await;
    publisher.publish(publish("t").payload("x").qos1(1).user_property("a", "1").expiry_s(60)).await;
    sleep(Duration::from_secs(20)).await;
    let mut back = broker.connect(kept).await;
    let received = back.receive_text("x").await;
    let properties = received.properties();
    assert_eq!(properties.user_properties().collect::<Vec<_>>(), [("a", "1")]);
    assert_eq!(properties.subscription_identifiers().collect::<Vec<_>>(), [5]);
    assert_eq!(properties.message_expiry_interval_s(), Some(40));
}

/// [MQTT-3.3.2-6]: a message that did not wait keeps its interval.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_2_6_the_expiry_interval_is_forwarded_less_the_time_waited() {
    let broker = broker().await;
    let mut subscriber = broker.connect(connect("subscriber").receive_maximum(1)).await;
    subscriber.subscribe("t", AtLeastOnce).await;
    let mut publisher = broker.v5("publisher").await;
    publisher.publish(publish("t").payload("1").qos1(1).expiry_s(100)).await;
    publisher.publish(publish("t").payload("2").qos1(2).expiry_s(100)).await;
    publisher.publish(publish("t").payload("3").qos1(3).expiry_s(10)).await;
    let first = subscriber.expect_publish().await;
    assert_eq!(first.properties().message_expiry_interval_s(), Some(100));
    sleep(Duration::from_secs(30)).await;
    subscriber.send(mqtt_testkit::puback(first.packet_id)).await;
    let second = subscriber.receive_text("2").await;
    assert_eq!(second.properties().message_expiry_interval_s(), Some(70));
    // The third waited for the window longer than it lives.
    subscriber.expect_silence().await;
}

/// [MQTT-3.3.2-13] [MQTT-3.3.2-14] [MQTT-3.3.2-19]
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_2_14_a_response_topic_with_wildcards_is_refused() {
    let broker = broker().await;
    let mut watcher = broker.v5("watcher").await;
    watcher.subscribe("t", AtMostOnce).await;
    for topic in ["a/#", "+/a", "a+"] {
        let mut peer = broker.v5("wrong").await;
        peer.send(publish("t").payload("x").property(Property::ResponseTopic(topic))).await;
        let last = peer.expect_packet().await;
        let mqtt_codec::Packet::Disconnect(disconnect) = last.packet() else { panic!("{last:?}") };
        assert!(
            matches!(disconnect.reason, ReasonCode::ProtocolError | ReasonCode::TopicNameInvalid),
            "{disconnect:?}"
        );
        peer.expect_closed().await;
    }
    for property in [b"\x08\0\x01\xFF", b"\x03\0\x01\xFF"] {
        let mut peer = broker.v5("wrong").await;
        peer.send(raw(0x30).text("t").properties(property).bytes(b"x")).await;
        expect_violation(&mut peer, ReasonCode::MalformedPacket).await;
    }
    watcher.expect_silence().await;
}

/// What 3.x cannot say is left away for its clients, and nothing else.
#[tokio::test(start_paused = true)]
async fn clients_of_3_x_get_the_message_without_properties() {
    let broker = broker().await;
    let mut subscriber = broker.v3("subscriber").await;
    subscriber.subscribe("a/b", AtMostOnce).await;
    let mut publisher = broker.v5("publisher").await;
    let message = publish("a/b").payload("hi").user_property("a", "b").expiry_s(5);
    publisher.publish(message.property(Property::ContentType("text"))).await;
    subscriber.expect_bytes(b"\x30\x07\0\x03a/bhi").await;
}

/// A message of 3.x arrives at 5.0 without properties.
#[tokio::test(start_paused = true)]
async fn mqtt_2_2_2_1_a_message_of_3_x_has_no_properties_in_5_0() {
    let broker = broker().await;
    let mut subscriber = broker.v5("subscriber").await;
    subscriber.subscribe("a/b", AtMostOnce).await;
    let mut publisher = broker.v3("publisher").await;
    publisher.publish(publish("a/b").payload("hi")).await;
    subscriber.expect_bytes(b"\x30\x08\0\x03a/b\0hi").await;
}

/// [MQTT-3.1.2-29]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_29_without_problem_information_answers_carry_no_texts() {
    let broker = broker().await;
    let request = connect("terse").property(Property::RequestProblemInformation(false));
    let mut peer = broker.connect(request).await;
    peer.send(subscribe(1).filter("t", AtMostOnce).user_property("a", "b")).await;
    peer.send(mqtt_testkit::unsubscribe(2).filter("u").user_property("a", "b")).await;
    peer.send(publish("v").payload("x").qos1(3).user_property("a", "b")).await;
    peer.send(publish("v").payload("x").qos2(4).user_property("a", "b")).await;
    peer.send(pubrel(4).user_property("a", "b")).await;
    peer.send(pubrel(99)).await;
    peer.send(pubrec(98)).await;
    let answers = peer.drain().await;
    assert_eq!(answers.len(), 7);
    for answer in answers {
        let clean = match answer.packet() {
            mqtt_codec::Packet::Suback(ack) => ack.properties.is_empty(),
            mqtt_codec::Packet::Unsuback(ack) => ack.properties.is_empty(),
            mqtt_codec::Packet::Puback(ack)
            | mqtt_codec::Packet::Pubrec(ack)
            | mqtt_codec::Packet::Pubrel(ack)
            | mqtt_codec::Packet::Pubcomp(ack) => ack.properties.is_empty(),
            other => panic!("unexpected {other:?}"),
        };
        assert!(clean, "{answer:?}");
    }
}

/// [MQTT-3.1.2-29]: user properties of a message are no problem information; they are always forwarded.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_29_user_properties_of_messages_come_in_any_case() {
    let broker = broker().await;
    let request = connect("terse").property(Property::RequestProblemInformation(false));
    let mut peer = broker.connect(request).await;
    peer.subscribe("t", AtMostOnce).await;
    peer.publish(publish("t").payload("x").user_property("a", "b")).await;
    let message = peer.receive_text("x").await;
    assert_eq!(message.properties().user_properties().collect::<Vec<_>>(), [("a", "b")]);
}

/// User properties of requests and acknowledgements end at the broker: they are no part of a message.
#[tokio::test(start_paused = true)]
async fn user_properties_of_requests_are_accepted_and_not_echoed() {
    let broker = broker().await;
    let mut peer = broker.connect(connect("chatty").user_property("a", "b")).await;
    peer.send(publish("t").payload("x").qos1(1).user_property("a", "b")).await;
    let ack = peer.expect_puback(1).await;
    assert_eq!(ack.properties().user_properties().count(), 0);
    let suback = peer.subscribe_with(subscribe(2).filter("t", AtMostOnce).user_property("a", "b")).await;
    assert_eq!(suback.properties().user_properties().count(), 0);
}

/// [MQTT-2.2.2-1]: every packet of 5.0 that the broker writes has its property length; the peer's decoder insists.
#[tokio::test(start_paused = true)]
async fn mqtt_2_2_2_1_no_properties_are_written_as_length_0() {
    let broker = broker().await;
    let mut peer = broker.v5("exact").await;
    peer.send(subscribe(1).filter("t", AtMostOnce)).await;
    peer.expect_bytes(b"\x90\x04\0\x01\0\0").await;
    peer.send(b"\xA2\x06\0\x02\0\0\x01t").await;
    peer.expect_bytes(b"\xB0\x04\0\x02\0\0").await;
    for version in [Version::V3_1, Version::V3_1_1] {
        let mut old = broker.client(version, "old").await;
        old.send(subscribe(1).filter("t", AtMostOnce)).await;
        old.expect_bytes(b"\x90\x03\0\x01\0").await;
    }
}
