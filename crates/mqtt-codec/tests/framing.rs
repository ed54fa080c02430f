//! How packets are cut out of a stream: missing bytes, limits, and what is refused before it has arrived.

use mqtt_codec::{DecodeErrorKind as Kind, Framing, ReasonCode, frame};
use mqtt_testkit::GOLDEN;

const NO_LIMIT: u32 = u32::MAX;

fn missing(buffer: &[u8]) -> usize {
    match frame(buffer, NO_LIMIT) {
        Ok(Framing::Incomplete { missing_bytes }) => missing_bytes,
        other => panic!("{buffer:02x?}: {other:?}"),
    }
}

#[test]
fn missing_bytes_are_told_as_exactly_as_possible() {
    for (buffer, expected) in [
        (&b""[..], 2),
        (b"\xC0", 1),
        (b"\x30\x05", 5),
        (b"\x30\x05\0\x03a", 2),
        (b"\x30\x80", 1),
        (b"\x30\x80\x01", 128),
        (b"\x30\xFF\xFF\xFF", 1),
        (b"\x30\xFF\xFF\xFF\x7F", 268_435_455),
    ] {
        assert_eq!(missing(buffer), expected, "{buffer:02x?}");
    }
}

#[test]
fn the_header_has_two_to_five_bytes() {
    for (header, remaining) in [
        (&b"\x30\x00"[..], 0),
        (b"\x30\x7F", 127),
        (b"\x30\x80\x01", 128),
        (b"\x30\xFF\x7F", 16_383),
        (b"\x30\x80\x80\x01", 16_384),
        (b"\x30\xFF\xFF\x7F", 2_097_151),
        (b"\x30\x80\x80\x80\x01", 2_097_152),
    ] {
        let mut buffer = header.to_vec();
        buffer.resize(header.len() + remaining + 3, 0xC0);
        let expected = Framing::Complete { header_len: header.len(), frame_len: header.len() + remaining };
        assert_eq!(frame(&buffer, NO_LIMIT), Ok(expected), "{header:02x?}");
    }
}

#[test]
fn a_reader_that_takes_what_is_missing_stops_at_every_boundary() {
    let stream: Vec<u8> = GOLDEN.iter().flat_map(|golden| golden.bytes).copied().collect();
    let (mut start, mut end, mut found) = (0, 0, Vec::new());
    while start < stream.len() {
        match frame(&stream[start..end], NO_LIMIT).expect("golden packets are well formed") {
            Framing::Incomplete { missing_bytes } => end += missing_bytes,
            Framing::Complete { frame_len, .. } => {
                assert_eq!(start + frame_len, end, "nothing of the next packet has been taken");
                found.push(&stream[start..end]);
                start = end;
            }
        }
    }
    assert!(found.iter().copied().eq(GOLDEN.iter().map(|golden| golden.bytes)));
}

#[test]
fn what_follows_the_packet_does_not_matter() {
    for golden in GOLDEN {
        let whole = frame(golden.bytes, NO_LIMIT);
        for next in [&b"\0"[..], b"\xC0\0", b"\xFF\xFF\xFF\xFF\xFF\xFF"] {
            assert_eq!(frame(&[golden.bytes, next].concat(), NO_LIMIT), whole, "{golden:?}");
        }
    }
}

/// The limit counts the header. A packet above it is refused as soon as its length is known.
#[test]
fn mqtt_3_2_2_15_the_limit_is_for_the_whole_packet() {
    for (packet, len) in [(&b"\x30\x05\0\x01abc"[..], 7), (b"\x30\x80\x01", 131), (b"\xC0\0", 2)] {
        assert!(frame(packet, len).is_ok(), "{packet:02x?}");
        let error = frame(packet, len - 1).expect_err("one byte too many");
        assert_eq!((error.kind(), error.reason()), (Kind::FrameTooLarge, ReasonCode::PacketTooLarge));
        assert_eq!(error.clause(), "MQTT-3.2.2-15");
    }
    assert!(frame(b"\x30", 0).is_ok(), "the length is not known yet");
}

#[test]
fn a_bad_first_byte_is_refused_before_the_length() {
    for first in 0..=u8::MAX {
        let (packet, flags) = (first >> 4, first & 0x0F);
        let legal = match packet {
            0 => false,
            3 => flags >> 1 & 0b11 != 3 && (flags >> 3 == 0 || flags >> 1 & 0b11 != 0),
            6 | 8 | 10 => flags & 0b0111 == 0b0010,
            _ => flags == 0,
        };
        assert_eq!(frame(&[first], NO_LIMIT).is_ok(), legal, "0x{first:02X}");
        assert_eq!(
            frame(&[first, 0xFF, 0xFF, 0xFF, 0xFF], NO_LIMIT)
                .is_err_and(|error| error.kind() != Kind::OverlongInteger),
            !legal
        );
    }
}

#[test]
fn a_length_that_cannot_end_well_is_refused_at_its_fourth_byte() {
    assert_eq!(missing(b"\x30\xFF\xFF\xFF"), 1);
    for (buffer, kind) in [
        (&b"\x30\xFF\xFF\xFF\xFF"[..], Kind::OverlongInteger),
        (b"\x30\x80\x80\x80\x80\x01", Kind::OverlongInteger),
        (b"\x30\x80\0", Kind::NonMinimalInteger),
        (b"\x30\xFF\x80\0", Kind::NonMinimalInteger),
        (b"\x30\xFF\xFF\xFF\0", Kind::NonMinimalInteger),
    ] {
        let error = frame(buffer, NO_LIMIT).expect_err("no variable byte integer");
        assert_eq!((error.kind(), error.reason()), (kind, ReasonCode::MalformedPacket), "{buffer:02x?}");
    }
}
