//! Bytes that are no packet, sorted by the statement that they break: what is answered, and which rule is named.

use mqtt_codec::{
    DecodeError, DecodeErrorKind as Kind, PacketType,
    ReasonCode::{
        self, MalformedPacket, PacketTooLarge, ProtocolError, TopicAliasInvalid, UnsupportedProtocolVersion,
    },
    Version::{self, V3_1, V3_1_1, V5},
    connect_version, decode, frame,
};
use mqtt_testkit::MALFORMED;

type Case = (Version, &'static [u8], Kind, ReasonCode, &'static str);

fn check(cases: &[Case]) {
    for &(version, bytes, kind, reason, clause) in cases {
        let error = decode(bytes, version).expect_err("the bytes are malformed");
        let seen = (error.kind(), error.reason(), error.clause());
        assert_eq!(seen, (kind, reason, clause), "{version} {bytes:02x?}: {error}");
        assert!(error.to_string().ends_with(&format!("[{clause}]")), "{error}");
    }
}

fn check_accepted(cases: &[(Version, &[u8])]) {
    for (version, bytes) in cases {
        assert!(decode(bytes, *version).is_ok(), "{version} {bytes:02x?}: {:?}", decode(bytes, *version));
    }
}

#[test]
fn the_malformed_packets_of_the_testkit_get_their_reasons() {
    for case in MALFORMED {
        let error = decode(case.bytes, case.version).expect_err(case.name);
        assert_eq!(error.reason(), case.reason, "{case:?}: {error}");
    }
}

/// Also `[MQTT3-1.5.3-1]`.
#[test]
fn mqtt_1_5_4_1_strings_are_well_formed_utf_8() {
    check(&[
        (V5, b"\x30\x04\0\x01\xFF\0", Kind::InvalidUtf8, MalformedPacket, "MQTT-1.5.4-1"),
        (V5, b"\x30\x05\0\x02\xC0\x80\0", Kind::InvalidUtf8, MalformedPacket, "MQTT-1.5.4-1"),
        (V5, b"\x30\x06\0\x03\xED\xBF\xBF\0", Kind::InvalidUtf8, MalformedPacket, "MQTT-1.5.4-1"),
        (V5, b"\x30\x07\0\x04\xF4\x90\x80\x80\0", Kind::InvalidUtf8, MalformedPacket, "MQTT-1.5.4-1"),
        (V3_1_1, b"\x30\x05\0\x03\xED\xA0\x80", Kind::InvalidUtf8, MalformedPacket, "MQTT-1.5.4-1"),
        (V3_1, b"\x30\x04\0\x02\xE2\x82", Kind::InvalidUtf8, MalformedPacket, "MQTT-1.5.4-1"),
        (V5, b"\xA2\x06\0\x01\0\0\x01\x80", Kind::InvalidUtf8, MalformedPacket, "MQTT-1.5.4-1"),
        (
            V5,
            b"\x10\x0E\0\x04MQTT\x05\x02\0\0\0\0\x01\xFF",
            Kind::InvalidUtf8,
            MalformedPacket,
            "MQTT-1.5.4-1",
        ),
    ]);
}

/// Also `[MQTT3-1.5.3-2]`.
#[test]
fn mqtt_1_5_4_2_strings_have_no_null_character() {
    check(&[
        (V5, b"\x30\x05\0\x02a\0\0", Kind::StringContainsNul, MalformedPacket, "MQTT-1.5.4-2"),
        (V3_1_1, b"\x82\x06\0\x01\0\x01\0\0", Kind::StringContainsNul, MalformedPacket, "MQTT-1.5.4-2"),
        (V5, b"\x30\x08\0\x01a\x04\x03\0\x01\0", Kind::StringContainsNul, MalformedPacket, "MQTT-1.5.4-2"),
    ]);
}

