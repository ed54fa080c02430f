//! Topic aliases: section 3.3.2.3.4.

use mqtt_codec::{
    QoS::{AtLeastOnce, AtMostOnce},
    ReasonCode, Version,
};
use mqtt_testkit::{Peer, connect, publish, pubrel, raw};

use crate::harness::{Harness, broker, broker_with};

/// A subscriber to everything and a publisher, on a broker that takes aliases up to 5.
async fn pair() -> (Harness, Peer, Peer) {
    let broker = broker_with(|settings| settings.policy.ours.topic_alias_maximum = 5).await;
    let mut subscriber = broker.v5("subscriber").await;
    subscriber.subscribe("#", AtMostOnce).await;
    let publisher = broker.v5("publisher").await;
    (broker, subscriber, publisher)
}

async fn expect(subscriber: &mut Peer, topic: &str, payload: &str) {
    let message = subscriber.receive_text(payload).await;
    assert_eq!(message.topic, topic);
    assert_eq!(message.properties().topic_alias(), None);
}

/// [MQTT-3.3.2-12]
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_2_12_every_alias_up_to_the_maximum_is_accepted() {
    let (_broker, mut subscriber, mut publisher) = pair().await;
    for alias in 1..=5 {
        publisher.publish(publish(&format!("t/{alias}")).alias(alias).payload("named")).await;
        expect(&mut subscriber, &format!("t/{alias}"), "named").await;
    }
    for alias in (1..=5).rev() {
        publisher.publish(publish("").alias(alias).payload("known")).await;
        expect(&mut subscriber, &format!("t/{alias}"), "known").await;
    }
}

/// Section 3.3.2.3.4: an alias may be given to another topic, and two may mean the same one.
#[tokio::test(start_paused = true)]
async fn an_alias_may_be_given_a_new_meaning() {
    let (_broker, mut subscriber, mut publisher) = pair().await;
    for topic in ["a", "b", "a"] {
        publisher.publish(publish(topic).alias(1).payload("named")).await;
        publisher.publish(publish("").alias(1).payload("known").qos1(1)).await;
        expect(&mut subscriber, topic, "named").await;
        expect(&mut subscriber, topic, "known").await;
    }
    publisher.publish(publish("a").alias(2).payload("other")).await;
    publisher.publish(publish("").alias(1).payload("still")).await;
    expect(&mut subscriber, "a", "other").await;
    expect(&mut subscriber, "a", "still").await;
}

/// [MQTT-3.3.2-8]
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_2_8_alias_0_is_answered_with_0x94() {
    let (_broker, _subscriber, mut publisher) = pair().await;
    publisher.send(raw(0x30).text("t").properties(&[0x23, 0, 0]).bytes(b"x")).await;
    publisher.expect_disconnect(ReasonCode::TopicAliasInvalid).await;
}

/// [MQTT-3.3.2-9] [MQTT-3.2.2-17]
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_2_9_an_alias_above_the_maximum_is_answered_with_0x94() {
    for alias in [6, u16::MAX] {
        let (_broker, mut subscriber, mut publisher) = pair().await;
        publisher.send(publish("t").alias(alias).payload("x")).await;
        publisher.expect_disconnect(ReasonCode::TopicAliasInvalid).await;
        subscriber.expect_silence().await;
    }
}

/// [MQTT-3.2.2-18]
#[tokio::test(start_paused = true)]
async fn mqtt_3_2_2_18_where_none_is_announced_no_alias_is_accepted() {
    let broker = broker_with(|settings| settings.policy.ours.topic_alias_maximum = 0).await;
    let mut peer = broker.open("hopeful");
    let connack = peer.connect(connect("hopeful")).await;
    assert!(matches!(connack.properties().topic_alias_maximum(), None | Some(0)));
    peer.send(publish("t").alias(1).payload("x")).await;
    peer.expect_disconnect(ReasonCode::TopicAliasInvalid).await;
}

/// Section 3.3.2.3.4: an alias that was never given a topic is a protocol error.
#[tokio::test(start_paused = true)]
async fn an_unknown_alias_is_a_protocol_error() {
    let (_broker, mut subscriber, mut publisher) = pair().await;
    publisher.send(publish("").alias(3).payload("x")).await;
    let reason = match publisher.expect_packet().await.packet() {
        mqtt_codec::Packet::Disconnect(disconnect) => disconnect.reason,
        other => panic!("unexpected {other:?}"),
    };
    assert!(matches!(reason, ReasonCode::ProtocolError | ReasonCode::TopicAliasInvalid), "{reason}");
    publisher.expect_closed().await;
    subscriber.expect_silence().await;
}

/// [MQTT-3.3.2-7]: aliases of a client end with its connection, whatever becomes of the session.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_2_7_aliases_end_with_the_connection() {
    let (broker, mut subscriber, _) = pair().await;
    let kept = connect("kept").clean(false).session_expiry_s(100);
    let mut publisher = broker.connect(kept.clone()).await;
    publisher.publish(publish("t").alias(1).payload("named")).await;
    expect(&mut subscriber, "t", "named").await;
    publisher.cut();
    let mut publisher = broker.connect(kept).await;
    publisher.send(publish("").alias(1).payload("x")).await;
    publisher.expect_packet().await;
    publisher.expect_closed().await;
    subscriber.expect_silence().await;
}

