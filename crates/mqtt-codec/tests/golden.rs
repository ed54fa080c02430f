//! Packets of all types in all versions against bytes that were written down by hand.

use std::num::{NonZeroU16, NonZeroU32};

use mqtt_codec::{
    Ack, Auth, Connack, Connect, Disconnect, Packet, PacketId, PacketType, Properties, PropertiesBuf,
    Property, Publish, QoS, ReasonCode, ReasonCodes, ReasonCodesBuf, RetainHandling, Suback, Subscribe,
    SubscribeFiltersBuf, SubscriptionOptions, Unsuback, Unsubscribe, UnsubscribeFiltersBuf,
    Version::{self, V3_1, V3_1_1, V5},
    Will, decode, encode, encoded_len,
};
use mqtt_testkit::GOLDEN;

const V3: [Version; 2] = [V3_1, V3_1_1];

/// The packet is these bytes, and the bytes are this packet.
fn check(version: Version, packet: &Packet<'_>, bytes: &[u8]) {
    let mut encoded = Vec::new();
    assert_eq!(encode(packet, version, &mut encoded), Ok(bytes.len()), "{version} {packet:?}");
    assert_eq!(encoded, bytes, "{version} {packet:?}");
    assert_eq!(encoded_len(packet, version), Ok(bytes.len()), "{version} {packet:?}");
    assert_eq!(decode(bytes, version).as_ref(), Ok(packet), "{version} {bytes:02x?}");
}

fn check_v3(packet: &Packet<'_>, bytes: &[u8]) {
    V3.into_iter().for_each(|version| check(version, packet, bytes));
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("not zero")
}

fn block(properties: &[Property<'_>]) -> PropertiesBuf {
    let mut block = PropertiesBuf::new();
    properties.iter().for_each(|property| block.push(property).expect("in range"));
    block
}

fn connect(version: Version) -> Connect<'static> {
    Connect {
        version,
        clean_start: true,
        keep_alive_s: 60,
        properties: Properties::EMPTY,
        client_id: "a",
        will: None,
        username: None,
        password: None,
    }
}

fn publish(qos: QoS) -> Publish<'static> {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: "a/b",
        packet_id: (qos != QoS::AtMostOnce).then_some(id(0x1234)),
        properties: Properties::EMPTY,
        payload: b"hi",
    }
}

#[test]
fn every_golden_packet_survives_both_directions() {
    for golden in GOLDEN {
        let packet =
            decode(golden.bytes, golden.version).unwrap_or_else(|error| panic!("{golden:?}: {error}"));
        check(golden.version, &packet, golden.bytes);
    }
}

#[test]
fn golden_packets_cover_every_type_in_3_and_in_5() {
    for packet_type in PacketType::ALL {
        let of_type = |v5: bool| {
            GOLDEN.iter().any(|golden| {
                PacketType::from_first_byte(golden.bytes[0]) == Some(packet_type)
                    && golden.version.has_properties() == v5
            })
        };
        assert!(of_type(true), "{packet_type}");
        assert!(of_type(false) || packet_type == PacketType::Auth, "{packet_type}");
    }
}

#[test]
fn connect_of_each_version() {
    check(V3_1, &Packet::Connect(connect(V3_1)), b"\x10\x0F\0\x06MQIsdp\x03\x02\0\x3C\0\x01a");
    check(V3_1_1, &Packet::Connect(connect(V3_1_1)), b"\x10\x0D\0\x04MQTT\x04\x02\0\x3C\0\x01a");
    check(V5, &Packet::Connect(connect(V5)), b"\x10\x0E\0\x04MQTT\x05\x02\0\x3C\0\0\x01a");
}

#[test]
fn connect_goes_by_its_own_version_whatever_the_caller_says() {
    for own in Version::ALL {
        let packet = Packet::Connect(connect(own));
        let mut bytes = Vec::new();
        encode(&packet, own, &mut bytes).expect("valid");
        Version::ALL.into_iter().for_each(|said| check(said, &packet, &bytes));
    }
}

