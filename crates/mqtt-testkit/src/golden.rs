//! Packets written down byte by byte, so that a codec is checked against something that it did not write.

use mqtt_codec::{
    ReasonCode,
    Version::{self, V3_1, V3_1_1, V5},
};

/// A packet as the standard wants it: it decodes, and its decoded form encodes to these very bytes.
#[derive(Clone, Copy, Debug)]
pub struct Golden {
    /// What it is.
    pub name: &'static str,
    /// Version it belongs to.
    pub version: Version,
    /// The whole packet.
    pub bytes: &'static [u8],
}

const fn golden(name: &'static str, version: Version, bytes: &'static [u8]) -> Golden {
    Golden { name, version, bytes }
}

/// A packet that a server must not accept from a client that has connected properly.
#[derive(Clone, Copy, Debug)]
pub struct Malformed {
    /// What is wrong with it.
    pub name: &'static str,
    /// Version it belongs to.
    pub version: Version,
    /// The whole packet.
    pub bytes: &'static [u8],
    /// What a DISCONNECT of 5.0 says; 3.x just closes.
    pub reason: ReasonCode,
    /// The statement or section that is broken.
    pub clause: &'static str,
}

const fn malformed(
    name: &'static str,
    version: Version,
    bytes: &'static [u8],
    reason: ReasonCode,
    clause: &'static str,
) -> Malformed {
    Malformed { name, version, bytes, reason, clause }
}