/// Also `[MQTT3-1.5.3-3]`.
#[test]
fn mqtt_1_5_4_3_a_byte_order_mark_is_a_character_like_others() {
    for version in Version::ALL {
        let properties: &[u8] = if version == V5 { &[0] } else { &[] };
        let mut bytes = vec![0x30, 6 + properties.len() as u8, 0, 4, 0xEF, 0xBB, 0xBF, b'a'];
        bytes.extend(properties);
        let Ok(mqtt_codec::Packet::Publish(publish)) = decode(&bytes, version) else {
            panic!("{bytes:02x?}")
        };
        assert_eq!(publish.topic, "\u{FEFF}a");
    }
}

#[test]
fn mqtt_1_5_5_1_variable_byte_integers_are_minimal() {
    check(&[
        (V5, b"\xC0\x80\0", Kind::NonMinimalInteger, MalformedPacket, "MQTT-1.5.5-1"),
        (V3_1_1, b"\xC0\x80\x80\0", Kind::NonMinimalInteger, MalformedPacket, "MQTT-1.5.5-1"),
        (V5, b"\x30\x05\0\x01a\x80\0", Kind::NonMinimalInteger, MalformedPacket, "MQTT-1.5.5-1"),
        (V5, b"\x30\x07\0\x01a\x03\x0B\x81\0", Kind::NonMinimalInteger, MalformedPacket, "MQTT-1.5.5-1"),
        (V5, b"\xC0\xFF\xFF\xFF\xFF\x01", Kind::OverlongInteger, MalformedPacket, "1.5.5"),
    ]);
}

#[test]
fn mqtt_1_5_7_1_both_strings_of_a_pair_are_checked() {
    check(&[
        (V5, b"\x30\x0B\0\x01a\x07\x26\0\x01\xFF\0\x01v", Kind::InvalidUtf8, MalformedPacket, "MQTT-1.5.4-1"),
        (V5, b"\x30\x0B\0\x01a\x07\x26\0\x01k\0\x01\xFF", Kind::InvalidUtf8, MalformedPacket, "MQTT-1.5.4-1"),
    ]);
}

#[test]
fn packet_types_that_do_not_exist() {
    check(&[
        (V5, b"\x00\0", Kind::ReservedPacketType, MalformedPacket, "2.1.2"),
        (V3_1_1, b"\x05\0", Kind::ReservedPacketType, MalformedPacket, "2.1.2"),
        (V3_1_1, b"\xF0\0", Kind::PacketTypeNotInVersion, MalformedPacket, "2.1.2"),
        (V3_1, b"\xF0\0", Kind::PacketTypeNotInVersion, MalformedPacket, "2.1.2"),
    ]);
}

/// Also `[MQTT3-2.2.2-2]`. Every combination of type and flags, in every version.
#[test]
fn mqtt_2_1_3_1_reserved_flags_have_their_values() {
    for version in Version::ALL {
        for packet in PacketType::ALL.into_iter().filter(|packet| *packet != PacketType::Publish) {
            let request =
                matches!(packet, PacketType::Pubrel | PacketType::Subscribe | PacketType::Unsubscribe);
            for flags in 0..16 {
                let legal = match request {
                    true => flags == 0b0010 || flags == 0b1010 && version == V3_1,
                    false => flags == 0,
                };
                let bytes = [(packet as u8) << 4 | flags, 0];
                let refused =
                    decode(&bytes, version).is_err_and(|error| error.kind() == Kind::FixedHeaderFlags);
                assert_eq!(refused, !legal, "{version} {packet} {flags:04b}");
            }
        }
    }
}

