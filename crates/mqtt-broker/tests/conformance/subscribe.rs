//! SUBSCRIBE and SUBACK: sections 3.8 and 3.9.

use mqtt_codec::{
    QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce},
    ReasonCode, Version,
};
use mqtt_testkit::{connect, publish, subscribe};
use mqtt_topic::TopicFilter;

use crate::harness::{broker, broker_with, expect_violation};

/// [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT3-3.8.4-1] [MQTT3-3.8.4-2] [MQTT-2.2.1-6] [MQTT3-2.3.1-7]
#[tokio::test(start_paused = true)]
async fn mqtt_3_8_4_1_a_subscribe_is_answered_with_its_identifier() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut peer = broker.client(version, "asker").await;
        for packet_id in [1, 2, 0x8001, u16::MAX] {
            let suback = peer.subscribe_with(subscribe(packet_id).filter("a", AtMostOnce)).await;
            assert_eq!(suback.packet_id, packet_id);
        }
    }
}

/// [MQTT-3.8.4-6] [MQTT-3.8.4-7] [MQTT-3.9.3-1] [MQTT-3.9.3-2] [MQTT3-3.8.4-5] [MQTT3-3.9.3-1] [MQTT3-3.9.3-2] [MQTT-3.8.4-5] [MQTT3-3.8.4-4]
#[tokio::test(start_paused = true)]
async fn mqtt_3_9_3_1_each_filter_is_answered_in_its_place() {
    let denied = |settings: &mut mqtt_broker::Settings| {
        let filter = TopicFilter::parse("nobody/here".into()).expect("a filter");
        settings.topics.subscribe_denied = vec![filter];
    };
    for version in Version::ALL {
        let broker = broker_with(denied).await;
        let mut peer = broker.client(version, "asker").await;
        let request = subscribe(7)
            .filter("a", ExactlyOnce)
            .filter("nobody/here", AtLeastOnce)
            .filter("b/#", AtMostOnce)
            .filter("nobody/here", ExactlyOnce)
            .filter("+/c", AtLeastOnce);
        let suback = peer.subscribe_with(request).await;
        let refusal =
            if version == Version::V5 { ReasonCode::NotAuthorized } else { ReasonCode::UnspecifiedError };
        let expected =
            [ReasonCode::GrantedQoS2, refusal, ReasonCode::Success, refusal, ReasonCode::GrantedQoS1];
        assert_eq!(suback.reasons, expected);
        peer.publish(publish("a").payload("x")).await;
        peer.receive_text("x").await;
        peer.publish(publish("nobody/here").payload("y")).await;
        peer.expect_silence().await;
    }
}

/// [MQTT3-3.9.3-2]: 3.1.1 knows one refusal.
#[tokio::test(start_paused = true)]
async fn mqtt3_3_9_3_2_a_refusal_is_0x80_on_the_wire() {
    let broker = broker_with(|settings| {
        settings.topics.subscribe_denied = vec![TopicFilter::parse("no".into()).expect("a filter")];
    })
    .await;
    let mut peer = broker.v3("asker").await;
    peer.send(subscribe(1).filter("no", AtMostOnce).filter("yes", AtLeastOnce)).await;
    peer.expect_bytes(b"\x90\x04\0\x01\x80\x01").await;
}

/// [MQTT-3.9.3-2]: an operator may hide why.
#[tokio::test(start_paused = true)]
async fn mqtt_3_9_3_2_a_refusal_need_not_tell_its_reason() {
    let broker = broker_with(|settings| {
        settings.topics.subscribe_denied = vec![TopicFilter::parse("no".into()).expect("a filter")];
        settings.topics.denial_reveals_reason = false;
    })
    .await;
    let mut peer = broker.v5("asker").await;
    let suback = peer.subscribe_with(subscribe(1).filter("no", AtMostOnce)).await;
    assert_eq!(suback.reasons, [ReasonCode::UnspecifiedError]);
}

/// [MQTT-3.8.4-3] [MQTT3-3.8.4-3] [MQTT-3.8.4-4]
#[tokio::test(start_paused = true)]
async fn mqtt_3_8_4_3_the_same_filter_replaces_the_subscription() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut peer = broker.client(version, "changer").await;
        let mut publisher = broker.client(version, "publisher").await;
        for (round, qos) in [ExactlyOnce, AtMostOnce, AtLeastOnce].into_iter().enumerate() {
            peer.subscribe("a/+", qos).await;
            publisher.publish(publish("a/b").payload(round.to_string()).qos2(1)).await;
            assert_eq!(peer.receive_text(&round.to_string()).await.qos, qos);
            peer.expect_silence().await;
        }
    }
}

