//! Every property in every place, once and twice, against a table that was written down from the standard a second time.

use mqtt_codec::{
    DecodeErrorKind as Kind, EncodeError, Packet, Properties, PropertiesBuf, Property, PropertyId,
    PropertyPlace::{
        self, Auth, Connack, Connect, Disconnect, Puback, Pubcomp, Publish, Pubrec, Pubrel, Suback,
        Subscribe, Unsuback, Unsubscribe, Will,
    },
    PropertyType::{self, BinaryData, Flag, Utf8String, Utf8StringPair},
    QoS, ReasonCode, Version, decode, encode,
};
use std::num::{NonZeroU16, NonZeroU32};

use PropertyType::{
    FourByteInteger as U32, FourByteNonZero as U32NotZero, TwoByteInteger as U16,
    TwoByteNonZero as U16NotZero, VariableByteNonZero as Variable,
};

const EXPLAINED: &[PropertyPlace] =
    &[Connack, Puback, Pubrec, Pubrel, Pubcomp, Suback, Unsuback, Disconnect, Auth];

/// Section 2.2.2.2: identifier, type, places, places where it may repeat.
const STANDARD: &[(u8, PropertyType, &[PropertyPlace], &[PropertyPlace])] = &[
    (0x01, Flag, &[Publish, Will], &[]),
    (0x02, U32, &[Publish, Will], &[]),
    (0x03, Utf8String, &[Publish, Will], &[]),
    (0x08, Utf8String, &[Publish, Will], &[]),
    (0x09, BinaryData, &[Publish, Will], &[]),
    (0x0B, Variable, &[Publish, Subscribe], &[Publish]),
    (0x11, U32, &[Connect, Connack, Disconnect], &[]),
    (0x12, Utf8String, &[Connack], &[]),
    (0x13, U16, &[Connack], &[]),
    (0x15, Utf8String, &[Connect, Connack, Auth], &[]),
    (0x16, BinaryData, &[Connect, Connack, Auth], &[]),
    (0x17, Flag, &[Connect], &[]),
    (0x18, U32, &[Will], &[]),
    (0x19, Flag, &[Connect], &[]),
    (0x1A, Utf8String, &[Connack], &[]),
    (0x1C, Utf8String, &[Connack, Disconnect], &[]),
    (0x1F, Utf8String, EXPLAINED, &[]),
    (0x21, U16NotZero, &[Connect, Connack], &[]),
    (0x22, U16, &[Connect, Connack], &[]),
    (0x23, U16NotZero, &[Publish], &[]),
    (0x24, Flag, &[Connack], &[]),
    (0x25, Flag, &[Connack], &[]),
    (0x26, Utf8StringPair, &PropertyPlace::ALL, &PropertyPlace::ALL),
    (0x27, U32NotZero, &[Connect, Connack], &[]),
    (0x28, Flag, &[Connack], &[]),
    (0x29, Flag, &[Connack], &[]),
    (0x2A, Flag, &[Connack], &[]),
];

const METHOD: &[u8] = b"\x15\0\x01m";

/// A valid value of this type as its bytes.
fn value(kind: PropertyType) -> &'static [u8] {
    match kind {
        Flag => b"\x01",
        U16 | U16NotZero => b"\0\x07",
        U32 | U32NotZero => b"\0\0\0\x07",
        Variable => b"\x80\x01",
        Utf8String | BinaryData => b"\0\x02ab",
        Utf8StringPair => b"\0\x01k\0\x01v",
    }
}

fn property(id: u8, kind: PropertyType) -> Vec<u8> {
    [&[id], value(kind)].concat()
}

/// The property after the method that some blocks cannot do without.
fn block(id: u8, property: &[u8], place: PropertyPlace) -> Vec<u8> {
    let is_data = id == 0x16 && [Connect, Connack, Auth].contains(&place);
    let needs_method = place == Auth && id != 0x15 || is_data;
    [if needs_method { METHOD } else { b"" }, property].concat()
}

/// A packet that is valid apart from its block, which stands in this place.
fn packet(place: PropertyPlace, block: &[u8]) -> Vec<u8> {
    let (first, before, after): (u8, &[u8], &[u8]) = match place {
        Connect => (0x10, b"\0\x04MQTT\x05\x02\0\0", b"\0\x01a"),
        Will => (0x10, b"\0\x04MQTT\x05\x06\0\0\0\0\x01a", b"\0\x01w\0\0"),
        Connack => (0x20, b"\0\0", b""),
        Publish => (0x30, b"\0\x01a", b"payload"),
        Puback => (0x40, b"\0\x01\0", b""),
        Pubrec => (0x50, b"\0\x01\0", b""),
        Pubrel => (0x62, b"\0\x01\0", b""),
        Pubcomp => (0x70, b"\0\x01\0", b""),
        Subscribe => (0x82, b"\0\x01", b"\0\x01a\0"),
        Suback => (0x90, b"\0\x01", b"\0"),
        Unsubscribe => (0xA2, b"\0\x01", b"\0\x01a"),
        Unsuback => (0xB0, b"\0\x01", b"\0"),
        Disconnect => (0xE0, b"\0", b""),
        Auth => (0xF0, b"\x18", b""),
    };
    let body = [before, &[block.len() as u8], block, after].concat();
    [&[first, body.len() as u8], &body[..]].concat()
}

