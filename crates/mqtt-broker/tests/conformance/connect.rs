//! Who is let in: sections 3.1 and 4.8 (3.1.1), 3.1 and 4.13 (5.0).

use std::time::Duration;

use mqtt_codec::{QoS::AtLeastOnce, ReasonCode, Version};
use mqtt_testkit::{Peer, ToWire, connect, pingreq, publish, raw, subscribe};

use crate::harness::{broker, broker_with, expect_violation};

/// [MQTT-3.1.0-1] [MQTT3-3.1.0-1] [MQTT-3.2.0-1] [MQTT3-3.2.0-1] [MQTT-3.14.0-1]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_0_1_a_first_packet_other_than_connect_closes_without_a_word() {
    let broker = broker().await;
    let first_packets: [Vec<u8>; 8] = [
        pingreq().to_vec(),
        b"\xE0\0".to_vec(),
        b"\xF0\0".to_vec(),
        b"\x20\x03\0\0\0".to_vec(),
        b"\x62\x02\0\x01".to_vec(),
        publish("a").payload("x").to_wire(Version::V5),
        publish("a").payload("x").qos1(1).to_wire(Version::V3_1_1),
        subscribe(1).filter("a", AtLeastOnce).to_wire(Version::V5),
    ];
    for first in first_packets {
        let mut peer = broker.open("rude");
        peer.send(&first).await;
        peer.expect_closed().await;
    }
}

/// [MQTT-3.1.0-2] [MQTT3-3.1.0-2] [MQTT-3.2.0-2]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_0_2_a_second_connect_is_a_protocol_error() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut peer = broker.client(version, "twice").await;
        peer.send(connect("twice").version(version)).await;
        expect_violation(&mut peer, ReasonCode::ProtocolError).await;
    }
}

/// [MQTT-3.1.2-1] [MQTT3-3.1.2-1]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_1_another_protocol_name_is_not_served() {
    let broker = broker().await;
    for (name, level) in [("MQTTX", 5), ("mqtt", 5), ("MQT", 4), ("", 4), ("HTTP", 4), ("MQIsdq", 3)] {
        let mut peer = broker.open("foreign");
        peer.send(raw(0x10).text(name).byte(level).byte(2).u16(0).byte(0).text("c")).await;
        expect_unsupported(&mut peer).await;
    }
}

/// [MQTT-3.1.2-2] [MQTT-3.2.2-7]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_2_a_later_version_is_answered_with_0x84() {
    let broker = broker().await;
    for level in [6, 7, 127] {
        let mut peer = broker.open("future");
        peer.send(raw(0x10).text("MQTT").byte(level).byte(2).u16(0).byte(0).text("c")).await;
        expect_unsupported(&mut peer).await;
    }
}

/// [MQTT3-3.1.2-2]: a level of the 3.x family that is not served gets return code 1.
#[tokio::test(start_paused = true)]
async fn mqtt3_3_1_2_2_an_unserved_level_gets_return_code_1() {
    let broker = broker_with(|settings| settings.policy.version_min = Version::V5).await;
    for version in [Version::V3_1, Version::V3_1_1] {
        let mut peer = broker.open("old");
        peer.send(connect("c").version(version)).await;
        peer.expect_bytes(b"\x20\x02\0\x01").await;
        peer.expect_closed().await;
    }
    let mut current = broker.v5("c").await;
    current.ping().await;
}

/// [MQTT-3.1.2-2]: a server that stops at 3.1.1 tells a client of 5.0 in the client's own form.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_2_an_unserved_5_0_gets_0x84() {
    let broker = broker_with(|settings| settings.policy.version_max = Version::V3_1_1).await;
    let mut peer = broker.open("new");
    peer.send(connect("c")).await;
    peer.expect_refusal(ReasonCode::UnsupportedProtocolVersion).await;
}

/// Bridges of some brokers set the top bit of the level, ask for 0x84 and fall back when that is refused.
#[tokio::test(start_paused = true)]
async fn a_level_with_the_bridge_bit_is_refused_with_return_code_1_or_0x84() {
    let broker = broker().await;
    for (name, level) in [("MQTT", 0x84), ("MQTT", 0x85), ("MQIsdp", 0x83)] {
        let mut peer = broker.open("bridge");
        peer.send(raw(0x10).text(name).byte(level).byte(2).u16(0).text("c")).await;
        expect_unsupported(&mut peer).await;
    }
}