#[test]
fn connect_with_a_will_and_credentials() {
    let will = Will {
        qos: QoS::AtLeastOnce,
        retain: true,
        properties: Properties::EMPTY,
        topic: "w",
        payload: b"hi",
    };
    let mut packet = Connect {
        will: Some(will),
        username: Some("u"),
        password: Some(b"p"),
        client_id: "c",
        ..connect(V3_1_1)
    };
    let bytes = b"\x10\x1A\0\x04MQTT\x04\xEE\0\x3C\0\x01c\0\x01w\0\x02hi\0\x01u\0\x01p";
    check(V3_1_1, &Packet::Connect(packet), bytes);

    let of_will = block(&[Property::WillDelayInterval(5), Property::PayloadFormatIndicator(true)]);
    let of_connect = block(&[Property::SessionExpiryInterval(10)]);
    packet.version = V5;
    packet.will = Some(Will { qos: QoS::ExactlyOnce, properties: of_will.as_properties(), ..will });
    packet.properties = of_connect.as_properties();
    let bytes = b"\x10\x28\0\x04MQTT\x05\xF6\0\x3C\x05\x11\0\0\0\x0A\0\x01c\
                  \x07\x18\0\0\0\x05\x01\x01\0\x01w\0\x02hi\0\x01u\0\x01p";
    check(V5, &Packet::Connect(packet), bytes);
}

#[test]
fn connect_with_every_property_of_its_block() {
    let properties = block(&[
        Property::SessionExpiryInterval(10),
        Property::ReceiveMaximum(NonZeroU16::MIN),
        Property::MaximumPacketSize(NonZeroU32::MAX),
        Property::TopicAliasMaximum(5),
        Property::RequestResponseInformation(true),
        Property::RequestProblemInformation(false),
        Property::UserProperty("k", "v"),
        Property::AuthenticationMethod("m"),
        Property::AuthenticationData(b"\0"),
    ]);
    let packet = Packet::Connect(Connect { properties: properties.as_properties(), ..connect(V5) });
    let bytes = b"\x10\x31\0\x04MQTT\x05\x02\0\x3C\x23\x11\0\0\0\x0A\x21\0\x01\x27\xFF\xFF\xFF\xFF\x22\0\x05\
                  \x19\x01\x17\0\x26\0\x01k\0\x01v\x15\0\x01m\x16\0\x01\0\0\x01a";
    check(V5, &packet, bytes);
}

#[test]
fn connack_of_each_version() {
    let accepted =
        Connack { session_present: false, reason: ReasonCode::Success, properties: Properties::EMPTY };
    check_v3(&Packet::Connack(accepted), b"\x20\x02\0\0");
    check(V5, &Packet::Connack(accepted), b"\x20\x03\0\0\0");

    let resumed = Connack { session_present: true, ..accepted };
    check(V3_1_1, &Packet::Connack(resumed), b"\x20\x02\x01\0");
    check(V5, &Packet::Connack(resumed), b"\x20\x03\x01\0\0");
}

/// Return codes with the reasons that stand for them (table 3.1 of MQTT 3.1.1).
#[test]
fn connack_refuses_with_the_return_codes_of_3() {
    use ReasonCode as R;
    let table = [
        (1, R::UnsupportedProtocolVersion),
        (2, R::ClientIdentifierNotValid),
        (3, R::ServerUnavailable),
        (4, R::BadUserNameOrPassword),
        (5, R::NotAuthorized),
    ];
    for (code, reason) in table {
        let packet =
            Packet::Connack(Connack { session_present: false, reason, properties: Properties::EMPTY });
        check_v3(&packet, &[0x20, 2, 0, code]);
        check(V5, &packet, &[0x20, 3, 0, reason as u8, 0]);
    }
}

