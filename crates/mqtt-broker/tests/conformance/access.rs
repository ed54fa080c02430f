//! Who may do what: sections 3.1.4, 3.2.2.2, 5.4 (5.0) and 3.2.2.3, 3.3.5 (3.1.1).

use mqtt_broker::{Access, Answer, Grant, Identity, Login};
use mqtt_codec::{
    QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce},
    ReasonCode, Version,
};
use mqtt_session::{Refusal, Rights};
use mqtt_testkit::{connect, publish, pubrel, subscribe, will};
use mqtt_topic::{TopicFilter, TopicName};

use crate::harness::{broker_asking, broker_refusing_anonymous, expect_violation};

/// Admits a user called `alice` with the password `secret`, and nobody near topics that begin with `secret`.
#[derive(Debug)]
struct Alice;

impl Access for Alice {
    fn authenticate<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Result<Grant, Refusal>> {
        let answer = match (login.username, login.password) {
            (Some("alice"), Some(b"secret")) => Ok(Grant::named(login.username)),
            (Some("banned"), _) => Err(ReasonCode::Banned.into()),
            (Some("busy"), _) => Err(ReasonCode::ServerUnavailable.into()),
            (Some("moved"), _) => Err(moved()),
            (None, _) => Err(ReasonCode::NotAuthorized.into()),
            _ => Err(ReasonCode::BadUserNameOrPassword.into()),
        };
        Box::pin(std::future::ready(answer))
    }

    fn publish_rights(&self, _: &Identity, topic: TopicName<&str>) -> Rights {
        if topic.as_str().starts_with("secret") { Rights::NONE } else { Rights::ALL }
    }

    fn may_subscribe(&self, _: &Identity, filter: &TopicFilter<&str>, _: QoS) -> bool {
        !filter.as_str().starts_with("secret")
    }
}

fn moved() -> Refusal {
    Refusal {
        reason: ReasonCode::UseAnotherServer,
        text: Some("try next door".into()),
        server_reference: Some("next.example:1883".into()),
    }
}

fn alice(version: Version) -> mqtt_testkit::ConnectBuilder {
    connect("alice's").version(version).username("alice").password("secret")
}

/// [MQTT-3.1.4-2] [MQTT-3.2.2-6] [MQTT-3.2.2-7] [MQTT3-3.2.2-4] [MQTT3-3.2.2-5]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_4_2_a_failed_login_is_refused_and_closed() {
    for version in Version::ALL {
        let broker = broker_asking(Alice).await;
        let mut peer = broker.open("wrong password");
        peer.send(connect("c").version(version).username("alice").password("guess")).await;
        peer.expect_refusal(ReasonCode::BadUserNameOrPassword).await;
        let mut peer = broker.open("nobody");
        peer.send(connect("c").version(version)).await;
        peer.expect_refusal(ReasonCode::NotAuthorized).await;
        let mut peer = broker.open("busy");
        peer.send(connect("c").version(version).username("busy").password("")).await;
        peer.expect_refusal(ReasonCode::ServerUnavailable).await;
        broker.connect(alice(version)).await.ping().await;
    }
}

/// Section 3.2.2.3 of 3.1.1: return codes 4, 5 and 3 on the wire.
#[tokio::test(start_paused = true)]
async fn refusals_of_3_1_1_are_return_codes() {
    let cases = [("alice", 4), ("busy", 3)];
    let broker = broker_asking(Alice).await;
    for (user, code) in cases {
        let mut peer = broker.open(user);
        peer.send(connect("c").version(Version::V3_1_1).username(user).password("?")).await;
        peer.expect_bytes(&[0x20, 2, 0, code]).await;
        peer.expect_closed().await;
    }
    let mut peer = broker.open("nobody");
    peer.send(connect("c").version(Version::V3_1_1)).await;
    peer.expect_bytes(b"\x20\x02\0\x05").await;
    peer.expect_closed().await;
}

/// [MQTT3-3.2.2-6]: a reason that 3.1.1 has no code for is told in the nearest code, or not at all.
#[tokio::test(start_paused = true)]
async fn mqtt3_3_2_2_6_a_ban_closes_a_client_of_3_1_1() {
    let broker = broker_asking(Alice).await;
    let mut peer = broker.open("banned");
    peer.send(connect("c").version(Version::V3_1_1).username("banned").password("?")).await;
    if let Some(answer) = peer.expect_packet_or_closed().await {
        assert_eq!(answer.bytes(), b"\x20\x02\0\x05");
        peer.expect_closed().await;
    }
    let mut peer = broker.open("banned");
    peer.send(connect("c").username("banned").password("?")).await;
    peer.expect_refusal(ReasonCode::Banned).await;
}

/// [MQTT-3.1.2-19]: in 5.0 a password may come without a user name.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_19_a_password_alone_is_legal_in_5_0() {
    let broker = broker_asking(Alice).await;
    let mut peer = broker.open("password alone");
    peer.send(connect("c").password("secret")).await;
    peer.expect_refusal(ReasonCode::NotAuthorized).await;
}

/// [MQTT-3.1.4-2]: a listener may insist on somebody.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_4_2_anonymous_clients_can_be_refused() {
    for version in Version::ALL {
        let broker = broker_refusing_anonymous().await;
        let mut peer = broker.open("nobody");
        peer.send(connect("c").version(version)).await;
        peer.expect_refusal(ReasonCode::NotAuthorized).await;
    }
}