/// Correct packets of every type in every version that has it.
pub const GOLDEN: &[Golden] = &[
    golden("CONNECT", V3_1, b"\x10\x0F\0\x06MQIsdp\x03\x02\0\x3C\0\x01a"),
    golden("CONNECT", V3_1_1, b"\x10\x0D\0\x04MQTT\x04\x02\0\x3C\0\x01a"),
    golden("CONNECT, empty identifier", V3_1_1, b"\x10\x0C\0\x04MQTT\x04\x02\0\0\0\0"),
    golden(
        "CONNECT, will and credentials",
        V3_1_1,
        b"\x10\x1A\0\x04MQTT\x04\xEE\0\x0A\0\x01c\0\x01w\0\x02hi\0\x01u\0\x01p",
    ),
    golden("CONNECT", V5, b"\x10\x0E\0\x04MQTT\x05\x02\0\x3C\0\0\x01a"),
    golden("CONNECT, password alone", V5, b"\x10\x11\0\x04MQTT\x05\x42\0\0\0\0\x01a\0\x01p"),
    golden(
        "CONNECT, everything",
        V5,
        b"\x10\x5E\0\x04MQTT\x05\xF6\0\x3C\x23\x11\0\0\0\x0A\x21\0\x0A\x27\0\0\x10\0\x22\0\x05\x19\x01\x17\0\
          \x26\0\x01a\0\x01b\x15\0\x01m\x16\0\x01d\0\x01c\x1F\x18\0\0\0\x05\x01\x01\x02\0\0\0\x09\x03\0\x01t\
          \x08\0\x01r\x09\0\x01c\x26\0\x01k\0\x01v\0\x01w\0\x02hi\0\x01u\0\x01p",
    ),
    golden("CONNACK, session present", V3_1_1, b"\x20\x02\x01\0"),
    golden("CONNACK, not authorized", V3_1, b"\x20\x02\0\x05"),
    golden("CONNACK", V5, b"\x20\x03\0\0\0"),
    golden("CONNACK, refused", V5, b"\x20\x07\0\x85\x04\x1F\0\x01x"),
    golden(
        "CONNACK, everything",
        V5,
        b"\x20\x3F\x01\0\x3C\x11\0\0\0\x3C\x21\0\x10\x24\x01\x25\0\x27\0\0\x10\0\x12\0\x01i\x22\0\x05\x1F\0\x01r\
          \x26\0\x01a\0\x01b\x28\0\x29\0\x2A\0\x13\0\x1E\x1A\0\x01n\x1C\0\x01s\x15\0\x01m\x16\0\x01d",
    ),
    golden("PUBLISH", V3_1_1, b"\x30\x07\0\x03a/bhi"),
    golden("PUBLISH, no payload, retained", V3_1_1, b"\x31\x05\0\x03a/b"),
    golden("PUBLISH, QoS 1 again", V3_1, b"\x3A\x08\0\x03a/b\0\x07!"),
    golden("PUBLISH, QoS 2", V3_1_1, b"\x34\x08\0\x03a/b\x12\x34!"),
    golden("PUBLISH", V5, b"\x30\x08\0\x03a/b\0hi"),
    golden("PUBLISH, alias alone", V5, b"\x30\x08\0\0\x03\x23\0\x01hi"),
    golden(
        "PUBLISH, everything",
        V5,
        b"\x3D\x2B\0\x03a/b\0\x0A\x20\x01\x01\x02\0\0\0\x3C\x23\0\x02\x08\0\x01r\x09\0\x01c\x26\0\x01k\0\x01v\
          \x0B\x80\x01\x03\0\x01thi!",
    ),
    golden("PUBACK", V3_1_1, b"\x40\x02\0\x07"),
    golden("PUBACK", V5, b"\x40\x02\0\x07"),
    golden("PUBACK, no subscriber", V5, b"\x40\x03\0\x07\x10"),
    golden("PUBACK, reason string", V5, b"\x40\x08\0\x07\x87\x04\x1F\0\x01x"),
    golden("PUBREC", V3_1, b"\x50\x02\0\x07"),
    golden("PUBREC, quota", V5, b"\x50\x03\0\x07\x97"),
    golden("PUBREL", V3_1_1, b"\x62\x02\0\x07"),
    golden("PUBREL", V5, b"\x62\x02\0\x07"),
    golden("PUBREL, unknown", V5, b"\x62\x03\0\x07\x92"),
    golden("PUBCOMP", V3_1_1, b"\x70\x02\0\x07"),
    golden("PUBCOMP, user property", V5, b"\x70\x0B\0\x07\0\x07\x26\0\x01a\0\x01b"),
    golden("SUBSCRIBE", V3_1_1, b"\x82\x0C\0\x01\0\x03a/b\x01\0\x01#\x02"),
    golden("SUBSCRIBE", V3_1, b"\x82\x08\0\x01\0\x03a/+\0"),
    golden("SUBSCRIBE", V5, b"\x82\x09\0\x01\0\0\x03a/b\x01"),
    golden("SUBSCRIBE, options and identifier", V5, b"\x82\x0B\0\x01\x02\x0B\x05\0\x03a/b\x2E"),
    golden("SUBACK", V3_1_1, b"\x90\x04\0\x01\x02\x80"),
    golden("SUBACK", V5, b"\x90\x06\0\x01\0\x01\x8F\xA2"),
    golden("UNSUBSCRIBE", V3_1_1, b"\xA2\x07\0\x02\0\x03a/b"),
    golden("UNSUBSCRIBE", V5, b"\xA2\x0B\0\x02\0\0\x03a/b\0\x01#"),
    golden("UNSUBACK", V3_1, b"\xB0\x02\0\x02"),
    golden("UNSUBACK", V5, b"\xB0\x05\0\x02\0\0\x11"),
    golden("PINGREQ", V3_1, b"\xC0\0"),
    golden("PINGREQ", V5, b"\xC0\0"),
    golden("PINGRESP", V3_1_1, b"\xD0\0"),
    golden("PINGRESP", V5, b"\xD0\0"),
    golden("DISCONNECT", V3_1_1, b"\xE0\0"),
    golden("DISCONNECT", V5, b"\xE0\0"),
    golden("DISCONNECT, with will", V5, b"\xE0\x01\x04"),
    golden("DISCONNECT, session expiry", V5, b"\xE0\x07\0\x05\x11\0\0\0\x3C"),
    golden("DISCONNECT, server reference", V5, b"\xE0\x06\x9C\x04\x1C\0\x01s"),
    golden("AUTH, done", V5, b"\xF0\0"),
    golden("AUTH, continue", V5, b"\xF0\x0A\x18\x08\x15\0\x01m\x16\0\x01d"),
    golden("AUTH, again", V5, b"\xF0\x06\x19\x04\x15\0\x01m"),
];

use ReasonCode::{MalformedPacket, ProtocolError, TopicAliasInvalid};