#[test]
fn publish_at_each_level() {
    check_v3(&Packet::Publish(publish(QoS::AtMostOnce)), b"\x30\x07\0\x03a/bhi");
    check_v3(&Packet::Publish(publish(QoS::AtLeastOnce)), b"\x32\x09\0\x03a/b\x12\x34hi");
    check_v3(&Packet::Publish(publish(QoS::ExactlyOnce)), b"\x34\x09\0\x03a/b\x12\x34hi");
    check(V5, &Packet::Publish(publish(QoS::AtMostOnce)), b"\x30\x08\0\x03a/b\0hi");
    check(V5, &Packet::Publish(publish(QoS::AtLeastOnce)), b"\x32\x0A\0\x03a/b\x12\x34\0hi");
    let again = Publish { dup: true, retain: true, payload: b"", ..publish(QoS::ExactlyOnce) };
    check_v3(&Packet::Publish(again), b"\x3D\x07\0\x03a/b\x12\x34");
    check(V5, &Packet::Publish(again), b"\x3D\x08\0\x03a/b\x12\x34\0");
}

#[test]
fn publish_with_properties_in_the_senders_order() {
    let properties = block(&[
        Property::SubscriptionIdentifier(128),
        Property::TopicAlias(NonZeroU16::MAX),
        Property::SubscriptionIdentifier(268_435_455),
    ]);
    let packet = Publish { topic: "", properties: properties.as_properties(), ..publish(QoS::AtMostOnce) };
    let bytes = b"\x30\x10\0\0\x0B\x0B\x80\x01\x23\xFF\xFF\x0B\xFF\xFF\xFF\x7Fhi";
    check(V5, &Packet::Publish(packet), bytes);
}

#[test]
fn publish_head_counts_the_payload_that_follows() {
    for version in Version::ALL {
        let packet = publish(QoS::AtLeastOnce);
        let mut whole = Vec::new();
        encode(&Packet::Publish(packet), version, &mut whole).expect("valid");
        let mut chained = Vec::new();
        let written = packet.encode_head(version, &mut chained).expect("valid");
        assert_eq!(written, chained.len());
        chained.extend_from_slice(packet.payload);
        assert_eq!(chained, whole, "{version}");
    }
}

#[test]
fn remaining_length_at_each_width() {
    for (payload_len, header) in [
        (122, &b"\x30\x7F"[..]),
        (123, b"\x30\x80\x01"),
        (16_378, b"\x30\xFF\x7F"),
        (16_379, b"\x30\x80\x80\x01"),
        (2_097_146, b"\x30\xFF\xFF\x7F"),
        (2_097_147, b"\x30\x80\x80\x80\x01"),
    ] {
        let payload = vec![b'x'; payload_len];
        let packet = Packet::Publish(Publish { payload: &payload, ..publish(QoS::AtMostOnce) });
        let bytes = [header, b"\0\x03a/b", &payload].concat();
        check(V3_1_1, &packet, &bytes);
    }
}

#[test]
fn acknowledgements_of_each_version() {
    let success = Ack::success(id(7));
    let text = block(&[Property::ReasonString("x")]);
    let packets = [
        (Packet::Puback as fn(_) -> _, 0x40, ReasonCode::NoMatchingSubscribers),
        (Packet::Pubrec, 0x50, ReasonCode::QuotaExceeded),
        (Packet::Pubrel, 0x62, ReasonCode::PacketIdentifierNotFound),
        (Packet::Pubcomp, 0x70, ReasonCode::PacketIdentifierNotFound),
    ];
    for (packet, first, reason) in packets {
        let explained = Ack { reason, properties: text.as_properties(), ..success };
        Version::ALL.into_iter().for_each(|v| check(v, &packet(success), &[first, 2, 0, 7]));
        check(V5, &packet(Ack { reason, ..success }), &[first, 3, 0, 7, reason as u8]);
        let bytes = [first, 8, 0, 7, reason as u8, 4, 0x1F, 0, 1, b'x'];
        check(V5, &packet(explained), &bytes);
    }
}

#[test]
fn subscribe_of_each_version() {
    let mut filters = SubscribeFiltersBuf::new();
    filters.push("a/b", SubscriptionOptions::at(QoS::AtLeastOnce)).expect("short");
    filters.push("#", SubscriptionOptions::at(QoS::ExactlyOnce)).expect("short");
    let packet = Packet::Subscribe(Subscribe {
        packet_id: id(1),
        properties: Properties::EMPTY,
        filters: filters.as_filters(),
    });
    check_v3(&packet, b"\x82\x0C\0\x01\0\x03a/b\x01\0\x01#\x02");
    check(V5, &packet, b"\x82\x0D\0\x01\0\0\x03a/b\x01\0\x01#\x02");
}