/// Also `[MQTT-3.8.1-1]`, `[MQTT-3.10.1-1]`, `[MQTT-3.14.1-1]`, `[MQTT-3.15.1-1]` and, of MQTT 3.1.1, `[MQTT3-3.6.1-1]`,
/// `[MQTT3-3.8.1-1]`, `[MQTT3-3.10.1-1]`, `[MQTT3-3.14.1-1]`.
#[test]
fn mqtt_3_6_1_1_flags_are_named_by_the_statement_of_their_packet() {
    check(&[
        (V5, b"\x60\x02\0\x01", Kind::FixedHeaderFlags, MalformedPacket, "MQTT-3.6.1-1"),
        (V5, b"\x6A\x02\0\x01", Kind::FixedHeaderFlags, MalformedPacket, "MQTT-3.6.1-1"),
        (V3_1_1, b"\x80\x06\0\x01\0\x01a\0", Kind::FixedHeaderFlags, MalformedPacket, "MQTT-3.8.1-1"),
        (V3_1_1, b"\xA0\x05\0\x01\0\x01a", Kind::FixedHeaderFlags, MalformedPacket, "MQTT-3.10.1-1"),
        (V3_1_1, b"\xE1\0", Kind::FixedHeaderFlags, MalformedPacket, "MQTT-3.14.1-1"),
        (V5, b"\xF8\0", Kind::FixedHeaderFlags, MalformedPacket, "MQTT-3.15.1-1"),
        (V5, b"\xC1\0", Kind::FixedHeaderFlags, MalformedPacket, "MQTT-2.1.3-1"),
    ]);
}

#[test]
fn requests_may_be_marked_as_repeated_in_3_1_only() {
    check_accepted(&[
        (V3_1, b"\x6A\x02\0\x01"),
        (V3_1, b"\x8A\x06\0\x01\0\x01a\0"),
        (V3_1, b"\xAA\x05\0\x01\0\x01a"),
    ]);
    check(&[(V3_1_1, b"\x8A\x06\0\x01\0\x01a\0", Kind::FixedHeaderFlags, MalformedPacket, "MQTT-3.8.1-1")]);
}

/// Also `[MQTT3-2.3.1-1]`.
#[test]
fn mqtt_2_2_1_3_packet_identifiers_are_not_zero() {
    check(&[
        (V5, b"\x32\x06\0\x01a\0\0\0", Kind::PacketIdZero, ProtocolError, "MQTT-2.2.1-3"),
        (V3_1_1, b"\x34\x05\0\x01a\0\0", Kind::PacketIdZero, ProtocolError, "MQTT-2.2.1-3"),
        (V3_1_1, b"\x82\x06\0\0\0\x01a\0", Kind::PacketIdZero, ProtocolError, "MQTT-2.2.1-3"),
        (V5, b"\xA2\x06\0\0\0\0\x01a", Kind::PacketIdZero, ProtocolError, "MQTT-2.2.1-3"),
        (V5, b"\x40\x02\0\0", Kind::PacketIdZero, ProtocolError, "MQTT-2.2.1-3"),
        (V5, b"\x62\x02\0\0", Kind::PacketIdZero, ProtocolError, "MQTT-2.2.1-3"),
    ]);
}

#[test]
fn lengths_fit_exactly() {
    check(&[
        (V5, b"", Kind::Truncated, MalformedPacket, "2.1.4"),
        (V5, b"\x30\x05\0\x01a", Kind::Truncated, MalformedPacket, "2.1.4"),
        (V5, b"\x30\x04\0\x09ab", Kind::Truncated, MalformedPacket, "2.1.4"),
        (V3_1_1, b"\x40\x01\0", Kind::Truncated, MalformedPacket, "2.1.4"),
        (V5, b"\x30\x04\0\x01a\x09", Kind::Truncated, MalformedPacket, "2.1.4"),
        (V5, b"\x82\x06\0\x01\0\0\x01a", Kind::Truncated, MalformedPacket, "2.1.4"),
        (V5, b"\xC0\0\xC0", Kind::TrailingBytes, MalformedPacket, "2.1.4"),
        (V5, b"\xC0\x01\0", Kind::TrailingBytes, MalformedPacket, "2.1.4"),
        (V3_1_1, b"\x40\x03\0\x01\0", Kind::TrailingBytes, MalformedPacket, "2.1.4"),
        (V3_1_1, b"\xE0\x01\0", Kind::TrailingBytes, MalformedPacket, "2.1.4"),
        (V3_1_1, b"\xB0\x03\0\x01\0", Kind::TrailingBytes, MalformedPacket, "2.1.4"),
        (V3_1_1, b"\x10\x0D\0\x04MQTT\x04\x02\0\0\0\0\0", Kind::TrailingBytes, MalformedPacket, "2.1.4"),
    ]);
    let too_large = frame(b"\x30\x0F", 16).expect_err("17 bytes");
    assert_eq!((too_large.kind(), too_large.reason()), (Kind::FrameTooLarge, PacketTooLarge));
}