/// The refusal may be put in either form, or be left out, but it closes.
async fn expect_unsupported(peer: &mut Peer) {
    peer.set_version(Version::V5);
    if let Some(answer) = peer.expect_packet_or_closed().await {
        let bytes = answer.bytes();
        let v3 = bytes == b"\x20\x02\0\x01";
        let v5 = bytes[0] == 0x20 && bytes[2..4] == [0, 0x84];
        assert!(v3 || v5, "unexpected answer {bytes:02X?}");
        peer.expect_closed().await;
    }
}

/// [MQTT-3.1.3-5] [MQTT3-3.1.3-5] [MQTT-3.1.3-2] [MQTT3-3.1.3-2]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_3_5_letters_and_digits_up_to_23_bytes_are_accepted() {
    let identifiers = ["a", "0", "0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ"];
    for version in Version::ALL {
        let broker = broker().await;
        let mut clients = Vec::new();
        for client_id in identifiers {
            clients.push(broker.client(version, client_id).await);
        }
        for client in &mut clients {
            client.ping().await;
        }
    }
}

/// [MQTT-3.1.3-4] [MQTT3-3.1.3-4]: any UTF-8 goes as far as the broker's own length allows.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_3_4_identifiers_are_any_utf_8() {
    let broker = broker().await;
    for version in [Version::V3_1_1, Version::V5] {
        for client_id in ["a/b c", "größe", "传感器", "#", "-._~", &"x".repeat(64)] {
            broker.client(version, client_id).await.ping().await;
        }
    }
}

/// [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_3_6_an_empty_identifier_is_replaced_by_a_unique_one() {
    let broker = broker().await;
    let mut names = Vec::new();
    let mut peers = Vec::new();
    for clean in [true, false, true] {
        let mut peer = broker.open("nameless");
        let connack = peer.connect(connect("").clean(clean)).await;
        assert!(!connack.session_present);
        let name = connack.properties().assigned_client_identifier().expect("the name is told").to_owned();
        assert!(!name.is_empty() && !names.contains(&name), "{name:?} is not new: {names:?}");
        names.push(name);
        peers.push(peer);
    }
    for peer in &mut peers {
        peer.ping().await;
    }
}

/// [MQTT-3.1.3-7]: the assigned identifier names the session from then on.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_3_7_an_assigned_identifier_can_be_used_to_come_back() {
    let broker = broker().await;
    let mut peer = broker.open("nameless");
    let connack = peer.connect(connect("").session_expiry_s(60)).await;
    let name = connack.properties().assigned_client_identifier().expect("the name is told").to_owned();
    peer.leave().await;

    let mut again = broker.open("named");
    let connack = again.connect(connect(&name).clean(false)).await;
    assert!(connack.session_present);
    assert_eq!(connack.properties().assigned_client_identifier(), None);
}

/// [MQTT3-3.1.3-6]
#[tokio::test(start_paused = true)]
async fn mqtt3_3_1_3_6_an_empty_identifier_with_a_clean_session_is_accepted() {
    let broker = broker().await;
    let mut one = broker.v3("").await;
    let mut other = broker.v3("").await;
    one.ping().await;
    other.ping().await;
}

/// [MQTT3-3.1.3-8] [MQTT3-3.1.3-7] [MQTT3-3.2.2-4] [MQTT3-3.2.2-5]
#[tokio::test(start_paused = true)]
async fn mqtt3_3_1_3_8_an_empty_identifier_with_a_kept_session_gets_return_code_2() {
    let broker = broker().await;
    let mut peer = broker.open("nameless");
    peer.send(connect("").version(Version::V3_1_1).clean(false)).await;
    peer.expect_bytes(b"\x20\x02\0\x02").await;
    peer.expect_closed().await;
}

/// 3.1 knows no empty identifier.
#[tokio::test(start_paused = true)]
async fn an_empty_identifier_in_3_1_gets_return_code_2() {
    let broker = broker().await;
    let mut peer = broker.open("nameless");
    peer.send(connect("").version(Version::V3_1)).await;
    peer.expect_bytes(b"\x20\x02\0\x02").await;
    peer.expect_closed().await;
}

/// [MQTT-3.1.3-8] [MQTT3-3.1.3-9] [MQTT-3.2.2-6]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_3_8_a_refused_identifier_is_told_and_the_connection_closed() {
    let broker = broker_with(|settings| settings.policy.client_id_bytes_max = 23).await;
    for version in Version::ALL {
        let mut peer = broker.open("long");
        peer.send(connect(&"x".repeat(24)).version(version)).await;
        peer.expect_refusal(ReasonCode::ClientIdentifierNotValid).await;
    }
}

