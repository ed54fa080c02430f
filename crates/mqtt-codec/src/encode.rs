use bytes::BufMut;

use crate::error::EncodeError;
use crate::packet::{Body, Packet, Publish, TypedAck, fixed_first_byte};
use crate::wire::{Measure, Sink, VARIABLE_INTEGER_MAX, Writer, variable_integer_len};
use crate::{PacketType, Version};

/// Appends one packet in the shortest form that the version allows, and returns the number of bytes. The size is known before
/// the first byte is written.
///
/// Going down from MQTT 5 drops what has no place: properties, the reason codes of acknowledgements, of UNSUBACK and of
/// DISCONNECT, all subscription options but the QoS, and in MQTT 3.1 session present. SUBACK failures become 0x80 and CONNACK
/// reasons the nearest return code. A CONNECT is written in its own version.
///
/// # Errors
/// A value that does not fit its field, values that the standard forbids together, no room in `out`, or something that the
/// version cannot say and that must not vanish: AUTH, a password without a user name, a publication known by alias only, a
/// CONNACK reason without a return code. Nothing has been written then.
#[inline]
pub fn encode<B: BufMut>(packet: &Packet<'_>, version: Version, out: &mut B) -> Result<usize, EncodeError> {
    visit(packet, Append { version, out })
}

/// The number of bytes that [`encode`] would write.
///
/// # Errors
/// As [`encode`], except that there is always room.
#[inline]
pub fn encoded_len(packet: &Packet<'_>, version: Version) -> Result<usize, EncodeError> {
    visit(packet, MeasureOnly { version })
}

/// Writes a PUBLISH without the payload that its length counts.
#[inline]
pub(crate) fn head<B: BufMut>(
    publish: &Publish<'_>,
    version: Version,
    payload_len: usize,
    out: &mut B,
) -> Result<usize, EncodeError> {
    let sizes = Sizes::of(publish, version, payload_len)?;
    put_head(publish, version, sizes, sizes.total - payload_len, out)
}

/// What is done with a packet once its type is known.
trait Visitor {
    fn body<P: Body>(self, body: &P, payload: &[u8]) -> Result<usize, EncodeError>;
}

#[inline]
fn visit(packet: &Packet<'_>, visitor: impl Visitor) -> Result<usize, EncodeError> {
    let ack = |ack| TypedAck { packet: packet.packet_type(), ack };
    match packet {
        Packet::Publish(body) => visitor.body(body, body.payload),
        Packet::Puback(body) | Packet::Pubrec(body) | Packet::Pubrel(body) | Packet::Pubcomp(body) => {
            visitor.body(&ack(body), &[])
        }
        Packet::Connect(body) => visitor.body(body, &[]),
        Packet::Connack(body) => visitor.body(body, &[]),
        Packet::Subscribe(body) => visitor.body(body, &[]),
        Packet::Suback(body) => visitor.body(body, &[]),
        Packet::Unsubscribe(body) => visitor.body(body, &[]),
        Packet::Unsuback(body) => visitor.body(body, &[]),
        Packet::Pingreq => visitor.body(&Ping(PacketType::Pingreq), &[]),
        Packet::Pingresp => visitor.body(&Ping(PacketType::Pingresp), &[]),
        Packet::Disconnect(body) => visitor.body(body, &[]),
        Packet::Auth(body) => visitor.body(body, &[]),
    }
}

struct MeasureOnly {
    version: Version,
}

impl Visitor for MeasureOnly {
    #[inline]
    fn body<P: Body>(self, body: &P, payload: &[u8]) -> Result<usize, EncodeError> {
        Ok(Sizes::of(body, self.version, payload.len())?.total)
    }
}

struct Append<'b, B> {
    version: Version,
    out: &'b mut B,
}

impl<B: BufMut> Visitor for Append<'_, B> {
    #[inline]
    fn body<P: Body>(self, body: &P, payload: &[u8]) -> Result<usize, EncodeError> {
        let sizes = Sizes::of(body, self.version, payload.len())?;
        put_head(body, self.version, sizes, sizes.total, self.out)?;
        self.out.put_slice(payload);
        Ok(sizes.total)
    }
}

#[derive(Clone, Copy)]
struct Sizes {
    /// Bytes after the fixed header.
    remaining: u32,
    /// Bytes of the whole packet.
    total: usize,
}

impl Sizes {
    #[inline]
    fn of<P: Body>(body: &P, version: Version, payload_len: usize) -> Result<Self, EncodeError> {
        body.check(version)?;
        let mut measure = Measure::default();
        body.write(version, &mut measure);
        let remaining = measure.finish()? as usize + payload_len;
        if remaining > VARIABLE_INTEGER_MAX as usize {
            return Err(EncodeError::PacketTooLarge);
        }
        Ok(Self { remaining: remaining as u32, total: 1 + variable_integer_len(remaining) + remaining })
    }
}

/// Writes all but the payload when `out` has room for `len_min` bytes.
#[inline]
fn put_head<P: Body, B: BufMut>(
    body: &P,
    version: Version,
    sizes: Sizes,
    len_min: usize,
    out: &mut B,
) -> Result<usize, EncodeError> {
    if out.remaining_mut() < len_min {
        return Err(EncodeError::OutputFull);
    }
    Writer::write_to(out, |writer| {
        writer.u8(body.first_byte());
        writer.variable_integer(sizes.remaining);
        body.write(version, writer);
    });
    Ok(len_min)
}

/// PINGREQ and PINGRESP have no body.
struct Ping(PacketType);

impl Body for Ping {
    fn first_byte(&self) -> u8 {
        fixed_first_byte(self.0)
    }

    fn check(&self, _: Version) -> Result<(), EncodeError> {
        Ok(())
    }

    fn write<S: Sink>(&self, _: Version, _: &mut S) {}
}