/// Also `[MQTT3-3.1.2-1]`. Bit 7 of the level, which bridges set, is no version either.
#[test]
fn mqtt_3_1_2_1_protocol_name_and_version_are_known_ones() {
    check(&[
        (
            V5,
            b"\x10\x0D\0\x04MQTX\x04\x02\0\0\0\x01a",
            Kind::UnsupportedProtocolName,
            UnsupportedProtocolVersion,
            "MQTT-3.1.2-1",
        ),
        (
            V5,
            b"\x10\x0D\0\x04mqtt\x04\x02\0\0\0\x01a",
            Kind::UnsupportedProtocolName,
            UnsupportedProtocolVersion,
            "MQTT-3.1.2-1",
        ),
        (
            V5,
            b"\x10\x0D\0\x04MQTT\x06\x02\0\0\0\x01a",
            Kind::UnsupportedProtocolVersion,
            UnsupportedProtocolVersion,
            "MQTT-3.1.2-2",
        ),
        (
            V5,
            b"\x10\x0D\0\x04MQTT\x84\x02\0\0\0\x01a",
            Kind::UnsupportedProtocolVersion,
            UnsupportedProtocolVersion,
            "MQTT-3.1.2-2",
        ),
        (
            V5,
            b"\x10\x0D\0\x04MQTT\x03\x02\0\0\0\x01a",
            Kind::UnsupportedProtocolVersion,
            UnsupportedProtocolVersion,
            "MQTT-3.1.2-2",
        ),
        (
            V5,
            b"\x10\x0F\0\x06MQIsdp\x04\x02\0\0\0\x01a",
            Kind::UnsupportedProtocolVersion,
            UnsupportedProtocolVersion,
            "MQTT-3.1.2-2",
        ),
    ]);
}

#[test]
fn the_version_of_a_malformed_connect_can_be_told() {
    assert_eq!(connect_version(b"\x10\x0D\0\x04MQTT\x05\xFF"), Some(V5));
    assert_eq!(connect_version(b"\x10\x0D\0\x04MQTT\x04"), Some(V3_1_1));
    assert_eq!(connect_version(b"\x10\x0F\0\x06MQIsdp\x03"), Some(V3_1));
    for none in [&b""[..], b"\x10", b"\x10\x0D\0\x04MQT", b"\x10\x0D\0\x04MQTT\x07", b"\xC0\0"] {
        assert_eq!(connect_version(none), None, "{none:02x?}");
    }
}

/// Also `[MQTT3-3.1.2-3]`.
#[test]
fn mqtt_3_1_2_3_the_reserved_connect_flag_is_zero() {
    check(&[
        (
            V5,
            b"\x10\x0E\0\x04MQTT\x05\x03\0\0\0\0\x01a",
            Kind::ConnectReservedFlag,
            MalformedPacket,
            "MQTT-3.1.2-3",
        ),
        (
            V3_1_1,
            b"\x10\x0D\0\x04MQTT\x04\x03\0\0\0\x01a",
            Kind::ConnectReservedFlag,
            MalformedPacket,
            "MQTT-3.1.2-3",
        ),
    ]);
    check_accepted(&[(V3_1, b"\x10\x0F\0\x06MQIsdp\x03\x03\0\0\0\x01a")]);
}

