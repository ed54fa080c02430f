use crate::error::{DecodeError, DecodeErrorKind};
use crate::packet::{self, Packet};
use crate::wire::Parsed;
use crate::{Framing, PacketType, Version, frame};

/// Reads exactly one whole packet, as [`frame`] measures it. Nothing is allocated: the packet borrows from `frame_bytes`.
///
/// `version` is what the CONNECT of the connection announced; a CONNECT itself goes by its own bytes.
///
/// ```
/// use mqtt_codec::{Packet, Version, decode};
///
/// let packet = decode(b"\x30\x06\x00\x01t\x00hi", Version::V5)?;
/// let Packet::Publish(publish) = packet else { unreachable!() };
/// assert_eq!((publish.topic, publish.payload), ("t", &b"hi"[..]));
/// # Ok::<(), mqtt_codec::DecodeError>(())
/// ```
///
/// # Errors
/// The first rule that the bytes break, too few or too many bytes included.
#[inline]
pub fn decode(frame_bytes: &[u8], version: Version) -> Result<Packet<'_>, DecodeError> {
    let Framing::Complete { header_len, frame_len } = frame(frame_bytes, u32::MAX)? else {
        return Err(DecodeErrorKind::Truncated.into());
    };
    if frame_len < frame_bytes.len() {
        return Err(DecodeErrorKind::TrailingBytes.into());
    }
    let (rest, packet) = body(frame_bytes[0], version, &frame_bytes[header_len..])?;
    if !rest.is_empty() {
        return Err(DecodeErrorKind::TrailingBytes.into());
    }
    Ok(packet)
}

/// Reads what follows the fixed header, by the type in the first byte, and returns what it leaves over.
#[inline]
fn body(first: u8, version: Version, input: &[u8]) -> Parsed<'_, Packet<'_>> {
    use PacketType as Type;
    let Some(packet_type) = PacketType::from_first_byte(first) else {
        return Err(DecodeErrorKind::ReservedPacketType.into());
    };
    match packet_type {
        Type::Publish => into(packet::publish(first, version, input), Packet::Publish),
        Type::Puback => into(packet::ack(packet_type, version, input), Packet::Puback),
        Type::Pubrec => into(packet::ack(packet_type, version, input), Packet::Pubrec),
        Type::Pubcomp => into(packet::ack(packet_type, version, input), Packet::Pubcomp),
        Type::Pubrel => {
            check_dup(first, packet_type, version)?;
            into(packet::ack(packet_type, version, input), Packet::Pubrel)
        }
        Type::Subscribe => {
            check_dup(first, packet_type, version)?;
            into(packet::subscribe(version, input), Packet::Subscribe)
        }
        Type::Unsubscribe => {
            check_dup(first, packet_type, version)?;
            into(packet::unsubscribe(version, input), Packet::Unsubscribe)
        }
        Type::Suback => into(packet::suback(version, input), Packet::Suback),
        Type::Unsuback => into(packet::unsuback(version, input), Packet::Unsuback),
        Type::Pingreq => Ok((input, Packet::Pingreq)),
        Type::Pingresp => Ok((input, Packet::Pingresp)),
        Type::Connect => into(packet::connect(input), Packet::Connect),
        Type::Connack => into(packet::connack(version, input), Packet::Connack),
        Type::Disconnect => into(packet::disconnect(version, input), Packet::Disconnect),
        Type::Auth => into(packet::auth(version, input), Packet::Auth),
    }
}

#[inline]
fn into<'a, T>(body: Parsed<'a, T>, packet: impl FnOnce(T) -> Packet<'a>) -> Parsed<'a, Packet<'a>> {
    body.map(|(rest, body)| (rest, packet(body)))
}

/// DUP on a request, which [`frame`] lets pass because MQTT 3.1 knows it.
fn check_dup(first: u8, packet: PacketType, version: Version) -> Result<(), DecodeError> {
    if first & 1 << 3 != 0 && !version.allows_dup_on_requests() {
        return Err(DecodeError::in_packet(DecodeErrorKind::FixedHeaderFlags, packet)); // [MQTT-2.1.3-1]
    }
    Ok(())
}
