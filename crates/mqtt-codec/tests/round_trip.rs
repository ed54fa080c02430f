//! Whatever is encoded decodes to the same packet, and whatever bytes come, decoding ends in a value or an error.

mod arbitrary;
#[allow(dead_code, reason = "one of the checks is of use here")]
mod fuzz_case;

use mqtt_codec::{
    Framing, Packet, PacketType, Properties, PropertiesBuf, PropertyPlace, Version, decode, encode,
    encoded_len, frame,
};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};

fn encoded(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let len = encoded_len(packet, version).unwrap_or_else(|error| panic!("{version} {packet:?}: {error}"));
    let mut bytes = Vec::with_capacity(len);
    assert_eq!(encode(packet, version, &mut bytes), Ok(len), "{version} {packet:?}");
    assert_eq!(bytes.len(), len, "{version} {packet:?}");
    bytes
}

/// What decodes is encodable, and that form is final.
fn check_stable(bytes: &[u8], version: Version) {
    let Ok(packet) = decode(bytes, version) else { return };
    let once = encoded(&packet, version);
    assert!(once.len() <= bytes.len(), "{version} {bytes:02x?} grew to {once:02x?}");
    let again = decode(&once, version);
    assert_eq!(again.as_ref(), Ok(&packet), "{version} {bytes:02x?}");
    assert_eq!(encoded(&packet, version), once);
}

/// A whole frame with any body.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    (any::<u8>(), vec(any::<u8>(), 0..100)).prop_map(|(first, body)| {
        let mut bytes = vec![first, body.len() as u8];
        bytes.extend(body);
        bytes
    })
}

proptest! {
    #[test]
    fn encoded_packets_decode_to_the_same_packet(
        parts in arbitrary::parts(),
        packet_type in arbitrary::packet_types(),
        version in arbitrary::versions(),
    ) {
        parts.with_packet(packet_type, version, |packet| {
            let bytes = encoded(packet, version);
            assert_eq!(decode(&bytes, version).as_ref(), Ok(packet), "{version} {bytes:02x?}");
            assert_eq!(packet.packet_type(), packet_type);
            fuzz_case::check_plain_ways(&bytes, version);
        });
    }

    #[test]
    fn every_packet_encodes_for_every_version_or_says_why_not(
        parts in arbitrary::parts(),
        packet_type in arbitrary::packet_types(),
        to in arbitrary::versions(),
    ) {
        parts.with_packet(packet_type, Version::V5, |packet| {
            let mut bytes = Vec::new();
            match encode(packet, to, &mut bytes) {
                Ok(len) => {
                    assert_eq!(len, bytes.len());
                    assert!(decode(&bytes, to).is_ok(), "{to} {packet:?} {bytes:02x?}");
                }
                Err(error) => {
                    assert!(bytes.is_empty() && to != Version::V5, "{to} {packet:?}: {error}");
                    assert_eq!(encoded_len(packet, to), Err(error));
                }
            }
        });
    }

    #[test]
    fn a_full_output_is_left_untouched(
        parts in arbitrary::parts(),
        packet_type in arbitrary::packet_types(),
        version in arbitrary::versions(),
    ) {
        parts.with_packet(packet_type, version, |packet| {
            let mut room = vec![0xAA; encoded(packet, version).len() - 1];
            assert!(encode(packet, version, &mut &mut room[..]).is_err());
            assert!(room.iter().all(|byte| *byte == 0xAA));
        });
    }

    #[test]
    fn every_cut_of_a_packet_is_incomplete_and_says_how_much_is_missing(
        parts in arbitrary::parts(),
        packet_type in arbitrary::packet_types(),
        version in arbitrary::versions(),
    ) {
        parts.with_packet(packet_type, version, |packet| {
            let bytes = encoded(packet, version);
            for cut in 0..bytes.len() {
                let Ok(Framing::Incomplete { missing_bytes }) = frame(&bytes[..cut], u32::MAX) else {
                    panic!("{cut} of {bytes:02x?}");
                };
                assert!(missing_bytes > 0 && cut + missing_bytes <= bytes.len());
                assert!(decode(&bytes[..cut], version).is_err());
            }
        });
    }

    #[test]
    fn changed_packets_decode_to_something_stable_or_not_at_all(
        parts in arbitrary::parts(),
        packet_type in arbitrary::packet_types(),
        version in arbitrary::versions(),
        changes in vec((any::<usize>(), any::<u8>()), 1..4),
    ) {
        parts.with_packet(packet_type, version, |packet| {
            let mut bytes = encoded(packet, version);
            let len = bytes.len();
            changes.iter().for_each(|(at, byte)| bytes[at % len] = *byte);
            Version::ALL.into_iter().for_each(|version| check_stable(&bytes, version));
        });
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = frame(&bytes, u32::MAX);
        Version::ALL.into_iter().for_each(|version| check_stable(&bytes, version));
    }

    #[test]
    fn random_bodies_never_panic(bytes in frames()) {
        Version::ALL.into_iter().for_each(|version| check_stable(&bytes, version));
    }

    #[test]
    fn random_property_blocks_read_back_as_they_were_checked(block in vec(any::<u8>(), 0..60)) {
        for place in PropertyPlace::ALL {
            let Ok(properties) = Properties::parse(&block, place) else { continue };
            let mut copy = PropertiesBuf::new();
            properties.iter().for_each(|property| copy.push(&property).expect("it was decoded"));
            prop_assert_eq!(copy.as_properties(), properties);
        }
    }
}

#[test]
fn the_strategies_reach_every_type_in_every_version() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    for version in Version::ALL {
        for packet_type in PacketType::ALL {
            let parts = arbitrary::parts().new_tree(&mut runner).expect("no filter rejects").current();
            let mut called = false;
            parts.with_packet(packet_type, version, |_| called = true);
            assert_eq!(called, version == Version::V5 || packet_type != PacketType::Auth);
        }
    }
}