/// Also `[MQTT-3.1.2-12]`, `[MQTT-3.1.2-13]` and, of MQTT 3.1.1, `[MQTT3-3.1.2-13]`, `[MQTT3-3.1.2-14]`, `[MQTT3-3.1.2-15]`.
#[test]
fn mqtt_3_1_2_11_will_flags_agree() {
    check(&[
        (
            V5,
            b"\x10\x0E\0\x04MQTT\x05\x0A\0\0\0\0\x01a",
            Kind::WillQoSWithoutWill,
            MalformedPacket,
            "MQTT-3.1.2-11",
        ),
        (
            V3_1_1,
            b"\x10\x0D\0\x04MQTT\x04\x12\0\0\0\x01a",
            Kind::WillQoSWithoutWill,
            MalformedPacket,
            "MQTT-3.1.2-11",
        ),
        (V5, b"\x10\x0E\0\x04MQTT\x05\x1E\0\0\0\0\x01a", Kind::WillQoS3, MalformedPacket, "MQTT-3.1.2-12"),
        (V3_1_1, b"\x10\x0D\0\x04MQTT\x04\x1E\0\0\0\x01a", Kind::WillQoS3, MalformedPacket, "MQTT-3.1.2-12"),
        (
            V5,
            b"\x10\x0E\0\x04MQTT\x05\x22\0\0\0\0\x01a",
            Kind::WillRetainWithoutWill,
            MalformedPacket,
            "MQTT-3.1.2-13",
        ),
        (
            V3_1_1,
            b"\x10\x0D\0\x04MQTT\x04\x22\0\0\0\x01a",
            Kind::WillRetainWithoutWill,
            MalformedPacket,
            "MQTT-3.1.2-13",
        ),
    ]);
}

#[test]
fn mqtt3_3_1_2_22_a_password_needs_a_user_name_before_5() {
    check(&[
        (
            V3_1_1,
            b"\x10\x10\0\x04MQTT\x04\x42\0\0\0\x01a\0\x01p",
            Kind::PasswordWithoutUserName,
            MalformedPacket,
            "MQTT3-3.1.2-22",
        ),
        (
            V3_1,
            b"\x10\x12\0\x06MQIsdp\x03\x42\0\0\0\x01a\0\x01p",
            Kind::PasswordWithoutUserName,
            MalformedPacket,
            "MQTT3-3.1.2-22",
        ),
    ]);
    check_accepted(&[(V5, b"\x10\x11\0\x04MQTT\x05\x42\0\0\0\0\x01a\0\x01p")]);
}

#[test]
fn credentials_may_be_announced_and_missing_in_3_1_only() {
    check_accepted(&[(V3_1, b"\x10\x0F\0\x06MQIsdp\x03\xC2\0\0\0\x01a")]);
    check(&[
        (V3_1_1, b"\x10\x0D\0\x04MQTT\x04\xC2\0\0\0\x01a", Kind::Truncated, MalformedPacket, "2.1.4"),
        (V5, b"\x10\x0E\0\x04MQTT\x05\xC2\0\0\0\0\x01a", Kind::Truncated, MalformedPacket, "2.1.4"),
    ]);
}

/// Also `[MQTT-3.2.2-6]`, `[MQTT-3.2.2-8]`.
#[test]
fn mqtt_3_2_2_1_connack_flags_and_reasons() {
    check(&[
        (V5, b"\x20\x03\x02\0\0", Kind::ConnackReservedFlags, MalformedPacket, "MQTT-3.2.2-1"),
        (V5, b"\x20\x03\x01\x87\0", Kind::SessionPresentWithError, ProtocolError, "MQTT-3.2.2-6"),
        (V3_1_1, b"\x20\x02\x01\x05", Kind::SessionPresentWithError, ProtocolError, "MQTT-3.2.2-6"),
        (V5, b"\x20\x03\0\x8B\0", Kind::ReasonCodeNotAllowed, ProtocolError, "MQTT-3.2.2-8"),
        (V5, b"\x20\x03\0\x05\0", Kind::UnknownReasonCode, MalformedPacket, "2.4"),
        (V3_1_1, b"\x20\x02\0\x06", Kind::UnknownReasonCode, MalformedPacket, "2.4"),
    ]);
}

