//! What the broker announces: section 3.2.

use std::num::NonZeroU16;

use mqtt_codec::{
    Property,
    QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce},
    ReasonCode, Version,
};
use mqtt_testkit::{connect, publish, subscribe, will};

use crate::harness::{broker, broker_with};

/// [MQTT-3.2.2-2] [MQTT3-3.2.2-1] [MQTT-3.2.2-1] [MQTT-3.1.4-5]
#[tokio::test(start_paused = true)]
async fn mqtt_3_2_2_2_a_clean_start_is_answered_without_session_present() {
    for version in Version::ALL {
        let broker = broker().await;
        for _ in 0..2 {
            let mut peer = broker.open("clean");
            peer.send(connect("clean").version(version)).await;
            let answer = peer.expect_packet().await;
            assert_eq!(answer.bytes()[0], 0x20);
            assert_eq!(answer.bytes()[2..4], [0, 0], "{answer:?}");
            peer.leave().await;
        }
    }
}

/// [MQTT-3.2.2-3] [MQTT3-3.2.2-2] [MQTT3-3.2.2-3] [MQTT-3.1.2-5] [MQTT-3.1.2-6] [MQTT3-3.1.2-4]
#[tokio::test(start_paused = true)]
async fn mqtt_3_2_2_3_session_present_tells_whether_there_is_a_session() {
    for version in [Version::V3_1_1, Version::V5] {
        let broker = broker().await;
        for expected in [false, true, true] {
            let mut peer = broker.open("kept");
            let connack =
                peer.connect(connect("kept").version(version).clean(false).session_expiry_s(100)).await;
            assert_eq!(connack.session_present, expected, "{version:?}");
            peer.leave().await;
        }
    }
}

/// 3.1 has no session present: that byte is reserved there.
#[tokio::test(start_paused = true)]
async fn the_connack_of_3_1_never_sets_its_reserved_byte() {
    let broker = broker().await;
    for _ in 0..2 {
        let mut peer = broker.open("old");
        peer.send(connect("old").version(Version::V3_1).clean(false)).await;
        peer.expect_bytes(b"\x20\x02\0\0").await;
        peer.leave().await;
    }
}

/// [MQTT-3.2.0-2]: one CONNACK, and the connection goes on.
#[tokio::test(start_paused = true)]
async fn mqtt_3_2_0_2_there_is_one_connack() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut peer = broker.client(version, "one").await;
        peer.expect_silence().await;
        peer.ping().await;
    }
}

/// [MQTT-3.2.2-9] [MQTT-3.2.2-10]
#[tokio::test(start_paused = true)]
async fn mqtt_3_2_2_9_a_lower_maximum_qos_is_announced_and_bounds_publishing_only() {
    for maximum in [AtMostOnce, AtLeastOnce] {
        let broker = broker_with(|settings| settings.policy.maximum_qos = maximum).await;
        let mut peer = broker.open("limited");
        let connack = peer.connect(connect("limited")).await;
        assert_eq!(connack.properties().maximum_qos(), Some(maximum));
        for (packet_id, asked) in [(1, AtMostOnce), (2, AtLeastOnce), (3, ExactlyOnce)] {
            let suback = peer.subscribe_with(subscribe(packet_id).filter("a", asked)).await;
            assert!(!suback.reasons[0].is_error(), "{suback:?}");
        }
        peer.send(publish("a").payload("x").qos(ExactlyOnce, 9)).await;
        peer.expect_disconnect(ReasonCode::QoSNotSupported).await;
    }
}

/// [MQTT-3.2.2-12]
#[tokio::test(start_paused = true)]
async fn mqtt_3_2_2_12_a_will_above_the_maximum_qos_is_refused() {
    let broker = broker_with(|settings| settings.policy.maximum_qos = AtLeastOnce).await;
    let mut peer = broker.open("will");
    peer.send(connect("will").will(will("w", "x").qos(ExactlyOnce))).await;
    peer.expect_refusal(ReasonCode::QoSNotSupported).await;
    broker.connect(connect("will").will(will("w", "x").qos(AtLeastOnce))).await.ping().await;
}

/// [MQTT3-3.2.2-6]: 3.1.1 has no return code for that, so the connection is closed without a CONNACK.
#[tokio::test(start_paused = true)]
async fn mqtt3_3_2_2_6_a_refusal_without_a_return_code_just_closes() {
    let broker = broker_with(|settings| settings.policy.maximum_qos = AtLeastOnce).await;
    for version in [Version::V3_1, Version::V3_1_1] {
        let mut peer = broker.open("will");
        peer.send(connect("will").version(version).will(will("w", "x").qos(ExactlyOnce))).await;
        peer.expect_closed().await;
    }
}

/// [MQTT-3.2.2-13]
#[tokio::test(start_paused = true)]
async fn mqtt_3_2_2_13_a_retained_will_is_refused_where_nothing_is_retained() {
    let broker = broker_with(|settings| settings.policy.retain_available = false).await;
    let mut peer = broker.open("will");
    peer.send(connect("will").will(will("w", "x").retained())).await;
    peer.expect_refusal(ReasonCode::RetainNotSupported).await;
}

/// Section 3.2.2.3.5: the client is told, and a retained PUBLISH ends its connection with 0x9A.
#[tokio::test(start_paused = true)]
async fn retain_available_0_is_announced_and_enforced() {
    let broker = broker_with(|settings| settings.policy.retain_available = false).await;
    let mut peer = broker.open("keeper");
    let connack = peer.connect(connect("keeper")).await;
    assert_eq!(connack.properties().retain_available(), Some(false));
    peer.send(publish("a").payload("x").retained()).await;
    peer.expect_disconnect(ReasonCode::RetainNotSupported).await;
}