#[test]
fn subscribe_with_all_options_and_an_identifier() {
    let options = SubscriptionOptions {
        qos: QoS::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
    };
    let mut filters = SubscribeFiltersBuf::new();
    filters.push("a/b", options).expect("short");
    let identifier = block(&[Property::SubscriptionIdentifier(5)]);
    let packet =
        Subscribe { packet_id: id(1), properties: identifier.as_properties(), filters: filters.as_filters() };
    check(V5, &Packet::Subscribe(packet), b"\x82\x0B\0\x01\x02\x0B\x05\0\x03a/b\x2E");
}

#[test]
fn suback_of_each_version() {
    let granted = ReasonCodesBuf::from_iter([
        ReasonCode::GRANTED_QOS_0,
        ReasonCode::GrantedQoS1,
        ReasonCode::GrantedQoS2,
        ReasonCode::UnspecifiedError,
    ]);
    let packet = Packet::Suback(Suback {
        packet_id: id(1),
        properties: Properties::EMPTY,
        reasons: granted.as_reasons(),
    });
    check_v3(&packet, b"\x90\x06\0\x01\0\x01\x02\x80");
    check(V5, &packet, b"\x90\x07\0\x01\0\0\x01\x02\x80");
}

#[test]
fn unsubscribe_and_unsuback_of_each_version() {
    let mut filters = UnsubscribeFiltersBuf::new();
    filters.push("a/b").expect("short");
    filters.push("#").expect("short");
    let packet = Packet::Unsubscribe(Unsubscribe {
        packet_id: id(2),
        properties: Properties::EMPTY,
        filters: filters.as_filters(),
    });
    check_v3(&packet, b"\xA2\x0A\0\x02\0\x03a/b\0\x01#");
    check(V5, &packet, b"\xA2\x0B\0\x02\0\0\x03a/b\0\x01#");

    let unsuback = Unsuback { packet_id: id(2), properties: Properties::EMPTY, reasons: ReasonCodes::EMPTY };
    check_v3(&Packet::Unsuback(unsuback), b"\xB0\x02\0\x02");
    let reasons = ReasonCodesBuf::from_iter([ReasonCode::Success, ReasonCode::NoSubscriptionExisted]);
    let unsuback = Unsuback { reasons: reasons.as_reasons(), ..unsuback };
    check(V5, &Packet::Unsuback(unsuback), b"\xB0\x05\0\x02\0\0\x11");
}

#[test]
fn pings_and_a_polite_goodbye_are_two_bytes_in_each_version() {
    for version in Version::ALL {
        check(version, &Packet::Pingreq, b"\xC0\0");
        check(version, &Packet::Pingresp, b"\xD0\0");
        check(version, &Packet::Disconnect(Disconnect::default()), b"\xE0\0");
    }
}

#[test]
fn disconnect_with_a_reason_and_with_properties() {
    let will = Disconnect { reason: ReasonCode::DisconnectWithWillMessage, properties: Properties::EMPTY };
    check(V5, &Packet::Disconnect(will), b"\xE0\x01\x04");
    let expiry = block(&[Property::SessionExpiryInterval(60)]);
    let normal = Disconnect { properties: expiry.as_properties(), ..Disconnect::default() };
    check(V5, &Packet::Disconnect(normal), b"\xE0\x07\0\x05\x11\0\0\0\x3C");
}

#[test]
fn auth_bare_and_with_its_method() {
    check(V5, &Packet::Auth(Auth { reason: ReasonCode::Success, properties: Properties::EMPTY }), b"\xF0\0");
    let step = block(&[Property::AuthenticationMethod("m"), Property::AuthenticationData(b"d")]);
    for (reason, number) in [(ReasonCode::ContinueAuthentication, 0x18), (ReasonCode::ReAuthenticate, 0x19)] {
        let packet = Packet::Auth(Auth { reason, properties: step.as_properties() });
        check(V5, &packet, &[0xF0, 10, number, 8, 0x15, 0, 1, b'm', 0x16, 0, 1, b'd']);
    }
}