/// Packets that end the connection wherever they come, as far as their bytes alone can tell.
pub const MALFORMED: &[Malformed] = &[
    malformed("packet type 0", V5, b"\x00\0", MalformedPacket, "2.1.2"),
    malformed("packet type 0", V3_1_1, b"\x00\0", MalformedPacket, "2.2.1"),
    malformed("packet type 15", V3_1_1, b"\xF0\0", MalformedPacket, "2.2.1"),
    malformed("a length of five bytes", V5, b"\xC0\x80\x80\x80\x80\x01", MalformedPacket, "1.5.5"),
    malformed("a length of five bytes", V3_1_1, b"\xC0\x80\x80\x80\x80\x01", MalformedPacket, "2.2.3"),
    malformed("a length in more bytes than needed", V5, b"\xC0\x80\0", MalformedPacket, "MQTT-1.5.5-1"),
    malformed("PINGREQ with flags", V5, b"\xC1\0", MalformedPacket, "MQTT-2.1.3-1"),
    malformed("PINGREQ with flags", V3_1_1, b"\xC1\0", MalformedPacket, "MQTT3-2.2.2-2"),
    malformed("PINGREQ with a body", V5, b"\xC0\x01\0", MalformedPacket, "3.12.1"),
    malformed("PUBLISH of QoS 3", V5, b"\x36\x06\0\x01a\0\x01\0", MalformedPacket, "MQTT-3.3.1-4"),
    malformed("PUBLISH of QoS 3", V3_1_1, b"\x36\x05\0\x01a\0\x01", MalformedPacket, "MQTT3-3.3.1-4"),
    malformed("PUBLISH of QoS 0 with DUP", V5, b"\x38\x04\0\x01a\0", MalformedPacket, "MQTT-3.3.1-2"),
    malformed("PUBLISH of QoS 0 with DUP", V3_1_1, b"\x38\x03\0\x01a", MalformedPacket, "MQTT3-3.3.1-2"),
    malformed(
        "PUBLISH with packet identifier 0",
        V5,
        b"\x32\x06\0\x01a\0\0\0",
        ProtocolError,
        "MQTT-2.2.1-3",
    ),
    malformed(
        "PUBLISH with packet identifier 0",
        V3_1_1,
        b"\x32\x05\0\x01a\0\0",
        ProtocolError,
        "MQTT3-2.3.1-1",
    ),
    malformed("PUBLISH cut inside its topic", V5, b"\x30\x04\0\x09ab", MalformedPacket, "MQTT-3.3.2-1"),
    malformed(
        "PUBLISH with a topic in bad UTF-8",
        V5,
        b"\x30\x05\0\x02\xC0\x80\0",
        MalformedPacket,
        "MQTT-1.5.4-1",
    ),
    malformed(
        "PUBLISH with a surrogate in the topic",
        V5,
        b"\x30\x06\0\x03\xED\xA0\x80\0",
        MalformedPacket,
        "MQTT-1.5.4-1",
    ),
    malformed(
        "PUBLISH with a surrogate in the topic",
        V3_1_1,
        b"\x30\x05\0\x03\xED\xA0\x80",
        MalformedPacket,
        "MQTT3-1.5.3-1",
    ),
    malformed(
        "PUBLISH with U+0000 in the topic",
        V5,
        b"\x30\x05\0\x02a\0\0",
        MalformedPacket,
        "MQTT-1.5.4-2",
    ),
    malformed(
        "PUBLISH with U+0000 in the topic",
        V3_1_1,
        b"\x30\x04\0\x02a\0",
        MalformedPacket,
        "MQTT3-1.5.3-2",
    ),
    malformed("PUBLISH with alias 0", V5, b"\x30\x07\0\x01a\x03\x23\0\0", TopicAliasInvalid, "MQTT-3.3.2-8"),
    malformed(
        "PUBLISH with two aliases",
        V5,
        b"\x30\x0A\0\x01a\x06\x23\0\x01\x23\0\x01",
        ProtocolError,
        "3.3.2.3.4",
    ),
    malformed("PUBLISH without topic and alias", V5, b"\x30\x03\0\0\0", ProtocolError, "3.3.2.1"),
    malformed(
        "PUBLISH with an unknown property",
        V5,
        b"\x30\x06\0\x01a\x02\x7F\0",
        MalformedPacket,
        "2.2.2.2",
    ),
    malformed(
        "PUBLISH with a property of CONNECT",
        V5,
        b"\x30\x09\0\x01a\x05\x11\0\0\0\x01",
        MalformedPacket,
        "2.2.2.2",
    ),
    malformed(
        "PUBLISH with a property cut short",
        V5,
        b"\x30\x06\0\x01a\x02\x02\0",
        MalformedPacket,
        "2.2.2.1",
    ),
    malformed(
        "PUBLISH with properties longer than itself",
        V5,
        b"\x30\x04\0\x01a\x09",
        MalformedPacket,
        "2.2.2.1",
    ),
    malformed(
        "PUBLISH with payload format 2",
        V5,
        b"\x30\x06\0\x01a\x02\x01\x02",
        ProtocolError,
        "3.3.2.3.2",
    ),
    malformed(
        "PUBLISH with a content type in bad UTF-8",
        V5,
        b"\x30\x08\0\x01a\x04\x03\0\x01\xFF",
        MalformedPacket,
        "MQTT-3.3.2-19",
    ),
    malformed(
        "PUBLISH with a response topic in bad UTF-8",
        V5,
        b"\x30\x08\0\x01a\x04\x08\0\x01\xFF",
        MalformedPacket,
        "MQTT-3.3.2-13",
    ),
    malformed(
        "PUBLISH with a bad user property",
        V5,
        b"\x30\x0B\0\x01a\x07\x26\0\x01k\0\x01\xFF",
        MalformedPacket,
        "MQTT-1.5.7-1",
    ),
    malformed("PUBREL with flags 0000", V5, b"\x60\x02\0\x01", MalformedPacket, "MQTT-3.6.1-1"),
    malformed("PUBREL with flags 0000", V3_1_1, b"\x60\x02\0\x01", MalformedPacket, "MQTT3-3.6.1-1"),
    malformed("PUBREL with DUP", V5, b"\x6A\x02\0\x01", MalformedPacket, "MQTT-3.6.1-1"),
    malformed("PUBREL with packet identifier 0", V5, b"\x62\x02\0\0", ProtocolError, "MQTT-2.2.1-5"),
    malformed("PUBREL with a reason of PUBACK", V5, b"\x62\x03\0\x01\x10", ProtocolError, "MQTT-3.6.2-1"),
    malformed("PUBACK with flags", V5, b"\x41\x02\0\x01", MalformedPacket, "MQTT-2.1.3-1"),
    malformed("PUBACK with a reason of SUBACK", V5, b"\x40\x03\0\x01\x01", ProtocolError, "MQTT-3.4.2-1"),
    malformed("PUBACK cut short", V3_1_1, b"\x40\x01\0", MalformedPacket, "3.4.2"),
    malformed("PUBREC with a reason of PUBREL", V5, b"\x50\x03\0\x01\x92", ProtocolError, "MQTT-3.5.2-1"),
    malformed("PUBCOMP with a reason of PUBREC", V5, b"\x70\x03\0\x01\x10", ProtocolError, "MQTT-3.7.2-1"),
    malformed("SUBSCRIBE with flags 0000", V5, b"\x80\x07\0\x01\0\0\x01a\0", MalformedPacket, "MQTT-3.8.1-1"),
    malformed(
        "SUBSCRIBE with flags 0000",
        V3_1_1,
        b"\x80\x06\0\x01\0\x01a\0",
        MalformedPacket,
        "MQTT3-3.8.1-1",
    ),
    malformed(
        "SUBSCRIBE with packet identifier 0",
        V5,
        b"\x82\x07\0\0\0\0\x01a\0",
        ProtocolError,
        "MQTT-2.2.1-3",
    ),
    malformed(
        "SUBSCRIBE with packet identifier 0",
        V3_1_1,
        b"\x82\x06\0\0\0\x01a\0",
        ProtocolError,
        "MQTT3-2.3.1-1",
    ),
    malformed("SUBSCRIBE without a filter", V5, b"\x82\x03\0\x01\0", ProtocolError, "MQTT-3.8.3-2"),
    malformed("SUBSCRIBE without a filter", V3_1_1, b"\x82\x02\0\x01", ProtocolError, "MQTT3-3.8.3-3"),
    malformed(
        "SUBSCRIBE with a filter in bad UTF-8",
        V5,
        b"\x82\x07\0\x01\0\0\x01\xFF\0",
        MalformedPacket,
        "MQTT-3.8.3-1",
    ),
    malformed(
        "SUBSCRIBE with a filter in bad UTF-8",
        V3_1_1,
        b"\x82\x06\0\x01\0\x01\xFF\0",
        MalformedPacket,
        "MQTT3-3.8.3-1",
    ),
    malformed("SUBSCRIBE without options", V5, b"\x82\x06\0\x01\0\0\x01a", MalformedPacket, "3.8.3"),
    malformed(
        "SUBSCRIBE with reserved option bits",
        V5,
        b"\x82\x07\0\x01\0\0\x01a\x40",
        MalformedPacket,
        "MQTT-3.8.3-5",
    ),
    malformed(
        "SUBSCRIBE with reserved option bits",
        V3_1_1,
        b"\x82\x06\0\x01\0\x01a\x04",
        MalformedPacket,
        "MQTT3-3.8.3-4",
    ),
    malformed("SUBSCRIBE with QoS 3", V5, b"\x82\x07\0\x01\0\0\x01a\x03", ProtocolError, "3.8.3.1"),
    malformed("SUBSCRIBE with QoS 3", V3_1_1, b"\x82\x06\0\x01\0\x01a\x03", ProtocolError, "MQTT3-3.8.3-4"),
    malformed(
        "SUBSCRIBE with retain handling 3",
        V5,
        b"\x82\x07\0\x01\0\0\x01a\x30",
        ProtocolError,
        "3.8.3.1",
    ),
    malformed(
        "SUBSCRIBE with identifier 0",
        V5,
        b"\x82\x09\0\x01\x02\x0B\0\0\x01a\0",
        ProtocolError,
        "3.8.2.1.2",
    ),
    malformed(
        "SUBSCRIBE with two identifiers",
        V5,
        b"\x82\x0B\0\x01\x04\x0B\x01\x0B\x02\0\x01a\0",
        ProtocolError,
        "3.8.2.1.2",
    ),
    malformed(
        "UNSUBSCRIBE with flags 0000",
        V5,
        b"\xA0\x06\0\x01\0\0\x01a",
        MalformedPacket,
        "MQTT-3.10.1-1",
    ),
    malformed(
        "UNSUBSCRIBE with flags 0000",
        V3_1_1,
        b"\xA0\x05\0\x01\0\x01a",
        MalformedPacket,
        "MQTT3-3.10.1-1",
    ),
    malformed("UNSUBSCRIBE without a filter", V5, b"\xA2\x03\0\x01\0", ProtocolError, "MQTT-3.10.3-2"),
    malformed("UNSUBSCRIBE without a filter", V3_1_1, b"\xA2\x02\0\x01", ProtocolError, "MQTT3-3.10.3-2"),
    malformed(
        "UNSUBSCRIBE with a filter in bad UTF-8",
        V5,
        b"\xA2\x06\0\x01\0\0\x01\xFF",
        MalformedPacket,
        "MQTT-3.10.3-1",
    ),
    malformed(
        "UNSUBSCRIBE with a filter in bad UTF-8",
        V3_1_1,
        b"\xA2\x05\0\x01\0\x01\xFF",
        MalformedPacket,
        "MQTT3-3.10.3-1",
    ),
    malformed("DISCONNECT with flags", V5, b"\xE1\0", MalformedPacket, "MQTT-3.14.1-1"),
    malformed("DISCONNECT with flags", V3_1_1, b"\xE1\0", MalformedPacket, "MQTT3-3.14.1-1"),
    malformed("DISCONNECT with a reason of CONNACK", V5, b"\xE0\x01\x85", ProtocolError, "MQTT-3.14.2-1"),
    malformed("DISCONNECT with an unlisted reason", V5, b"\xE0\x01\x77", MalformedPacket, "MQTT-3.14.2-1"),
    malformed("AUTH with flags", V5, b"\xF1\0", MalformedPacket, "MQTT-3.15.1-1"),
    malformed(
        "AUTH with a reason of CONNACK",
        V5,
        b"\xF0\x06\x85\x04\x15\0\x01m",
        ProtocolError,
        "MQTT-3.15.2-1",
    ),
];