/// [MQTT-3.1.4-2] [MQTT-3.1.2-8]: a refused client has no session, no will and takes over nobody.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_4_2_a_refused_client_leaves_no_trace() {
    for version in Version::ALL {
        let broker = broker_asking(Alice).await;
        let mut watcher = broker.connect(alice(version)).await;
        watcher.subscribe("w", AtMostOnce).await;
        let mut peer = broker.open("impostor");
        let request = connect("alice's").version(version).username("alice").password("guess");
        peer.send(request.will(will("w", "gone"))).await;
        peer.expect_refusal(ReasonCode::BadUserNameOrPassword).await;
        watcher.expect_silence().await;
        watcher.ping().await;
    }
}

/// [MQTT3-3.3.5-2] [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.3.4-1]
#[tokio::test(start_paused = true)]
async fn mqtt3_3_3_5_2_a_forbidden_publish_is_answered_or_closed_and_goes_nowhere() {
    for version in Version::ALL {
        let broker = broker_asking(Alice).await;
        let mut peer = broker.connect(alice(version)).await;
        peer.subscribe("#", ExactlyOnce).await;
        peer.send(publish("secret/1").payload("x")).await;
        peer.send(publish("secret/1").payload("x").qos1(1).retained()).await;
        peer.send(publish("secret/1").payload("x").qos2(2)).await;
        let puback = peer.expect_puback(1).await;
        let pubrec = peer.expect_pubrec(2).await;
        if version == Version::V5 {
            assert_eq!(puback.reason, ReasonCode::NotAuthorized);
            assert_eq!(pubrec.reason, ReasonCode::NotAuthorized);
        } else {
            peer.send(pubrel(2)).await;
            peer.expect_pubcomp(2).await;
        }
        peer.expect_silence().await;
        peer.subscribe("#", ExactlyOnce).await;
        peer.expect_silence().await;
    }
}

/// [MQTT-4.3.3-9]: after a refused PUBREC the identifier is free at once.
#[tokio::test(start_paused = true)]
async fn mqtt_4_3_3_9_after_a_refusal_the_identifier_means_a_new_message() {
    let broker = broker_asking(Alice).await;
    let mut peer = broker.connect(alice(Version::V5)).await;
    peer.subscribe("open", AtMostOnce).await;
    peer.send(publish("secret").payload("x").qos2(1)).await;
    assert!(peer.expect_pubrec(1).await.reason.is_error());
    peer.send(publish("open").payload("new").qos2(1).dup()).await;
    let mut reasons = Vec::new();
    for packet in peer.drain().await {
        match packet.packet() {
            mqtt_codec::Packet::Pubrec(ack) => reasons.push(ack.reason),
            mqtt_codec::Packet::Publish(message) => assert_eq!(message.payload, b"new"),
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(reasons, [ReasonCode::Success]);
    peer.send(pubrel(1)).await;
    peer.expect_pubcomp(1).await;
}

/// [MQTT-3.9.3-2] [MQTT3-3.9.3-2]
#[tokio::test(start_paused = true)]
async fn mqtt_3_9_3_2_a_forbidden_subscription_is_refused_in_the_suback() {
    for version in Version::ALL {
        let broker = broker_asking(Alice).await;
        let mut peer = broker.connect(alice(version)).await;
        let request = subscribe(1).filter("secret/#", AtLeastOnce).filter("open", AtLeastOnce);
        let suback = peer.subscribe_with(request).await;
        let refusal =
            if version == Version::V5 { ReasonCode::NotAuthorized } else { ReasonCode::UnspecifiedError };
        assert_eq!(suback.reasons, [refusal, ReasonCode::GrantedQoS1]);
    }
}

/// [MQTT-3.2.2-19] [MQTT-3.1.2-24] and section 4.11: the text and the other server are told where there is room.
#[tokio::test(start_paused = true)]
async fn mqtt_3_2_2_19_a_refusal_drops_its_text_before_it_grows_too_large() {
    let broker = broker_asking(Alice).await;
    let mut peer = broker.open("moved");
    peer.send(connect("c").username("moved").password("?")).await;
    let connack = peer.expect_refusal(ReasonCode::UseAnotherServer).await;
    assert_eq!(connack.properties().reason_string(), Some("try next door"));
    assert_eq!(connack.properties().server_reference(), Some("next.example:1883"));
    for bytes in [5, 20, 30, 40] {
        let mut peer = broker.open("moved");
        peer.send(connect("c").username("moved").password("?").maximum_packet_size(bytes)).await;
        let answer = peer.expect_packet().await;
        assert!(answer.bytes().len() <= bytes as usize, "{answer:?}");
        assert_eq!(answer.bytes()[3], ReasonCode::UseAnotherServer as u8);
        peer.expect_closed().await;
    }
}

/// A will is published with the rights of its client.
#[tokio::test(start_paused = true)]
async fn a_will_on_a_forbidden_topic_is_not_published() {
    let broker = broker_asking(Alice).await;
    let mut watcher = broker.connect(alice(Version::V5)).await;
    watcher.subscribe("#", AtMostOnce).await;
    let mut peer = broker.open("mortal");
    let request = connect("mortal").username("alice").password("secret").will(will("secret", "gone"));
    peer.send(request).await;
    if let Some(answer) = peer.expect_packet_or_closed().await {
        assert_eq!(answer.bytes()[0], 0x20);
    }
    peer.cut();
    watcher.expect_silence().await;
}

/// [MQTT-3.1.0-2]: once admitted, a client cannot log in again.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_0_2_a_second_login_is_a_protocol_error() {
    for version in Version::ALL {
        let broker = broker_asking(Alice).await;
        let mut peer = broker.connect(alice(version)).await;
        peer.send(alice(version)).await;
        expect_violation(&mut peer, ReasonCode::ProtocolError).await;
    }
}