/// Also `[MQTT-3.3.1-2]` and, of MQTT 3.1.1, `[MQTT3-3.3.1-4]`, `[MQTT3-3.3.1-2]`.
#[test]
fn mqtt_3_3_1_4_publish_flags_agree() {
    check(&[
        (V5, b"\x36\x06\0\x01a\0\x01\0", Kind::PublishQoS3, MalformedPacket, "MQTT-3.3.1-4"),
        (V3_1_1, b"\x3F\x05\0\x01a\0\x01", Kind::PublishQoS3, MalformedPacket, "MQTT-3.3.1-4"),
        (V5, b"\x38\x04\0\x01a\0", Kind::DupAtQoS0, MalformedPacket, "MQTT-3.3.1-2"),
        (V3_1_1, b"\x39\x03\0\x01a", Kind::DupAtQoS0, MalformedPacket, "MQTT-3.3.1-2"),
    ]);
}

#[test]
fn mqtt_3_3_2_8_topic_alias_zero_and_no_topic_at_all() {
    check(&[
        (V5, b"\x30\x07\0\x01a\x03\x23\0\0", Kind::TopicAliasZero, TopicAliasInvalid, "MQTT-3.3.2-8"),
        (V5, b"\x30\x03\0\0\0", Kind::TopicNameMissing, ProtocolError, "3.3.2.1"),
        (V3_1_1, b"\x30\x02\0\0", Kind::TopicNameMissing, ProtocolError, "3.3.2.1"),
    ]);
}

/// Every reason code in every packet that has one, against the list of its own packet. Also `[MQTT-3.5.2-1]`,
/// `[MQTT-3.6.2-1]`, `[MQTT-3.7.2-1]`, `[MQTT-3.9.3-2]`, `[MQTT-3.11.3-2]`, `[MQTT-3.14.2-1]`, `[MQTT-3.15.2-1]`.
#[test]
fn mqtt_3_4_2_1_reason_codes_belong_to_their_packets() {
    let heads: [(PacketType, &[u8], &[u8], &str); 8] = [
        (PacketType::Puback, b"\x40\x03\0\x01", b"", "MQTT-3.4.2-1"),
        (PacketType::Pubrec, b"\x50\x03\0\x01", b"", "MQTT-3.5.2-1"),
        (PacketType::Pubrel, b"\x62\x03\0\x01", b"", "MQTT-3.6.2-1"),
        (PacketType::Pubcomp, b"\x70\x03\0\x01", b"", "MQTT-3.7.2-1"),
        (PacketType::Suback, b"\x90\x04\0\x01\0", b"", "MQTT-3.9.3-2"),
        (PacketType::Unsuback, b"\xB0\x04\0\x01\0", b"", "MQTT-3.11.3-2"),
        (PacketType::Disconnect, b"\xE0\x01", b"", "MQTT-3.14.2-1"),
        (PacketType::Auth, b"\xF0\x06", b"\x04\x15\0\x01m", "MQTT-3.15.2-1"),
    ];
    for (packet, head, tail, clause) in heads {
        for number in 0..=u8::MAX {
            let result = decode(&[head, &[number], tail].concat(), V5)
                .map(drop)
                .map_err(|error| (error.kind(), error.reason(), error.clause()));
            let expected = match ReasonCode::try_from(number) {
                Ok(reason) if reason.allowed_in(packet) => Ok(()),
                Ok(_) => Err((Kind::ReasonCodeNotAllowed, ProtocolError, clause)),
                Err(_) => Err((Kind::UnknownReasonCode, MalformedPacket, "2.4")),
            };
            assert_eq!(result, expected, "{packet} 0x{number:02X}");
        }
    }
}