#[cfg(test)]
mod tests {
    use mqtt_codec::{Framing, decode, encode, frame};

    use super::{GOLDEN, MALFORMED, V5};

    #[test]
    fn golden_packets_decode_and_encode_to_the_same_bytes() {
        for golden in GOLDEN {
            let packet = decode(golden.bytes, golden.version).unwrap_or_else(|e| panic!("{golden:?}: {e}"));
            let mut bytes = Vec::new();
            encode(&packet, golden.version, &mut bytes).unwrap_or_else(|e| panic!("{golden:?}: {e}"));
            assert_eq!(bytes, golden.bytes, "{golden:?}");
        }
    }

    #[test]
    fn golden_packets_are_framed_whole_and_nowhere_earlier() {
        for golden in GOLDEN {
            let len = golden.bytes.len();
            for cut in 0..len {
                let framing = frame(&golden.bytes[..cut], u32::MAX);
                assert!(
                    matches!(framing, Ok(Framing::Incomplete { .. })),
                    "{golden:?} at {cut}: {framing:?}"
                );
            }
            let framing = frame(golden.bytes, u32::MAX);
            assert!(
                matches!(framing, Ok(Framing::Complete { frame_len, .. }) if frame_len == len),
                "{golden:?}: {framing:?}"
            );
        }
    }

    #[test]
    fn malformed_packets_are_refused_with_their_reason() {
        for case in MALFORMED {
            let result = frame(case.bytes, u32::MAX).and_then(|framing| match framing {
                Framing::Complete { frame_len, .. } => {
                    assert_eq!(frame_len, case.bytes.len(), "{case:?}");
                    decode(case.bytes, case.version).map(drop)
                }
                Framing::Incomplete { .. } => panic!("{case:?} is not a whole packet"),
            });
            let error = result.expect_err(case.name);
            if case.version == V5 {
                assert_eq!(error.reason(), case.reason, "{case:?}: {error}");
            }
        }
    }
}
