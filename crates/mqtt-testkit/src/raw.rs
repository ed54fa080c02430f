//! Packets put together by hand, right or wrong: the length is the only thing that is looked after.

use mqtt_codec::Version;

use crate::ToWire;

/// Starts a packet with this first byte: packet type in the upper, flags in the lower four bits.
#[must_use]
pub fn raw(first_byte: u8) -> RawPacket {
    RawPacket { first_byte, body: Vec::new() }
}

/// A packet whose body is written field by field; the remaining length is always the true one.
#[derive(Clone, Debug)]
pub struct RawPacket {
    first_byte: u8,
    body: Vec<u8>,
}

impl RawPacket {
    /// Appends one byte.
    #[must_use]
    pub fn byte(mut self, value: u8) -> Self {
        self.body.push(value);
        self
    }

    /// Appends a two byte integer.
    #[must_use]
    pub fn u16(mut self, value: u16) -> Self {
        self.body.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Appends bytes as they are.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.body.extend_from_slice(bytes);
        self
    }

    /// Appends a string or binary field: two bytes of length, then the content, valid or not.
    ///
    /// # Panics
    /// The content is longer than 65,535 bytes.
    #[must_use]
    pub fn text(mut self, content: impl AsRef<[u8]>) -> Self {
        let content = content.as_ref();
        let length = u16::try_from(content.len()).expect("a field holds at most 65,535 bytes");
        self.body.extend_from_slice(&length.to_be_bytes());
        self.body.extend_from_slice(content);
        self
    }

    /// Appends a property block: its length, then its bytes, valid or not.
    #[must_use]
    pub fn properties(mut self, block: &[u8]) -> Self {
        self.body.extend_from_slice(&var_int(block.len()));
        self.body.extend_from_slice(block);
        self
    }

    /// The whole packet.
    #[must_use]
    pub fn finish(&self) -> Vec<u8> {
        let mut packet = vec![self.first_byte];
        packet.extend_from_slice(&var_int(self.body.len()));
        packet.extend_from_slice(&self.body);
        packet
    }
}

impl ToWire for RawPacket {
    fn to_wire(&self, _: Version) -> Vec<u8> {
        self.finish()
    }
}

/// A variable byte integer in its shortest form (section 1.5.5).
fn var_int(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7F) as u8;
        value >>= 7;
        bytes.push(if value > 0 { low | 0x80 } else { low });
        if value == 0 {
            return bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{raw, var_int};

    #[test]
    fn the_remaining_length_counts_the_body() {
        assert_eq!(raw(0xC0).finish(), [0xC0, 0]);
        assert_eq!(raw(0x30).text("a").byte(7).finish(), [0x30, 4, 0, 1, b'a', 7]);
        assert_eq!(raw(0x30).bytes(&[0; 200]).finish()[..3], [0x30, 0xC8, 0x01]);
    }

    #[test]
    fn variable_byte_integers_are_as_short_as_possible() {
        assert_eq!(var_int(127), [0x7F]);
        assert_eq!(var_int(128), [0x80, 0x01]);
        assert_eq!(var_int(268_435_455), [0xFF, 0xFF, 0xFF, 0x7F]);
    }
}