/// [MQTT-3.8.4-3]: the identifier and the options are replaced as well.
#[tokio::test(start_paused = true)]
async fn mqtt_3_8_4_3_replacing_changes_options_and_identifier() {
    let broker = broker().await;
    let mut peer = broker.v5("changer").await;
    let identifiers = async |peer: &mut mqtt_testkit::Peer| {
        peer.publish(publish("t").payload("x")).await;
        peer.receive().await.properties().subscription_identifiers().collect::<Vec<_>>()
    };
    peer.subscribe_with(subscribe(1).filter("t", AtMostOnce).identifier(7)).await;
    assert_eq!(identifiers(&mut peer).await, [7]);
    peer.subscribe_with(subscribe(2).filter("t", AtMostOnce).identifier(268_435_455)).await;
    assert_eq!(identifiers(&mut peer).await, [268_435_455]);
    peer.subscribe_with(subscribe(3).filter("t", AtMostOnce)).await;
    assert!(identifiers(&mut peer).await.is_empty());
    peer.subscribe_with(subscribe(4).filter("t", AtMostOnce).no_local()).await;
    peer.publish(publish("t").payload("x")).await;
    peer.expect_silence().await;
}

/// [MQTT-3.8.4-5] [MQTT3-3.8.4-4]: of the same filter twice in one packet the last one counts.
#[tokio::test(start_paused = true)]
async fn mqtt_3_8_4_5_a_filter_twice_in_one_packet_is_one_subscription() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut peer = broker.client(version, "twice").await;
        let suback = peer.subscribe_with(subscribe(1).filter("t", ExactlyOnce).filter("t", AtMostOnce)).await;
        assert_eq!(suback.reasons, [ReasonCode::GrantedQoS2, ReasonCode::Success]);
        let mut publisher = broker.client(version, "publisher").await;
        publisher.publish(publish("t").payload("x").qos2(1)).await;
        assert_eq!(peer.receive_text("x").await.qos, AtMostOnce);
        peer.expect_silence().await;
    }
}

/// [MQTT-3.3.4-3] [MQTT-3.3.4-4]
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_4_4_all_identifiers_of_matching_subscriptions_come_with_the_message() {
    let broker = broker().await;
    let mut peer = broker.v5("many").await;
    peer.subscribe_with(subscribe(1).filter("a/b", AtMostOnce).identifier(1)).await;
    peer.subscribe_with(subscribe(2).filter("a/#", AtLeastOnce).identifier(2)).await;
    peer.subscribe_with(subscribe(3).filter("+/b", AtMostOnce)).await;
    peer.subscribe_with(subscribe(4).filter("#", AtMostOnce).identifier(200)).await;
    peer.subscribe_with(subscribe(5).filter("other", AtMostOnce).identifier(5)).await;
    let mut publisher = broker.v5("publisher").await;
    publisher.publish(publish("a/b").payload("x").qos1(1)).await;
    let message = peer.receive_text("x").await;
    let mut identifiers: Vec<_> = message.properties().subscription_identifiers().collect();
    identifiers.sort_unstable();
    assert_eq!(identifiers, [1, 2, 200]);
    peer.expect_silence().await;
}

/// Section 3.8.2.1.2: one identifier may stand for several subscriptions.
#[tokio::test(start_paused = true)]
async fn one_identifier_may_name_several_subscriptions() {
    let broker = broker().await;
    let mut peer = broker.v5("same").await;
    let request = subscribe(1).identifier(3).filter("a", AtMostOnce).filter("b", AtMostOnce);
    peer.subscribe_with(request).await;
    for topic in ["a", "b"] {
        peer.publish(publish(topic).payload("x")).await;
        let message = peer.receive_text("x").await;
        assert_eq!(message.properties().subscription_identifiers().collect::<Vec<_>>(), [3]);
    }
}

