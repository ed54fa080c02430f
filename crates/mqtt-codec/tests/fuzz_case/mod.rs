//! What the fuzz targets of the codec and the test of their corpora do with one input.

use mqtt_codec::{
    Framing, Packet, PlainAck, PlainPublish, Properties, Publish, Version, decode, encode, encoded_len, frame,
};

/// Framing of every prefix: an answer never becomes wrong when more bytes come.
pub(crate) fn check_frame(input: &[u8]) {
    let prefixes = input.len().min(300);
    let mut needed = 0;
    for end in 0..=prefixes {
        match frame(&input[..end], u32::MAX) {
            Err(error) => return assert_eq!(frame(input, u32::MAX), Err(error), "found after {end} bytes"),
            Ok(Framing::Incomplete { missing_bytes }) => {
                assert!(
                    missing_bytes > 0 && end + missing_bytes >= needed,
                    "less after {end} bytes than before"
                );
                needed = end + missing_bytes;
            }
            Ok(Framing::Complete { header_len, frame_len }) => {
                assert!((2..=5).contains(&header_len) && header_len <= frame_len);
                assert!(needed <= frame_len && frame_len == end, "whole after {end} bytes");
                return check_limit(input, frame_len as u32);
            }
        }
    }
}

fn check_limit(input: &[u8], frame_len: u32) {
    assert_eq!(frame(input, frame_len), frame(input, u32::MAX));
    assert!(frame(input, frame_len - 1).is_err());
}

/// Takes the input for a stream of packets and reads all that is in each of them.
pub(crate) fn check_packets(input: &[u8], version: Version) {
    let mut rest = input;
    while let Ok(Framing::Complete { frame_len, .. }) = frame(rest, u32::MAX) {
        let (whole, next) = rest.split_at(frame_len);
        match decode(whole, version) {
            Ok(packet) => read_all(&packet, version),
            Err(error) => assert!(error.reason().is_error() && !error.clause().is_empty(), "{error}"),
        }
        rest = next;
    }
}

fn read_all(packet: &Packet<'_>, version: Version) {
    assert!(!format!("{packet:?}").is_empty());
    assert!(encoded_len(packet, version).is_ok(), "{packet:?}");
    match packet {
        Packet::Connect(connect) => {
            read_properties(connect.properties);
            connect.will.iter().for_each(|will| read_properties(will.properties));
        }
        Packet::Connack(connack) => read_properties(connack.properties),
        Packet::Publish(publish) => read_properties(publish.properties),
        Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
            read_properties(ack.properties);
        }
        Packet::Subscribe(subscribe) => assert_eq!(subscribe.filters.iter().count(), subscribe.filters.len()),
        Packet::Suback(suback) => assert_eq!(suback.reasons.iter().count(), suback.reasons.len()),
        Packet::Unsubscribe(packet) => assert_eq!(packet.filters.iter().count(), packet.filters.len()),
        Packet::Unsuback(unsuback) => assert_eq!(unsuback.reasons.iter().count(), unsuback.reasons.len()),
        Packet::Disconnect(disconnect) => read_properties(disconnect.properties),
        Packet::Auth(auth) => read_properties(auth.properties),
        Packet::Pingreq | Packet::Pingresp => {}
    }
}

/// The readers agree with the iterator.
fn read_properties(properties: Properties<'_>) {
    let count = properties.iter().count();
    let lists = properties.user_properties().count() + properties.subscription_identifiers().count();
    assert!(lists <= count && properties.is_empty() == (count == 0));
    let ids: Vec<_> = properties.iter().map(|property| property.id()).collect();
    assert_eq!(ids.contains(&mqtt_codec::PropertyId::TopicAlias), properties.topic_alias().is_some());
    assert_eq!(ids.contains(&mqtt_codec::PropertyId::ReasonString), properties.reason_string().is_some());
}

/// The first byte picks a version and the rest is one packet: what decodes is encodable, and decodes to the same again.
pub(crate) fn check_decode_encode_decode(input: &[u8]) {
    let Some((&pick, bytes)) = input.split_first() else { return };
    let version = Version::ALL[usize::from(pick) % Version::ALL.len()];
    check_plain_ways(bytes, version);
    let Ok(packet) = decode(bytes, version) else { return };
    let mut once = Vec::new();
    let len = encode(&packet, version, &mut once).expect("what was decoded is valid");
    assert_eq!((len, encoded_len(&packet, version)), (once.len(), Ok(once.len())));
    assert!(once.len() <= bytes.len(), "the shortest form is not longer");
    let again = decode(&once, version).expect("what was encoded is valid");
    assert_eq!(again, packet);
    let mut twice = Vec::new();
    assert_eq!(encode(&again, version, &mut twice), Ok(len));
    assert_eq!(twice, once);
}

/// The short ways to read a packet find exactly what the long one does.
pub(crate) fn check_plain_ways(bytes: &[u8], version: Version) {
    let Ok(packet) = decode(bytes, version) else { return assert_eq!(PlainAck::read(bytes), None) };
    let plain = PlainAck::read(bytes).map(|ack| (ack.packet_type, ack.packet_id, ack.bytes().to_vec()));
    match packet {
        Packet::Publish(publish) => check_plain_publish(bytes, &publish, version),
        Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack)
            if bytes.len() == 4 =>
        {
            let dup = bytes[0] & 8 != 0; // which MQTT 3.1 allows in a PUBREL
            let expected = (packet.packet_type(), ack.packet_id, bytes.to_vec());
            assert_eq!(plain, (!dup).then_some(expected));
        }
        _ => assert_eq!(plain, None),
    }
}

fn check_plain_publish(bytes: &[u8], publish: &Publish<'_>, version: Version) {
    let Publish { dup, retain, topic, qos, packet_id, payload, properties } = *publish;
    let plain = !dup && !retain && properties.is_empty() && !topic.is_empty();
    let expected = plain.then_some(PlainPublish { qos, packet_id, payload });
    assert_eq!(PlainPublish::read(bytes, topic, version), expected, "{bytes:02x?}");
    assert_eq!(PlainPublish::read(bytes, &format!("{topic}/x"), version), None);
}
