//! CONNECT packets that are wrong in themselves.

use mqtt_codec::{
    ReasonCode::{self, MalformedPacket, ProtocolError},
    Version,
};
use mqtt_testkit::{Peer, RawPacket, raw};

use crate::harness::{Harness, broker};

/// A CONNECT of 3.1.1 up to the keep-alive, with these connect flags.
fn v3(flags: u8) -> RawPacket {
    raw(0x10).text("MQTT").byte(4).byte(flags).u16(0)
}

/// The same of 5.0, with these properties.
fn v5(flags: u8, properties: &[u8]) -> RawPacket {
    raw(0x10).text("MQTT").byte(5).byte(flags).u16(0).properties(properties)
}

/// 3.1.1 closes without a CONNACK.
async fn v3_closes(broker: &Harness, packet: RawPacket) {
    let mut peer = broker.open("wrong 3.1.1");
    peer.set_version(Version::V3_1_1);
    peer.send(packet).await;
    peer.expect_closed().await;
}

/// 5.0 may say why and closes.
async fn v5_closes(broker: &Harness, packet: RawPacket, reason: ReasonCode) {
    let mut peer: Peer = broker.open("wrong 5.0");
    peer.send(packet).await;
    peer.expect_refusal(reason).await;
}

/// [MQTT-3.1.2-3] [MQTT3-3.1.2-3] [MQTT3-3.1.4-1] [MQTT-3.1.4-1]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_3_the_reserved_flag_is_checked() {
    let broker = broker().await;
    v3_closes(&broker, v3(0x03).text("c")).await;
    v5_closes(&broker, v5(0x03, &[]).text("c"), MalformedPacket).await;
}

/// [MQTT-3.1.2-11] [MQTT-3.1.2-13] [MQTT3-3.1.2-11] [MQTT3-3.1.2-13] [MQTT3-3.1.2-15]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_11_will_bits_need_the_will_flag() {
    let broker = broker().await;
    for will_bits in [0x08, 0x10, 0x18, 0x20, 0x28] {
        v3_closes(&broker, v3(0x02 | will_bits).text("c")).await;
        v5_closes(&broker, v5(0x02 | will_bits, &[]).text("c"), MalformedPacket).await;
    }
}

/// [MQTT-3.1.2-12] [MQTT3-3.1.2-14]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_12_a_will_of_qos_3_is_malformed() {
    let broker = broker().await;
    v3_closes(&broker, v3(0x1E).text("c").text("w").text("x")).await;
    v5_closes(&broker, v5(0x1E, &[]).text("c").byte(0).text("w").text("x"), MalformedPacket).await;
}

/// [MQTT-3.1.2-9] [MQTT3-3.1.2-9] [MQTT-3.1.2-17] [MQTT3-3.1.2-19] [MQTT-3.1.2-19] [MQTT3-3.1.2-21] [MQTT-3.1.3-3] [MQTT3-3.1.3-3]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_9_a_field_that_is_announced_and_missing_is_malformed() {
    let broker = broker().await;
    v3_closes(&broker, v3(0x02)).await;
    v3_closes(&broker, v3(0x06).text("c")).await;
    v3_closes(&broker, v3(0x06).text("c").text("will topic")).await;
    v3_closes(&broker, v3(0x82).text("c")).await;
    v3_closes(&broker, v3(0xC2).text("c").text("user")).await;
    v5_closes(&broker, v5(0x02, &[]), MalformedPacket).await;
    v5_closes(&broker, v5(0x06, &[]).text("c"), MalformedPacket).await;
    v5_closes(&broker, v5(0x06, &[]).text("c").byte(0).text("will topic"), MalformedPacket).await;
    v5_closes(&broker, v5(0x82, &[]).text("c"), MalformedPacket).await;
    v5_closes(&broker, v5(0x42, &[]).text("c"), MalformedPacket).await;
}