/// [MQTT-3.1.3-8] [MQTT3-3.1.3-9]: an operator may insist on names.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_3_8_empty_identifiers_can_be_switched_off() {
    let broker = broker_with(|settings| settings.policy.empty_client_id_allowed = false).await;
    for version in Version::ALL {
        let mut peer = broker.open("nameless");
        peer.send(connect("").version(version)).await;
        peer.expect_refusal(ReasonCode::ClientIdentifierNotValid).await;
    }
}

/// [MQTT-3.1.4-6] [MQTT3-3.1.4-5]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_4_6_nothing_behind_a_refused_connect_is_processed() {
    let broker = broker_with(|settings| settings.policy.client_id_bytes_max = 23).await;
    let mut watcher = broker.v5("watcher").await;
    watcher.subscribe("#", AtLeastOnce).await;
    for version in Version::ALL {
        let mut peer = broker.open("hasty");
        let mut burst = connect(&"x".repeat(24)).version(version).to_wire(version);
        burst.extend(publish("a").payload("must not pass").to_wire(version));
        burst.extend(publish("a").payload("must not stay").retained().to_wire(version));
        peer.set_version(version);
        peer.send(burst).await;
        peer.expect_refusal(ReasonCode::ClientIdentifierNotValid).await;
    }
    watcher.expect_silence().await;
    let mut late = broker.v5("late").await;
    late.subscribe("a", AtLeastOnce).await;
    late.expect_silence().await;
}

/// [MQTT-3.1.4-5] [MQTT3-3.1.4-4]: a client need not wait for its CONNACK.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_4_5_packets_behind_an_accepted_connect_are_answered_in_order() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut peer = broker.open("hasty");
        peer.set_version(version);
        let mut burst = connect("hasty").version(version).to_wire(version);
        burst.extend(subscribe(1).filter("a", AtLeastOnce).to_wire(version));
        burst.extend(publish("a").payload("x").to_wire(version));
        burst.extend(pingreq());
        peer.send(burst).await;
        assert_eq!(peer.expect_connack().await.reason, ReasonCode::Success);
        assert_eq!(peer.expect_suback().await.packet_id, 1);
        let mut kinds =
            [peer.expect_packet().await.bytes()[0] >> 4, peer.expect_packet().await.bytes()[0] >> 4];
        kinds.sort_unstable();
        assert_eq!(kinds, [3, 13]);
    }
}

/// Packets may come in any pieces (section 4.2).
#[tokio::test(start_paused = true)]
async fn a_connect_in_single_bytes_is_a_connect() {
    let broker = broker().await;
    for version in Version::ALL {
        let mut peer = broker.open("slow");
        peer.set_version(version);
        for byte in connect("slow").version(version).to_wire(version) {
            peer.send([byte]).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(peer.expect_connack().await.reason, ReasonCode::Success);
        peer.ping().await;
    }
}

/// Section 3.1.4: a connection without a CONNECT is closed after a reasonable time.
#[tokio::test(start_paused = true)]
async fn a_connection_that_stays_silent_is_closed() {
    let broker = broker_with(|settings| settings.limits.connect_timeout = Duration::from_secs(5)).await;
    let mut peer = broker.open("silent");
    peer.expect_silence_for(Duration::from_millis(4_900)).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    peer.expect_closed().await;
}

/// Section 3.1.4: the same for one that never finishes its CONNECT.
#[tokio::test(start_paused = true)]
async fn a_connect_that_drips_is_cut_off() {
    let broker = broker_with(|settings| settings.limits.connect_timeout = Duration::from_secs(5)).await;
    let mut peer = broker.open("dripping");
    for byte in connect(&"x".repeat(20)).to_wire(Version::V5) {
        peer.send_carelessly([byte]).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    peer.expect_closed().await;
}

/// A packet before admission has a bound of its own.
#[tokio::test(start_paused = true)]
async fn a_huge_connect_is_refused_before_it_is_read() {
    let broker = broker_with(|settings| settings.limits.connect_bytes_max = 4096).await;
    let mut peer = broker.open("huge");
    peer.send([0x10, 0xFF, 0xFF, 0xFF, 0x7F, 0, 4, b'M', b'Q', b'T', b'T', 5]).await;
    if peer.expect_packet_or_closed().await.is_some() {
        peer.expect_closed().await;
    }
}
