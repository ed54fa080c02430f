//! Enhanced authentication: section 4.12.

use std::time::Duration;

use mqtt_codec::{
    PacketType, Property,
    QoS::AtMostOnce,
    ReasonCode::{self, ContinueAuthentication, ReAuthenticate, Success},
};
use mqtt_session::{AuthenticationMethod, Exchange, Step};
use mqtt_testkit::{ToWire, auth, connect, pingreq, publish, will};

use crate::harness::{Harness, broker, broker_with_method};

/// A toy method: the client says `hello`, is asked `name?`, answers `friend`, and gets `welcome`.
#[derive(Debug)]
struct Password;

struct Doorman {
    asked: bool,
}

impl AuthenticationMethod for Password {
    fn name(&self) -> &str {
        "DOOR"
    }

    fn start(&self, _: &str, _: Option<&str>) -> Box<dyn Exchange> {
        Box::new(Doorman { asked: false })
    }
}

impl Exchange for Doorman {
    fn step(&mut self, data: &[u8]) -> Step {
        match (self.asked, data) {
            (false, b"hello") => {
                self.asked = true;
                Step::Continue(b"name?".as_slice().into())
            }
            (true, b"friend") => Step::Success(Some(b"welcome".as_slice().into())),
            _ => Step::Failure(ReasonCode::NotAuthorized),
        }
    }
}

fn knock() -> mqtt_testkit::ConnectBuilder {
    connect("guest")
        .property(Property::AuthenticationMethod("DOOR"))
        .property(Property::AuthenticationData(b"hello"))
}

/// A client that has passed the door.
async fn guest(broker: &Harness) -> mqtt_testkit::Peer {
    let mut peer = broker.open("guest");
    peer.send(knock()).await;
    peer.expect_auth().await;
    peer.send(auth(ContinueAuthentication).method("DOOR", b"friend")).await;
    assert_eq!(peer.expect_connack().await.reason, Success);
    peer
}

/// [MQTT-4.12.0-2] [MQTT-4.12.0-3] [MQTT-4.12.0-5] [MQTT-3.2.0-1] [MQTT-3.15.2-1]
#[tokio::test(start_paused = true)]
async fn mqtt_4_12_0_2_a_challenge_and_its_answer_admit_the_client() {
    let broker = broker_with_method(Password).await;
    let mut peer = broker.open("guest");
    peer.send(knock()).await;
    let challenge = peer.expect_auth().await;
    assert_eq!(challenge.reason, ContinueAuthentication);
    assert_eq!(challenge.properties().authentication_method(), Some("DOOR"));
    assert_eq!(challenge.properties().authentication_data(), Some(&b"name?"[..]));
    peer.send(auth(ContinueAuthentication).method("DOOR", b"friend")).await;
    let connack = peer.expect_connack().await;
    assert_eq!(connack.reason, Success);
    assert_eq!(connack.properties().authentication_method(), Some("DOOR"));
    assert_eq!(connack.properties().authentication_data(), Some(&b"welcome"[..]));
    peer.ping().await;
}

/// [MQTT-4.12.0-1] [MQTT-3.2.2-8]
#[tokio::test(start_paused = true)]
async fn mqtt_4_12_0_1_an_unknown_method_is_refused() {
    let broker = broker_with_method(Password).await;
    for method in ["WINDOW", "door", ""] {
        let mut peer = broker.open("burglar");
        peer.send(connect("c").property(Property::AuthenticationMethod(method))).await;
        peer.expect_refusal(ReasonCode::BadAuthenticationMethod).await;
    }
}

/// [MQTT-4.12.0-4]
#[tokio::test(start_paused = true)]
async fn mqtt_4_12_0_4_a_wrong_answer_is_refused() {
    let broker = broker_with_method(Password).await;
    let mut peer = broker.open("stranger");
    peer.send(knock()).await;
    peer.expect_auth().await;
    peer.send(auth(ContinueAuthentication).method("DOOR", b"foe")).await;
    peer.expect_refusal(ReasonCode::NotAuthorized).await;
    // At once, without a challenge.
    let mut peer = broker.open("stranger");
    let request = connect("c").property(Property::AuthenticationMethod("DOOR"));
    peer.send(request.property(Property::AuthenticationData(b"open!"))).await;
    peer.expect_refusal(ReasonCode::NotAuthorized).await;
}