/// Section 3.2.2.3.12: where identifiers are not available, using one is an error.
#[tokio::test(start_paused = true)]
async fn an_identifier_that_is_not_supported_is_refused_with_0xa1() {
    let broker = broker_with(|settings| settings.policy.subscription_identifiers_available = false).await;
    let mut peer = broker.v5("numbered").await;
    peer.send(subscribe(1).filter("a", AtMostOnce).identifier(1)).await;
    let reason = ReasonCode::SubscriptionIdentifiersNotSupported;
    match peer.expect_packet().await.packet() {
        mqtt_codec::Packet::Suback(suback) => assert!(suback.reasons.iter().all(|it| it == reason)),
        mqtt_codec::Packet::Disconnect(disconnect) => assert_eq!(disconnect.reason, reason),
        other => panic!("unexpected {other:?}"),
    }
}

/// [MQTT3-3.8.3-2] and section 3.2.2.3.11: where wildcards are not available, they are refused.
#[tokio::test(start_paused = true)]
async fn mqtt3_3_8_3_2_wildcards_that_are_not_supported_are_refused() {
    let broker = broker_with(|settings| settings.policy.wildcard_subscription_available = false).await;
    for version in Version::ALL {
        let mut peer = broker.client(version, "wild").await;
        let request = subscribe(1).filter("a/#", AtMostOnce).filter("a", AtMostOnce).filter("+", AtMostOnce);
        let suback = peer.subscribe_with(request).await;
        let refusal = match version {
            Version::V5 => ReasonCode::WildcardSubscriptionsNotSupported,
            _ => ReasonCode::UnspecifiedError,
        };
        assert_eq!(suback.reasons, [refusal, ReasonCode::Success, refusal]);
    }
}

/// [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1] [MQTT3-4.7.1-2] [MQTT3-4.7.1-3] [MQTT3-4.7.3-1]
#[tokio::test(start_paused = true)]
async fn mqtt_4_7_1_1_a_filter_that_is_none_is_refused() {
    let filters = ["", "a#", "a/#/b", "#/a", "a/b#", "##", "a+", "+a", "a/+b/c", "a/b+", "++", "/a/#/", "#+"];
    for version in Version::ALL {
        let broker = broker().await;
        for filter in filters {
            let mut peer = broker.client(version, "wrong").await;
            peer.send(subscribe(1).filter(filter, AtMostOnce)).await;
            expect_violation(&mut peer, ReasonCode::TopicFilterInvalid).await;
        }
    }
}

/// [MQTT-4.7.3-3] [MQTT3-4.7.3-3]
#[tokio::test(start_paused = true)]
async fn mqtt_4_7_3_3_the_longest_filter_is_accepted() {
    let filter = format!("{}/#", "x".repeat(65_533));
    for version in Version::ALL {
        let broker = broker().await;
        let mut peer = broker.client(version, "long").await;
        peer.subscribe(&filter, AtMostOnce).await;
    }
}

/// [MQTT-3.8.4-7]: the QoS asked for is granted.
#[tokio::test(start_paused = true)]
async fn mqtt_3_8_4_7_every_qos_is_granted_as_asked() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut peer = broker.client(version, "asker").await;
        for (packet_id, qos) in [(1, QoS::AtMostOnce), (2, QoS::AtLeastOnce), (3, QoS::ExactlyOnce)] {
            let suback = peer.subscribe_with(subscribe(packet_id).filter("t", qos)).await;
            assert_eq!(suback.reasons, [ReasonCode::granted(qos)]);
        }
    }
}

/// A SUBSCRIBE with very many filters is one request.
#[tokio::test(start_paused = true)]
async fn a_subscribe_with_a_thousand_filters_gets_a_thousand_reasons() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut peer = broker.client(version, "greedy").await;
        let mut request = subscribe(1);
        for number in 0..1000 {
            request = request.filter(&format!("t/{number}"), AtLeastOnce);
        }
        let suback = peer.subscribe_with(request).await;
        assert_eq!(suback.reasons, vec![ReasonCode::GrantedQoS1; 1000]);
    }
}

/// Section 3.8.4: messages may come before the SUBACK, never for a filter that was not asked.
#[tokio::test(start_paused = true)]
async fn a_new_client_gets_nothing_unasked() {
    let broker = broker().await;
    let mut quiet = broker.connect(connect("quiet")).await;
    let mut publisher = broker.v5("publisher").await;
    publisher.publish(publish("t").payload("x").qos1(1)).await;
    quiet.expect_silence().await;
}