/// Section 3.3.2.3.4 and [MQTT-4.3.3-10]: a repeated PUBLISH names its alias anew, though it is not passed on again.
#[tokio::test(start_paused = true)]
async fn a_repeated_publish_still_defines_its_alias() {
    let (broker, mut subscriber, _) = pair().await;
    let kept = connect("kept").clean(false).session_expiry_s(100);
    let mut publisher = broker.connect(kept.clone()).await;
    publisher.send(publish("t").alias(1).payload("once").qos2(1)).await;
    publisher.expect_pubrec(1).await;
    expect(&mut subscriber, "t", "once").await;
    publisher.cut();
    let mut publisher = broker.connect(kept).await;
    publisher.send(publish("t").alias(1).payload("once").qos2(1).dup()).await;
    publisher.expect_pubrec(1).await;
    publisher.send(pubrel(1)).await;
    publisher.expect_pubcomp(1).await;
    publisher.publish(publish("").alias(1).payload("next")).await;
    expect(&mut subscriber, "t", "next").await;
    subscriber.expect_silence().await;
}

/// Aliases are counted per direction and per client.
#[tokio::test(start_paused = true)]
async fn aliases_of_two_clients_are_their_own() {
    let (broker, mut subscriber, mut one) = pair().await;
    let mut two = broker.v5("two").await;
    one.publish(publish("one").alias(1).payload("1")).await;
    expect(&mut subscriber, "one", "1").await;
    two.publish(publish("two").alias(1).payload("2")).await;
    expect(&mut subscriber, "two", "2").await;
    one.publish(publish("").alias(1).payload("1")).await;
    expect(&mut subscriber, "one", "1").await;
}

/// [MQTT-3.1.2-26] [MQTT-3.3.2-11]: towards a client, up to its maximum, topic first and then the alias alone.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_2_11_aliases_towards_a_client_stay_within_its_maximum() {
    let broker = broker().await;
    let mut subscriber = broker.connect(connect("subscriber").topic_alias_maximum(2)).await;
    subscriber.subscribe("#", AtLeastOnce).await;
    let mut publisher = broker.v5("publisher").await;
    let mut known: [Option<String>; 3] = [None, None, None];
    let mut alone = 0;
    for round in 0..4 {
        for topic in ["a", "b", "c", "d"] {
            publisher.publish(publish(topic).payload(topic).qos1(1)).await;
            let message = subscriber.receive().await;
            match message.properties().topic_alias() {
                None => assert_eq!(message.topic, topic),
                Some(alias) => {
                    let alias = usize::from(alias.get());
                    assert!(alias <= 2, "alias {alias} in round {round}");
                    if message.topic.is_empty() {
                        alone += 1;
                    } else {
                        known[alias] = Some(message.topic.clone());
                    }
                    assert_eq!(known[alias].as_deref(), Some(topic));
                }
            }
            assert_eq!(message.text(), topic);
        }
    }
    assert!(alone > 0, "aliases are never used");
}

/// Section 3.3.2.3.4: the very first message may define an alias.
#[tokio::test(start_paused = true)]
async fn the_second_message_on_a_topic_is_sent_by_alias_alone() {
    let broker = broker().await;
    let mut subscriber = broker.connect(connect("subscriber").topic_alias_maximum(1)).await;
    subscriber.subscribe("t", AtMostOnce).await;
    let mut publisher = broker.v5("publisher").await;
    publisher.publish(publish("t").payload("1")).await;
    publisher.publish(publish("t").payload("2")).await;
    let first = subscriber.receive_text("1").await;
    let second = subscriber.receive_text("2").await;
    assert_eq!(first.topic, "t");
    assert_eq!(second.topic, "");
    assert_eq!(first.properties().topic_alias(), second.properties().topic_alias());
    assert!(second.properties().topic_alias().is_some());
}

/// [MQTT-3.1.2-27]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_27_a_client_that_announced_none_gets_none() {
    let broker = broker().await;
    for request in [connect("subscriber"), connect("subscriber").topic_alias_maximum(0)] {
        let mut subscriber = broker.connect(request).await;
        subscriber.subscribe("t", AtMostOnce).await;
        let mut publisher = broker.v5("publisher").await;
        for _ in 0..3 {
            publisher.publish(publish("t").alias(1).payload("x")).await;
            let message = subscriber.receive_text("x").await;
            assert_eq!((message.topic.as_str(), message.properties().topic_alias()), ("t", None));
        }
    }
}

/// A client of 3.1.1 sees whole topics whatever the publisher did.
#[tokio::test(start_paused = true)]
async fn aliases_do_not_reach_clients_of_3_x() {
    let broker = broker().await;
    let mut subscriber = broker.client(Version::V3_1_1, "subscriber").await;
    subscriber.subscribe("t", AtMostOnce).await;
    let mut publisher = broker.v5("publisher").await;
    publisher.publish(publish("t").alias(1).payload("1")).await;
    publisher.publish(publish("").alias(1).payload("2")).await;
    assert_eq!(subscriber.receive_text("1").await.topic, "t");
    assert_eq!(subscriber.receive_text("2").await.topic, "t");
}
