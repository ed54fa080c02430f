use crate::PacketType;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::wire::variable_integer_prefix;

/// What [`frame`] found at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The packet goes on after the end of the buffer.
    Incomplete {
        /// At least this many more bytes are needed, never 0; exact once the length is known.
        missing_bytes: usize,
    },
    /// The buffer starts with a whole packet.
    Complete {
        /// Bytes of the fixed header, 2 to 5.
        header_len: usize,
        /// Bytes of the whole packet, its header included.
        frame_len: usize,
    },
}

/// Measures the packet at the start of `buffer` without reading its body (MQTT 5 section 2.1).
///
/// `frame_bytes_max` bounds the whole packet, header included, as maximum packet size does.
///
/// ```
/// use mqtt_codec::{Framing, frame};
///
/// assert_eq!(frame(&[0xC0], 1024)?, Framing::Incomplete { missing_bytes: 1 });
/// assert_eq!(frame(&[0xC0, 0x00, 0xC0], 1024)?, Framing::Complete { header_len: 2, frame_len: 2 });
/// # Ok::<(), mqtt_codec::DecodeError>(())
/// ```
///
/// # Errors
/// As soon as they can be seen: a reserved type or illegal flags in the first byte, a length that is not a proper variable
/// byte integer, a packet larger than allowed.
#[inline]
pub fn frame(buffer: &[u8], frame_bytes_max: u32) -> Result<Framing, DecodeError> {
    let Some((&first, rest)) = buffer.split_first() else {
        return Ok(Framing::Incomplete { missing_bytes: SMALLEST_FRAME });
    };
    check_first_byte(first)?;
    let Some((remaining, length_bytes)) = variable_integer_prefix(rest)? else {
        return Ok(Framing::Incomplete { missing_bytes: 1 });
    };
    let header_len = 1 + length_bytes;
    let frame_len = header_len + remaining as usize;
    if frame_len > frame_bytes_max as usize {
        return Err(DecodeErrorKind::FrameTooLarge.into()); // [MQTT-3.2.2-15]
    }
    Ok(match buffer.len() {
        len if len < frame_len => Framing::Incomplete { missing_bytes: frame_len - len },
        _ => Framing::Complete { header_len, frame_len },
    })
}

/// PINGREQ, PINGRESP and some DISCONNECTs: the type and a remaining length of 0.
const SMALLEST_FRAME: usize = 2;

/// For each packet type one bit for each value of the flags that some version allows (MQTT 5 section 2.1.3).
const LEGAL_FLAGS: [u16; 16] = {
    const ZERO: u16 = 1;
    /// QoS 1; with DUP only in MQTT 3.1, which decoding checks.
    const REQUEST: u16 = 1 << 0b0010 | 1 << 0b1010;
    /// Everything but QoS 3 `[MQTT-3.3.1-4]` and DUP at QoS 0 `[MQTT-3.3.1-2]`.
    const PUBLISH: u16 = 0b0011_1100_0011_1111;
    let mut legal = [ZERO; 16];
    legal[0] = 0;
    legal[PacketType::Publish as usize] = PUBLISH;
    legal[PacketType::Pubrel as usize] = REQUEST; // [MQTT-3.6.1-1]
    legal[PacketType::Subscribe as usize] = REQUEST; // [MQTT-3.8.1-1]
    legal[PacketType::Unsubscribe as usize] = REQUEST; // [MQTT-3.10.1-1]
    legal
};

#[inline]
fn check_first_byte(first: u8) -> Result<(), DecodeError> {
    let legal = LEGAL_FLAGS[usize::from(first >> 4)] >> (first & 0x0F) & 1 == 1; // [MQTT-2.1.3-1]
    if legal { Ok(()) } else { Err(first_byte_error(first)) }
}

#[cold]
fn first_byte_error(first: u8) -> DecodeError {
    match PacketType::from_first_byte(first) {
        None => DecodeErrorKind::ReservedPacketType.into(),
        Some(PacketType::Publish) if first & 0b0110 == 0b0110 => DecodeErrorKind::PublishQoS3.into(),
        Some(PacketType::Publish) => DecodeErrorKind::DupAtQoS0.into(),
        Some(packet) => DecodeError::in_packet(DecodeErrorKind::FixedHeaderFlags, packet),
    }
}