/// [MQTT-3.1.2-16] [MQTT3-3.1.2-18] [MQTT-3.1.2-18] [MQTT3-3.1.2-20] [MQTT-3.1.3-1] [MQTT3-3.1.3-1] [MQTT3-3.1.2-11]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_16_a_field_that_is_not_announced_is_malformed() {
    let broker = broker().await;
    v3_closes(&broker, v3(0x02).text("c").text("extra")).await;
    v3_closes(&broker, v3(0x82).text("c").text("user").text("password")).await;
    v5_closes(&broker, v5(0x02, &[]).text("c").text("extra"), MalformedPacket).await;
    v5_closes(&broker, v5(0x42, &[]).text("c").text("user").text("password"), MalformedPacket).await;
}

/// [MQTT3-3.1.2-22]
#[tokio::test(start_paused = true)]
async fn mqtt3_3_1_2_22_a_password_needs_a_user_name_in_3_1_1() {
    let broker = broker().await;
    v3_closes(&broker, v3(0x42).text("c").text("password")).await;
}

/// [MQTT-1.5.4-1] [MQTT3-1.5.3-1] [MQTT-3.1.3-4] [MQTT3-3.1.3-4] [MQTT-3.1.3-11] [MQTT3-3.1.3-10] [MQTT-3.1.3-12] [MQTT3-3.1.3-11]
#[tokio::test(start_paused = true)]
async fn mqtt_1_5_4_1_bad_utf_8_in_any_text_is_malformed() {
    let broker = broker().await;
    let bad_texts: [&[u8]; 5] = [b"\xFF", b"\xC0\x80", b"\xED\xA0\x80", b"\xED\xBF\xBF", b"\xF4\x90\x80\x80"];
    for bad in bad_texts {
        v3_closes(&broker, v3(0x02).text(bad)).await;
        v3_closes(&broker, v3(0x06).text("c").text(bad).text("x")).await;
        v3_closes(&broker, v3(0x82).text("c").text(bad)).await;
        v5_closes(&broker, v5(0x02, &[]).text(bad), MalformedPacket).await;
        v5_closes(&broker, v5(0x06, &[]).text("c").byte(0).text(bad).text("x"), MalformedPacket).await;
        v5_closes(&broker, v5(0x82, &[]).text("c").text(bad), MalformedPacket).await;
    }
}

/// [MQTT-1.5.4-2] [MQTT3-1.5.3-2]
#[tokio::test(start_paused = true)]
async fn mqtt_1_5_4_2_a_null_character_in_any_text_is_malformed() {
    let broker = broker().await;
    v3_closes(&broker, v3(0x02).text("c\0")).await;
    v3_closes(&broker, v3(0x82).text("c").text("us\0er")).await;
    v5_closes(&broker, v5(0x02, &[]).text("\0c"), MalformedPacket).await;
    v5_closes(&broker, v5(0x82, &[]).text("c").text("us\0er"), MalformedPacket).await;
}

/// Sections 3.1.2.11 and 2.2.2: each property may come once, in its range, where it belongs.
#[tokio::test(start_paused = true)]
async fn wrong_connect_properties_are_refused_with_their_reason() {
    let cases: &[(&str, &[u8], ReasonCode)] = &[
        ("session expiry twice", b"\x11\0\0\0\x01\x11\0\0\0\x01", ProtocolError),
        ("receive maximum 0", b"\x21\0\0", ProtocolError),
        ("receive maximum twice", b"\x21\0\x01\x21\0\x01", ProtocolError),
        ("maximum packet size 0", b"\x27\0\0\0\0", ProtocolError),
        ("maximum packet size twice", b"\x27\0\0\x01\0\x27\0\0\x01\0", ProtocolError),
        ("topic alias maximum twice", b"\x22\0\x01\x22\0\x01", ProtocolError),
        ("request response information 2", b"\x19\x02", ProtocolError),
        ("request response information twice", b"\x19\x01\x19\x01", ProtocolError),
        ("request problem information 2", b"\x17\x02", ProtocolError),
        ("request problem information twice", b"\x17\x01\x17\x01", ProtocolError),
        ("authentication method twice", b"\x15\0\x01m\x15\0\x01m", ProtocolError),
        ("authentication data without method", b"\x16\0\x01d", ProtocolError),
        ("a property of PUBLISH", b"\x23\0\x01", MalformedPacket),
        ("a property of CONNACK", b"\x12\0\x01i", MalformedPacket),
        ("a will property outside the will", b"\x18\0\0\0\x01", MalformedPacket),
        ("an unknown property", b"\x7E\0", MalformedPacket),
        ("a property cut short", b"\x11\0\0", MalformedPacket),
        ("a user property in bad UTF-8", b"\x26\0\x01k\0\x01\xFF", MalformedPacket),
    ];
    let broker = broker().await;
    for (name, block, reason) in cases {
        let mut peer = broker.open(name);
        peer.send(v5(0x02, block).text("c")).await;
        peer.expect_refusal(*reason).await;
    }
}