/// Also `[MQTT-3.10.3-2]` and, of MQTT 3.1.1, `[MQTT3-3.8.3-3]`, `[MQTT3-3.10.3-2]`.
#[test]
fn mqtt_3_8_3_2_requests_and_answers_list_something() {
    check(&[
        (V5, b"\x82\x03\0\x01\0", Kind::NoTopicFilters, ProtocolError, "MQTT-3.8.3-2"),
        (V3_1_1, b"\x82\x02\0\x01", Kind::NoTopicFilters, ProtocolError, "MQTT-3.8.3-2"),
        (V5, b"\xA2\x03\0\x01\0", Kind::NoTopicFilters, ProtocolError, "MQTT-3.10.3-2"),
        (V3_1, b"\xA2\x02\0\x01", Kind::NoTopicFilters, ProtocolError, "MQTT-3.10.3-2"),
        (V5, b"\x90\x03\0\x01\0", Kind::NoReasonCodes, ProtocolError, "MQTT-3.9.3-1"),
        (V5, b"\xB0\x03\0\x01\0", Kind::NoReasonCodes, ProtocolError, "MQTT-3.11.3-1"),
    ]);
}

/// Also `[MQTT3-3.8.3-4]`.
#[test]
fn mqtt_3_8_3_5_subscription_options_are_known_ones() {
    check(&[
        (V5, b"\x82\x07\0\x01\0\0\x01a\x40", Kind::SubscriptionReservedBits, MalformedPacket, "MQTT-3.8.3-5"),
        (V5, b"\x82\x07\0\x01\0\0\x01a\x80", Kind::SubscriptionReservedBits, MalformedPacket, "MQTT-3.8.3-5"),
        (
            V3_1_1,
            b"\x82\x06\0\x01\0\x01a\x04",
            Kind::SubscriptionReservedBits,
            MalformedPacket,
            "MQTT-3.8.3-5",
        ),
        (V5, b"\x82\x07\0\x01\0\0\x01a\x03", Kind::SubscriptionQoS3, ProtocolError, "3.8.3.1"),
        (V3_1_1, b"\x82\x06\0\x01\0\x01a\x03", Kind::SubscriptionQoS3, ProtocolError, "3.8.3.1"),
        (V5, b"\x82\x07\0\x01\0\0\x01a\x30", Kind::RetainHandling3, ProtocolError, "3.8.3.1"),
    ]);
}

#[test]
fn mqtt3_3_9_3_2_suback_knows_four_return_codes_before_5() {
    for version in [V3_1, V3_1_1] {
        for code in 0..=u8::MAX {
            let accepted = decode(&[0x90, 3, 0, 1, code], version).is_ok();
            assert_eq!(accepted, matches!(code, 0 | 1 | 2 | 0x80), "{version} 0x{code:02X}");
        }
    }
}

#[test]
fn authentication_names_its_method() {
    let (missing, section) = (Kind::AuthenticationMethodMissing, "3.1.2.11.10");
    check(&[
        (V5, b"\x10\x12\0\x04MQTT\x05\x02\0\0\x04\x16\0\x01d\0\x01a", missing, ProtocolError, section),
        (V5, b"\xF0\x06\x18\x04\x16\0\x01d", missing, ProtocolError, section),
        (V5, b"\xF0\x02\x18\0", missing, ProtocolError, "3.15.2.2.2"),
    ]);
}

#[test]
fn errors_are_small_and_every_kind_explains_itself() {
    assert!(size_of::<DecodeError>() <= 8);
    for &kind in Kind::ALL {
        let error = DecodeError::from(kind);
        assert!(error.reason().is_error(), "{error:?}");
        assert!(!error.clause().is_empty() && error.to_string().len() > 20, "{error:?}");
    }
}
