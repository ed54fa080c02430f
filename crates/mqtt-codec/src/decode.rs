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
    body(frame_bytes[0], version, &frame_bytes[header_len..])
}

/// Reads what follows the fixed header, by the type in the first byte.
#[inline]
fn body(first: u8, version: Version, input: &[u8]) -> Result<Packet<'_>, DecodeError> {
    use PacketType as Type;
    let Some(packet_type) = PacketType::from_first_byte(first) else {
        return Err(DecodeErrorKind::ReservedPacketType.into());
    };
    check_dup(first, packet_type, version)?;
    Ok(match packet_type {
        Type::Publish => Packet::Publish(whole(packet::publish(first, version, input))?),
        Type::Puback => Packet::Puback(whole(packet::ack(packet_type, version, input))?),
        Type::Pubrec => Packet::Pubrec(whole(packet::ack(packet_type, version, input))?),
        Type::Pubrel => Packet::Pubrel(whole(packet::ack(packet_type, version, input))?),
        Type::Pubcomp => Packet::Pubcomp(whole(packet::ack(packet_type, version, input))?),
        Type::Subscribe => Packet::Subscribe(whole(packet::subscribe(version, input))?),
        Type::Suback => Packet::Suback(whole(packet::suback(version, input))?),
        Type::Unsubscribe => Packet::Unsubscribe(whole(packet::unsubscribe(version, input))?),
        Type::Unsuback => Packet::Unsuback(whole(packet::unsuback(version, input))?),
        Type::Pingreq => whole(Ok((input, Packet::Pingreq)))?,
        Type::Pingresp => whole(Ok((input, Packet::Pingresp)))?,
        Type::Connect => Packet::Connect(whole(packet::connect(input))?),
        Type::Connack => Packet::Connack(whole(packet::connack(version, input))?),
        Type::Disconnect => Packet::Disconnect(whole(packet::disconnect(version, input))?),
        Type::Auth => Packet::Auth(whole(packet::auth(version, input))?),
    })
}

/// A body that must use up its packet.
#[inline]
fn whole<T>(parsed: Parsed<'_, T>) -> Result<T, DecodeError> {
    match parsed? {
        ([], body) => Ok(body),
        _ => Err(DecodeErrorKind::TrailingBytes.into()),
    }
}

/// DUP on a request, which [`frame`] lets pass because MQTT 3.1 knows it.
#[inline]
fn check_dup(first: u8, packet: PacketType, version: Version) -> Result<(), DecodeError> {
    let request = matches!(packet, PacketType::Pubrel | PacketType::Subscribe | PacketType::Unsubscribe);
    if first & 1 << 3 != 0 && request && !version.allows_dup_on_requests() {
        return Err(DecodeError::in_packet(DecodeErrorKind::FixedHeaderFlags, packet)); // [MQTT-2.1.3-1]
    }
    Ok(())
}