/// Section 3.1.3.2: the same for the properties of the will.
#[tokio::test(start_paused = true)]
async fn wrong_will_properties_are_refused_with_their_reason() {
    let cases: &[(&str, &[u8], ReasonCode)] = &[
        ("will delay twice", b"\x18\0\0\0\x01\x18\0\0\0\x01", ProtocolError),
        ("payload format 2", b"\x01\x02", ProtocolError),
        ("message expiry twice", b"\x02\0\0\0\x01\x02\0\0\0\x01", ProtocolError),
        ("content type twice", b"\x03\0\x01t\x03\0\x01t", ProtocolError),
        ("response topic twice", b"\x08\0\x01r\x08\0\x01r", ProtocolError),
        ("correlation data twice", b"\x09\0\x01c\x09\0\x01c", ProtocolError),
        ("a property of CONNECT", b"\x11\0\0\0\x01", MalformedPacket),
        ("a topic alias", b"\x23\0\x01", MalformedPacket),
        ("an unknown property", b"\x7E\0", MalformedPacket),
    ];
    let broker = broker().await;
    for (name, block, reason) in cases {
        let mut peer = broker.open(name);
        peer.send(v5(0x06, &[]).text("c").properties(block).text("w").text("x")).await;
        peer.expect_refusal(*reason).await;
    }
}

/// [MQTT-3.1.3-11] [MQTT-4.7.0-1] [MQTT-4.7.3-1] [MQTT3-4.7.1-1] [MQTT3-4.7.3-1]: a will is published, so its topic is a name.
#[tokio::test(start_paused = true)]
async fn mqtt_4_7_0_1_a_will_topic_with_a_wildcard_or_none_at_all_is_refused() {
    let broker = broker().await;
    for topic in ["a/#", "+/b", "a#", ""] {
        v3_closes(&broker, v3(0x06).text("c").text(topic).text("x")).await;
        let mut peer = broker.open("will of 5.0");
        peer.send(v5(0x06, &[]).text("c").byte(0).text(topic).text("x")).await;
        let connack = peer.expect_connack().await;
        assert!(connack.reason.is_error(), "{topic:?} gets {connack:?}");
        peer.expect_closed().await;
    }
}

/// A length that cannot be (section 2.2.3 of 3.1.1, 1.5.5 of 5.0) and flags of CONNECT itself.
#[tokio::test(start_paused = true)]
async fn a_connect_with_a_wrong_fixed_header_closes() {
    let broker = broker().await;
    let headers: [&[u8]; 4] = [
        b"\x11\x0C\0\x04MQTT\x04\x02\0\0\0\0",
        b"\x10\xFF\xFF\xFF\xFF\x7F",
        b"\x10\0",
        b"\x10\x8D\0\0\x04MQTT",
    ];
    for header in headers {
        let mut peer = broker.open("wrong header");
        peer.send(header).await;
        peer.finish_sending().await;
        if peer.expect_packet_or_closed().await.is_some() {
            peer.expect_closed().await;
        }
    }
}