/// Sections 3.2.2.3.3, 3.2.2.3.6 and 3.2.2.3.8: the limits that are enforced are the ones announced.
#[tokio::test(start_paused = true)]
async fn limits_on_what_clients_send_are_announced() {
    let broker = broker_with(|settings| {
        settings.policy.ours.receive_maximum = NonZeroU16::new(20).expect("above 0");
        settings.policy.ours.maximum_packet_size_bytes = 5000;
        settings.policy.ours.topic_alias_maximum = 7;
    })
    .await;
    let mut peer = broker.open("curious");
    let connack = peer.connect(connect("curious")).await;
    let properties = connack.properties();
    assert_eq!(properties.receive_maximum(), NonZeroU16::new(20));
    assert_eq!(properties.maximum_packet_size().map(u32::from), Some(5000));
    assert_eq!(properties.topic_alias_maximum(), Some(7));
}

/// Sections 3.2.2.3.11 to 3.2.2.3.13: what is missing is announced, and only that.
#[tokio::test(start_paused = true)]
async fn missing_features_are_announced() {
    let broker = broker_with(|settings| {
        settings.policy.wildcard_subscription_available = false;
        settings.policy.subscription_identifiers_available = false;
        settings.policy.shared_subscription_available = false;
    })
    .await;
    let mut peer = broker.open("curious");
    let connack = peer.connect(connect("curious")).await;
    assert_eq!(connack.properties().wildcard_subscription_available(), Some(false));
    assert_eq!(connack.properties().subscription_identifiers_available(), Some(false));
    assert_eq!(connack.properties().shared_subscription_available(), Some(false));
}

/// What is not announced has the standard's default, which is that everything is there.
#[tokio::test(start_paused = true)]
async fn nothing_is_denied_by_default() {
    let broker = broker().await;
    let mut peer = broker.open("curious");
    let connack = peer.connect(connect("curious")).await;
    let properties = connack.properties();
    assert_eq!(properties.maximum_qos(), None);
    assert_ne!(properties.retain_available(), Some(false));
    assert_ne!(properties.wildcard_subscription_available(), Some(false));
    assert_ne!(properties.subscription_identifiers_available(), Some(false));
    assert_ne!(properties.shared_subscription_available(), Some(false));
    assert_eq!(properties.server_keep_alive_s(), None);
    assert_eq!(properties.assigned_client_identifier(), None);
}

/// Section 3.2.2.3.2: a session that ends earlier than asked is announced.
#[tokio::test(start_paused = true)]
async fn a_shortened_session_expiry_is_announced() {
    let broker = broker_with(|settings| settings.policy.session_expiry_max_s = 3600).await;
    for (asked, told) in [(7200, Some(3600)), (u32::MAX, Some(3600)), (60, None)] {
        let mut peer = broker.open("keeper");
        let connack = peer.connect(connect("keeper").session_expiry_s(asked)).await;
        assert_eq!(connack.properties().session_expiry_interval_s(), told, "asked {asked}");
    }
}

/// [MQTT-3.1.2-24] [MQTT-3.2.2-19] [MQTT-3.2.2-20]: not even the CONNACK exceeds what the client takes.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_24_a_connack_fits_the_maximum_packet_size() {
    let broker = broker_with(|settings| settings.policy.client_id_bytes_max = 23).await;
    for bytes in [1, 4, 5, 8, 16, 64] {
        for client_id in ["", "c", "an identifier that is too long"] {
            let mut peer = broker.open("tiny");
            peer.send(connect(client_id).maximum_packet_size(bytes)).await;
            if let Some(answer) = peer.expect_packet_or_closed().await {
                assert!(answer.bytes().len() <= bytes as usize, "{} bytes: {answer:?}", answer.bytes().len());
            }
        }
    }
}

/// [MQTT-3.1.2-28]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_28_response_information_is_given_to_those_who_ask() {
    let broker = broker_with(|settings| settings.policy.response_information = Some("answers/".into())).await;
    for (asked, told) in [(None, false), (Some(false), false), (Some(true), true)] {
        let mut request = connect("asker");
        if let Some(asked) = asked {
            request = request.property(Property::RequestResponseInformation(asked));
        }
        let mut peer = broker.open("asker");
        let connack = peer.connect(request).await;
        let information = connack.properties().response_information();
        assert_eq!(information.is_some(), told, "asked {asked:?}, told {information:?}");
        assert!(information.is_none_or(|text| text.starts_with("answers/")));
    }
}

/// [MQTT-3.2.2-8]: the reasons of the refusals above are all reasons of CONNACK.
#[tokio::test(start_paused = true)]
async fn mqtt_3_2_2_8_refusals_use_reasons_of_connack() {
    let broker = broker_with(|settings| {
        settings.policy.maximum_qos = QoS::AtMostOnce;
        settings.policy.retain_available = false;
        settings.policy.client_id_bytes_max = 23;
    })
    .await;
    let refused = [
        connect(&"x".repeat(99)),
        connect("c").will(will("w", "x").qos(AtLeastOnce)),
        connect("c").will(will("w", "x").retained()),
        connect("c").will(will("w/#", "x")),
        connect("c").property(Property::AuthenticationMethod("nobody knows it")),
    ];
    for request in refused {
        let mut peer = broker.open("refused");
        peer.send(request).await;
        let connack = peer.expect_connack().await;
        assert!(connack.reason.allowed_in(mqtt_codec::PacketType::Connack), "{connack:?}");
        assert!(connack.reason.is_error() && !connack.session_present, "{connack:?}");
        peer.expect_closed().await;
    }
}