#[test]
fn the_table_is_that_of_the_standard() {
    assert_eq!(PropertyId::TABLE.len(), STANDARD.len());
    for (row, &(id, kind, places, repeats)) in PropertyId::TABLE.iter().zip(STANDARD) {
        assert_eq!((row.id as u8, row.value), (id, kind));
        for place in PropertyPlace::ALL {
            assert_eq!(row.allowed_in(place), places.contains(&place), "{} in {place:?}", row.name);
            assert_eq!(row.repeats_in(place), repeats.contains(&place), "{} in {place:?}", row.name);
        }
        assert_eq!(PropertyId::from_number(id), Some(row.id));
        assert_eq!(row.id.to_string(), row.name);
    }
}

#[test]
fn every_property_in_every_place() {
    for &(id, kind, places, _) in STANDARD {
        for place in PropertyPlace::ALL {
            let block = block(id, &property(id, kind), place);
            let frame = packet(place, &block);
            let seen = decode(&frame, Version::V5).map(drop);
            let error = seen.err().map(|error| (error.kind(), error.reason(), error.property()));
            let refusal =
                (Kind::PropertyNotAllowed, ReasonCode::MalformedPacket, PropertyId::from_number(id));
            let expected = (!places.contains(&place)).then_some(refusal);
            assert_eq!(error, expected, "0x{id:02X} in {place:?}");
            assert_eq!(Properties::parse(&block, place).map(drop), seen);
        }
    }
}

#[test]
fn every_property_twice() {
    for &(id, kind, places, repeats) in STANDARD {
        for &place in places {
            let block = block(id, &property(id, kind).repeat(2), place);
            let seen = decode(&packet(place, &block), Version::V5).map(drop).err();
            let error = seen.map(|error| (error.kind(), error.reason(), error.property()));
            let refusal = (Kind::PropertyRepeated, ReasonCode::ProtocolError, PropertyId::from_number(id));
            assert_eq!(error, (!repeats.contains(&place)).then_some(refusal), "0x{id:02X} in {place:?}");
        }
    }
}

#[test]
fn every_property_cut_short() {
    for &(id, kind, places, _) in STANDARD {
        let whole = property(id, kind);
        for cut in 1..whole.len() {
            let block = block(id, &whole[..cut], places[0]);
            let error = Properties::parse(&block, places[0]).expect_err("cut short");
            assert_eq!((error.kind(), error.reason()), (Kind::Truncated, ReasonCode::MalformedPacket));
        }
    }
}

#[test]
fn other_numbers_are_no_properties() {
    for number in (0..=u8::MAX).filter(|number| STANDARD.iter().all(|row| row.0 != *number)) {
        for place in PropertyPlace::ALL {
            let error = Properties::parse(&[number, 0, 0, 0, 0], place).expect_err("unknown");
            assert_eq!((error.kind(), error.reason()), (Kind::UnknownProperty, ReasonCode::MalformedPacket));
        }
        assert_eq!(PropertyId::from_number(number), None);
    }
}

#[test]
fn numbers_outside_their_range_are_protocol_errors() {
    for &(id, kind, places, _) in STANDARD {
        let bad: &[&[u8]] = match kind {
            Flag => &[b"\x02", b"\x80", b"\xFF"],
            U16NotZero => &[b"\0\0"],
            U32NotZero => &[b"\0\0\0\0"],
            Variable => &[b"\0"],
            _ => continue,
        };
        for value in bad {
            let error = Properties::parse(&[&[id], *value].concat(), places[0]).expect_err("out of range");
            let expected = match id {
                0x23 => (Kind::TopicAliasZero, ReasonCode::TopicAliasInvalid), // [MQTT-3.3.2-8]
                _ => (Kind::PropertyValue, ReasonCode::ProtocolError),
            };
            assert_eq!((error.kind(), error.reason()), expected, "0x{id:02X} {value:02x?}");
        }
    }
}

#[test]
fn a_repeated_property_is_named_with_its_section() {
    let block = property(0x11, U32).repeat(2);
    let error = Properties::parse(&block, Connect).expect_err("twice");
    assert_eq!(error.clause(), "3.1.2.11.2");
    assert!(error.to_string().contains("session expiry interval"), "{error}");
}

#[test]
fn properties_without_a_version_that_has_them_are_dropped() {
    let mut block = PropertiesBuf::new();
    block.push(&Property::ContentType("text")).expect("short");
    let Packet::Publish(publish) = decode(b"\x30\x03\0\x01a", Version::V3_1_1).expect("valid") else {
        unreachable!("type 3")
    };
    let packet = Packet::Publish(mqtt_codec::Publish { properties: block.as_properties(), ..publish });
    let mut bytes = Vec::new();
    encode(&packet, Version::V3_1_1, &mut bytes).expect("the version has no place for it");
    assert_eq!(bytes, b"\x30\x03\0\x01a");
}