/// [MQTT-3.1.2-30] [MQTT-4.12.0-3] [MQTT-4.12.0-5] [MQTT-3.14.0-1]: only the right AUTH continues an exchange.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_30_anything_but_the_right_auth_ends_the_exchange() {
    let wrong: [Vec<u8>; 6] = [
        pingreq().to_vec(),
        publish("t").payload("x").to_wire(mqtt_codec::Version::V5),
        auth(ReAuthenticate).method("DOOR", b"friend").to_wire(mqtt_codec::Version::V5),
        auth(ContinueAuthentication).method("WINDOW", b"friend").to_wire(mqtt_codec::Version::V5),
        knock().to_wire(mqtt_codec::Version::V5),
        b"\xE0\0".to_vec(),
    ];
    let broker = broker_with_method(Password).await;
    for packet in wrong {
        let mut peer = broker.open("impatient");
        peer.send(knock().will(will("w", "gone"))).await;
        peer.expect_auth().await;
        peer.send(packet).await;
        if let Some(answer) = peer.expect_packet_or_closed().await {
            let mqtt_codec::Packet::Connack(connack) = answer.packet() else { panic!("{answer:?}") };
            assert!(connack.reason.is_error() && connack.reason.allowed_in(PacketType::Connack));
            peer.expect_closed().await;
        }
    }
}

/// Section 3.1.4: an exchange that never ends is cut off like a missing CONNECT.
#[tokio::test(start_paused = true)]
async fn an_exchange_that_is_not_continued_is_cut_off() {
    let broker = broker_with_method(Password).await;
    let mut peer = broker.open("sleepy");
    peer.send(knock()).await;
    peer.expect_auth().await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    if peer.expect_packet_or_closed().await.is_some() {
        peer.expect_closed().await;
    }
}

/// [MQTT-4.12.1-1] [MQTT-4.12.0-5]
#[tokio::test(start_paused = true)]
async fn mqtt_4_12_1_1_a_client_may_authenticate_again() {
    let broker = broker_with_method(Password).await;
    let mut peer = guest(&broker).await;
    for _ in 0..2 {
        peer.send(auth(ReAuthenticate).method("DOOR", b"hello")).await;
        let challenge = peer.expect_auth().await;
        assert_eq!(challenge.reason, ContinueAuthentication);
        assert_eq!(challenge.properties().authentication_method(), Some("DOOR"));
        // Section 4.12.1: other packets go on meanwhile.
        peer.ping().await;
        peer.send(auth(ContinueAuthentication).method("DOOR", b"friend")).await;
        let done = peer.expect_auth().await;
        assert_eq!(done.reason, Success);
        assert_eq!(done.properties().authentication_method(), Some("DOOR"));
    }
    peer.subscribe("t", AtMostOnce).await;
}

/// [MQTT-3.15.2-2] [MQTT-3.15.2-3] [MQTT-3.1.2-24]: an AUTH carries nothing that could be left out.
#[tokio::test(start_paused = true)]
async fn mqtt_3_15_2_2_an_auth_has_its_method_and_data_alone() {
    let broker = broker_with_method(Password).await;
    for bytes in [19, 1000] {
        let mut peer = broker.open("guest");
        peer.send(knock().maximum_packet_size(bytes)).await;
        let challenge = peer.expect_packet().await;
        assert_eq!(challenge.bytes(), b"\xF0\x11\x18\x0F\x15\0\x04DOOR\x16\0\x05name?");
    }
}

/// [MQTT-4.12.1-2]
#[tokio::test(start_paused = true)]
async fn mqtt_4_12_1_2_a_failed_re_authentication_ends_the_connection() {
    let broker = broker_with_method(Password).await;
    let mut peer = guest(&broker).await;
    peer.send(auth(ReAuthenticate).method("DOOR", b"hello")).await;
    peer.expect_auth().await;
    peer.send(auth(ContinueAuthentication).method("DOOR", b"foe")).await;
    peer.expect_disconnect(ReasonCode::NotAuthorized).await;
}

/// [MQTT-4.12.1-1]: with the same method as in the CONNECT, and in the right order.
#[tokio::test(start_paused = true)]
async fn mqtt_4_12_1_1_another_method_is_a_protocol_error() {
    let broker = broker_with_method(Password).await;
    for packet in
        [auth(ReAuthenticate).method("WINDOW", b"hello"), auth(ContinueAuthentication).method("DOOR", b"")]
    {
        let mut peer = guest(&broker).await;
        peer.send(packet).await;
        peer.expect_disconnect(ReasonCode::ProtocolError).await;
    }
}

/// [MQTT-4.12.0-7] [MQTT-4.12.0-6]
#[tokio::test(start_paused = true)]
async fn mqtt_4_12_0_7_auth_without_a_method_in_the_connect_is_a_protocol_error() {
    let broker = broker_with_method(Password).await;
    let mut peer = broker.open("plain");
    let connack = peer.connect(connect("plain")).await;
    assert_eq!(connack.properties().authentication_method(), None);
    peer.send(auth(ReAuthenticate).method("DOOR", b"hello")).await;
    peer.expect_disconnect(ReasonCode::ProtocolError).await;
}

/// [MQTT-4.12.0-1]: a broker without any method refuses them all.
#[tokio::test(start_paused = true)]
async fn mqtt_4_12_0_1_without_methods_every_method_is_refused() {
    let broker = broker().await;
    let mut peer = broker.open("guest");
    peer.send(knock()).await;
    peer.expect_refusal(ReasonCode::BadAuthenticationMethod).await;
}