#[test]
fn the_encoder_keeps_to_the_table_too() {
    let bytes = packet(Publish, b"");
    let Ok(Packet::Publish(publish)) = decode(&bytes, Version::V5) else { unreachable!("a valid PUBLISH") };
    for &(id, kind, places, repeats) in STANDARD {
        let name = PropertyId::from_number(id).expect("in the table");
        for times in [1, 2] {
            let block = property(id, kind).repeat(times);
            let properties = Properties::from_validated(&block);
            let mut out = Vec::new();
            let result = encode(
                &Packet::Publish(mqtt_codec::Publish { properties, ..publish }),
                Version::V5,
                &mut out,
            );
            let expected = match (places.contains(&Publish), times == 1 || repeats.contains(&Publish)) {
                (false, _) => Err(EncodeError::PropertyNotAllowed(name)),
                (true, false) => Err(EncodeError::PropertyRepeated(name)),
                (true, true) => Ok(bytes.len() + block.len()),
            };
            assert_eq!(result, expected, "{name}");
            assert_eq!(out.is_empty(), result.is_err());
        }
    }
}

#[test]
fn values_that_do_not_fit_are_not_pushed() {
    let long = "x".repeat(65_536);
    let mut block = PropertiesBuf::new();
    for (property, error) in [
        (Property::SubscriptionIdentifier(0), EncodeError::PropertyValue(PropertyId::SubscriptionIdentifier)),
        (
            Property::SubscriptionIdentifier(268_435_456),
            EncodeError::PropertyValue(PropertyId::SubscriptionIdentifier),
        ),
        (Property::MaximumQoS(QoS::ExactlyOnce), EncodeError::PropertyValue(PropertyId::MaximumQoS)),
        (Property::ReasonString(&long), EncodeError::FieldTooLong),
        (Property::CorrelationData(long.as_bytes()), EncodeError::FieldTooLong),
        (Property::UserProperty("k", "a\0b"), EncodeError::StringContainsNul),
    ] {
        assert_eq!(block.push(&property), Err(error));
        assert!(block.is_empty());
    }
}

#[test]
fn readers_find_their_property_among_the_others() {
    let all: Vec<u8> = STANDARD.iter().flat_map(|&(id, kind, ..)| property(id, kind)).collect();
    let all = Properties::from_validated(&all);
    let (two, four) = (NonZeroU16::new(7), NonZeroU32::new(7));
    assert_eq!(all.payload_format_is_utf8(), Some(true));
    assert_eq!(all.message_expiry_interval_s(), Some(7));
    assert_eq!((all.content_type(), all.response_topic()), (Some("ab"), Some("ab")));
    assert_eq!((all.correlation_data(), all.authentication_data()), (Some(&b"ab"[..]), Some(&b"ab"[..])));
    assert_eq!((all.session_expiry_interval_s(), all.will_delay_interval_s()), (Some(7), Some(7)));
    assert_eq!((all.assigned_client_identifier(), all.authentication_method()), (Some("ab"), Some("ab")));
    assert_eq!((all.server_keep_alive_s(), all.topic_alias_maximum()), (Some(7), Some(7)));
    assert_eq!((all.response_information(), all.server_reference()), (Some("ab"), Some("ab")));
    assert_eq!((all.receive_maximum(), all.topic_alias(), all.maximum_packet_size()), (two, two, four));
    assert_eq!((all.reason_string(), all.maximum_qos()), (Some("ab"), Some(QoS::AtLeastOnce)));
    assert_eq!(all.request_problem_information(), Some(true));
    assert_eq!(all.request_response_information(), Some(true));
    assert_eq!((all.retain_available(), all.wildcard_subscription_available()), (Some(true), Some(true)));
    assert_eq!(all.subscription_identifiers_available(), Some(true));
    assert_eq!(all.shared_subscription_available(), Some(true));
    assert!(all.subscription_identifiers().eq([128]));
    assert!(all.user_properties().eq([("k", "v")]));
    assert_eq!(all.iter().count(), STANDARD.len());
}

#[test]
fn lists_keep_the_senders_order() {
    let mut block = PropertiesBuf::new();
    for property in [
        Property::UserProperty("b", "1"),
        Property::SubscriptionIdentifier(3),
        Property::UserProperty("a", "2"),
        Property::SubscriptionIdentifier(1),
        Property::UserProperty("b", "1"),
    ] {
        block.push(&property).expect("in range");
    }
    let properties = block.as_properties();
    assert!(properties.user_properties().eq([("b", "1"), ("a", "2"), ("b", "1")]));
    assert!(properties.subscription_identifiers().eq([3, 1]));

    let mut others = PropertiesBuf::new();
    others.extend_where(properties, |id| id != PropertyId::SubscriptionIdentifier);
    assert!(others.as_properties().user_properties().eq(properties.user_properties()));
    assert_eq!(others.as_properties().subscription_identifiers().next(), None);
}
